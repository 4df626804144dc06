"""The published files: what each is for, where it comes from, how large it is, under which licence.

The table is ``catalogue.json``, one row a file. Sizes marked as not exact are those of the tensors alone. Checksums
are given where they are published; ``used_by`` names the networks that need the file.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavas_core.errors import WeightsError

HUB = "https://huggingface.co"
TABLE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class Licence:
    """The terms of a file's weights."""

    id: str
    name: str
    url: str
    commercial: bool


@dataclass(frozen=True)
class Entry:
    """One published file."""

    id: str
    role: str
    variant: str
    precision: str
    file: str
    """Name on the user's disk."""
    repo: str
    """Repository on huggingface.co; ``path`` is the file's name there, at commit ``revision``."""
    revision: str
    path: str
    size_bytes: int
    size_is_exact: bool
    md5: str | None
    sha256: str | None
    licence: Licence
    used_by: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where a browser finds the file."""
        return self.url_at(HUB)

    def url_at(self, hub: str) -> str:
        """The same at a mirror of the hub."""
        return f"{hub.rstrip('/')}/{self.repo}/resolve/{self.revision}/{self.path}"

    @property
    def size(self) -> str:
        """Size in words."""
        return f"{'' if self.size_is_exact else 'about '}{size_in_words(self.size_bytes)}"


def size_in_words(size_bytes: int) -> str:
    """``1.2 GB`` or ``601 MB``, decimal as download pages count."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


@functools.lru_cache(maxsize=1)
def entries() -> tuple[Entry, ...]:
    """Every row of the table."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    licences = {name: Licence(name, **fields) for name, fields in table["licences"].items()}
    return tuple(
        Entry(**(row | {"licence": licences[row["licence"]], "used_by": tuple(row["used_by"])}))
        for row in table["files"]
    )


def networks() -> list[str]:
    """Names of the published networks."""
    return [entry.id for entry in entries() if entry.role == "network" and entry.precision == "fp32"]


def entry(name: str) -> Entry:
    """The row of that id or file name. Raises WeightsError."""
    for one in entries():
        if name in (one.id, one.file):
            return one
    raise WeightsError(f"{name!r} is no published file: use one of {', '.join(one.id for one in entries())}.")


def with_companions(names: Iterable[str]) -> list[Entry]:
    """The rows of those ids; for a network, everything it needs beside it, in full precision."""
    wanted: dict[str, Entry] = {}
    for name in names:
        chosen = entry(name)
        wanted[chosen.id] = chosen
        if chosen.role != "network":
            continue
        for other in entries():
            if other.role != "network" and other.precision == "fp32" and chosen.variant in other.used_by:
                wanted.setdefault(other.id, other)
    return list(wanted.values())


def for_role(role: str, variant: str) -> Entry | None:
    """The full-precision file of a role and variant, if one is published."""
    for one in entries():
        if (one.role, one.variant, one.precision) == (role, variant, "fp32"):
            return one
    return None


def missing(role: str, variant: str, needed: str, folders: Sequence[Path]) -> WeightsError:
    """One sentence for a file that is nowhere in ``folders``: what, where, how large, and the command that gets it."""
    found = for_role(role, variant)
    where = folders[0]
    if found is None:
        return WeightsError(f"There is no file of {needed} in {where}: put one there.")
    return WeightsError(
        f"{needed} is missing: {found.file} ({found.size}, licence {found.licence.id}) belongs into {where}; get it "
        f"with the node Download Models (PAVAS), or with {download_command([found.id], where)}."
    )


def download_command(ids: Iterable[str], folder: Path) -> str:
    """The command line that downloads files into ``folder`` with the Python that runs now."""
    core = Path(__file__).resolve().parents[1]
    return f'"{sys.executable}" "{core}" models download {" ".join(ids)} --into "{folder}"'
