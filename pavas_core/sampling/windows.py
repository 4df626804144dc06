"""Where the windows of a long sound lie, and how much each says in its overlaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SINGLE_PASS = 1.25
"""A sound up to this many window lengths is made in one pass; the networks still hold there."""
OVERLAP = 0.25
"""Of a window's length, at least, shared with the next one within a shot."""
CUT_OVERLAP_S = 0.32
"""Shared across a scene cut: enough that levels meet, too little to carry one shot's sound into the next."""
SHORTEST_S = 1.0
"""Shots shorter than this are not told apart: a window needs something to go by."""


@dataclass(frozen=True)
class Window:
    """A stretch of the sound, with the lengths over which it is faded against its neighbours."""

    start_s: float
    end_s: float
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0


def plan_windows(
    duration_s: float, window_s: float, *, cuts_s: Sequence[float] = (), grid_s: float = 0.32
) -> tuple[Window, ...]:
    """Cover 0..``duration_s`` with windows of at most ``window_s`` that begin on multiples of ``grid_s``.

    A sound that one pass can make is one window. A longer one is divided at its scene cuts where it can be, shots that
    fit into one window together staying together; longer shots are divided evenly, with overlaps.
    """
    if duration_s <= SINGLE_PASS * window_s:
        return (Window(0.0, duration_s),)
    edges = [0.0]
    for cut in sorted(cuts_s):
        if cut - edges[-1] >= SHORTEST_S and duration_s - cut >= SHORTEST_S:
            edges.append(cut)
    edges.append(duration_s)
    groups: list[tuple[float, float]] = []
    for start, end in pairwise(edges):
        if groups and end - groups[-1][0] <= window_s:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((start, end))
    spans = [span for start, end in groups for span in _divided(start, end, window_s)]
    # Neighbours across a cut reach a little over it; begins go down to the grid.
    reached = []
    for index, (start, end) in enumerate(spans):
        if index and start >= spans[index - 1][1]:
            start -= CUT_OVERLAP_S / 2
        if index + 1 < len(spans) and spans[index + 1][0] >= end:
            end += CUT_OVERLAP_S / 2
        reached.append((grid_s * math.floor(start / grid_s + 1e-9), end))
    windows = []
    for index, (start, end) in enumerate(reached):
        before = reached[index - 1][1] - start if index else 0.0
        after = end - reached[index + 1][0] if index + 1 < len(reached) else 0.0
        windows.append(Window(start, end, before, after))
    return tuple(windows)


def _divided(start_s: float, end_s: float, window_s: float) -> list[tuple[float, float]]:
    """Windows of equal length over one shot, each overlapping the next by OVERLAP at least."""
    length = end_s - start_s
    if length <= window_s:
        return [(start_s, end_s)]
    hop = (1 - OVERLAP) * window_s
    count = math.ceil((length - window_s) / hop) + 1
    hop = (length - window_s) / (count - 1)
    return [(start_s + index * hop, start_s + index * hop + window_s) for index in range(count)]


@dataclass(frozen=True)
class Slot:
    """A window on the latent axis."""

    first: int
    last: int
    weight: Tensor
    """float (last - first,): its share of the velocity at each token; all windows' shares add up to 1."""


def slots_of(windows: Sequence[Window], latent_rate_hz: float, length: int) -> tuple[Slot, ...]:
    """Windows as slices of ``length`` latent tokens, with raised-cosine shares in overlaps."""
    import torch

    spans = [
        (round(window.start_s * latent_rate_hz), min(length, math.ceil(window.end_s * latent_rate_hz)))
        for window in windows
    ]
    spans[-1] = (spans[-1][0], length)
    raw = []
    for (first, last), window in zip(spans, windows, strict=True):
        place = torch.arange(last - first, dtype=torch.float64) + 0.5
        weight = torch.ones_like(place)
        for fade_s, distance in ((window.fade_in_s, place), (window.fade_out_s, place.flip(0))):
            tokens = max(1.0, fade_s * latent_rate_hz)
            if fade_s > 0:
                weight = weight * torch.sin(torch.pi / 2 * (distance / tokens).clamp(max=1)) ** 2
        raw.append(weight)
    total = torch.zeros(length, dtype=torch.float64)
    for (first, last), weight in zip(spans, raw, strict=True):
        total[first:last] += weight
    return tuple(
        Slot(first, last, (weight / total[first:last]).float())
        for (first, last), weight in zip(spans, raw, strict=True)
    )


def latent_length(duration_s: float, latent_rate_hz: float) -> int:
    """Latent tokens that cover ``duration_s``; the last one may reach beyond it."""
    return max(1, math.ceil(duration_s * latent_rate_hz))
