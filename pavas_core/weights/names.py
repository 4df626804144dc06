"""Names of the tensors in a file, read without torch and without running anything the file says.

Enough to list a folder: which files are usable, and as what. Shapes and values are read by
:mod:`pavas_core.weights.reading`.
"""

from __future__ import annotations

import functools
import json
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
MAX_HEADER_BYTES = 100_000_000
LEGACY_PICKLES = 4
"""torch's old format is several pickles in a row; the tensors' names are in the fourth."""

Format = Literal["safetensors", "torch", "legacy torch"]


def format_of(path: Path) -> Format | str:
    """The file's format by its first bytes; for none that can be used, a few words that say what it is instead."""
    with path.open("rb") as file:
        head = file.read(64)
    size = path.stat().st_size
    if not head:
        return "an empty file"
    if head.startswith(b"PK"):
        return "torch"
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < MAX_HEADER_BYTES:
        return "safetensors"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it stands for"
    if head.startswith(b"GGUF"):
        return "a GGUF file, which is not supported"
    if head.lstrip()[:1] == b"<":
        return "a web page, as a refused download leaves it"
    if head[0] == 0x80 and head[1] in range(2, 6):
        return "legacy torch"
    return f"no file of weights ({size} bytes of another kind)"


def tensor_names(path: Path) -> frozenset[str]:
    """Names in the file, empty for one that cannot be read. Of torch's formats, every word in the pickle."""
    stat = path.stat()
    return _tensor_names(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _tensor_names(path: Path, size: int, mtime_ns: int) -> frozenset[str]:
    try:
        kind = format_of(path)
        if kind == "safetensors":
            with path.open("rb") as file:
                length = struct.unpack("<Q", file.read(8))[0]
                return frozenset(json.loads(file.read(length)))
        if kind == "torch":
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                with archive.open(name) as pickled:
                    return frozenset(_words(pickled))
        if kind == "legacy torch":
            with path.open("rb") as pickled:
                return frozenset(word for _ in range(LEGACY_PICKLES) for word in _words(pickled))
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile, struct.error):
        pass
    return frozenset()


def _words(pickled: IO[bytes]) -> Iterator[str]:
    """The strings of one pickle, taken from its listing; nothing of it is executed."""
    for opcode, argument, _ in pickletools.genops(pickled):
        if isinstance(argument, str) and opcode.name != "GLOBAL":
            yield argument
