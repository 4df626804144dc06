"""Where the golden numbers lie, and the rule that rebuilds the weights they were made with."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

SHARED = Path(os.environ.get("PAVAS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FOLDER = SHARED / "parity" / "mmaudio"
needs_goldens = pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden numbers are not beside the repository")


def manifest(name: str) -> dict[str, list[int]]:
    """Tensor shapes of one published network by name."""
    return json.loads((FOLDER / f"manifest_{name}.json").read_text())


def goldens(name: str) -> dict[str, Tensor]:
    """Inputs and outputs recorded from the public reference."""
    from safetensors.torch import load_file

    return load_file(FOLDER / "public" / f"{name}.safetensors")


def shapes(module: nn.Module, prefix: str = "") -> dict[str, list[int]]:
    """Tensor shapes of a module by name."""
    return {prefix + name: list(value.shape) for name, value in module.state_dict().items()}


def fill(module: nn.Module, *, seed: int = 1, prefix: str = "", keep: tuple[str, ...] = ()) -> None:
    """Overwrite the state dict, in place, by the seeded rule the golden numbers were made with."""
    for name, value in module.state_dict().items():
        if name.endswith(keep) and keep:
            continue
        key = zlib.crc32((prefix + name).encode()) ^ seed
        drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(key & 0x7FFFFFFF))
        if name == "latent_mean":
            drawn = 0.1 * drawn
        elif name == "latent_std" or (value.ndim < 2 and name.endswith("weight")):
            drawn = 1 + 0.1 * drawn
        elif value.ndim >= 2:
            drawn = drawn * (value.numel() / value.shape[0]) ** -0.5
        else:
            drawn = 0.1 * drawn
        value.copy_(drawn)
