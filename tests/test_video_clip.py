"""Pictures by presentation time."""

from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavas_core.errors import MediaError
from pavas_core.video import container as media
from pavas_core.video.clip import clip_from_frames, iter_frames, open_clip, read_audio
from tests.video_files import (
    clicks,
    make_intra_video,
    make_video,
    movie_timescale,
    need_encoder,
    numbered_picture,
    numbers,
    picture_number,
    shared_media,
    with_edits,
    with_matrix,
)

STEADY = [40 * k for k in range(50)]
UNEVEN = [0, 40, 70, 200, 210, 220, 400, 440, 700, 705, 710, 1000, 1033, 1066, 1500]


def shown_at(stamps_s: list[float], time_s: float) -> int:
    """Which picture a player shows at a time: the last one whose stamp has come."""
    return max(k for k, stamp in enumerate(stamps_s) if stamp <= time_s + 1e-9)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_every_picture_at_its_own_time(tmp_path, suffix, b_frames):
    clip = open_clip(make_video(tmp_path / f"a.{suffix}", STEADY, options={"bf": b_frames}))
    frames = list(iter_frames(clip))
    assert numbers(frames) == list(range(50))
    assert [frame.time_s for frame in frames] == pytest.approx([0.04 * k for k in range(50)], abs=1e-6)
    assert clip.duration_s == pytest.approx(2.0, abs=1e-6)
    assert clip.frame_rate == pytest.approx(25.0)
    assert (clip.width, clip.height, clip.frame_count, clip.has_audio, clip.trimmed) == (64, 48, 50, False, False)


@pytest.mark.parametrize("rate", [25, 24, 30, 8, 60, 12.5, 29.97])
def test_steady_clip_at_any_rate(tmp_path, rate):
    clip = open_clip(make_video(tmp_path / "a.mp4", STEADY))
    frames = list(iter_frames(clip, rate=rate))
    times = [k / rate for k in range(1000) if k / rate < 2.0 - 1e-9]
    assert [frame.time_s for frame in frames] == times
    assert numbers(frames) == [shown_at([0.04 * k for k in range(50)], time) for time in times]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", [None, 7, 25, 48, 100])
def test_uneven_clip_at_any_rate(tmp_path, suffix, rate):
    clip = open_clip(make_video(tmp_path / f"a.{suffix}", UNEVEN, last_ticks=300))
    stamps = [at / 1000 for at in UNEVEN]
    frames = list(iter_frames(clip, rate=rate))
    if suffix == "mp4":
        assert clip.duration_s == pytest.approx(1.8, abs=1e-4)
    if rate is None:
        assert [frame.time_s for frame in frames] == pytest.approx(stamps, abs=1e-4)
        assert numbers(frames) == list(range(len(UNEVEN)))
    else:
        assert [frame.time_s for frame in frames] == [k / rate for k in range(len(frames))]
        assert len(frames) == np.ceil((clip.duration_s - 1e-4) * rate)
        assert numbers(frames) == [shown_at(stamps, frame.time_s) for frame in frames]


def test_own_rate_gives_each_picture_once_despite_millisecond_stamps(tmp_path):
    """Matroska rounds 1/24 s to milliseconds; the grid of the clip's own rate must not skip or repeat for that."""
    ticks = [round(1000 * k / 24) for k in range(48)]
    clip = open_clip(make_video(tmp_path / "a.mkv", ticks, last_ticks=42))
    assert numbers(iter_frames(clip, rate=24)) == list(range(48))


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 300), min_size=3, max_size=25),
    rate=st.floats(1, 120),
)
def test_any_stamps_at_any_rate(tmp_path_factory, gaps, rate):
    ticks = list(np.cumsum([0, *gaps]))
    if ticks[-1] < 110:
        ticks.append(ticks[-1] + 110)
    path = tmp_path_factory.mktemp("any") / "a.mp4"
    clip = open_clip(make_video(path, [int(at) for at in ticks], options={"bf": "0"}))
    # a stamp within the container's tick of a sampling time may fall on either side of it
    stamps = np.array(ticks) / 1000
    for frame in iter_frames(clip, rate=rate):
        if np.abs(stamps - frame.time_s).min() > 1e-4:
            assert picture_number(frame.image) == shown_at(list(stamps), frame.time_s) % 256


