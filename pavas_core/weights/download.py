"""Downloads of published files: only when asked, only after the licence is accepted, resumed and checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from pavas_core.errors import WeightsError
from pavas_core.runtime import Runtime
from pavas_core.weights.catalogue import HUB, Entry, Licence

UNFINISHED = ".unfinished"
"""Folder, beside the finished files, that holds what is under way; a later download goes on from it."""
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60
ATTEMPTS = 3


def check_accepted(files: Iterable[Entry], accepted: Iterable[str]) -> None:
    """Raise WeightsError, naming licences and how to accept them, unless every file's was accepted by its id."""
    open_licences = {one.licence.id: one.licence for one in files if one.licence.id not in set(accepted)}
    if open_licences:
        told = "; ".join(described(licence) for licence in open_licences.values())
        raise WeightsError(
            f"Nothing was downloaded, since the licences of the files must be accepted first ({told}): read them, then "
            f"add --accept-licence {' --accept-licence '.join(open_licences)}, or tick the node's box."
        )


def described(licence: Licence) -> str:
    """A licence in a few words."""
    use = "commercial use allowed" if licence.commercial else "no commercial use"
    return f"{licence.id}: {licence.name}, {use}, {licence.url}"


def download(entry: Entry, folder: Path, *, accepted: Sequence[str], runtime: Runtime | None = None) -> Path:
    """Get one file into ``folder`` unless it is there, and return its path.

    An interrupted download goes on where it stopped. Size and checksum are verified before the file gets its name.
    Raises WeightsError for a licence that was not accepted, a full disk, no network, or a file unlike the published.
    """
    runtime = runtime or Runtime()
    check_accepted([entry], accepted)
    target = folder / entry.file
    if target.is_file():
        return target
    _check_room(entry, folder)
    try:
        fetched = _fetch(entry, folder / UNFINISHED, runtime)
    except OSError as error:
        raise WeightsError(
            f"{entry.file} could not be downloaded from {entry.url} ({_first_line(error)}): try again, which goes on "
            f"where it stopped, or get it with a browser and put it into {folder}."
        ) from error
    fault = fault_of(fetched, entry, runtime)
    if fault:
        fetched.unlink()
        raise WeightsError(f"The download of {entry.file} {fault} and was deleted: try again.")
    os.replace(fetched, target)
    with suppress(OSError):
        fetched.parent.rmdir()  # where nothing else is under way
    return target


def _check_room(entry: Entry, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < entry.size_bytes:
        raise WeightsError(
            f"{entry.file} needs {entry.size} and {folder} has {free / 1e9:.1f} GB left: free some space or choose "
            "another folder."
        )


def _fetch(entry: Entry, unfinished: Path, runtime: Runtime) -> Path:
    """The file from its repository, continued from what is below ``unfinished``. Raises OSError."""
    unfinished.mkdir(parents=True, exist_ok=True)
    part = unfinished / f"{entry.id}-{entry.revision[:12]}.part"
    url = entry.url_at(os.environ.get("HF_ENDPOINT") or HUB)
    failures = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _receive(url, part, entry, runtime):
                return part
            failure = OSError("the connection was closed early")
        except urllib.error.HTTPError as error:
            raise OSError(f"the server answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            failure = OSError(_first_line(error))
        # Only attempts in a row that brought nothing count: a slow line may break many times.
        failures = 0 if part.is_file() and part.stat().st_size > before else failures + 1
        if failures == ATTEMPTS:
            raise failure


def _receive(url: str, part: Path, entry: Entry, runtime: Runtime) -> bool:
    """Append what is missing to ``part``; whether all of it came."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "ComfyUI-PAVAS"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    runtime.step(f"downloading {entry.file}", done, max(entry.size_bytes, done))
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S, context=_certificates())
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            return True  # nothing is missing
        raise
    with response, part.open("ab" if response.status == HTTPStatus.PARTIAL_CONTENT else "wb") as file:
        done = file.tell()
        total = done + int(response.headers["Content-Length"])
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            runtime.step(f"downloading {entry.file}", done, total)
    return done == total


def _certificates() -> ssl.SSLContext:
    """certifi's authorities where it is installed: Pythons that come with applications often find no others."""
    try:
        import certifi
    except ModuleNotFoundError:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())


def fault_of(path: Path, entry: Entry, runtime: Runtime | None = None) -> str | None:
    """In a few words, how a file differs from the published one; None if nothing known differs."""
    size = path.stat().st_size
    if entry.size_is_exact and size != entry.size_bytes:
        return f"has {size} bytes instead of {entry.size_bytes}"
    for algorithm, expected in (("sha256", entry.sha256), ("md5", entry.md5)):
        if expected is not None:
            found = _digest(path, algorithm, entry.file, runtime or Runtime())
            return None if found == expected else f"has the {algorithm} {found} instead of {expected}"
    return None


def _digest(path: Path, algorithm: str, name: str, runtime: Runtime) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            runtime.step(f"checking {name}", done, size)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
