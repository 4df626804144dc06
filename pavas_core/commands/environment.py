"""``environment``: what a bug report needs to know of this machine, and nothing of its user."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path

from pavas_core import __version__

PACKAGES = (
    "numpy", "scipy", "av", "Pillow", "soundfile", "opencv-python-headless", "opencv-python", "aiohttp",
    "torch", "torchvision", "einops", "safetensors", "transformers", "open_clip_torch", "sam2", "huggingface_hub",
)  # fmt: skip


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    environment = commands.add_parser("environment", help="what to paste into a bug report", allow_abbrev=False)
    environment.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    print("\n".join(f"{name}: {value}" for name, value in _facts()))


def _facts() -> Iterator[tuple[str, str]]:
    yield "PAVAS", __version__
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    for name in PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "not installed"
    yield "FFmpeg", _ffmpeg()
    yield "devices", _devices()
    yield "ComfyUI", _comfyui()


def _ffmpeg() -> str:
    try:
        import av
    except ModuleNotFoundError:
        return "unknown"
    return " ".join(f"{name} {'.'.join(map(str, version))}" for name, version in av.library_versions.items())


def _devices() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return "unknown without torch"
    found = [
        f"{torch.cuda.get_device_name(index)} ({torch.cuda.get_device_properties(index).total_memory >> 20} MiB)"
        for index in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join([*found, f"cpu ({torch.get_num_threads()} threads)"])


def _comfyui() -> str:
    """The version of the ComfyUI whose custom_nodes folder holds this pack."""
    for folder in Path(__file__).resolve().parents:
        version = folder / "comfyui_version.py"
        if version.is_file():
            return version.read_text(encoding="utf-8").rpartition("=")[2].strip().strip('"')
    return "not around this pack"
