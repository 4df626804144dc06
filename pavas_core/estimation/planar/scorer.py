"""Where a track was hit, told by a small network from the motion around every moment.

The weights come with the pack: ``python -m pavas_core train impacts`` makes them from simulated scenes. Evaluated with
numpy alone: a few dilated convolutions over a grid of time (as in Bai, Kolter and Koltun 2018), with what the whole
track is like added to each moment. Several such networks, trained alike from different seeds, answer by their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pavas_core.estimation.planar.signals import COLUMNS, Mark, features, grid_times, observe
from pavas_core.physics.types import TrackSet

WEIGHTS = Path(__file__).with_name("impacts.safetensors")
DILATIONS = (1, 2, 4, 8, 16)
OFFSET_S = 0.033
"""A moment counts as hit when the contact is this near; offsets are in units of it."""
SPEED_FLOOR = 0.02
"""Picture widths per second, added to speeds before their logarithm is taken."""
MOST_SIGMAS = 5.0
COMMON = ("mean", "std")
"""Of the weights: what all networks share."""
INSIDE = COLUMNS.index("inside")
LEAST_PROBABILITY = 0.1
_APART_S = 0.09
_AROUND = 2
"""Grid steps on either side of the most probable one that have a say in the time."""


@dataclass(frozen=True)
class Peak:
    """A moment at which a track was hit with some probability."""

    time_s: float
    probability: float
    before: float
    """Speed just before, picture widths per second."""
    after: float


def find_peaks(tracks: TrackSet, points: Sequence[np.ndarray], marks: Sequence[Sequence[Mark]]) -> list[list[Peak]]:
    """Peaks of every track in order of time.

    ``points`` [L, 2] are each track's centres in pixels of the first frame, ``marks`` what the fits have found in it.
    """
    grid = grid_times(tracks)
    seen = [observe(k, tracks, p, m) for k, p, m in zip(tracks.tracks, points, marks, strict=True)]
    out = []
    for index in range(len(seen)):
        x = features(seen, index, tracks, grid)
        out.append([] if x is None else peaks_of(response(x, weights()), x[:, INSIDE] > 0, grid))
    return out


@cache
def weights() -> tuple[dict[str, np.ndarray], ...]:
    """The weights of every network by name, float32."""
    from safetensors.numpy import load_file

    named = {name: value.astype(np.float32) for name, value in load_file(str(WEIGHTS)).items()}
    return tuple(
        {name: value if name in COMMON else value[member] for name, value in named.items()}
        for member in range(len(named["out.bias"]))
    )


def response(x: np.ndarray, weights: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Outputs float32 [T, 4] for the features [T, C] of a track, the mean of all networks.

    They are the logit of a contact within OFFSET_S, the time until it in units of that, and the logarithms of the
    speeds before and after it, picture widths per second plus SPEED_FLOOR.
    """
    return np.asarray(np.mean([_response(x, one) for one in weights], axis=0))


def _response(x: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    w = weights
    inside = x[:, INSIDE : INSIDE + 1]
    h = np.clip((x - w["mean"]) / w["std"], -MOST_SIGMAS, MOST_SIGMAS)
    h = np.maximum(h @ w["inp.weight"][:, :, 0].T + w["inp.bias"], 0.0)
    for number, dilation in enumerate(DILATIONS):
        inner = np.maximum(_convolved(h, w[f"conv.{number}.weight"], w[f"conv.{number}.bias"], dilation), 0.0)
        h = h + inner @ w[f"mix.{number}.weight"][:, :, 0].T + w[f"mix.{number}.bias"]
    mean = (h * inside).sum(axis=0) / max(float(inside.sum()), 1.0)
    most = np.maximum((h - 1e4 * (1.0 - inside)).max(axis=0), -50.0)
    whole = np.concatenate([mean, most]) @ w["glob.weight"].T + w["glob.bias"]
    h = np.maximum(h @ w["out1.weight"][:, :, 0].T + w["out1.bias"] + whole, 0.0)
    return np.asarray(h @ w["out.weight"][:, :, 0].T + w["out.bias"])


def _convolved(h: np.ndarray, weight: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    """``h`` [T, W] convolved along time with ``weight`` [out, W, taps]; zeros beyond the ends."""
    reach = dilation * (weight.shape[2] // 2)
    padded = np.pad(h, ((reach, reach), (0, 0)))
    out = np.tile(bias, (len(h), 1))
    for tap in range(weight.shape[2]):
        out += padded[tap * dilation : tap * dilation + len(h)] @ weight[:, :, tap].T
    return out


def peaks_of(y: np.ndarray, inside: np.ndarray, grid: np.ndarray) -> list[Peak]:
    """The most probable moments of a response [T, 4] where the track is ``inside`` [T], no two of them together."""
    p = inside / (1.0 + np.exp(-np.clip(y[:, 0], -50, 50)))
    free = np.ones(len(p), bool)
    found: list[Peak] = []
    while True:
        best = int(np.argmax(np.where(free, p, 0.0)))
        if not free[best] or p[best] < LEAST_PROBABILITY:
            return sorted(found, key=lambda peak: peak.time_s)
        near = np.arange(max(0, best - _AROUND), min(len(p), best + _AROUND + 1))
        share = p[near] * (p[near] > 0.5 * p[best])
        share = share / share.sum()
        time_s = float(share @ (grid[near] + OFFSET_S * y[near, 1]))
        before, after = (max(0.0, float(np.exp(share @ y[near, c])) - SPEED_FLOOR) for c in (2, 3))
        found.append(Peak(time_s, float(p[best]), before, after))
        free &= np.abs(grid - grid[best]) > _APART_S
