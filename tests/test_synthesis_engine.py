"""The modal engine as a whole: loudness, pitch, exact edits, stems, rooms and extremes."""

import dataclasses
import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavas_core.errors import Cancelled, PavasError, PhysicsError
from pavas_core.runtime import Runtime
from pavas_core.synthesis.engine import ROOM_TONE_DB, synthesize_impacts
from pavas_core.synthesis.materials import MATERIALS
from pavas_core.synthesis.voices import contact_texture
from tests.synthesis_scenes import make_body, make_impact, make_scene


def sound(bodies, impacts, duration_s=1.0, **options):
    """Mix [channels, T] without room tone."""
    options = {"room_tone_db": None, "channels": 1, **options}
    return synthesize_impacts(make_scene(bodies, impacts, duration_s), **options).mix.waveform


def peak_db(wave):
    return 20 * math.log10(np.abs(wave).max())


def energy_db(wave):
    return 10 * math.log10(np.sum(wave.astype(float) ** 2))


def centroid_hz(wave):
    power = np.abs(np.fft.rfft(wave[0].astype(float))) ** 2
    return float(np.sum(np.arange(power.size) * power) / np.sum(power) / (wave.shape[1] / 48000))


def strongest_hz(wave, low=50.0, high=20000.0):
    power = np.abs(np.fft.rfft(wave[0].astype(float) * np.hanning(wave.shape[1]), 1 << 18))
    frequency = np.fft.rfftfreq(1 << 18, 1 / 48000)
    power[(frequency < low) | (frequency > high)] = 0.0
    return float(frequency[np.argmax(power)])


def test_full_scale_is_the_project_s():
    """0.5 kg at 2 m/s onto concrete peaks at -12 dBFS, whatever the seed."""
    body = make_body()
    peaks = [peak_db(sound([body], [make_impact(body)], channels=2, seed=seed)) for seed in range(12)]
    assert np.median(peaks) == pytest.approx(-12.0, abs=0.5)
    assert np.ptp(peaks) < 3.0


def test_no_clip_is_normalised():
    """Two scenes of one impact differ in level by exactly what the impulse says."""
    body = make_body("person", "flesh", 60.0)
    soft, hard = (
        dataclasses.replace(make_impact(body, contact="landing", surface="foam"), impulse_ns=impulse)
        for impulse in (1.0, 1000.0)
    )
    assert peak_db(sound([body], [hard])) - peak_db(sound([body], [soft])) == pytest.approx(60.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "material", "surface"),
    [
        ("object", "wood", "wood"),
        ("rod", "steel", "concrete"),
        ("ball", "rubber", "concrete"),
        ("cup", "glass", "wood"),
    ],
)
def test_twice_the_speed_is_six_decibels_and_brighter(name, material, surface):
    """Linear in speed (+6 dB) plus at most what the shorter contact, tau ~ v^(-1/5), opens up at the top."""
    body = make_body(name, material)
    slow, fast = (sound([body], [make_impact(body, speed_mps=speed, surface=surface)]) for speed in (1.5, 3.0))
    assert 5.9 <= energy_db(fast) - energy_db(slow) <= 9.1
    if material != "rubber":
        assert centroid_hz(fast) > 1.02 * centroid_hz(slow)


@pytest.mark.parametrize(
    ("name", "material", "surface"),
    [("object", "unknown", "concrete"), ("object", "wood", "wood"), ("rod", "steel", "concrete"),
     ("ball", "rubber", "concrete"), ("cup", "glass", "wood"), ("object", "plastic", "unknown")],
)  # fmt: skip
def test_heavier_is_louder_and_darker(name, material, surface):
    """A scaled body radiates energy in proportion to its mass (10 dB a decade); the unscaled floor adds to that."""
    masses = np.geomspace(0.03, 10, 6)
    levels, brightness = [], []
    for mass in masses:
        body = make_body(name, material, mass)
        wave = sound([body], [make_impact(body, surface=surface)])
        levels.append(energy_db(wave))
        brightness.append(math.log2(centroid_hz(wave)))
    assert (np.diff(levels) > 0).all()
    assert 7.0 <= np.polyfit(np.log10(masses), levels, 1)[0] <= 15.5
    assert -1.8 <= np.polyfit(np.log10(masses), brightness, 1)[0] <= -0.4


def test_pitch_of_a_dropped_rod_goes_with_the_cube_root_of_its_mass():
    light, heavy = make_body("rod", "steel", 0.1), make_body("rod", "steel", 0.8)
    tones = [strongest_hz(sound([body], [make_impact(body)], room="dry")[:, 9600:], 200) for body in (light, heavy)]
    # The same mode need not be the strongest in both: a rod's modes are 2.756 apart.
    ratio = tones[0] / tones[1] / 2.0
    assert min(abs(math.log2(ratio / other)) for other in (1.0, 2.756, 1 / 2.756, 1.961, 1 / 1.961)) < 0.01


