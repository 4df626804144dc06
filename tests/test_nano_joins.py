"""Where the windows of a long sound meet, nothing is heard of it, and impacts there are heard as elsewhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.evaluation.heard import level_db, stretch
from pavas_core.evaluation.onsets import pick_onsets
from pavas_core.evaluation.proof_clips import prompt_of
from pavas_core.models.nano import CFG_STRENGTH, STEPS, NanoModel, features_of, load_nano
from pavas_core.models.nano_visual import look, see
from pavas_core.models.sound_model import Features
from pavas_core.physics.types import Scene
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import generate
from pavas_core.sampling.physics import encode_physics
from pavas_core.sampling.vocode import vocode
from pavas_core.sampling.windows import plan_windows
from pavas_core.simulation.simulate import SimulatedClip, simulate

DURATION_S = 10.0


@pytest.fixture(scope="module")
def model() -> NanoModel:
    return load_nano(Runtime())


def seen(kind: str) -> tuple[SimulatedClip, Features]:
    """A long scene, small and slow to be cheap."""
    sim = simulate(912, kind=kind, width=96, height=54, frame_rate=12, duration_s=DURATION_S, mask_long_side=96)
    tracks = sim.scene.tracks
    assert tracks is not None
    sight = see(tracks, look(sim.frames(), list(tracks.times_s), tracks), DURATION_S)
    return sim, features_of(sight, tracks, DURATION_S)


def overlaps(model: NanoModel, features: Features) -> list[tuple[float, float]]:
    """Begin and end of every stretch that two windows share."""
    windows = plan_windows(features.duration_s, model.window_s, grid_s=features.sync_hop_s)
    return [(later.start_s, earlier.end_s) for earlier, later in pairwise(windows)]


def sound(model: NanoModel, features: Features, scene: Scene, prompt: str) -> Audio:
    runtime = Runtime()
    physics = encode_physics(model, features, scene, runtime=runtime)
    latent = generate(
        model, features, physics, prompt=prompt, seed=3, steps=STEPS, cfg_strength=CFG_STRENGTH, runtime=runtime
    )
    return vocode(model, latent, DURATION_S, runtime=runtime)[0]


@pytest.mark.parametrize("kind", ["still", "passing"])
def test_no_join_is_heard_in_room_tone(model: NanoModel, kind: str) -> None:
    sim, features = seen(kind)
    shared = overlaps(model, features)
    assert len(shared) == 2
    made = sound(model, features, sim.scene, "")
    onsets = pick_onsets(made)
    for place in [at for start, end in shared for at in (start, (start + end) / 2, end)]:
        before, after = (level_db(stretch(made, place + begin, place + begin + 0.5)) for begin in (-0.5, 0.0))
        assert abs(after - before) <= 1.0
        assert not (np.abs(onsets - place) <= 0.05).any()


def test_impacts_at_joins_are_heard_in_time(model: NanoModel) -> None:
    sim, features = seen("drop")
    like = max(sim.scene.impacts, key=lambda one: one.impulse_ns)
    times = sorted([0.7, 5.0, 9.0, *(at for start, end in overlaps(model, features) for at in (start, end))])
    scene = replace(sim.scene, impacts=tuple(replace(like, id=f"impact-{at}", time_s=at) for at in times))
    made = sound(model, features, scene, prompt_of(scene, sim.played.stage.floor_material))
    onsets = pick_onsets(made)
    assert all((np.abs(onsets - at) <= 0.05).any() for at in times)
    assert sum(not (np.abs(np.array(times) - at) <= 0.05).any() for at in onsets) <= 1
