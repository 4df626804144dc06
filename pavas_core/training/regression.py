"""Logistic regression with a ridge, and its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pavas_core.video.atomic import replacing

_STEPS = 30


def fit_logistic(
    features: np.ndarray, real: np.ndarray, *, ridge: float, counts: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Weights [F] and bias by Newton's method, from features [N, F] and bool [N] which examples are ``real``.

    The ridge holds the weights of features in units of their spread; ``counts`` [N] is how much each example counts.
    """
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    counts = np.ones(len(features)) if counts is None else counts
    x = np.hstack([(features - mean) / spread, np.ones((len(features), 1))])
    penalty = np.diag([ridge] * len(mean) + [1e-6])
    found = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        likely = 1.0 / (1.0 + np.exp(-(x @ found)))
        slope = x.T @ (counts * (likely - real)) + penalty @ found
        found = found - np.linalg.solve((x.T * (counts * likely * (1.0 - likely))) @ x + penalty, slope)
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ mean)


def write_logistic(
    path: Path, names: Sequence[str], weights: np.ndarray, bias: float, *, digits: int, fitted_on: str
) -> Path:
    """The file that ``estimation.regression`` reads; its path."""
    stored = {
        "fitted_on": fitted_on,
        "weights": {name: round(float(w), digits) for name, w in zip(names, weights, strict=True)},
        "bias": round(bias, digits),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(stored, indent=1) + "\n")
    return path