def test_heavier_hammer_leaves_the_rail_s_pitch_alone():
    tones, levels = [], []
    for mass in (0.3, 3.0):
        hammer = make_body("hammer", "steel", mass)
        wave = sound([hammer], [make_impact(hammer, contact="strike", surface="steel")], room="dry")
        tones.append(strongest_hz(wave[:, 14400:], 100, 1000))
        levels.append(energy_db(wave))
    assert tones[1] == pytest.approx(tones[0], rel=2e-3)
    assert levels[1] > levels[0] + 6.0


def free_rod(material, time_s=0.0, duration_s=2.0):
    """A rod of 0.5 kg knocked by a steel ball in mid-air, alone [T]."""
    rod, ball = make_body("rod", material), make_body("ball", "steel", 0.02)
    knock = make_impact(rod, time_s, contact="collision", partner=ball.object.id, surface="steel", impact_id="hit")
    made = synthesize_impacts(make_scene([rod, ball], [knock], duration_s), channels=1, room="dry")
    return made.stems[rod.object.id].waveform[0].astype(float)


@pytest.mark.parametrize(("material", "loss", "span_s"), [("steel", 0.0005, (0.1, 1.0)), ("wood", 0.012, (0.05, 0.25))])
def test_ring_time_is_that_of_the_material(material, loss, span_s):
    """The strongest tone of a free rod decays at 3 + pi f eta per second (air and suspension, then the loss factor)."""
    wave = free_rod(material)
    tone = strongest_hz(wave[None, 2400:], 60, 3000)
    phase = np.exp(-2j * np.pi * tone * np.arange(wave.size) / 48000)
    envelope = np.abs(np.convolve(wave * phase, np.hanning(2400), "valid"))
    start, stop = (int(time * 48000) for time in span_s)
    slope = np.polyfit(np.arange(start, stop) / 48000, np.log(envelope[start:stop]), 1)[0]
    assert -slope == pytest.approx(3.0 + math.pi * tone * loss, rel=0.05)


def test_materials_ring_in_their_order():
    """Time until 99 % of the energy is out: steel, then glass, then wood."""
    times = []
    for material in ("steel", "glass", "wood"):
        energy = np.cumsum(free_rod(material) ** 2)
        times.append(np.searchsorted(energy, 0.99 * energy[-1]))
    assert times[0] > times[1] > 2.5 * times[2]


def test_gentle_impacts_stay_quiet():
    body = make_body("ball", "plastic", 0.003)
    wave = sound([body], [make_impact(body, speed_mps=0.01)])
    assert 0.0 < np.abs(wave).max() < 10 ** (-70 / 20)


def test_a_push_sounds_like_the_blow_that_gives_as_much():
    """A stone kicked from rest: what kicked it came at half its speed or faster, so it is no dull shove."""
    body = make_body("stone ball", "stone", 0.5)
    blow = make_impact(body, speed_mps=2.0, restitution=1.0)
    push = dataclasses.replace(blow, pre_normal_mps=0.0, post_normal_mps=4.0)
    assert np.array_equal(sound([body], [push]), sound([body], [blow]))


def test_soft_hand_damps_what_it_catches():
    body = make_body("cup", "glass", 0.2)
    free = sound([body], [make_impact(body, time_s=0.0, surface="wood")], room="dry")
    caught = sound([body], [make_impact(body, time_s=0.0, surface="flesh", contact="catch")], room="dry")
    assert energy_db(caught) < energy_db(free) - 20.0


@pytest.mark.parametrize("channels", [1, 2])
def test_stems_add_up_to_the_mix_and_room_tone_is_apart(channels):
    cup, spoon = make_body("cup", "ceramic", 0.3), make_body("spoon", "steel", 0.05)
    impacts = [
        make_impact(cup, 0.2),
        make_impact(spoon, 0.4, contact="collision", partner=cup.object.id, surface="ceramic"),
    ]
    made = synthesize_impacts(make_scene([cup, spoon], impacts), channels=channels, room_tone_db=ROOM_TONE_DB)
    assert list(made.stems) == [cup.object.id, spoon.object.id, "room"]
    total = sum(stem.waveform.astype(float) for stem in made.stems.values())
    assert np.abs(total - made.mix.waveform).max() < 1e-6
    assert made.mix.waveform.shape == (channels, 48000)
    assert made.mix.waveform.dtype == np.float32
    # In the collision both sound, each in its own stem.
    for stem in (cup.object.id, spoon.object.id):
        assert np.abs(made.stems[stem].waveform[:, 19200:]).max() > 1e-3


