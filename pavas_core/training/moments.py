"""Fitting the regression that weighs moments of what is held or alive, on clips whose blows are marked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pavas_core.errors import PavasError
from pavas_core.estimation.planar.moments import MEASURES
from pavas_core.runtime import Runtime
from pavas_core.training.regression import fit_logistic, write_logistic

_RIDGE = 0.33
_SAME_S = 0.1
_FEWEST = 6
"""Moments without a blow that a clip's share of one is divided among, at least."""


@dataclass(frozen=True)
class MarkedClip:
    """A clip, when something is struck in it, and when something may be: the latter are left out."""

    path: Path
    blows_s: tuple[float, ...]
    maybe_s: tuple[float, ...] = ()


def read_marks(path: Path) -> list[MarkedClip]:
    """The clips of a list such as ``[{"clip": "hammer.mp4", "blows_s": [0.5, 1.1], "maybe_s": [0.9]}]``.

    Clips are sought beside the list. Raises PavasError for anything else.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        clips = [
            MarkedClip(
                path.parent / entry["clip"],
                tuple(float(t) for t in entry["blows_s"]),
                tuple(float(t) for t in entry.get("maybe_s", ())),
            )
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PavasError(
            f'{path} is no list of marked clips: give [{{"clip": "hammer.mp4", "blows_s": [0.5, 1.1]}}].'
        ) from error
    if not any(clip.blows_s for clip in clips) or all(clip.blows_s for clip in clips):
        raise PavasError(f"{path} cannot tell blows from the rest: mark clips with blows and list some without any.")
    return clips


def train_moments(folder: Path, clips: list[MarkedClip], runtime: Runtime) -> Path:
    """Track the clips, fit, and write ``moments.json`` in ``folder``; its path. Every clip counts alike."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for done, clip in enumerate(clips):
        runtime.step("clips", done, len(clips))
        parts.append(moment_examples(clip))
    runtime.step("clips", len(clips), len(clips))
    measures, blows, counts = (np.concatenate(p) for p in zip(*parts, strict=True))
    if not blows.any() or blows.all():
        raise PavasError("No moment of these clips lies at a marked blow, or every one does: check the marks.")
    weights, bias = fit_logistic(measures, blows, ridge=_RIDGE, counts=counts)
    fitted_on = f"{len(blows)} moments of {len(clips)} real clips, {int(blows.sum())} of them blows"
    return write_logistic(folder / "moments.json", MEASURES, weights, bias, digits=4, fitted_on=fitted_on)


def moment_examples(clip: MarkedClip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measures [N, M] of a clip's moments, bool [N] which are blows, how much each counts; the doubtful left out."""
    from pavas_core.estimation.planar.velocity import driven_moments
    from pavas_core.estimation.tracking.motion import detect_motion
    from pavas_core.video.clip import open_clip

    found = detect_motion(open_clip(clip.path))
    moments = [] if found.tracks is None else driven_moments(found.tracks)
    times = np.concatenate([np.zeros(0), *(m.times_s for m in moments)])
    measures = np.concatenate([np.zeros((0, len(MEASURES))), *(m.measures for m in moments)])
    blow, left_out = marked(times, clip)
    rest = ~blow & ~left_out
    counts = blow / max(1, int(blow.sum())) + rest / max(_FEWEST, int(rest.sum()))
    return measures[~left_out], blow[~left_out], counts[~left_out]


def marked(times_s: np.ndarray, clip: MarkedClip) -> tuple[np.ndarray, np.ndarray]:
    """bool [N] which moments are the marked blows, one each, and which others lie too near to a mark to tell."""
    from scipy.optimize import linear_sum_assignment

    blow = np.zeros(len(times_s), bool)
    away = np.abs(times_s[:, None] - np.array(clip.blows_s)[None])
    rows, columns = linear_sum_assignment(np.where(away <= _SAME_S, away - 10.0, 1.0))
    blow[rows[away[rows, columns] <= _SAME_S]] = True
    marks = np.array([*clip.blows_s, *clip.maybe_s])
    near = (np.abs(times_s[:, None] - marks[None]) < _SAME_S).any(axis=1)
    return blow, near & ~blow
