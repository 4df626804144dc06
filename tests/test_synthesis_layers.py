"""Levels by physics, layers and MIDI markers."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.errors import PavasError
from pavas_core.physics.midi import write_midi
from pavas_core.physics.overrides import override_mass
from pavas_core.physics.types import Scene
from pavas_core.synthesis.engine import synthesize_impacts
from pavas_core.synthesis.layers import mix_layers
from pavas_core.synthesis.physics_gain import rescale_impacts
from tests.synthesis_scenes import make_body, make_impact, make_scene

RATE = 48000


def scene_of_two(mass_kg: float = 0.5) -> Scene:
    """A steel ball that strikes at 0.5 and 2.1 s and a wooden block at 1.3 s."""
    ball, block = make_body("ball", "steel", mass_kg), make_body("block", "wood", 1.0)
    impacts = [
        make_impact(ball, 0.5, impact_id="a"),
        make_impact(block, 1.3, impact_id="b"),
        make_impact(ball, 2.1, impact_id="c"),
    ]
    return make_scene([ball, block], impacts, 3.0)


def level_db(audio: Audio, time_s: float, width_s: float = 0.05) -> float:
    part = audio.waveform[:, round((time_s - 0.01) * audio.sample_rate) : round((time_s + width_s) * audio.sample_rate)]
    return float(10 * np.log10((part.astype(float) ** 2).mean() + 1e-20))


def with_hiss(audio: Audio) -> Audio:
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(audio.waveform.shape)
    return Audio((audio.waveform + hiss).astype(np.float32), audio.sample_rate)


def heard(scene: Scene) -> Audio:
    return with_hiss(synthesize_impacts(scene, room="small").mix)


def test_a_heavier_object_is_louder_where_it_strikes_and_nowhere_else():
    before = scene_of_two()
    after = override_mass(before, "ball-1", 5.0)
    sound = heard(before)
    result = rescale_impacts(sound, before, after)
    gains = {one.impact_id: one.gain_db for one in result.gains}
    assert gains["a"] == pytest.approx(10.0, abs=0.1)
    assert gains["b"] == 0.0
    for time_s, expected in ((0.5, 10.0), (1.3, 0.0), (2.1, 10.0)):
        assert level_db(result.audio, time_s) - level_db(sound, time_s) == pytest.approx(expected, abs=1.0)
    assert all(one.heard for one in result.gains)
    assert result.missing == ()


def test_a_deleted_impact_is_gone_and_the_others_stay():
    before = scene_of_two()
    after = replace(before, impacts=(before.impacts[0], before.impacts[2]))
    sound = heard(before)
    result = rescale_impacts(sound, before, after)
    assert level_db(result.audio, 1.3) - level_db(sound, 1.3) < -20
    for time_s in (0.5, 2.1):
        assert abs(level_db(result.audio, time_s) - level_db(sound, time_s)) < 1.0


def test_onsets_a_little_off_are_found():
    before = scene_of_two()
    sound = heard(before)
    late = Audio(np.roll(sound.waveform, round(0.04 * RATE), axis=1), RATE)
    result = rescale_impacts(late, before, override_mass(before, "ball-1", 5.0))
    assert [one.onset_s for one in result.gains] == pytest.approx([0.54, 1.34, 2.14], abs=0.01)
    assert level_db(result.audio, 0.54) - level_db(late, 0.54) == pytest.approx(10.0, abs=1.5)


def test_the_same_physics_changes_nothing():
    before = scene_of_two()
    sound = heard(before)
    np.testing.assert_allclose(rescale_impacts(sound, before, before).audio.waveform, sound.waveform, atol=1e-6)


def test_a_decay_keeps_its_own_gain():
    """A loud steel ring with a quiet wooden tap in it: making the tap 20 dB louder leaves the ring's tail."""
    ball, block = make_body("ball", "steel", 5.0), make_body("block", "wood", 0.05)
    impacts = [make_impact(ball, 0.3, speed_mps=4.0, impact_id="ring"), make_impact(block, 0.7, impact_id="tap")]
    before = make_scene([ball, block], impacts, 2.0)
    sound = heard(before)
    result = rescale_impacts(sound, before, override_mass(before, "block-1", 5.0))
    assert abs(level_db(result.audio, 0.5, 0.1) - level_db(sound, 0.5, 0.1)) < 0.5
    assert level_db(result.audio, 0.7, 0.02) > level_db(sound, 0.7, 0.02)
    assert abs(level_db(result.audio, 1.2, 0.2) - level_db(sound, 1.2, 0.2)) < 3.0


def test_silence_and_impacts_that_are_new_are_said():
    before = scene_of_two()
    silent = Audio(np.zeros((1, 3 * RATE), np.float32), RATE)
    result = rescale_impacts(silent, replace(before, impacts=before.impacts[:1]), before)
    assert not result.audio.waveform.any()
    assert [one.heard for one in result.gains] == [False]
    assert result.missing == ("b", "c")


def test_layers_add_up_at_their_gains():
    rng = np.random.default_rng(0)
    fine = Audio(rng.standard_normal((2, RATE)).astype(np.float32), RATE)
    coarse = Audio(np.sin(2 * np.pi * 200 * np.arange(16000 * 2) / 16000)[None].astype(np.float32), 16000)
    mix = mix_layers([(fine, -6.0206), (coarse, 0.0)])
    assert mix.sample_rate == RATE
    assert mix.waveform.shape == (2, 2 * RATE)
    rest = mix.waveform[:, : RATE // 2] - 0.5 * fine.waveform[:, : RATE // 2]
    expected = np.sin(2 * np.pi * 200 * np.arange(RATE // 2) / RATE)
    np.testing.assert_allclose(rest[:, 1000:-1000], np.stack([expected] * 2)[:, 1000:-1000], atol=0.02)
    with pytest.raises(PavasError, match="no layer"):
        mix_layers([])


def read_midi(data: bytes) -> list[tuple[int, bytes]]:
    """(tick, event) of a file of format 0, read by the standard's rules."""
    kind, length, form, tracks, division = struct.unpack(">4sLHHH", data[:14])
    assert (kind, length, form, tracks, division) == (b"MThd", 6, 0, 1, 960)
    assert data[14:18] == b"MTrk"
    assert struct.unpack(">L", data[18:22])[0] == len(data) - 22
    events, place, tick = [], 22, 0

    def variable() -> int:
        nonlocal place
        value = 0
        while True:
            byte = data[place]
            place += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    while place < len(data):
        tick += variable()
        begin = place
        if data[place] == 0xFF:
            place += 2
            size = variable()
            place += size
        else:
            place += 3
        events.append((tick, data[begin:place]))
    assert events[-1][1] == b"\xff\x2f\x00"
    return events


def test_midi_has_a_note_an_impact_at_its_time(tmp_path):
    scene = scene_of_two()
    louder = replace(scene, impacts=(*scene.impacts[:2], replace(scene.impacts[2], energy_loss_j=50.0)))
    events = read_midi(write_midi(louder, tmp_path / "m.mid").read_bytes())
    notes = [(tick / 1920, data[1], data[2]) for tick, data in events if data[0] == 0x90]
    assert [time for time, _, _ in notes] == pytest.approx([0.5, 1.3, 2.1], abs=1e-3)
    assert notes[0][1] == notes[2][1] != notes[1][1]
    assert notes[0][2] < notes[2][2] == 127
    assert sum(data[0] == 0x80 for _, data in events) == 3
    assert [data[3:].decode() for _, data in events if data[:2] == b"\xff\x06"] == ["a", "b", "c"]