def busy_scene():
    bodies = [make_body("rod", "steel", 0.5), make_body("ball", "rubber", 0.6), make_body("cup", "glass", 0.2)]
    impacts = [
        make_impact(bodies[index % 3], 0.05 + 0.0731 * index, 1.0 + 0.2 * index, impact_id=f"hit-{index}")
        for index in range(12)
    ]
    return make_scene(bodies, impacts, 1.5)


@given(st.integers(0, 11), st.integers(0, 3), st.sampled_from(["dry", "small", "large"]))
@settings(max_examples=12, deadline=None)
def test_deleting_an_impact_leaves_all_else_bit_identical(index, seed, room):
    scene = busy_scene()
    gone = scene.impacts[index]
    kept = tuple(impact for impact in scene.impacts if impact.id != gone.id)
    before = synthesize_impacts(scene, seed=seed, room=room)
    after = synthesize_impacts(dataclasses.replace(scene, impacts=kept), seed=seed, room=room)
    for name, stem in before.stems.items():
        if name != gone.object_id:
            assert np.array_equal(stem.waveform, after.stems[name].waveform)
    onset = math.ceil(gone.time_s * 48000)
    assert np.array_equal(before.mix.waveform[:, :onset], after.mix.waveform[:, :onset])
    assert not np.array_equal(before.mix.waveform, after.mix.waveform)


def test_order_of_impacts_does_not_matter_and_the_seed_does():
    scene = busy_scene()
    made = synthesize_impacts(scene).mix.waveform
    shuffled = dataclasses.replace(scene, impacts=scene.impacts[::-1])
    assert np.array_equal(made, synthesize_impacts(shuffled).mix.waveform)
    assert not np.array_equal(made, synthesize_impacts(scene, seed=1).mix.waveform)


def test_repeats_sound_alike_but_not_identical():
    body = make_body("block", "wood", 0.5)
    first, second = (
        sound([body], [make_impact(body, surface="wood", impact_id=name)], room="dry")[0] for name in ("one", "two")
    )
    assert not np.array_equal(first, second)
    assert np.corrcoef(first, second)[0, 1] > 0.9
    assert abs(peak_db(first) - peak_db(second)) < 3.0


@given(st.floats(0.1, 0.2))
@settings(max_examples=10, deadline=None)
def test_sound_begins_at_its_time_between_two_samples(time_s):
    """Delaying an impact by any time delays its sound by just that: phase of the cross-spectrum, 1 us or better."""
    still, moved = free_rod("steel", 0.1, 1.0), free_rod("steel", time_s, 1.0)
    cross = np.fft.rfft(moved, 1 << 17) * np.conj(np.fft.rfft(still, 1 << 17))
    frequency = np.fft.rfftfreq(1 << 17, 1 / 48000)
    aligned = cross * np.exp(2j * np.pi * frequency * (time_s - 0.1))
    band = (frequency > 500) & (frequency < 4000)
    tone = frequency[band][np.argmax(np.abs(cross[band]))]
    assert abs(np.angle(np.sum(aligned[band]))) < 2 * np.pi * tone * 1e-6
    assert not moved[: math.ceil(time_s * 48000 - 1e-6)].any()


def test_attack_of_a_hard_impact_takes_less_than_a_millisecond():
    body = make_body("rod", "steel", 0.3)
    wave = np.abs(sound([body], [make_impact(body, 0.1)], room="dry")[0])
    assert wave[4800:4848].max() > 0.5 * wave.max()


def test_other_sample_rates_sound_the_same():
    body = make_body("rod", "steel", 1.0)
    impact = make_impact(body, surface="unknown")
    spectra = []
    for rate in (32000, 44100, 48000, 96000):
        wave = sound([body], [impact], sample_rate=rate, room="dry")[0].astype(float)
        assert wave.size == rate
        spectrum = np.abs(np.fft.rfft(wave)) / rate
        spectra.append([np.sum(spectrum[low : 2 * low] ** 2) for low in (125, 250, 500, 1000, 2000, 4000)])
    spread = 10 * np.log10(np.max(spectra, axis=0) / np.min(spectra, axis=0))
    assert spread.max() < 1.0


def test_scene_without_contact_is_silent_or_the_room_tone_asked_for():
    assert not synthesize_impacts(make_scene([make_body()], [], 2.0)).mix.waveform.any()
    made = synthesize_impacts(make_scene([make_body()], [], 2.0), room_tone_db=ROOM_TONE_DB)
    tone = made.mix.waveform
    assert np.array_equal(tone, made.stems["room"].waveform)
    assert 20 * math.log10(np.sqrt(np.mean(tone.astype(float) ** 2))) == pytest.approx(-74.0, abs=0.5)


