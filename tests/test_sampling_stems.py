"""A network's sound for every object alone: what it sees, what it hears of the physics, and that the parts add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.errors import PhysicsError
from pavas_core.evaluation.heard import impact_level_db
from pavas_core.models.nano import load_nano
from pavas_core.runtime import Runtime
from pavas_core.sampling.stems import alone_in, encode_stems, placed, sample_stems
from pavas_core.simulation.simulate import simulate
from pavas_core.video.alone import objects_alone
from pavas_core.video.clip import clip_from_frames, iter_frames

SEED = 20014
"""Two bodies that fall and hit the floor one after the other."""


@pytest.fixture(scope="module")
def simulated():
    return simulate(SEED, width=320, height=180, frame_rate=25.0, duration_s=3.0)


@pytest.fixture(scope="module")
def clip(simulated):
    return clip_from_frames(np.stack(list(simulated.frames())), 25.0)


@pytest.fixture(scope="module")
def model():
    return load_nano(Runtime())


@pytest.fixture(scope="module")
def stems(model, clip, simulated):
    return encode_stems(model, clip, simulated.scene.tracks, runtime=Runtime())


def test_one_object_moves_and_the_rest_stands_still(clip, simulated):
    tracks = simulated.scene.tracks
    alone = dict(objects_alone(clip, tracks, runtime=Runtime()))
    assert list(alone) == [track.object_id for track in tracks.tracks]
    original = np.stack([frame.image for frame in iter_frames(clip)]).astype(float)
    for name, one in alone.items():
        assert one.duration_s == clip.duration_s
        pictures = np.stack([frame.image for frame in iter_frames(one)]).astype(float)
        other = next(track for track in tracks.tracks if track.object_id != name)
        for index in range(5, len(pictures) - 5, 10):
            own = next(track for track in tracks.tracks if track.object_id == name)
            if not (own.visible[index] and other.visible[index]):
                continue
            x, y = (own.centroids[index]).astype(int)
            assert np.abs(pictures[index, y, x] - original[index, y, x]).max() == 0
            away = np.abs(own.centroids[index] - other.centroids[index]).max() > 90
            x, y = (other.centroids[index]).astype(int)
            if away and 0 <= x < clip.width and 0 <= y < clip.height:
                assert np.abs(pictures[index, y, x] - original[index, y, x]).max() > 0


def test_stems_are_apart_at_impacts_and_as_long_as_the_clip(model, stems, simulated, clip):
    scene = simulated.scene
    (take,) = sample_stems(model, stems, scene, negative_prompt="", steps=6, cfg_strength=1.0, runtime=Runtime())
    assert set(take) == {body.object.id for body in scene.bodies}
    for sound in take.values():
        assert sound.waveform.shape == (1, round(clip.duration_s * model.sample_rate))
    apart_db = []
    for impact in scene.impacts:
        lonely = not any(
            abs(one.time_s - impact.time_s) < 0.3 for one in scene.impacts if one.object_id != impact.object_id
        )
        if lonely and impact.energy_loss_j > 0.05:
            levels = {name: impact_level_db(sound, impact.time_s) for name, sound in take.items()}
            own = levels.pop(impact.object_id)
            apart_db.append(own - max(levels.values()))
    assert apart_db
    assert min(apart_db) >= 12


def test_takes_differ_and_repeat(model, stems, simulated):
    options = {"negative_prompt": "", "steps": 2, "cfg_strength": 1.0, "takes": 2, "runtime": Runtime()}
    first = sample_stems(model, stems, simulated.scene, **options)
    again = sample_stems(model, stems, simulated.scene, **options)
    for one, other in zip(first, again, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name].waveform, other[name].waveform)
    name = next(iter(first[0]))
    assert not np.array_equal(first[0][name].waveform, first[1][name].waveform)


def test_every_impact_is_in_one_stem(simulated):
    scene = simulated.scene
    parts = [alone_in(scene, body) for body in scene.bodies]
    assert sorted(one.id for part in parts for one in part.impacts) == sorted(one.id for one in scene.impacts)
    assert all(len(part.bodies) == 1 for part in parts)


def test_stereo_follows_the_object_and_keeps_the_power():
    rng = np.random.default_rng(0)
    sound = Audio(rng.normal(0, 0.1, (1, 16000)).astype(np.float32), 16000)
    left, right = placed(sound, np.array([0.0, 1.0]), np.array([0.0, 1.0])).waveform
    assert np.square(left[:2000]).sum() > 3 * np.square(right[:2000]).sum()
    assert np.square(right[-2000:]).sum() > 3 * np.square(left[-2000:]).sum()
    power = (np.square(left) + np.square(right)).mean() / np.square(sound.waveform).mean()
    assert power == pytest.approx(2, rel=0.1)


def test_what_was_not_encoded_is_told(model, stems, simulated, clip):
    scene = simulated.scene
    body = replace(scene.bodies[0], object=replace(scene.bodies[0].object, id="dragon-1", aliases=()))
    with pytest.raises(PhysicsError, match="dragon-1 was not encoded"):
        sample_stems(model, stems, replace(scene, bodies=(body,), impacts=()), runtime=Runtime())
    with pytest.raises(PhysicsError, match="Nothing is tracked"):
        encode_stems(model, clip, replace(scene.tracks, tracks=()), runtime=Runtime())
