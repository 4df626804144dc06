"""SAM 2 from what the user has: an official checkpoint or a folder of transformers."""

from __future__ import annotations

from pathlib import Path

from pavas_core.errors import WeightsError
from pavas_core.estimation.masks.segmenter import Segmenter
from pavas_core.runtime import Runtime

SUFFIXES = (".pt", ".pth", ".safetensors")


def load_segmenter(path: Path, *, precision: str = "auto", runtime: Runtime | None = None) -> Segmenter:
    """SAM 2 from an official checkpoint (``sam2`` package) or a folder of transformers, on the CPU.

    Raises WeightsError, with the cure, where what is needed is missing.
    """
    runtime = runtime or Runtime()
    if path.is_dir():
        from pavas_core.estimation.masks.sam2_transformers import load

        return load(path, precision=precision, runtime=runtime)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise WeightsError(f"{path.name} is no SAM 2 checkpoint: give a .pt or .safetensors file or a model's folder.")
    from pavas_core.estimation.masks.sam2_package import load_file

    return load_file(path, precision=precision, runtime=runtime)
