"""Results of slow stages on disk, by what they were made of: answers of models, tracks, velocities.

One file an entry: a magic line, the SHA-256 of the rest, then a zip. Least recently used entries go when the folder
grows over its limit. A damaged entry is as good as none.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pavas_core.errors import PavasError

if TYPE_CHECKING:
    from pavas_core.physics.types import TrackSet, VelocitySet

log = logging.getLogger("pavas")

MAGIC = b"pavas-result-1\n"
SUFFIX = ".result"
MAX_BYTES = 512 * 1024**2
_TEXT = "text.txt"
_PHYSICS = "physics.json"
_PICTURES = "pictures.npy"
_Value = TypeVar("_Value", "TrackSet", "VelocitySet")


def key_of(*parts: str | bytes | int | float | np.ndarray | None) -> str:
    """One key for everything a result depends on: words, numbers, arrays (their shape, type and content)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head, body = f"array {part.shape} {part.dtype}", memoryview(part.tobytes())
        elif isinstance(part, bytes):
            head, body = "bytes", memoryview(part)
        else:
            head, body = type(part).__name__, memoryview(repr(part).encode())
        digest.update(f"{head} {len(body)}\n".encode())
        digest.update(body)
    return digest.hexdigest()


def hash_of_weights(files: list[Path]) -> str:
    """What tells checkpoints apart without reading gigabytes: names, sizes, and both ends of every file."""
    digest = hashlib.sha256()
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            if size > 2 << 20:
                file.seek(-(1 << 20), os.SEEK_END)
                digest.update(file.read())
    return digest.hexdigest()


@dataclass(frozen=True)
class ResultCache:
    """Results below ``folder``, which is made when the first one is stored. Never raises: a cache may fail quietly."""

    folder: Path
    max_bytes: int = MAX_BYTES

    def text(self, key: str) -> str | None:
        """The text stored under ``key``, or None."""
        files = self._read(key)
        return None if files is None or _TEXT not in files else files[_TEXT].decode("utf-8", "replace")

    def put_text(self, key: str, text: str) -> None:
        """Store ``text`` under ``key``."""
        self._write(key, {_TEXT: text.encode("utf-8")})

    def physics(self, key: str, kind: type[_Value]) -> _Value | None:
        """The tracks or velocities stored under ``key``, or None."""
        from pavas_core.physics.serialise import load_physics

        files = self._read(key)
        if files is None or _PHYSICS not in files:
            return None
        try:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in files.items():
                    (Path(folder) / Path(name).name).write_bytes(content)
                return load_physics(Path(folder) / _PHYSICS, kind)
        except (OSError, PavasError) as error:
            log.warning("A stored result cannot be used and is made again (%s).", error)
            return None

    def pictures(self, key: str) -> np.ndarray | None:
        """The pictures that were stored beside the physics under ``key``, uint8 [N, H, W, 3], or None."""
        files = self._read(key)
        return None if files is None or _PICTURES not in files else np.load(io.BytesIO(files[_PICTURES]))

    def put_physics(self, key: str, value: TrackSet | VelocitySet, pictures: np.ndarray | None = None) -> None:
        """Store tracks or velocities under ``key``, with pictures of how they were made."""
        from pavas_core.physics.serialise import save_physics

        try:
            with tempfile.TemporaryDirectory() as folder:
                save_physics(value, Path(folder) / _PHYSICS)
                files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        except (OSError, PavasError) as error:
            log.warning("A result could not be stored (%s).", error)
            return
        if pictures is not None:
            packed = io.BytesIO()
            np.save(packed, pictures, allow_pickle=False)
            files[_PICTURES] = packed.getvalue()
        self._write(key, files)

    def clear(self) -> int:
        """Remove every entry and return how many there were."""
        count = 0
        for path, _, _ in self._entries():
            try:
                path.unlink()
                count += 1
            except OSError as error:
                log.warning("The stored result %s could not be removed (%s).", path.name, error.strerror)
        return count

    def size_bytes(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _entries(self) -> list[tuple[Path, int, float]]:
        """(path, bytes, time of last use) of every entry."""
        found = []
        if self.folder.is_dir():
            for path in self.folder.glob(f"*{SUFFIX}"):
                try:
                    status = path.stat()
                except OSError:
                    continue  # removed by another process meanwhile
                found.append((path, status.st_size, status.st_mtime))
        return found

    def _read(self, key: str) -> dict[str, bytes] | None:
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("The stored result %s cannot be read (%s).", path.name, error.strerror)
            return None
        head = len(MAGIC) + 32
        sound = content.startswith(MAGIC) and hashlib.sha256(content[head:]).digest() == content[len(MAGIC) : head]
        if not sound:
            log.warning("The stored result %s is damaged and is made again.", path.name)
            return None
        try:
            os.utime(path)
        except OSError:
            log.debug("The time of last use of %s could not be set.", path.name)
        with zipfile.ZipFile(io.BytesIO(content[head:])) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def _write(self, key: str, files: dict[str, bytes]) -> None:
        from pavas_core.video.atomic import replacing

        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        body = packed.getvalue()
        if len(body) > self.max_bytes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path(key)) as temporary:
                temporary.write_bytes(MAGIC + hashlib.sha256(body).digest() + body)
        except (OSError, PavasError) as error:
            log.warning("A result could not be stored (%s).", error)
            return
        self._trim(self._path(key))

    def _trim(self, newest: Path) -> None:
        """Remove what was not used for longest until the rest fits."""
        entries = sorted(self._entries(), key=lambda one: (one[0] == newest, one[2], one[0].name))
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.max_bytes or path == newest:
                return
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("The stored result %s could not be removed (%s).", path.name, error.strerror)
                continue
            total -= size
