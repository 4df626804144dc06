"""File names from widgets, resolved so that none leaves ComfyUI's folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pavas_core.errors import MediaError

EXAMPLE_PREFIX = "[example] "
MAX_NAME_BYTES = 180
"""Of the 255 that file systems allow; the rest is for the number, the ending and the name while it is written."""
EXAMPLES = Path(__file__).resolve().parent.parent / "workflows" / "clips"


def example_names(suffix: str) -> list[str]:
    """Widget names of the pack's own example files that end in ``suffix``."""
    if not EXAMPLES.is_dir():
        return []
    return [EXAMPLE_PREFIX + path.name for path in sorted(EXAMPLES.iterdir()) if path.name.endswith(suffix)]


def readable_file(name: str) -> Path:
    """The existing file a widget means: an ``[example]``, or a file of the input, output or temp folder.

    Raises MediaError, in one sentence, for a name that leads out of these folders or to no file.
    """
    if name.startswith(EXAMPLE_PREFIX):
        root, relative = EXAMPLES, name[len(EXAMPLE_PREFIX) :]
    else:
        import folder_paths

        relative, annotated = folder_paths.annotated_filepath(name)
        root = Path(annotated or folder_paths.get_input_directory())
        relative = relative.rstrip() if annotated else relative
    path = _inside(root, relative)
    if not path.is_file():
        raise MediaError(f"There is no file {name!r}: put it into ComfyUI's input folder or upload it in the node.")
    return path


def fingerprint(path: Path) -> str:
    """Changes whenever the file's content may have: path, size and time of last change.

    The path is hashed, since ComfyUI stores fingerprints in what it saves.
    """
    stat = path.stat()
    return f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}-{stat.st_size}-{stat.st_mtime_ns}"


def files_in(folders: Iterable[Path], suffixes: tuple[str, ...]) -> list[Path]:
    """Files directly in ``folders`` (missing ones are skipped) whose names end in one of ``suffixes``."""
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.name.lower().endswith(suffixes) and path.is_file()
    ]
    return sorted(found)


def new_output_file(prefix: str, suffix: str, width: int = 0, height: int = 0) -> tuple[Path, str]:
    """A fresh numbered path below ComfyUI's output folder, and its subfolder there.

    ``prefix`` may name subfolders and hold ComfyUI's ``%year%``-like fields; leading slashes and ``..``
    cannot lead out of the folder: MediaError.
    """
    import folder_paths

    output = Path(folder_paths.get_output_directory())
    cleaned = prefix.replace("\\", "/").strip()
    _inside(output, cleaned)
    if not Path(cleaned).name:
        raise MediaError("The filename_prefix is empty: give a name such as pavas/video.")
    long = next((part for part in Path(cleaned).parts if len(part.encode()) > MAX_NAME_BYTES), None)
    if long:
        raise MediaError(
            f"{long[:40]}... is too long for a file name: give at most {MAX_NAME_BYTES} letters (fewer outside ASCII)."
        )
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(cleaned, str(output), width, height)
    path = Path(folder) / f"{name}_{counter:05}_{suffix}"
    while path.exists():
        counter += 1
        path = Path(folder) / f"{name}_{counter:05}_{suffix}"
    return path, subfolder


def _inside(root: Path, relative: str) -> Path:
    if "\0" in relative:
        raise MediaError(f"{relative!r} is no file name: leave out the zero character.")
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise MediaError(f"{relative!r} leads out of the folder {root.name!r}: use a name inside it.")
    return path
