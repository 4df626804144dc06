"""ComfyUI's model folders, as the pack searches them, and file names from widgets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pavas_core.weights.folders import COMFY_FOLDERS, Found, of_role, usable_files

AUTO = "auto"


def register_folder() -> None:
    """Make ``models/pavas`` known to ComfyUI, keeping the folders that extra_model_paths.yaml gave that name."""
    import folder_paths

    own = COMFY_FOLDERS[0]
    folder_paths.add_model_folder_path(own, os.path.join(folder_paths.models_dir, own))
    paths, extensions = folder_paths.folder_names_and_paths[own]
    folder_paths.folder_names_and_paths[own] = (paths, extensions or set(folder_paths.supported_pt_extensions))


def model_folders() -> list[Path]:
    """Folders to search, the pack's own first. ``models/mmaudio`` counts even where no pack has registered it."""
    import folder_paths

    known = folder_paths.folder_names_and_paths
    found: list[Path] = []
    for name in COMFY_FOLDERS:
        paths = known[name][0] if name in known else []
        found += [Path(path) for path in (*paths, os.path.join(folder_paths.models_dir, name))]
    return list(dict.fromkeys(found))


def files() -> list[Found]:
    """Every usable file in those folders."""
    return usable_files(model_folders())


def names(found: Sequence[Found], role: str) -> list[str]:
    """Widget names of the files that hold ``role``."""
    return [file.name for file in of_role(found, role)]


def path_of(name: str, found: Sequence[Found]) -> Path | None:
    """The file of that widget name; a name that is none of them leads nowhere."""
    return next((file.path for file in found if file.name == name), None)
