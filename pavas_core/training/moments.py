"""Fitting the regression that weighs moments of what is held or alive, on marked clips and on simulated ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pavas_core.errors import PavasError
from pavas_core.estimation.planar.moments import MEASURES, Moments
from pavas_core.runtime import Runtime
from pavas_core.simulation.score import is_asked, owners
from pavas_core.simulation.simulate import SimulatedClip
from pavas_core.training.impact_examples import tracked_clip, tracks_seen
from pavas_core.training.regression import fit_logistic, write_logistic

SIMULATED_SEED = 8000
"""Simulated clips are of the seeds from here on: scenes that the scorer of impacts was not trained on."""
_RIDGE = 0.5
_SAME_S = 0.1
"""Marks by eye and ear are this exact."""
_SIMULATED_SAME_S = 0.05
_SIMULATED_SHARE = 0.2
"""How much a simulated clip counts beside a real one."""
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


def train_moments(folder: Path, clips: list[MarkedClip], *, scenes: int, runtime: Runtime) -> Path:
    """Track the clips and ``scenes`` simulated ones, fit, and write ``moments.json`` in ``folder``; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    total = len(clips) + scenes
    for done, clip in enumerate(clips):
        runtime.step("clips", done, total)
        parts.append(moment_examples(clip))
    real, struck = (sum(x) for x in zip(*((len(blow), int(blow.sum())) for _, blow, _ in parts), strict=True))
    for done in range(scenes):
        runtime.step("clips", len(clips) + done, total)
        measures, blow, counts = simulated_examples(SIMULATED_SEED + done)
        parts.append((measures, blow, _SIMULATED_SHARE * counts))
    runtime.step("clips", total, total)
    measures, blows, counts = (np.concatenate(p) for p in zip(*parts, strict=True))
    if not blows.any() or blows.all():
        raise PavasError("No moment of these clips lies at a marked blow, or every one does: check the marks.")
    weights, bias = fit_logistic(measures, blows, ridge=_RIDGE, counts=counts)
    fitted_on = (
        f"{real} moments of {len(clips)} real clips, {struck} of them blows, and "
        f"{len(blows) - real} of {scenes} simulated clips, {int(blows.sum()) - struck} of them blows"
    )
    return write_logistic(folder / "moments.json", MEASURES, weights, bias, digits=4, fitted_on=fitted_on)


Examples = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Measures [N, M] of a clip's moments, bool [N] which are blows, how much each counts; the doubtful left out."""


def moment_examples(clip: MarkedClip) -> Examples:
    """The examples of a marked clip."""
    from pavas_core.estimation.planar.velocity import driven_moments
    from pavas_core.estimation.tracking.motion import detect_motion
    from pavas_core.video.clip import open_clip

    tracks = detect_motion(open_clip(clip.path)).tracks
    moments = [] if tracks is None else list(driven_moments(tracks).values())
    times = np.concatenate([np.zeros(0), *(m.times_s for m in moments)])
    return _examples(moments, *marked(times, clip.blows_s, clip.maybe_s, _SAME_S))


def simulated_examples(seed: int) -> Examples:
    """The examples of a simulated clip: every track has its own contacts, known exactly."""
    from pavas_core.estimation.planar.velocity import driven_moments

    sim = tracked_clip(seed)
    tracks = tracks_seen(sim)
    assert sim.scene.tracks is not None
    owner = owners(sim.scene.tracks, tracks)
    moments, told = [], [np.zeros((2, 0), bool)]
    for object_id, own in driven_moments(tracks).items():
        blows, maybe = _contacts(sim, owner[object_id])
        moments.append(own)
        told.append(np.array(marked(own.times_s, blows, maybe, _SIMULATED_SAME_S)))
    return _examples(moments, *np.concatenate(told, axis=1))


def _contacts(sim: SimulatedClip, true_id: str | None) -> tuple[list[float], list[float]]:
    """When a true object is struck so that it counts, and when otherwise; of what follows none, all may be its own."""
    impacts = sim.scene.impacts
    blows: list[float] = []
    maybe: list[float] = []
    for impact, visible in zip(impacts, sim.visible, strict=True):
        if true_id is None or true_id in (impact.object_id, impact.partner):
            counts = true_id is not None and visible and is_asked(impact, impacts)
            (blows if counts else maybe).append(impact.time_s)
    return blows, maybe


def _examples(moments: Sequence[Moments], blow: np.ndarray, left_out: np.ndarray) -> Examples:
    """Blows of a clip count one together, and the rest as much."""
    measures = np.concatenate([np.zeros((0, len(MEASURES))), *(m.measures for m in moments)])
    rest = ~blow & ~left_out
    counts = blow / max(1, int(blow.sum())) + rest / max(_FEWEST, int(rest.sum()))
    return measures[~left_out], blow[~left_out], counts[~left_out]


def marked(
    times_s: np.ndarray, blows_s: Sequence[float], maybe_s: Sequence[float], same_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """bool [N] which moments are the marked blows, one each, and which others lie too near to a mark to tell."""
    from scipy.optimize import linear_sum_assignment

    blow = np.zeros(len(times_s), bool)
    away = np.abs(times_s[:, None] - np.array(blows_s)[None])
    rows, columns = linear_sum_assignment(np.where(away <= same_s, away - 10.0, 1.0))
    blow[rows[away[rows, columns] <= same_s]] = True
    marks = np.array([*blows_s, *maybe_s])
    near = (np.abs(times_s[:, None] - marks[None]) < same_s).any(axis=1)
    return blow, near & ~blow