def test_repeated_stamps_show_the_last_picture(tmp_path):
    clip = open_clip(make_intra_video(tmp_path / "a.mkv", [0, 40, 80, 80, 120, 160]))
    frames = list(iter_frames(clip))
    assert numbers(frames) == [0, 1, 3, 4, 5]
    assert [round(1000 * frame.time_s) for frame in frames] == [0, 40, 80, 120, 160]


def test_stamps_that_go_back_are_put_in_order(tmp_path):
    clip = open_clip(make_intra_video(tmp_path / "a.mkv", [0, 40, 120, 80, 160, 240, 200, 280]))
    frames = list(iter_frames(clip))
    assert numbers(frames) == [0, 1, 3, 2, 4, 6, 5, 7]
    assert np.all(np.diff([frame.time_s for frame in frames]) > 0)
    assert numbers(iter_frames(clip, rate=25)) == [0, 1, 3, 2, 4, 6, 5, 7]


def test_a_stamp_far_back_is_dropped_and_time_still_rises(tmp_path):
    clip = open_clip(make_intra_video(tmp_path / "a.mkv", [0, 40, 80, 120, 160, 200, 240, 280, 320, 50, 360, 400]))
    frames = list(iter_frames(clip))
    assert np.all(np.diff([frame.time_s for frame in frames]) > 0)
    assert numbers(frames)[-3:] == [8, 10, 11]


def test_files_without_stamps_run_at_their_nominal_rate(tmp_path):
    """AVI and raw H.264 store no times of presentation, least of all with B-frames."""
    avi = make_video(tmp_path / "a.avi", list(range(20)), tick=Fraction(1, 25), last_ticks=1, options={"bf": "2"})
    raw = tmp_path / "a.h264"
    with av.open(str(raw), "w", format="h264") as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(20):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(k), format="rgb24")))
        output.mux(stream.encode(None))
    for path in (avi, raw):
        clip = open_clip(path)
        frames = list(iter_frames(clip))
        assert numbers(frames) == list(range(20))
        assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(20)])
        assert clip.duration_s == pytest.approx(0.8)
        assert numbers(iter_frames(open_clip(path, 0.4, 0.2))) == list(range(10, 15))


def test_animated_pictures_keep_their_pace(tmp_path):
    from PIL import Image

    images = [Image.fromarray(numbered_picture(k)) for k in range(6)]
    path = tmp_path / "a.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 200, 50, 100, 100, 300], loop=0)
    clip = open_clip(path)
    frames = list(iter_frames(clip))
    assert numbers(frames) == list(range(6))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.35, 0.45, 0.55])


def test_a_stamp_hours_away_is_refused(tmp_path):
    path = make_video(tmp_path / "a.mkv", [*STEADY[:20], 20_000_000])
    with pytest.raises(MediaError) as error:
        open_clip(path)
    one_sentence(error, "a.mkv", "damaged time stamps")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_start_offset_is_time_zero(tmp_path, suffix):
    clip = open_clip(make_video(tmp_path / f"a.{suffix}", [1480 + at for at in UNEVEN], last_ticks=300))
    frames = list(iter_frames(clip))
    assert [frame.time_s for frame in frames] == pytest.approx([at / 1000 for at in UNEVEN], abs=1e-3)
    assert numbers(frames) == list(range(len(UNEVEN)))


