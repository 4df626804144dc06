"""A clip's own sound on its time axis, sound files, and the limiter."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pavas_core.audio import Audio
from pavas_core.errors import MediaError
from pavas_core.video.audio_files import write_flac, write_wav
from pavas_core.video.clip import clip_from_frames, open_clip, read_audio
from pavas_core.video.limiter import limit
from pavas_core.video.soundtrack import _samples, fit_length, match_channels, resample
from tests.video_files import (
    click_errors_s,
    clicks,
    make_video,
    movie_timescale,
    need_encoder,
    with_edits,
)

STEADY = [40 * k for k in range(50)]
CODECS = [
    ("mp4", "aac"),
    ("mov", "aac"),
    ("mov", "pcm_s16le"),
    ("mkv", "pcm_f32le"),
    ("mkv", "flac"),
    ("mkv", "libopus"),
    ("mkv", "ac3"),
    ("ts", "mp2"),
]


def errors_of(clip, times_s) -> float:
    """The worst click error of the clip's own sound."""
    audio = read_audio(clip)
    assert audio.waveform.dtype == np.float32
    assert audio.waveform.shape[1] == round(clip.duration_s * audio.sample_rate)
    return max(map(abs, click_errors_s(audio.waveform, audio.sample_rate, times_s)))


@pytest.mark.parametrize(("suffix", "codec"), CODECS)
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_sound_is_in_time_with_its_channels_and_rate(tmp_path, suffix, codec, rate):
    need_encoder(codec)
    if codec == "libopus":
        rate = 48_000
    path = make_video(tmp_path / f"a.{suffix}", STEADY, audio=clicks([0.2, 1.0, 1.9], 2.0, rate), audio_codec=codec)
    clip = open_clip(path)
    assert clip.has_audio
    audio = read_audio(clip)
    assert audio.sample_rate == rate
    assert audio.waveform.shape == (2, round(clip.duration_s * rate))
    assert errors_of(clip, [0.2, 1.0, 1.9]) < 0.003
    assert errors_of(open_clip(path, 0.5, 1.0), [0.5]) < 0.003
    assert errors_of(open_clip(path, 1.5), [0.4]) < 0.003


def test_lossless_sound_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    sound = Audio((rng.integers(-30_000, 30_000, (1, 96_000)) / 32_768).astype(np.float32), 48_000)
    for codec in ("pcm_f32le", "pcm_s16le", "flac"):
        path = make_video(tmp_path / "a.mkv", STEADY, audio=sound, audio_codec=codec)
        assert np.array_equal(read_audio(open_clip(path)).waveform, sound.waveform)
        part = read_audio(open_clip(path, 0.52, 0.8)).waveform
        assert np.array_equal(part, sound.waveform[:, round(0.52 * 48_000) : round(1.32 * 48_000)])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("shift_s", [0.3, -0.3])
def test_streams_that_start_apart(tmp_path, suffix, shift_s):
    """Sound that starts after the picture is preceded by silence; what comes before the picture is cut."""
    start = 0 if shift_s > 0 else 300
    path = make_video(
        tmp_path / f"a.{suffix}",
        [start + at for at in STEADY],
        audio=clicks([0.1, 0.9], 1.8),
        audio_start_s=max(shift_s, 0),
        audio_codec="mp2" if suffix == "ts" else "aac",
    )
    clip = open_clip(path)
    expected = [0.4, 1.2] if shift_s > 0 else [0.6]
    assert errors_of(clip, expected) < 0.004
    audio = read_audio(clip)
    if shift_s > 0:
        assert np.abs(audio.waveform[:, : round(0.25 * audio.sample_rate)]).max() < 1e-3
    assert errors_of(open_clip(path, 0.35, 1.0), [expected[-1] - 0.35]) < 0.004


