"""Where the golden numbers lie, and the rule that rebuilds the weights they were made with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from torch import Tensor, nn

from pavas_core.evaluation.parity.weights import fill as fill

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