def test_empty_edit_delays_the_pictures_but_not_their_clock(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY, options={"bf": "0"})
    scale = movie_timescale(path)
    clip = open_clip(with_edits(path, [(scale // 2, -1), (2 * scale, 0)]))
    assert float(clip.timing.origin_pts * clip.timing.time_base) == pytest.approx(0.5)
    assert numbers(iter_frames(clip)) == list(range(50))
    assert clip.duration_s == pytest.approx(2.0)


@pytest.mark.parametrize("first", [6, 9])
def test_edit_list_hides_the_first_pictures(tmp_path, first):
    """The first shown picture may be in the middle of a group: the ones before are decoded and not shown."""
    path = make_video(tmp_path / "a.mp4", STEADY, options={"bf": "0"})
    scale = movie_timescale(path)
    ticks = _media_ticks(path)
    with_edits(path, [(int(scale * (2.0 - 0.04 * first)), round(0.04 * first * ticks))])
    clip = open_clip(path)
    frames = list(iter_frames(clip))
    assert numbers(frames) == list(range(first, 50))
    assert frames[0].time_s == 0
    assert clip.duration_s == pytest.approx(2.0 - 0.04 * first, abs=1e-3)
    assert numbers(iter_frames(clip, rate=25)) == list(range(first, 50))
    part = open_clip(path, 0.4, 0.4)
    assert numbers(iter_frames(part)) == list(range(first + 10, first + 20))


def test_edit_list_cuts_the_end(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY, options={"bf": "0"})
    clip = open_clip(with_edits(path, [(movie_timescale(path), 0)]))
    assert numbers(iter_frames(clip, rate=25)) == list(range(25))
    assert clip.duration_s == pytest.approx(1.0, abs=0.041)


def _media_ticks(path) -> int:
    with av.open(str(path)) as container:
        return int(1 / container.streams.video[0].time_base)


def corners(image: np.ndarray) -> str:
    """The colour letters of the corners: upper left, upper right, lower left, lower right."""
    height, width = image.shape[:2]
    spots = [(h, w) for h in (height // 5, height - height // 5) for w in (width // 5, width - width // 5)]
    return "".join("rgb"[int(np.argmax(image[spot]))] if image[spot].min() < 90 else "w" for spot in spots)


def cornered_picture() -> np.ndarray:
    """Red, green, blue and white corners, 64 wide and 48 high."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32, 0] = image[:24, 32:, 1] = image[24:, :32, 2] = 220
    image[24:, 32:] = 220
    return image


@pytest.mark.parametrize(
    ("matrix", "shown", "size"),
    [
        ((1, 0, 0, 1), "rgbw", (64, 48)),
        ((0, 1, -1, 0), "brwg", (48, 64)),  # a quarter turn clockwise, as phones held upright write it
        ((-1, 0, 0, -1), "wbgr", (64, 48)),
        ((0, -1, 1, 0), "gwrb", (48, 64)),
        ((-1, 0, 0, 1), "grwb", (64, 48)),  # mirrored
        ((1, 0, 0, -1), "bwrg", (64, 48)),
        ((0, 1, 1, 0), "rbgw", (48, 64)),  # transposed
    ],
)
def test_display_matrix_turns_the_picture(tmp_path, matrix, shown, size):
    path = make_video(tmp_path / "a.mp4", STEADY[:5], pictures=[cornered_picture()] * 5, last_ticks=40)
    clip = open_clip(with_matrix(path, matrix))
    assert (clip.width, clip.height) == size
    frame = next(iter(iter_frames(clip)))
    assert frame.image.shape == (size[1], size[0], 3)
    assert corners(frame.image) == shown
    small = next(iter(iter_frames(clip, long_side=32)))
    assert small.image.shape == (size[1] // 2, size[0] // 2, 3)
    assert corners(small.image) == shown
    assert next(iter(iter_frames(clip, gray=True))).image.shape == (size[1], size[0])


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le", "gray", "yuv422p"])
def test_odd_sizes_and_deep_pixels(tmp_path, pixel_format):
    size = (65, 49) if pixel_format in ("yuv444p", "gray") else (66, 50)
    path = make_video(tmp_path / "a.mkv", STEADY[:5], codec="ffv1", pixel_format=pixel_format, size=size)
    clip = open_clip(path)
    frames = list(iter_frames(clip))
    assert frames[0].image.shape == (size[1], size[0], 3)
    assert frames[0].image.dtype == np.uint8
    assert numbers(frames) == list(range(5))
    expected = numbered_picture(3, *size)
    assert np.abs(frames[3].image.astype(int) - expected).mean() < 3
    gray = list(iter_frames(clip, gray=True, long_side=33))
    assert gray[0].image.shape == (round(size[1] * 33 / size[0]), 33)
    assert numbers(gray) == list(range(5))


KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize(
    ("matrix", "height", "full_range", "tagged"),
    [
        *((matrix, 48, full_range, True) for matrix in KR_KB for full_range in (False, True)),
        (5, 48, False, False),
        (1, 720, False, False),
    ],
)
def test_colours_follow_matrix_and_range(tmp_path, matrix, height, full_range, tagged):
    """Against the equations of ITU-T H.273; untagged means BT.601, from 720 lines on BT.709, in limited range."""
    rgb = np.array([200, 60, 30])
    kr, kb = KR_KB[matrix]
    red, green, blue = rgb / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = np.array([(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))])
    yuv = [255 * luma, *(128 + 255 * chroma)] if full_range else [16 + 219 * luma, *(128 + 224 * chroma)]
    coded = np.stack([np.full((height, 64), round(value), np.uint8) for value in yuv])
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
        for k in range(4):
            frame = av.VideoFrame.from_ndarray(coded, format="yuv444p")
            frame.pts = k
            if tagged:
                frame.colorspace = stream.codec_context.colorspace = matrix
                frame.color_range = stream.codec_context.color_range = 2 if full_range else 1
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    clip = open_clip(path)
    assert np.abs(next(iter(iter_frames(clip))).image.astype(int) - rgb).max() <= 3
    gray = next(iter(iter_frames(clip, gray=True))).image
    assert abs(int(gray[0, 0]) - 98) <= 12  # luma, whichever matrix weighs it


@pytest.mark.parametrize("gray", [False, True])
def test_transparency_is_composited_on_black(tmp_path, gray):
    image = np.full((48, 64, 4), 200, np.uint8)
    image[:, :32, 3] = 0
    image[:, 32:, 3] = 128
    clip = open_clip(
        make_video(tmp_path / "a.mkv", STEADY[:4], codec="ffv1", pixel_format="bgra", pictures=[image] * 4)
    )
    shown = next(iter(iter_frames(clip, gray=gray))).image
    assert shown.shape == ((48, 64) if gray else (48, 64, 3))
    assert np.all(shown[:, :32] == 0)
    assert np.all(np.abs(shown[:, 32:].astype(int) - 100) <= 1)


def test_wide_pixels_are_shown_square(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for k in range(5):
            frame = av.VideoFrame.from_ndarray(numbered_picture(k), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    clip = open_clip(path)
    assert (clip.width, clip.height) == (85, 48)
    assert next(iter(iter_frames(clip))).image.shape == (48, 85, 3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("start_s", [0.0, 0.41, 1.0, 1.7])
def test_trim_shows_what_the_whole_clip_shows(tmp_path, suffix, start_s):
    path = make_video(tmp_path / f"a.{suffix}", STEADY, options={"bf": "2"})
    clip = open_clip(path, start_s, 0.25)
    assert clip.duration_s == pytest.approx(0.25)
    assert clip.start_s == start_s
    assert clip.trimmed
    frames = list(iter_frames(clip))
    first = int(start_s / 0.04 + 1e-6)
    last = int((start_s + 0.25 - 1e-6) / 0.04)
    assert numbers(frames) == list(range(first, last + 1))
    expected = [0.0, *(0.04 * k - start_s for k in range(first + 1, last + 1))]
    assert [frame.time_s for frame in frames] == pytest.approx(expected, abs=1e-6)
    sampled = list(iter_frames(clip, rate=50))
    stamps = [0.04 * k for k in range(50)]
    assert numbers(sampled) == [shown_at(stamps, start_s + k / 50 + 1e-9) for k in range(13)]


def test_trim_seeks_instead_of_decoding_everything(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", [40 * k for k in range(200)])
    clip = open_clip(path, 7.0, 0.4)
    decoded = []
    real = media.decode
    monkeypatch.setattr(media, "decode", lambda *given: (decoded.append(frame) or frame for frame in real(*given)))
    assert numbers(iter_frames(clip)) == list(range(175, 185))
    assert len(decoded) < 40


def test_pictures_are_never_held(tmp_path):
    size = (320, 240)
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    ticks = [40 * k for k in range(120)]
    clip = open_clip(make_video(tmp_path / "a.mp4", ticks, size=size, pictures=[picture] * 120))
    tracemalloc.start()
    count = sum(1 for _ in iter_frames(clip))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 120
    assert peak < 8 * picture.nbytes


def test_source_may_be_path_bytes_or_open_file(tmp_path):
    path = make_video(tmp_path / "take:1 ünï %03d.mp4", STEADY[:10])
    stream = io.BytesIO(path.read_bytes())
    stream.seek(5)  # ComfyUI hands streams over wherever their cursor stands
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), stream, file):
            assert numbers(iter_frames(open_clip(source))) == list(range(10))
    assert open_clip(path).name == path.name


def test_frames_rates_and_pictures_of_a_tensor():
    pictures = np.stack([numbered_picture(k) for k in range(20)])
    for frames in (pictures, pictures.astype(np.float32) / 255, np.float64(pictures) / 255):
        clip = clip_from_frames(frames, 10.0)
        assert (clip.width, clip.height, clip.duration_s, clip.frame_rate) == (64, 48, 2.0, 10.0)
        shown = list(iter_frames(clip))
        assert [frame.time_s for frame in shown] == [k / 10 for k in range(20)]
        assert np.array_equal(np.stack([frame.image for frame in shown]), pictures)
        assert numbers(iter_frames(clip, rate=15)) == [int(k / 1.5 + 1e-9) for k in range(30)]
        assert next(iter(iter_frames(clip, long_side=32, gray=True))).image.shape == (24, 32)


def test_tensor_values_outside_the_range_are_clipped():
    frames = np.full((5, 8, 8, 3), 1.5, np.float32)
    frames[:, :4] = -0.5
    frames[:, 4, 4] = np.nan
    image = next(iter(iter_frames(clip_from_frames(frames, 5)))).image
    assert set(np.unique(image)) == {0, 255}


def one_sentence(error: pytest.ExceptionInfo, *words: str) -> None:
    """The message is one sentence with the words in it."""
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert text.count(". ") == 0
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"hello, this is no video\n" * 50, ["not a video file"]),
        (bytes(range(256)) * 40, ["not a video file"]),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(4000), ["index"]),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "txt", "mkv"])
def test_what_is_no_video_is_said_so(tmp_path, content, words, suffix):
    path = tmp_path / f"thing.{suffix}"
    path.write_bytes(content)
    with pytest.raises(MediaError) as error:
        open_clip(path)
    one_sentence(error, "thing.", *words)
    with pytest.raises(MediaError) as error:
        open_clip(io.BytesIO(content))
    one_sentence(error)


def test_missing_and_folder(tmp_path):
    with pytest.raises(MediaError) as error:
        open_clip(tmp_path / "none.mp4")
    one_sentence(error, "none.mp4", "does not exist")
    with pytest.raises(MediaError) as error:
        open_clip(tmp_path)
    one_sentence(error, "folder")
    with pytest.raises(MediaError) as error:
        open_clip(3)  # type: ignore[arg-type]
    one_sentence(error, "int")


def test_sound_without_picture_and_cover_images(tmp_path):
    from tests.video_files import make_sound_file

    path = make_sound_file(tmp_path / "song.mp4", clicks([0.5], 1.0))
    with pytest.raises(MediaError) as error:
        open_clip(path)
    one_sentence(error, "song.mp4", "sound but no picture")


def test_too_short(tmp_path):
    for count, last in ((1, 2000), (2, 20)):
        path = make_video(tmp_path / f"{count}.mp4", STEADY[:count], last_ticks=last)
        with pytest.raises(MediaError) as error:
            open_clip(path)
        one_sentence(error, f"{count}.mp4", "too short")
    with pytest.raises(MediaError, match="too short"):
        clip_from_frames(np.zeros((1, 8, 8, 3)), 1.0)
    with pytest.raises(MediaError, match="too short"):
        clip_from_frames(np.zeros((5, 8, 8, 3)), 100.0)


def test_a_picture_file_is_too_short(tmp_path):
    from PIL import Image

    Image.fromarray(numbered_picture(1)).save(tmp_path / "still.png")
    with pytest.raises(MediaError) as error:
        open_clip(tmp_path / "still.png")
    one_sentence(error, "still.png")


@pytest.mark.parametrize(
    ("start_s", "duration_s"),
    [(-0.1, None), (2.0, None), (5, 1), (0, 0), (0, -1), (0, 2.2), (1.5, 0.7), (1.95, None), (0, 0.05),
     (float("nan"), None), (0, float("inf"))],
)  # fmt: skip
def test_trims_outside_the_file(tmp_path, start_s, duration_s):
    path = make_video(tmp_path / "a.mp4", STEADY)
    with pytest.raises(MediaError) as error:
        open_clip(path, start_s, duration_s)
    one_sentence(error, "a.mp4")


def test_a_trim_may_pass_the_end_by_less_than_a_picture(tmp_path):
    assert open_clip(make_video(tmp_path / "a.mp4", STEADY), 1.0, 1.03).duration_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("frames", "rate"),
    [
        (np.zeros((5, 8, 8)), 5),
        (np.zeros((5, 8, 8, 2)), 5),
        (np.zeros((5, 0, 8, 3)), 5),
        (np.zeros((5, 8, 8, 3), np.int32), 5),
        (np.zeros((5, 8, 8, 3)), 0),
        (np.zeros((5, 8, 8, 3)), float("nan")),
    ],
)
def test_impossible_frames(frames, rate):
    with pytest.raises(MediaError) as error:
        clip_from_frames(frames, rate)
    one_sentence(error)


@pytest.mark.parametrize("asked", [{"rate": 0}, {"rate": -1}, {"rate": float("inf")}, {"long_side": 0}])
def test_impossible_sampling(asked):
    clip = clip_from_frames(np.zeros((5, 8, 8, 3)), 5)
    with pytest.raises(MediaError) as error:
        list(iter_frames(clip, **asked))
    one_sentence(error)


@pytest.mark.parametrize(("suffix", "options"), [("mkv", {}), ("ts", {}), ("mp4", {"movflags": "faststart"})])
def test_truncated_files_give_what_is_there(tmp_path, suffix, options):
    rng = np.random.default_rng(0)
    pictures = [np.maximum(numbered_picture(k), rng.integers(0, 90, (48, 64, 3), dtype=np.uint8)) for k in range(50)]
    path = make_video(tmp_path / f"a.{suffix}", STEADY, pictures=pictures, container_options=options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    clip = open_clip(path)
    got = numbers(iter_frames(clip))
    assert 15 < len(got) < 45
    assert got[:-1] == list(range(len(got) - 1))  # the last may be half a picture, concealed by the decoder
    sampled = list(iter_frames(clip, rate=25))
    assert len(sampled) == np.ceil(clip.duration_s * 25 - 1e-3)


def test_truncated_before_the_index_says_so(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError) as error:
        open_clip(path)
    one_sentence(error, "a.mp4", "cut off")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "webm", "avi"])
def test_damaged_files_only_ever_raise_media_errors(tmp_path, suffix):
    codec, audio_codec = {"webm": ("libvpx", "libopus"), "avi": ("mjpeg", "pcm_s16le")}.get(suffix, ("libx264", "aac"))
    need_encoder(codec)
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(
        tmp_path / f"a.{suffix}",
        list(range(12)) if suffix == "avi" else STEADY[:12],
        tick=Fraction(1, 25) if suffix == "avi" else Fraction(1, 1000),
        last_ticks=1 if suffix == "avi" else 40,
        codec=codec,
        pixel_format=pixel_format,
        audio=clicks([0.1], 0.4),
        audio_codec=audio_codec,
    )
    whole = path.read_bytes()
    outcomes = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, len(data) if seed % 2 else min(len(data), 1500), rng.integers(1, 30))
        data[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
        try:
            clip = open_clip(data.tobytes())
            for index, _ in enumerate(iter_frames(clip, rate=10, long_side=32)):
                if index > 20:
                    break
            read_audio(clip)
            outcomes.add("read")
        except MediaError as error:
            outcomes.add("refused: " + str(error))
    assert "read" in outcomes
    assert all("\n" not in outcome for outcome in outcomes)


@pytest.mark.skipif(not shared_media(), reason="no real clips beside the repository (PAVAS_SHARED)")
@pytest.mark.parametrize("path", shared_media(), ids=lambda path: path.name)
def test_real_clips(path):
    clip = open_clip(path)
    times = [frame.time_s for frame in iter_frames(clip, long_side=64, gray=True)]
    assert times[0] == 0
    assert np.all(np.diff(times) > 0)
    assert times[-1] < clip.duration_s
    assert len(times) == clip.frame_count
    sampled = list(iter_frames(clip, rate=12, long_side=64))
    assert len(sampled) == np.ceil(clip.duration_s * 12 - 1e-3)
    middle = open_clip(path, clip.duration_s / 2, 0.3)
    whole = {round(frame.time_s, 4): frame.image for frame in iter_frames(clip, long_side=64)}
    part = list(iter_frames(middle, long_side=64))[1:]
    assert part
    for frame in part:
        assert np.array_equal(frame.image, whole[round(frame.time_s + middle.start_s, 4)])
