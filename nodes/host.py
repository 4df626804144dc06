"""What ComfyUI lends the nodes: progress bar, Cancel button, and a user who needs plain words."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from pavas_core.errors import PavasError
from pavas_core.runtime import Runtime

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PACKAGE_OF_MODULE = {"cv2": "opencv-python-headless", "PIL": "Pillow"}


def says_what_is_missing(execute: Callable) -> Callable:
    """Turn a missing Python package into one sentence with the command that installs it here."""

    @functools.wraps(execute)
    def run(cls, *args, **inputs):
        try:
            return execute(cls, *args, **inputs)
        except ModuleNotFoundError as missing:
            module = (missing.name or "").partition(".")[0]
            if module == "pavas_core":
                raise  # a fault of the pack, which installing cannot cure
            raise PavasError(
                f"The Python package {PACKAGE_OF_MODULE.get(module, module)} is missing: run "
                f'"{sys.executable}" -m pip install -r "{REQUIREMENTS}" and start ComfyUI again.'
            ) from missing

    return run


def comfy_runtime() -> Runtime:
    """A runtime for the node that is executing now.

    Cancelling raises ComfyUI's own interruption, which on recent versions is no ``Exception``; nothing
    between here and ComfyUI may catch it.
    """
    import comfy.model_management
    import comfy.utils

    bar = comfy.utils.ProgressBar(1)

    def on_progress(stage: str, done: int, total: int) -> None:
        bar.update_absolute(done, max(total, 1))

    return Runtime(
        on_progress=on_progress, check_cancelled=comfy.model_management.throw_exception_if_processing_interrupted
    )
