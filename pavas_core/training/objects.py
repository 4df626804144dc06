"""Fitting the regression that tells objects from fragments, doubles and things waving in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, box_areas, shared_areas
from pavas_core.estimation.tracking.judging import FEATURES, describe
from pavas_core.physics.types import TrackSet
from pavas_core.runtime import Runtime
from pavas_core.simulation.score import OVERLAP, OWN_SHARE
from pavas_core.training.impact_examples import TRACKED_SEED, tracked_clip
from pavas_core.training.regression import fit_logistic, write_logistic

_RIDGE = 10.0


def train_objects(folder: Path, *, scenes: int, runtime: Runtime) -> Path:
    """Render and track ``scenes`` clips, some seconds each, fit, and write ``objects.json`` in ``folder``; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for done in range(scenes):
        runtime.step("scenes", done, scenes)
        parts.append(object_examples(TRACKED_SEED + done))
    runtime.step("scenes", scenes, scenes)
    features = np.concatenate([x for x, _ in parts])
    real = np.concatenate([y for _, y in parts])
    weights, bias = fit_logistic(features, real, ridge=_RIDGE)
    fitted_on = f"{len(real)} bodies of {scenes} simulated clips, {int(real.sum())} of them objects"
    return write_logistic(folder / "objects.json", FEATURES, weights, bias, digits=5, fitted_on=fitted_on)


def object_examples(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, F] of the bodies that detection considered in the clip of a seed, and bool [N] which are objects."""
    from pavas_core.estimation.tracking.motion import analyse
    from pavas_core.estimation.tracking.selection import considered
    from pavas_core.simulation.clip_files import filmed

    sim = tracked_clip(seed)
    assert sim.scene.tracks is not None
    with filmed(sim) as clip:
        analysis = analyse(clip, Runtime())
    frame_rate = float(1.0 / np.median(np.diff(analysis.times_s)))
    chosen, others = considered(analysis.trails, frame_rate)
    bodies = chosen + others
    features = describe(bodies, chosen, analysis.width, frame_rate, len(analysis.times_s))
    scale = sim.scene.tracks.width / analysis.width, sim.scene.tracks.height / analysis.height
    real = [_is_object(body, sim.scene.tracks, analysis.times_s, scale) for body in bodies]
    return features, np.array(real, bool)


def _is_object(body: Body, truth: TrackSet, times_s: np.ndarray, scale: tuple[float, float]) -> bool:
    """Whether a body lies on a true object as often as the scorer of the simulator asks of a track."""
    boxes = np.array([o.box for o in body.observations]) * np.tile(scale, 2)
    nearest = np.abs(truth.times_s[None] - times_s[body.frames][:, None]).argmin(axis=1)
    for track in truth.tracks:
        true = track.boxes[nearest]
        common = shared_areas(boxes, true)
        union = box_areas(boxes) + box_areas(true) - common
        if (common >= OVERLAP * union).mean() >= OWN_SHARE:  # NaN where it is not seen: False
            return True
    return False
