"""What rolls or slides: when it does, told from its motion, and how that sounds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pavas_core.physics.lasting import find_lasting_contacts, manner_of
from pavas_core.physics.overrides import apply_edits, mute
from pavas_core.physics.types import GRAVITY_MPS2, Scene, Velocity
from pavas_core.synthesis.contact import hertz_patch_m, patch_gain
from pavas_core.synthesis.engine import synthesize_impacts
from pavas_core.synthesis.prompt import apply_prompt, parse_prompt
from tests.synthesis_scenes import make_body, make_impact, make_scene

RATE = 48000
FRAMES_HZ = 50


def moving(velocity_mps, action="rolls", *, free=False, name="ball", material="steel", mass_kg=0.5):
    """A body whose velocity [L, 2] (right, down; NaN = unseen) is sampled 50 times a second."""
    plane = np.asarray(velocity_mps, np.float32)
    vector = np.column_stack([plane, np.where(np.isnan(plane[:, 0]), np.nan, 0.0)]).astype(np.float32)
    times = (np.arange(len(plane)) + 0.5) / FRAMES_HZ
    body = make_body(name, material, mass_kg)
    speed = np.linalg.norm(vector, axis=1).astype(np.float32)
    velocity = Velocity(body.object.id, times, speed, vector, None, (), None, "manual", 0.0, free=free)
    return replace(body, object=replace(body.object, action=action), velocity=velocity)


def along(speed_mps, duration_s=1.0):
    """Velocities [L, 2] of going to the right at one speed."""
    return np.tile([speed_mps, 0.0], (round(duration_s * FRAMES_HZ), 1))


def heard(body, impacts=(), duration_s=1.0, **options):
    options = {"channels": 1, "room": "dry", "floor": "wood", **options}
    return synthesize_impacts(make_scene([body], impacts, duration_s), **options).mix.waveform[0].astype(float)


def level_db(wave):
    return 10 * math.log10(np.mean(wave**2))


def centroid_hz(wave):
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(np.arange(power.size) @ power / power.sum() * RATE / wave.size)


@pytest.mark.parametrize(
    ("action", "manner"),
    [("rolling down a ramp", "rolls"), ("Rolls", "rolls"), ("slid across the table", "slides"), ("scraping", "slides"),
     ("is dragged", "slides"), ("", None), ("bouncing", None), ("controlled", None), ("scrapbook", None)],
)  # fmt: skip
def test_actions_say_how_a_thing_touches(action, manner):
    assert manner_of(action) == manner


def test_a_thrown_ball_rolls_once_it_no_longer_hops():
    """A fall of 0.4 s, a bounce with 2 m/s upwards, 0.4 s in the air, then rolling until it rests."""
    time = np.arange(20) / FRAMES_HZ + 0.5 / FRAMES_HZ
    fall = np.column_stack([np.full(20, 1.0), GRAVITY_MPS2 * time])
    hop = np.column_stack([np.full(20, 1.0), GRAVITY_MPS2 * time - 2.0])
    body = moving(np.concatenate([fall, hop, along(0.8, 0.5), along(0.0, 0.3)]), free=True)
    bounce = replace(make_impact(body, 0.4, 3.9), post_normal_mps=2.0)
    (contact,) = find_lasting_contacts(make_scene([body], [bounce], 1.6))
    assert contact.manner == "rolls"
    assert contact.times_s[0] == pytest.approx(0.8, abs=0.06)
    assert contact.times_s[-1] == pytest.approx(1.3, abs=0.03)
    assert contact.speed_mps == pytest.approx(np.full(len(contact.speed_mps), 0.8), abs=0.01)


def test_what_another_bounces_off_keeps_rolling():
    """A ball hops off a rolling one: only the one that was pushed upwards leaves the ground."""
    rolling = moving(along(1.0), free=True, name="marble")
    hop = replace(make_impact(make_body("ball"), 0.4, 3.9, partner=rolling.object.id), post_normal_mps=2.0)
    (contact,) = find_lasting_contacts(make_scene([rolling, make_body("ball")], [hop], 1.0))
    assert (contact.times_s[0], contact.times_s[-1]) == pytest.approx((0.01, 0.99))


def test_slow_motion_slows_the_fall_too():
    time = (np.arange(50) + 0.5) / FRAMES_HZ
    falling = moving(np.column_stack([np.full(50, 0.5), 0.25 * GRAVITY_MPS2 * time]), free=True)
    scene = make_scene([falling], [], 1.0)
    assert find_lasting_contacts(replace(scene, time_scale=0.25)) == ()
    (ramp,) = find_lasting_contacts(scene)
    assert ramp.times_s[-1] - ramp.times_s[0] > 0.9, "a quarter of gravity at full speed is a ramp"


def test_out_of_sight_for_a_moment_is_no_end_and_for_long_is():
    way = along(1.0, 2.0)
    way[20:26] = np.nan
    assert len(find_lasting_contacts(make_scene([moving(way)], [], 2.0))) == 1
    way[20:50] = np.nan
    assert [round(float(one.times_s[0]), 2) for one in find_lasting_contacts(make_scene([moving(way)], [], 2.0))] == [
        0.01,
        1.01,
    ]


def test_without_an_action_nothing_lasts():
    body = moving(along(1.0), action="thrown")
    impact = make_impact(body)
    still = make_body("ball", "steel")
    assert np.array_equal(heard(body, [impact]), heard(still, [impact]))
    assert not heard(body).any()


def test_it_sounds_while_it_moves_and_the_stems_are_the_mix():
    way = np.concatenate([along(0.0, 0.4), along(1.0, 0.4), along(0.0, 0.2)])
    body = moving(way)
    wave = heard(body)
    assert not wave[: round(0.4 * RATE)].any()
    assert level_db(wave[round(0.45 * RATE) : round(0.75 * RATE)]) > level_db(wave[round(0.95 * RATE) :]) + 20
    made = synthesize_impacts(make_scene([body, make_body("cup")], [make_impact(body)], 1.0), room="large")
    assert np.array_equal(sum(stem.waveform for stem in made.stems.values()), made.mix.waveform)
    again = synthesize_impacts(make_scene([body, make_body("cup")], [make_impact(body)], 1.0), room="large")
    assert np.array_equal(again.mix.waveform, made.mix.waveform)


def test_it_moves_across_the_picture():
    body = moving(along(1.0, 2.0), action="slides")
    scene = make_scene([body], [], 2.0)
    times = np.arange(101) / FRAMES_HZ
    places = np.column_stack([np.linspace(0, 640, 101), np.full(101, 100.0)]).astype(np.float32)
    left, right = synthesize_impacts(replace(scene, tracks=track_set(body, times, places)), room="dry").mix.waveform
    begin, end = slice(0, RATE // 4), slice(-RATE // 4, None)
    assert level_db(left[begin]) - level_db(right[begin]) > 3
    assert level_db(right[end]) - level_db(left[end]) > 3


def track_set(body, times, places):
    from pavas_core.physics.types import Track, TrackSet

    flat, seen = np.ones(len(times), np.float32), np.ones(len(times), bool)
    boxes = np.column_stack([places, places + 10])
    track = Track(body.object.id, seen, boxes, places, flat, ~seen)
    return TrackSet(times, 640, 360, 2.0, (track,))


@pytest.mark.parametrize(("action", "low", "high"), [("rolls", 25.0, 50.0), ("slides", 14.0, 24.0)])
def test_loudness_goes_with_the_speed_as_measured(action, low, high):
    """dB a decade: about 20 of sliding (Ben Abdelounis et al. 2010), 30 and more of rolling (Thompson 2009)."""
    slow, fast = (heard(moving(along(speed, 2.0), action), duration_s=2.0) for speed in (0.4, 4.0))
    assert low < level_db(fast) - level_db(slow) < high


def test_faster_is_brighter_and_heavier_is_louder_and_darker():
    slow, fast = (centroid_hz(heard(moving(along(speed)))) for speed in (0.5, 4.0))
    assert fast > 1.5 * slow
    light, heavy = (heard(moving(along(1.0), mass_kg=mass)) for mass in (0.05, 1.0))
    assert level_db(heavy) > level_db(light) + 10
    assert centroid_hz(heavy) < centroid_hz(light)


def test_seeds_vary_the_grain_and_not_the_level():
    waves = [heard(moving(along(1.0, 2.0)), duration_s=2.0, seed=seed) for seed in range(6)]
    levels = [level_db(wave) for wave in waves]
    assert np.std(levels) < 1.5
    assert not np.array_equal(waves[0], waves[1])


def test_rolling_is_far_below_a_blow_of_the_same_body_at_the_same_speed():
    body = moving(along(1.0))
    blow = heard(replace(body, object=replace(body.object, action="")), [make_impact(body, speed_mps=1.0)])
    assert np.abs(heard(body)).max() < 0.1 * np.abs(blow).max()


def test_muted_and_not_soloed_things_are_silent():
    rolling, other = moving(along(1.0)), make_body("cup")
    scene = make_scene([rolling, other], [], 1.0)
    assert find_lasting_contacts(mute(scene, "ball")) == ()
    assert find_lasting_contacts(apply_edits(scene, {"objects": {"cup": {"solo": True}}})) == ()
    assert len(find_lasting_contacts(apply_edits(scene, {"objects": {"ball": {"solo": True}}}))) == 1
    assert mute(scene, "cup").bodies == scene.bodies


def test_an_edit_of_the_action_starts_and_stops_it():
    scene = make_scene([moving(along(1.0), "thrown")], [], 1.0)
    started = apply_edits(scene, {"objects": {"ball": {"action": "rolls along"}}})
    assert len(find_lasting_contacts(started)) == 1
    assert find_lasting_contacts(apply_edits(started, {"objects": {"ball": {"action": ""}}})) == ()


def test_a_prompt_says_what_rolls():
    prompt = parse_prompt("steel ball rolling and a wooden box sliding on concrete")
    assert prompt.materials == {"ball": "steel", "box": "wood"}
    assert (prompt.actions, prompt.surface, prompt.unknown_words) == (
        {"ball": "rolls", "box": "slides"},
        "concrete",
        (),
    )
    ball, box = moving(along(1.0), ""), moving(along(1.0), "", name="box")
    scene, _, unknown = apply_prompt(make_scene([ball, box], [], 1.0), "ball rolling")
    assert ([body.object.action for body in scene.bodies], unknown) == (["rolls", ""], ())
    scene, _, unknown = apply_prompt(make_scene([ball, box], [], 1.0), "sliding on wood")
    assert ([body.object.action for body in scene.bodies], unknown) == (["slides", "slides"], ())


def test_the_patch_of_a_pressed_sphere_is_hertz_s():
    """A steel sphere of 10 mm on steel under 10 N: 87 micrometres (E* = 115 GPa)."""
    assert hertz_patch_m(10.0, 0.01, 115e9) == pytest.approx(86.7e-6, rel=0.01)


def test_the_contact_filter_is_remington_s():
    """-3 dB where pi/4 (k a)^3 = 1, then 9 dB an octave."""
    corner = (4 / math.pi) ** (1 / 3) / (2 * math.pi)
    gains = 20 * np.log10(patch_gain(np.array([1e-3, 1.0, 8.0, 16.0]) * corner, 1.0))
    assert gains[:2] == pytest.approx([0.0, -3.01], abs=0.01)
    assert gains[3] - gains[2] == pytest.approx(-9.03, abs=0.05)


def test_a_scene_without_samples_is_silent():
    scene = Scene(0.0, 640, 360, (moving(along(1.0)),), ())
    assert synthesize_impacts(scene).mix.waveform.shape == (2, 0)
