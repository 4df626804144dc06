"""Where language, grounding and segmentation models lie in ComfyUI's folders, and where their results are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pavas_core.errors import WeightsError

VLM_FOLDERS = ("VLM", "LLM", "vlm", "llm", "text_encoders", "pavas")
FLORENCE_FOLDERS = ("florence2", "LLM", "VLM", "pavas")
SAM2_FOLDERS = ("sam2", "sams", "pavas")
CUT3R_FOLDERS = ("cut3r", "pavas")
CUT3R_SIGNS = ("pose_retriever.mem", "register_tokens.weight")
"""Tensors that no other network of these folders has."""
DEPTH = 3
CACHE_MODES = ("use", "renew", "off", "clear all")


def _roots(names: Sequence[str]) -> list[Path]:
    import folder_paths

    known = folder_paths.folder_names_and_paths
    found: list[Path] = []
    for name in names:
        paths = known[name][0] if name in known else []
        found += [Path(path) for path in (*paths, os.path.join(folder_paths.models_dir, name))]
    return [root for root in dict.fromkeys(found) if root.is_dir()]


def _below(root: Path, depth: int) -> list[Path]:
    """``root`` and its folders to ``depth``, hidden ones left out."""
    found = [root]
    if depth > 0:
        for path in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
            found += _below(path, depth - 1)
    return found


def model_choices(
    folders: Sequence[str], fits: Callable[[Path], bool], suffixes: tuple[str, ...] = ()
) -> dict[str, Path]:
    """Folders that ``fits`` accepts, and files with ``suffixes``, by widget name."""
    found: dict[str, Path] = {}
    for root in _roots(folders):
        for folder in _below(root, DEPTH):
            if folder != root and fits(folder):
                found.setdefault(folder.relative_to(root).as_posix(), folder)
            for path in sorted(folder.iterdir()) if suffixes else ():
                if path.suffix.lower() in suffixes and path.is_file():
                    found.setdefault(path.relative_to(root).as_posix(), path)
    return found


def vlm_choices() -> dict[str, Path]:
    from pavas_core.estimation.language.vlm import is_vlm_folder

    return model_choices(VLM_FOLDERS, is_vlm_folder)


def florence_choices() -> dict[str, Path]:
    from pavas_core.estimation.masks.grounding import is_florence_folder

    return model_choices(FLORENCE_FOLDERS, is_florence_folder)


def sam2_choices() -> dict[str, Path]:
    from pavas_core.estimation.masks.sam2 import SUFFIXES
    from pavas_core.estimation.masks.sam2_transformers import is_sam2_folder

    folders = model_choices(SAM2_FOLDERS, is_sam2_folder)
    files = model_choices(SAM2_FOLDERS, is_sam2_folder, SUFFIXES)
    within = tuple(folders.values())
    return {
        name: path
        for name, path in files.items()
        if path in within or ("sam2" in path.name.casefold() and path.parent not in within)
    }


def cut3r_choices() -> dict[str, Path]:
    from pavas_core.weights.names import SUFFIXES, tensor_names

    def is_cut3r(path: Path) -> bool:
        names = tensor_names(path)
        return all(sign in names or f"module.{sign}" in names for sign in CUT3R_SIGNS)

    files = model_choices(CUT3R_FOLDERS, lambda folder: False, SUFFIXES)
    return {name: path for name, path in files.items() if is_cut3r(path)}


def chosen(name: str, choices: dict[str, Path], what: str, folder: str, example: str) -> Path:
    """The path of a widget name. Raises WeightsError that says what to put where."""
    if name not in choices:
        import folder_paths

        place = os.path.join(folder_paths.models_dir, folder)
        raise WeightsError(f"There is no {what} {name!r}: put one, such as {example}, into {place} and refresh.")
    return choices[name]


def result_cache(mode: str):
    """The cache below ComfyUI's user folder as ``mode`` wants it: None for off; emptied first for clear all."""
    import folder_paths

    from pavas_core.estimation.result_cache import ResultCache

    cache = ResultCache(Path(folder_paths.get_user_directory()) / "pavas" / "results")
    if mode == "clear all":
        cache.clear()
    return None if mode == "off" else cache
