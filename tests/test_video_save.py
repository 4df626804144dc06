"""Saving a clip with sound: what is copied, where a click lands, and what never happens to files."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.errors import Cancelled, MediaError
from pavas_core.runtime import Runtime
from pavas_core.video import save
from pavas_core.video.clip import clip_from_frames, iter_frames, open_clip, read_audio
from pavas_core.video.save import save_video
from tests.video_files import (
    click_errors_s,
    clicks,
    make_intra_video,
    make_video,
    movie_timescale,
    need_encoder,
    numbered_picture,
    numbers,
    packet_bytes,
    shared_media,
    with_edits,
    with_matrix,
)

STEADY = [40 * k for k in range(50)]
UNEVEN = [0, 40, 70, 200, 210, 220, 400, 440, 700, 705, 710, 1000, 1033, 1066, 1500]
CLICKS = (0.0, 0.3, 1.0501, 1.93)
TARGETS = ("mp4", "mov", "mkv", "webm")


def decoded_sound(path: Path) -> tuple[np.ndarray, int, float]:
    """(samples, rate, time of sample 0), decoded with nothing but FFmpeg's stamps."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        parts = []
        for frame in frames:
            data = frame.to_ndarray()
            data = data if frame.format.is_planar else data.reshape(-1, len(frame.layout.channels)).T
            parts.append(data / 32768 if data.dtype == np.int16 else data)
        zero_s = float(frames[0].pts * frames[0].time_base)
        # the stamps are continuous, so the samples may be joined
        for before, after in itertools.pairwise(frames):
            gap = (
                float(after.pts * after.time_base - before.pts * before.time_base) - before.samples / before.sample_rate
            )
            assert abs(gap) < 0.0015
        return np.concatenate(parts, axis=1), frames[0].sample_rate, zero_s


def first_picture_s(path: Path) -> float:
    """When the first decoded picture is shown."""
    with av.open(str(path)) as container:
        frame = next(container.decode(container.streams.video[0]))
        return float(frame.pts * frame.time_base)