def test_edit_lists_of_sound_and_picture(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY, options={"bf": "0"}, audio=clicks([0.5, 1.5], 2.0))
    scale = movie_timescale(path)
    # the picture shows half a second late, so the sound's first half second is never heard with it
    assert errors_of(open_clip(with_edits(path, [(scale // 2, -1), (2 * scale, 0)])), [1.0]) < 0.004
    # the sound is cut by 0.4 s, priming included
    with_edits(path, [(2 * scale, 0)])
    with_edits(path, [(round(1.6 * scale), round(0.4 * 48_000) + 1024)], track=1)
    assert errors_of(open_clip(path), [0.1, 1.1]) < 0.004


def test_short_silent_and_missing_sound(tmp_path):
    path = make_video(tmp_path / "short.mp4", STEADY, audio=clicks([0.2], 0.7))
    audio = read_audio(open_clip(path))
    assert audio.waveform.shape == (2, 96_000)
    assert np.abs(audio.waveform[:, 40_000:]).max() == 0
    after_its_end = read_audio(open_clip(path, 1.0, 0.5))
    assert after_its_end is None or np.abs(after_its_end.waveform).max() < 1e-3
    silent = make_video(tmp_path / "silent.mp4", STEADY, audio=Audio(np.zeros((1, 96_000), np.float32), 48_000))
    assert np.abs(read_audio(open_clip(silent)).waveform).max() == 0
    assert read_audio(open_clip(make_video(tmp_path / "none.mp4", STEADY))) is None


def test_sound_of_frames_is_fitted():
    frames = np.zeros((20, 8, 8, 3), np.uint8)
    assert read_audio(clip_from_frames(frames, 10)) is None
    for length_s in (1.0, 3.0):
        sound = clicks([0.5], length_s)
        fitted = read_audio(clip_from_frames(frames, 10, sound)).waveform
        assert fitted.shape == (2, 96_000)
        assert np.array_equal(fitted[:, :48_000], sound.waveform[:, :48_000])


def test_resampling_keeps_time_and_tone():
    for rate in (44_100, 22_050, 96_000):
        pulse = 0.5 * np.exp(-(((np.arange(rate) / rate - 0.5) / 2e-4) ** 2))
        click = Audio(pulse.astype(np.float32)[None], rate)
        moved = resample(click, 48_000)
        assert moved.sample_rate == 48_000
        assert abs(click_errors_s(moved.waveform, 48_000, [0.5])[0]) < 1.5 / min(rate, 48_000)
        tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)[None]
        wanted = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
        got = resample(Audio(tone, rate), 48_000).waveform[0]
        assert np.abs(got - wanted)[2000:-2000].max() < 2e-3


def test_channels_and_length():
    mono = clicks([0.5], 1.0, channels=1)
    assert np.array_equal(match_channels(mono, 2).waveform, np.repeat(mono.waveform, 2, axis=0))
    pair = Audio(np.stack([np.full(10, 0.5), np.full(10, 0.1)]).astype(np.float32), 48_000)
    assert match_channels(pair, 1).waveform[0] == pytest.approx(np.full(10, 0.3))
    assert match_channels(pair, 2) is pair
    assert fit_length(mono, 1.0) is mono
    assert fit_length(mono, 0.25).waveform.shape == (1, 12_000)


# -- limiter ---------------------------------------------------------------------------------------------------------


def test_quiet_sound_passes_untouched():
    audio = Audio(np.random.default_rng(0).uniform(-0.89, 0.89, (2, 5000)).astype(np.float32), 48_000)
    limited, reduction_db = limit(audio)
    assert limited is audio
    assert reduction_db == 0.0


@settings(max_examples=60, deadline=None)
@given(
    waveform=npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 2000)),
        elements=st.floats(-64, 64, width=32),
        fill=st.floats(-0.5, 0.5, width=32),
    ),
    ceiling_db=st.sampled_from([-1.0, 0.0, -6.0]),
)
def test_no_peak_passes_the_ceiling(waveform, ceiling_db):
    audio = Audio(waveform, 48_000)
    limited, reduction_db = limit(audio, ceiling_db)
    ceiling = 10 ** (ceiling_db / 20)
    assert np.abs(limited.waveform).max() <= ceiling * (1 + 1e-6)
    assert limited.waveform.shape == waveform.shape
    peak = np.abs(waveform).max()
    assert reduction_db == pytest.approx(max(0.0, 20 * np.log10(max(peak, 1e-9) / ceiling)), abs=0.01)


def test_limiter_leaves_all_but_the_neighbourhood_and_keeps_the_channels_balance():
    rng = np.random.default_rng(1)
    waveform = rng.uniform(-0.4, 0.4, (2, 48_000)).astype(np.float32)
    waveform[0, 24_000] = 3.0
    limited, reduction_db = limit(Audio(waveform, 48_000))
    assert reduction_db == pytest.approx(20 * np.log10(3) + 1, abs=0.01)
    far = np.abs(np.arange(48_000) - 24_000) > 0.011 * 48_000
    assert np.array_equal(limited.waveform[:, far], waveform[:, far])
    gain = limited.waveform / waveform
    assert np.allclose(gain[0], gain[1], rtol=1e-4)
    assert np.abs(np.diff(gain[1])).max() < 0.02  # smooth: no click of its own


# -- files -----------------------------------------------------------------------------------------------------------


def noise(peak: float = 0.9, rate: int = 44_100) -> Audio:
    """A second of stereo noise."""
    return Audio(np.random.default_rng(3).uniform(-peak, peak, (2, rate)).astype(np.float32), rate)


@pytest.mark.parametrize(
    ("name", "write", "subtype", "tolerance"),
    [
        ("a.wav", write_wav, "PCM_24", 2.0**-22),
        ("a.flac", write_flac, "PCM_24", 2.0**-22),
        ("a.wav", lambda *given, **more: write_wav(*given, subtype="float32", **more), "FLOAT", 0),
    ],
)
def test_files_hold_the_sound_and_its_settings(tmp_path, name, write, subtype, tolerance):
    path = tmp_path / name
    values = {"mass_kg": np.float32(0.5), "seed": np.int64(7), "text": "größe", "file": Path("in.mp4"), "takes": [1, 2]}
    report = write(noise(), path, settings=values)
    assert (report.path, report.limited_db) == (path, 0.0)
    info = soundfile.info(path)
    assert (info.subtype, info.samplerate, info.channels, info.frames) == (subtype, 44_100, 2, 44_100)
    read, _ = soundfile.read(path, dtype="float64")
    assert np.abs(read.T - noise().waveform).max() <= tolerance
    kept = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert kept == {"mass_kg": 0.5, "seed": 7, "text": "größe", "file": "in.mp4", "takes": [1, 2]}
    assert sorted(file.name for file in tmp_path.iterdir()) == [name, f"{name}.json"]


def test_files_at_another_rate(tmp_path):
    write_wav(noise(0.5), tmp_path / "a.wav", sample_rate=48_000)
    assert soundfile.info(tmp_path / "a.wav").samplerate == 48_000
    assert soundfile.info(tmp_path / "a.wav").frames == 48_000
    assert not (tmp_path / "a.wav.json").exists()


def test_loud_sound_is_limited_in_integers_and_kept_in_floats(tmp_path):
    for write, name in ((write_wav, "a.wav"), (write_flac, "a.flac")):
        report = write(noise(2.0), tmp_path / name)
        assert report.limited_db == pytest.approx(6.02, abs=0.01)
        assert np.abs(soundfile.read(tmp_path / name)[0]).max() <= 1.0
    report = write_wav(noise(2.0), tmp_path / "f.wav", subtype="float32")
    assert report.limited_db == 0.0
    assert np.array_equal(soundfile.read(tmp_path / "f.wav", dtype="float32")[0].T, noise(2.0).waveform)


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("a.mp3", {}, ".wav"),
        ("none/a.wav", {}, "does not exist"),
        ("a.wav", {"subtype": "pcm8"}, "pcm24"),
        ("a.wav", {"settings": {"thing": object()}}, "settings"),
        ("a.wav", {"sample_rate": 0}, "rate"),
    ],
)
def test_sound_files_that_cannot_be_written(tmp_path, name, change, word):
    with pytest.raises(MediaError) as error:
        write_wav(noise(), tmp_path / name, **change)
    assert word in str(error.value)
    assert str(error.value).endswith(".")
    assert not list(tmp_path.iterdir())


def test_interrupted_writing_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(b"old")

    def interrupted(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_wav(noise(), tmp_path / "a.wav", settings={})
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"old"


@pytest.mark.parametrize(("layout", "rate"), [("19 channels", 48_000), ("mono", 1), ("mono", 0)])
def test_a_damaged_packet_that_names_impossible_sound_is_silence(layout: str, rate: int) -> None:
    frame = av.AudioFrame(format="fltp", layout=layout, samples=1024)
    frame.sample_rate = rate
    sound = _samples(frame, 6, 48_000)
    assert sound.shape == (6, 1024)
    assert not sound.any()
