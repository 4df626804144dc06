"""Figures with their uncertainty: means, ratios and correlations over clips, by the bootstrap (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000


@dataclass(frozen=True)
class Figure:
    """A number with its central 95 % interval over resampled units, and how many units there were."""

    value: float
    low: float
    high: float
    count: int


def bootstrap(units: Sequence, statistic: Callable[[list], float], seed: int = 0, resamples: int = RESAMPLES) -> Figure:
    """``statistic`` of ``units`` and its interval; units are clips, so that impacts of one clip stay together."""
    units = list(units)
    if not units:
        return Figure(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    draws = [statistic([units[i] for i in rng.integers(len(units), size=len(units))]) for _ in range(resamples)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Figure(float(statistic(units)), float(low), float(high), len(units))


def mean(units: Sequence[float]) -> float:
    """Arithmetic mean."""
    return float(np.mean(units))


def share(hits: Sequence[bool], seed: int = 0) -> Figure:
    """Share of True."""
    return bootstrap([float(hit) for hit in hits], mean, seed)


def pooled_f1(counts: Sequence[tuple[int, int, int]]) -> float:
    """2 hits / (truth + found) over (hits, truth, found) of many clips."""
    hits, truth, found = np.sum(np.array(counts), axis=0)
    return float(2 * hits / (truth + found)) if truth + found else 1.0


def correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson correlation of pairs."""
    x, y = np.array(pairs).T
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-12 else 0.0


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks with ties averaged."""
    from scipy.stats import rankdata

    return rankdata(values)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation of two samples."""
    return correlation(list(zip(ranks(x), ranks(y), strict=True)))