def assert_clicks(path: Path, times_s=CLICKS) -> None:
    """Clicks lie within 5 ms of their times on the file's clock and against the first picture."""
    waveform, rate, zero_s = decoded_sound(path)
    start_s = first_picture_s(path)
    assert abs(start_s) < 0.0015
    assert max(map(abs, click_errors_s(waveform, rate, times_s, zero_s))) < 0.005
    assert max(map(abs, click_errors_s(waveform, rate, times_s, zero_s - start_s))) < 0.005
    # and where a reader takes the samples as they come, without stamps
    assert abs(zero_s) < 0.005


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize("sample_rate", [48_000, 44_100, 22_050])
@pytest.mark.parametrize("channels", [1, 2])
def test_click_lands_where_it_was_put(tmp_path, suffix, sample_rate, channels):
    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY, options={"bf": "2"}))
    report = save_video(clip, clicks(CLICKS, 2.0, sample_rate, channels), tmp_path / f"out.{suffix}")
    assert report.path == tmp_path / f"out.{suffix}"
    assert report.limited_db == 0
    assert report.video_copied == (suffix != "webm")
    assert_clicks(report.path)
    saved = open_clip(report.path)
    assert numbers(iter_frames(saved)) == list(range(50))
    assert read_audio(saved).waveform.shape[0] == channels


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize(
    "source", ["ts", "offset.mp4", "empty-edit.mp4", "mid-group-edit.mp4", "uneven.mkv", "intra.mkv"]
)
def test_click_lands_for_every_kind_of_source(tmp_path, suffix, source):
    """Start offsets, edit lists and broken stamps of the source do not move the sound against the picture."""
    name, first = source.split(".")[0], 0
    path = tmp_path / f"in.{source.split('.')[-1]}"
    if name == "uneven":
        make_video(path, [*UNEVEN, 1960], options={"bf": "0"})
    elif name == "intra":
        make_intra_video(path, [*range(0, 1000, 50), 980, 1050, 1050, *range(1100, 2000, 50)])
    else:
        offset = 730 if name == "offset" else 0
        make_video(path, [offset + at for at in STEADY], options={"bf": "0"}, audio=clicks([0.2], 2.0))
    if name.endswith("edit"):
        scale = movie_timescale(path)
        with av.open(str(path)) as container:
            ticks = int(1 / container.streams.video[0].time_base)
        first = 3 if name.startswith("mid") else 0
        edits = [(scale // 2, -1), (2 * scale, 0)] if not first else [(scale * 188 // 100, ticks * 12 // 100)]
        with_edits(path, edits)
    clip = open_clip(path)
    times = [time for time in CLICKS if time < clip.duration_s - 0.02]
    report = save_video(clip, clicks(times, 2.0), tmp_path / f"out.{suffix}")
    assert_clicks(report.path, times)
    saved = open_clip(report.path)
    expected = [
        (frame.time_s, number) for frame, number in zip(iter_frames(clip), numbers(iter_frames(clip)), strict=True)
    ]
    got = list(iter_frames(saved))
    assert numbers(got) == [number for _, number in expected]
    assert numbers(got)[0] == first
    assert [frame.time_s for frame in got] == pytest.approx([time for time, _ in expected], abs=0.0011)
    # Matroska does not store how long the last picture is shown, and mp4 not where pictures change places
    loose = suffix == "mkv" or name == "intra"
    assert saved.duration_s == pytest.approx(clip.duration_s, abs=0.02 if loose else 0.002)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("source", ["mp4", "mkv"])
def test_video_packets_are_the_very_same(tmp_path, suffix, source):
    path = make_video(tmp_path / f"in.{source}", UNEVEN, options={"bf": "2"}, audio=clicks([0.2], 1.5))
    clip = open_clip(path)
    report = save_video(clip, clicks([0.5], 1.5), tmp_path / f"out.{suffix}")
    assert report.video_copied
    assert packet_bytes(report.path) == packet_bytes(path)
    with av.open(str(report.path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    times = [[frame.time_s for frame in iter_frames(open_clip(file))] for file in (path, report.path)]
    assert times[0] == pytest.approx(times[1], abs=1e-9 if suffix == source == "mp4" else 0.0011)


def test_webm_source_is_copied_into_webm(tmp_path):
    need_encoder("libvpx")
    path = make_video(tmp_path / "in.webm", STEADY, codec="libvpx")
    report = save_video(open_clip(path), clicks(CLICKS, 2.0), tmp_path / "out.webm")
    assert report.video_copied
    assert packet_bytes(report.path) == packet_bytes(path)
    assert_clicks(report.path)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_rotation_survives(tmp_path, suffix, matrix):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:20, :30] = 230
    path = with_matrix(make_video(tmp_path / "in.mp4", STEADY, pictures=[picture] * 50), matrix)
    clip = open_clip(path)
    saved = open_clip(save_video(clip, clicks([0.5], 2.0), tmp_path / f"out.{suffix}").path)
    assert (saved.width, saved.height) == (clip.width, clip.height)
    before, after = (next(iter(iter_frames(one))).image for one in (clip, saved))
    assert np.array_equal(before, after)
    trimmed = open_clip(save_video(open_clip(path, 0.2, 0.5), clicks([0.3], 0.5), tmp_path / f"cut.{suffix}").path)
    assert (trimmed.width, trimmed.height) == (clip.width, clip.height)
    assert np.abs(next(iter(iter_frames(trimmed))).image.astype(int) - before).mean() < 8


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_colour_tags_and_pixel_aspect_survive(tmp_path, suffix):
    colour = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    path = make_video(
        tmp_path / "in.mp4",
        STEADY,
        colour={**colour, "sample_aspect_ratio": Fraction(4, 3)},
        pixel_format="yuv420p10le",
    )
    out = save_video(open_clip(path), clicks([0.5], 2.0), tmp_path / f"out.{suffix}").path
    with av.open(str(out)) as container:
        context = container.streams.video[0].codec_context
        assert {key: getattr(context, key) for key in colour} == colour
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert context.pix_fmt == "yuv420p10le"


def test_trim_keeps_what_the_light_values_mean(tmp_path):
    """Pictures are stored as 8-bit BT.709 differences, but their primaries and transfer stay the source's."""
    colour = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    path = make_video(tmp_path / "in.mp4", STEADY, colour=colour, pixel_format="yuv420p10le")
    clip = open_clip(path, 0.4, 0.4)
    out = save_video(clip, clicks([0.1], 0.4), tmp_path / "out.mp4").path
    with av.open(str(out)) as container:
        context = container.streams.video[0].codec_context
        assert {key: getattr(context, key) for key in colour} == {**colour, "colorspace": 1}
    images = [next(iter(iter_frames(one))).image.astype(int) for one in (clip, open_clip(out))]
    assert np.abs(images[0] - images[1]).mean() < 3


def test_edits_inside_the_clip_are_encoded_as_shown(tmp_path):
    path = make_video(tmp_path / "in.mp4", STEADY, options={"bf": "0"})
    scale = movie_timescale(path)
    with av.open(str(path)) as container:
        ticks = int(1 / container.streams.video[0].time_base)
    with_edits(path, [(scale * 4 // 10, 0), (scale * 8 // 10, round(1.08 * ticks))])
    clip = open_clip(path)
    assert numbers(iter_frames(clip, rate=25)) == [*range(10), *range(27, 47)]
    report = save_video(clip, clicks([0.3, 0.9], 1.2), tmp_path / "out.mp4")
    assert not report.video_copied
    assert numbers(iter_frames(open_clip(report.path), rate=25)) == [*range(10), *range(27, 47)]
    assert_clicks(report.path, [0.3, 0.9])


def test_hevc_keeps_the_tag_that_players_want(tmp_path):
    need_encoder("libx265")
    path = make_video(
        tmp_path / "in.mp4", STEADY[:10], codec="libx265", options={"x265-params": "log-level=none", "tag": "hvc1"}
    )
    data = path.read_bytes().replace(b"hev1", b"hvc1")
    path.write_bytes(data)
    out = save_video(open_clip(path), clicks([0.1], 0.4), tmp_path / "out.mp4")
    assert out.video_copied
    with av.open(str(out.path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("suffix", TARGETS)
def test_trim_is_encoded_with_its_own_times(tmp_path, suffix):
    path = make_video(tmp_path / "in.mp4", UNEVEN, last_ticks=500, audio=clicks([0.2, 0.9], 2.0))
    clip = open_clip(path, 0.21, 1.2)
    report = save_video(clip, clicks([0.05, 0.6, 1.1], 1.2), tmp_path / f"out.{suffix}")
    assert not report.video_copied
    assert_clicks(report.path, [0.05, 0.6, 1.1])
    saved = open_clip(report.path)
    assert numbers(iter_frames(saved)) == list(range(4, 14))
    assert [frame.time_s for frame in iter_frames(saved)] == pytest.approx(
        [frame.time_s for frame in iter_frames(clip)], abs=0.0011
    )
    assert saved.duration_s == pytest.approx(1.2, abs=0.0021)


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_clip_from_frames_is_encoded(tmp_path, suffix, size):
    pictures = np.stack([numbered_picture(k, *size) for k in range(30)]).astype(np.float32) / 255
    clip = clip_from_frames(pictures, 15.0, clicks([0.7], 2.0))
    report = save_video(clip, clicks([0.1, 1.5], 2.0), tmp_path / f"out.{suffix}")
    saved = open_clip(report.path)
    assert numbers(iter_frames(saved)) == list(range(30))
    assert saved.duration_s == pytest.approx(2.0, abs=0.002)
    assert saved.frame_rate == pytest.approx(15.0, rel=1e-3)
    assert (saved.width, saved.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    with av.open(str(report.path)) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p"
        assert context.colorspace == 1
    image = list(iter_frames(saved))[21].image[: size[1], : size[0]]
    assert np.abs(image.astype(int) - numbered_picture(21, *size)).mean() < 8
    assert_clicks(report.path, [0.1, 1.5])


def test_colours_survive_encoding(tmp_path):
    frames = np.full((20, 64, 64, 3), (200, 60, 30), np.uint8)
    saved = open_clip(save_video(clip_from_frames(frames, 10), clicks([0.5], 2), tmp_path / "out.mp4").path)
    assert np.abs(next(iter(iter_frames(saved))).image.astype(int) - (200, 60, 30)).max() <= 4


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize("length_s", [0.5, 2.0, 5.0])
def test_sound_is_as_long_as_the_video(tmp_path, suffix, length_s):
    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY))
    out = save_video(clip, clicks([0.3], length_s), tmp_path / f"out.{suffix}").path
    waveform, rate, zero_s = decoded_sound(out)
    assert zero_s + waveform.shape[1] / rate == pytest.approx(2.0, abs=1024 / rate)  # up to one codec frame of padding
    with av.open(str(out)) as container:
        assert container.duration / av.time_base == pytest.approx(
            2.0, abs=0.022 if suffix in ("mkv", "webm") else 0.002
        )
    assert read_audio(open_clip(out)).waveform.shape[1] == round(open_clip(out).duration_s * rate)


def test_mix_keeps_the_original_under_the_new_sound(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * 44_100) / 44_100).astype(np.float32)[None] * 0.5
    path = make_video(tmp_path / "in.mp4", STEADY, audio=Audio(tone, 44_100))
    clip = open_clip(path)
    new = clicks([1.0], 2.0, 48_000, 2)
    levels = {}
    for gain in (None, 0.0, -12.0):
        waveform, rate, _ = decoded_sound(save_video(clip, new, tmp_path / "out.mp4", original_gain_db=gain).path)
        assert rate == 48_000
        assert waveform.shape[0] == 2
        quiet = waveform[:, int(0.3 * rate) : int(0.8 * rate)]
        levels[gain] = float(np.sqrt((quiet**2).mean()))
        if gain != 0.0:
            assert abs(click_errors_s(waveform, rate, [1.0])[0]) < 0.005
    assert levels[None] < 0.002
    assert levels[0.0] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert 20 * np.log10(levels[-12.0] / levels[0.0]) == pytest.approx(-12, abs=0.3)


def test_mix_of_a_clip_without_sound_is_the_new_sound(tmp_path):
    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY))
    out = save_video(clip, clicks([0.5], 2.0), tmp_path / "out.mp4", original_gain_db=-6)
    assert_clicks(out.path, [0.5])


def test_mixed_original_stays_in_time(tmp_path):
    """The source's sound starts 0.4 s after its picture; its click must still meet the same picture."""
    path = make_video(tmp_path / "in.mkv", STEADY, audio=clicks([0.5], 1.5), audio_start_s=0.4)
    out = save_video(open_clip(path), clicks([0.2], 2.0), tmp_path / "out.mp4", original_gain_db=0.0)
    assert_clicks(out.path, [0.2, 0.9])
    cut = save_video(open_clip(path, 0.6, 1.0), clicks([0.1], 1.0), tmp_path / "cut.mp4", original_gain_db=0.0)
    assert_clicks(cut.path, [0.1, 0.3])


def test_loud_sound_is_limited_and_reported(tmp_path):
    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY))
    loud = clicks([0.5], 2.0)
    loud = Audio(loud.waveform * 4, loud.sample_rate)
    report = save_video(clip, loud, tmp_path / "out.mp4")
    assert report.limited_db == pytest.approx(20 * np.log10(2) + 1, abs=0.01)
    assert np.abs(read_audio(open_clip(report.path)).waveform).max() <= 1.0


@pytest.mark.parametrize("suffix", TARGETS)
def test_metadata_is_written_and_the_sources_kept(tmp_path, suffix):
    path = make_video(tmp_path / "in.mp4", STEADY)
    first = save_video(
        open_clip(path), clicks([0.5], 2.0), tmp_path / "titled.mp4", metadata={"title": "old", "artist": "me"}
    )
    workflow = '{"nodes": [1, 2], "text": "größe; = # \\\\ \'"}'
    written = {"workflow": workflow, "prompt": '{"a": 1}', "title": "new"}
    out = save_video(open_clip(first.path), clicks([0.5], 2.0), tmp_path / f"out.{suffix}", metadata=written)
    with av.open(str(out.path)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert {key: found.get(key) for key in written} == written
    assert found["artist"] == "me"


def test_source_in_memory(tmp_path):
    path = make_video(tmp_path / "in.mp4", STEADY)
    report = save_video(open_clip(io.BytesIO(path.read_bytes())), clicks(CLICKS, 2.0), tmp_path / "out.mp4")
    assert report.video_copied
    assert_clicks(report.path)


def leftovers(folder: Path) -> list[str]:
    """Names of everything in the folder but the source."""
    return sorted(name for name in os.listdir(folder) if name != "in.mp4")


@pytest.mark.parametrize("trim", [None, 1.0])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, Cancelled, RuntimeError])
@pytest.mark.parametrize("existing", [False, True])
def test_interruption_leaves_no_half_file(tmp_path, trim, stop, existing):
    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY), 0, trim)
    out = tmp_path / "out.mp4"
    if existing:
        out.write_bytes(b"old")
    seen = []

    def progress(stage: str, done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 10:
            raise stop

    with pytest.raises(stop):
        save_video(clip, clicks([0.5], 2.0), out, runtime=Runtime(on_progress=progress))
    assert leftovers(tmp_path) == (["out.mp4"] if existing else [])
    if existing:
        assert out.read_bytes() == b"old"
    save_video(clip, clicks([0.5], 2.0), out)
    assert leftovers(tmp_path) == ["out.mp4"]
    assert open_clip(out).duration_s == pytest.approx(trim or 2.0)


@pytest.mark.parametrize("error", [ValueError, OSError, TypeError])
def test_errors_of_the_host_are_not_taken_for_ours(tmp_path, error):
    def progress(stage: str, done: int, total: int) -> None:
        raise error("the host's own")

    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY))
    with pytest.raises(error, match="the host's own"):
        save_video(clip, clicks([0.5], 2.0), tmp_path / "out.mp4", runtime=Runtime(on_progress=progress))
    assert leftovers(tmp_path) == []


