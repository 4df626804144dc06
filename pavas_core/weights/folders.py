"""Folders of weights, and which of their files are usable as what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavas_core.weights.contents import role_of_names
from pavas_core.weights.names import SUFFIXES, tensor_names

VARIABLE = "PAVAS_MODELS"
COMFY_FOLDERS = ("pavas", "mmaudio")
"""Folders below ComfyUI's ``models``: the pack's own, and the one that users of ComfyUI-MMAudio have."""


@dataclass(frozen=True)
class Found:
    """A usable file."""

    path: Path
    name: str
    """Path below its folder, with forward slashes."""
    role: str


def default_folders() -> list[Path]:
    """Where the command line looks: ``$PAVAS_MODELS``, else the ComfyUI around this pack, else the home folder."""
    named = os.environ.get(VARIABLE)
    if named:
        return [Path(folder).expanduser() for folder in named.split(os.pathsep) if folder]
    pack = Path(__file__).resolve().parents[2]
    if pack.parent.name == "custom_nodes":
        return [pack.parents[1] / "models" / name for name in COMFY_FOLDERS]
    return [Path.home() / ".pavas" / "models"]


def usable_files(folders: Iterable[Path]) -> list[Found]:
    """Files below ``folders`` (missing ones are skipped) that hold weights of a known role, by folder, then name.

    A name that an earlier folder has too is left out, as ComfyUI does it.
    """
    found: dict[str, Found] = {}
    for folder in folders:
        paths = folder.rglob("*") if folder.is_dir() else ()
        for path in sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()):
            name = path.relative_to(folder).as_posix()
            if any(part.startswith(".") for part in Path(name).parts):
                continue  # downloads under way
            role = role_of_names(tensor_names(path))
            if role is not None and name not in found:
                found[name] = Found(path, name, role)
    return list(found.values())


def of_role(files: Sequence[Found], role: str) -> list[Found]:
    """Those files that hold ``role``."""
    return [file for file in files if file.role == role]
