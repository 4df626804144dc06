"""Onsets and APCC against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from pavas_core.audio import Audio
from pavas_core.errors import PavasError
from pavas_core.evaluation.apcc import (
    Event,
    apcc,
    apcc_excess,
    folder_strengths,
    load_events,
    pearson,
    save_events,
    strengths_at,
)
from pavas_core.evaluation.onsets import match_times, onset_strength, pick_onsets


def clicks(times, gains, rate=48000, duration_s=4.0, noise_db=-74.0):
    rng = np.random.default_rng(0)
    wave = 10 ** (noise_db / 20) * rng.standard_normal(int(rate * duration_s))
    t = np.arange(int(0.3 * rate)) / rate
    for time, gain in zip(times, gains, strict=True):
        start = int(time * rate)
        ring = gain * np.exp(-t * 25) * np.sin(2 * np.pi * 900 * t)
        burst = gain * np.exp(-t * 400) * rng.standard_normal(t.size)
        wave[start : start + t.size] += (ring + burst)[: wave.size - start]
    return Audio(wave[None].astype(np.float32), rate)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_onsets_are_found_where_they_are(rate):
    times = [0.5, 1.1, 1.7, 2.9]
    found = pick_onsets(clicks(times, [0.5, 0.05, 0.2, 0.01], rate))
    match = match_times(np.array(times), found, 0.03)
    assert match.f1 == 1.0
    assert abs(np.mean([found[j] - times[i] for i, j in match.pairs])) < 0.007


def test_room_tone_has_no_onsets():
    assert pick_onsets(clicks([], [])).size == 0


def test_louder_is_stronger_across_clips():
    values = [strengths_at(clicks([1.0], [gain]), [1.0])[0] for gain in (0.003, 0.01, 0.03, 0.1, 0.3)]
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def test_a_strength_is_never_the_neighbours():
    audio = clicks([1.0, 1.06], [0.5, 0.0])
    alone, silent = strengths_at(audio, [1.0, 1.06])
    assert alone > 5 * silent


def test_matching_is_one_to_one_and_as_large_as_possible():
    match = match_times(np.array([1.0, 1.05]), np.array([1.04, 1.1]), 0.05)
    assert match.pairs == ((0, 0), (1, 1))
    assert match_times(np.array([1.0]), np.array([0.99, 1.01]), 0.05).f1 == pytest.approx(2 / 3)
    assert match_times(np.array([]), np.array([]), 0.05).f1 == 1.0
    assert match_times(np.array([1.0]), np.array([]), 0.05).recall == 0.0


def test_pearson_by_hand():
    assert pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1.0)
    assert pearson(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert pearson(np.array([1.0, 2.0]), np.array([5.0, 5.0])) == 0.0


def events_of(energies, group="wood bounce"):
    return [Event("a", float(i), float(e), group) for i, e in enumerate(energies)]


def test_apcc_delta_by_hand():
    energy = np.linspace(1, 4, 40)
    zigzag = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
    events = events_of(energy) + events_of(energy, "steel strike") + events_of([1.0, 2.0], "rare")
    truth = np.concatenate([energy, energy, [1.0, 2.0]])
    judged = np.concatenate([energy, zigzag, [2.0, 1.0]])
    score = apcc(events, truth, judged, resamples=200)
    expected = abs(1.0 - pearson(energy, zigzag)) / 2
    assert score.delta == pytest.approx(expected)
    assert score.low <= score.delta <= score.high
    assert score.left_out == 2
    assert score.classes["wood bounce"].judged == pytest.approx(1.0)
    same = apcc(events, truth, truth, resamples=50)
    assert same.delta == same.high == 0.0


def test_excess_over_the_twin_is_paired():
    rng = np.random.default_rng(0)
    energy = rng.uniform(1, 4, 200)
    truth, twin, judged = (energy + rng.normal(0, sigma, 200) for sigma in (0.1, 0.3, 3.0))
    events = events_of(energy)
    assert apcc_excess(events, truth, twin, twin, resamples=50) == (0.0, 0.0, 0.0)
    value, low, high = apcc_excess(events, truth, judged, twin, resamples=200)
    deltas = [apcc(events, truth, one, resamples=200) for one in (judged, twin)]
    assert value == pytest.approx(deltas[0].delta - deltas[1].delta)
    assert 0.0 < low < value < high
    shared = judged + 1e-3 * rng.normal(0, 1, 200)
    _, low, high = apcc_excess(events, truth, shared, judged, resamples=200)
    assert high - low < 0.1 * (deltas[0].high - deltas[0].low)


def test_log_energy_is_another_correlation():
    energy = np.geomspace(0.01, 100, 50)
    events = events_of(energy)
    linear, log = (apcc(events, np.log(energy), energy, log_energy=flag, resamples=10) for flag in (False, True))
    assert log.classes["wood bounce"].truth == pytest.approx(1.0)
    assert linear.classes["wood bounce"].judged == pytest.approx(1.0)


def test_too_few_impacts_are_refused():
    with pytest.raises(PavasError, match="30 impacts"):
        apcc(events_of([1.0, 2.0]), np.zeros(2), np.zeros(2))


def test_a_folder_of_sounds_is_scored_from_its_event_file(tmp_path):
    audio = clicks([0.5, 1.5], [0.3, 0.03])
    soundfile.write(tmp_path / "one.wav", audio.waveform.T, audio.sample_rate)
    events = [Event("one", 0.5, 3.0, "wood"), Event("one", 1.5, 0.3, "wood")]
    save_events(events, tmp_path / "events.json")
    loaded = load_events(tmp_path / "events.json")
    assert loaded == events
    strong, weak = folder_strengths(loaded, tmp_path)
    assert strong > weak
    with pytest.raises(PavasError, match=r"two\.wav"):
        folder_strengths([Event("two", 0.5, 3.0, "wood")], tmp_path)
    (tmp_path / "events.json").write_text("{}x")
    with pytest.raises(PavasError, match="event file"):
        load_events(tmp_path / "events.json")


def test_strength_is_that_of_librosa_superflux_in_kind():
    """The same peaks as librosa's SuperFlux recipe on the same sound."""
    import librosa

    audio = clicks([0.6, 1.4, 2.2, 3.0], [0.4, 0.1, 0.2, 0.05], rate=44100)
    spectrum = librosa.feature.melspectrogram(
        y=audio.waveform[0], sr=44100, n_fft=1024, hop_length=220, fmin=27.5, fmax=16000.0, n_mels=138
    )
    theirs = librosa.onset.onset_strength(
        S=librosa.power_to_db(spectrum, top_db=None), sr=44100, hop_length=220, n_fft=1024, lag=2, max_size=3
    )
    times, ours = onset_strength(audio)
    for at in (0.6, 1.4, 2.2, 3.0):
        window = np.abs(times - at) < 0.1
        peak = times[window][np.argmax(ours[window])]
        their_times = np.arange(theirs.size) * 220 / 44100
        near = np.abs(their_times - at) < 0.1
        assert abs(peak - their_times[near][np.argmax(theirs[near])]) < 0.03