def test_a_copy_that_nothing_opens_is_encoded_instead(tmp_path, monkeypatch):
    clip = open_clip(make_video(tmp_path / "in.mp4", STEADY))

    def refuse(path):
        raise MediaError("damaged.")

    monkeypatch.setattr(save, "open_clip", refuse)
    report = save_video(clip, clicks(CLICKS, 2.0), tmp_path / "out.mp4")
    assert not report.video_copied
    assert numbers(iter_frames(open_clip(report.path))) == list(range(50))
    assert_clicks(report.path)


def test_files_without_stamps_are_encoded(tmp_path):
    path = make_video(tmp_path / "in.avi", list(range(50)), tick=Fraction(1, 25), last_ticks=1, options={"bf": "2"})
    report = save_video(open_clip(path), clicks(CLICKS, 2.0), tmp_path / "out.mp4")
    assert numbers(iter_frames(open_clip(report.path))) == list(range(50))
    assert_clicks(report.path)


def test_progress_ends_at_its_total(tmp_path):
    seen: list[tuple[int, int]] = []
    runtime = Runtime(on_progress=lambda stage, done, total: seen.append((done, total)))
    for start_s in (0, 0.5):
        seen.clear()
        save_video(
            open_clip(make_video(tmp_path / "in.mp4", STEADY), start_s),
            clicks([0.1], 1),
            tmp_path / "o.mp4",
            runtime=runtime,
        )
        assert seen[-1][0] == seen[-1][1]
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def assert_refused(tmp_path, path, audio=None, clip=None, words=(), **given) -> None:
    """Saving raises one sentence and leaves nothing behind."""
    clip = clip or open_clip(make_video(tmp_path / "in.mp4", STEADY[:10]))
    before = leftovers(tmp_path)
    with pytest.raises(MediaError) as error:
        save_video(clip, audio or clicks([0.1], 0.4), path, **given)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    for word in words:
        assert word in text
    assert leftovers(tmp_path) == before


