"""Likelihoods by the logistic regressions that come with the pack, each a small JSON file of weights by name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np


def likelihood(measures: np.ndarray, names: tuple[str, ...], weights: Path) -> np.ndarray:
    """Probability, [N], of what has these measures [N, M], whose columns are called ``names`` in the file."""
    slopes, bias = _read(weights, names)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(measures @ slopes + bias, -50, 50))))


@cache
def _read(weights: Path, names: tuple[str, ...]) -> tuple[np.ndarray, float]:
    stored = json.loads(weights.read_text())
    return np.array([stored["weights"][name] for name in names]), float(stored["bias"])