def test_stereo_follows_the_picture_gently():
    body = make_body("block", "wood")
    levels = []
    for x in (0.0, 0.5, 1.0):
        wave = sound([body], [make_impact(body, x=x, impact_id="hit")], room="dry", channels=2)
        levels.append(energy_db(wave[:1]) - energy_db(wave[1:]))
    assert levels[1] == pytest.approx(0.0, abs=1e-6)
    assert 3.0 < levels[0] < 12.0
    assert levels[2] == pytest.approx(-levels[0], abs=1e-3)


def test_landing_person_stops_in_parts():
    """The joints take the blow: through a foot, a body of 60 kg drives the floor as a thing of about 4 kg would."""
    person = make_body("person", "flesh", 60.0)
    landing = sound([person], [make_impact(person, contact="landing", surface="wood", restitution=0.0)], room="dry")
    foot = make_body("foot", "flesh", 0.068 * 60.0)
    alone = sound([foot], [make_impact(foot, contact="landing", surface="wood", restitution=0.0)], room="dry")
    assert energy_db(landing) == pytest.approx(energy_db(alone), abs=2.0)


def test_softer_of_two_decides_what_rubs():
    flesh, steel, concrete, gravel = (MATERIALS[key] for key in ("flesh", "steel", "concrete", "gravel"))
    assert contact_texture(flesh, concrete) == flesh.texture
    assert contact_texture(steel, concrete) == concrete.texture
    assert contact_texture(flesh, gravel) == contact_texture(gravel, steel) == gravel.texture


def test_rooms_reverberate_for_their_time():
    body = make_body("block", "wood")
    lengths = []
    for room in ("dry", "small", "large"):
        wave = sound([body], [make_impact(body, 0.0)], 2.0, room=room)[0].astype(float)
        left = np.cumsum(wave[::-1] ** 2)[::-1]
        lengths.append(np.searchsorted(-left, -left[0] * 1e-3) / 48000)
    assert lengths[0] < lengths[1] < 0.3
    assert 0.35 < lengths[2] < 1.2


def test_floor_fills_in_unknown_surfaces_only():
    body = make_body("block", "wood")
    unknown, steel = (make_impact(body, surface=surface, impact_id="hit") for surface in ("unknown", "steel"))
    assert np.array_equal(sound([body], [unknown], floor="steel"), sound([body], [steel]))
    assert np.array_equal(sound([body], [unknown], floor="wooden floor"), sound([body], [unknown], floor="wood"))
    assert np.array_equal(sound([body], [steel], floor="wood"), sound([body], [steel]))


def test_floor_without_meaning_is_named(caplog):
    body = make_body()
    with caplog.at_level(logging.WARNING, "pavas"):
        wave = sound([body], [make_impact(body, surface="unknown")], floor="florp")
    assert "florp" in caplog.text
    assert np.array_equal(wave, sound([body], [make_impact(body, surface="unknown")]))


@given(
    st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6]),
    st.sampled_from([1e-6, 0.3, 20.0, 343.0]),
    st.sampled_from(["ball", "rod", "cup", "box", "object", "plate", "drum"]),
    st.sampled_from(["unknown", "steel", "foam", "rubber", "water", "glass"]),
    st.sampled_from(["unknown", "concrete", "fabric", "water", "lead"]),
    st.sampled_from(["bounce", "strike", "collision", "landing", "catch"]),
    st.sampled_from([8000, 48000]),
)
@settings(max_examples=60, deadline=None)
def test_extremes_stay_finite(mass, speed, name, material, surface, contact, rate):
    body = make_body(name, material, mass)
    wave = sound([body], [make_impact(body, 0.05, speed, surface=surface, contact=contact)], 0.3, sample_rate=rate)
    assert np.isfinite(wave).all()


def test_gain_is_plain():
    scene = busy_scene()
    plain, louder = (synthesize_impacts(scene, output_gain_db=gain).mix.waveform for gain in (0.0, 20.0))
    assert np.allclose(louder, 10 * plain, rtol=1e-5, atol=1e-6)


def test_refusals_name_cause_and_cure():
    body = make_body()
    impact = make_impact(body)
    with pytest.raises(PavasError, match="1 or 2 channels"):
        sound([body], [], channels=6)
    with pytest.raises(PavasError, match="sample rate"):
        sound([body], [], sample_rate=0)
    with pytest.raises(PavasError, match="no room 'cave'"):
        sound([body], [], room="cave")
    with pytest.raises(PhysicsError, match="'ghost-1'"):
        sound([body], [dataclasses.replace(impact, object_id="ghost-1")])
    with pytest.raises(PhysicsError, match="not a number"):
        sound([body], [dataclasses.replace(impact, impulse_ns=math.nan)])


def test_cancelling_stops_at_the_next_impact():
    seen = []

    def stop_at_third():
        seen.append(1)
        if len(seen) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        synthesize_impacts(busy_scene(), runtime=Runtime(check_cancelled=stop_at_third))
    assert len(seen) == 3