def test_the_source_is_never_overwritten(tmp_path):
    path = make_video(tmp_path / "in.mp4", STEADY[:10])
    content = path.read_bytes()
    assert_refused(tmp_path, path, clip=open_clip(path), words=["in.mp4", "being read"])
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    assert_refused(tmp_path, link, clip=open_clip(path), words=["being read"])
    assert_refused(tmp_path, path, clip=open_clip(link), words=["being read"])
    assert path.read_bytes() == content


def test_targets_that_cannot_be_written(tmp_path):
    assert_refused(tmp_path, tmp_path / "out.avi", words=["out.avi", ".mp4"])
    assert_refused(tmp_path, tmp_path / "out", words=["out", ".mp4"])
    assert_refused(tmp_path, tmp_path / "none" / "out.mp4", words=["out.mp4", "does not exist"])
    (tmp_path / "folder.mp4").mkdir()
    assert_refused(tmp_path, tmp_path / "folder.mp4", words=["folder"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a folder nobody may write to")
def test_read_only_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:
        folder = Path("/proc/self/fdinfo")  # permissions do not stop root, the kernel does
    else:
        folder.chmod(0o500)
    assert_refused(tmp_path, folder / "out.mp4", words=["out.mp4", "write"])


@pytest.mark.parametrize(
    "waveform",
    [np.zeros((0, 100)), np.zeros(100), np.zeros((9, 100)), np.full((2, 100), np.nan), np.full((1, 100), np.inf)],
)
def test_impossible_sound(tmp_path, waveform):
    assert_refused(tmp_path, tmp_path / "out.mp4", Audio(waveform.astype(np.float32), 48_000))


def test_impossible_rate_and_gain(tmp_path):
    assert_refused(tmp_path, tmp_path / "out.mp4", Audio(np.zeros((1, 100), np.float32), 0), words=["rate"])
    assert_refused(tmp_path, tmp_path / "out.mp4", original_gain_db=float("nan"), words=["gain"])


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from pavas_core.audio import Audio
from pavas_core.errors import MediaError
from pavas_core.video.audio_files import write_flac, write_wav
from pavas_core.video.clip import open_clip
from pavas_core.video.save import save_video
folder = Path(sys.argv[1])
whole, part = open_clip(folder / "in.mp4"), open_clip(folder / "in.mp4", 0.5)
noise = Audio(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 96_000)).astype(np.float32), 48_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # the kernel refuses to let any file grow further
for write in (
    lambda: save_video(whole, noise, folder / "out.mp4"),
    lambda: save_video(part, noise, folder / "out.mkv"),
    lambda: write_wav(noise, folder / "out.wav", settings={}),
    lambda: write_flac(noise, folder / "out.flac"),
):
    try:
        write()
    except MediaError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    make_video(tmp_path / "in.mp4", STEADY)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["out.mp4", "out.mkv", "out.wav", "out.flac"]
    assert all("space" in line for line in lines)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("codec", [("mjpeg", "yuvj420p"), ("mpeg4", "yuv420p"), ("ffv1", "yuv420p")])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_other_codecs_are_saved_one_way_or_the_other(tmp_path, codec, suffix):
    path = make_video(tmp_path / "in.mkv", STEADY[:20], codec=codec[0], pixel_format=codec[1], options={"g": "5"})
    report = save_video(open_clip(path), clicks([0.3], 0.8), tmp_path / f"out.{suffix}")
    assert numbers(iter_frames(open_clip(report.path))) == list(range(20))
    assert_clicks(report.path, [0.3])
    if report.video_copied:
        assert packet_bytes(report.path) == packet_bytes(path)


@pytest.mark.skipif(not shared_media(), reason="no real clips beside the repository (PAVAS_SHARED)")
@pytest.mark.parametrize("path", shared_media(), ids=lambda path: path.name)
def test_real_clips(tmp_path, path):
    clip = open_clip(path)
    report = save_video(clip, clicks([0.1, 0.8], clip.duration_s), tmp_path / "out.mp4")
    assert report.video_copied
    assert packet_bytes(report.path) == packet_bytes(path)
    assert_clicks(report.path, [0.1, 0.8])
    saved = open_clip(report.path)
    assert saved.duration_s == pytest.approx(clip.duration_s, abs=1e-3)
    assert saved.frame_count == clip.frame_count
