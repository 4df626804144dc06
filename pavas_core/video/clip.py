"""A clip: where its pictures and sound are, and how to read them by time.

Time zero is the first picture a player would show, or the start of the trim. A clip never holds its pictures
(unless it was made from frames), so its size in memory does not grow with its length.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import MediaError
from pavas_core.video import container as media
from pavas_core.video import soundtrack
from pavas_core.video.picture import Orientation, PictureMaker, fit_long_side, orientation_of, over_black, shown_size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger("pavas")

MIN_FRAMES = 2
MIN_DURATION_S = 0.1
# Longer than this with rarer pictures is a broken stamp, which sampling would follow for ever.
SANE_DURATION_S, SANE_FRAME_RATE = 600.0, 1 / 30
# Stamps of damaged files may go back; this many frames are held to put them in order.
REORDER_DEPTH = 4
# A stamp cannot be trusted to better than half the container's tick, nor need it be beyond this.
MAX_STAMP_SLACK_S = 0.0005
# How far before a seek that landed late the next try goes; then the file is read from its start.
SEEK_BACK_OFF_S = (0.0, 1.0, 10.0)


@dataclass(frozen=True)
class Frame:
    """One picture: ``time_s`` seconds from the clip's start, ``image`` uint8 [H, W, 3] RGB or [H, W] when gray.

    The same array may be given for several times, so it must not be written to.
    """

    time_s: float
    image: np.ndarray


@dataclass(frozen=True, eq=False)
class Clip:
    """A video, or a part of one.

    ``width`` and ``height`` are as displayed: upright, in square pixels. ``start_s`` is where the clip begins in the
    file, counted from the file's first shown picture, and ``duration_s`` how long it is; the last picture's own
    duration is included. ``frame_rate`` is the average in pictures per second. ``source`` is the path or the bytes
    of the file, None where the clip was made from frames.
    """

    name: str
    width: int
    height: int
    duration_s: float
    frame_rate: float
    frame_count: int
    start_s: float
    has_audio: bool
    trimmed: bool
    source: str | bytes | None = field(repr=False)
    timing: media.VideoTiming | None = field(default=None, repr=False)
    orientation: Orientation = field(default_factory=Orientation, repr=False)
    frames: np.ndarray | None = field(default=None, repr=False)
    audio: Audio | None = field(default=None, repr=False)

    @property
    def stamp_slack_s(self) -> float:
        """How much two times may differ, in seconds, and still mean the same stamp."""
        if self.timing is None:
            return 1e-6
        return max(1e-6, min(MAX_STAMP_SLACK_S, float(self.timing.time_base) / 2))


def open_clip(source: str | Path | bytes | BinaryIO, start_s: float = 0.0, duration_s: float | None = None) -> Clip:
    """Look at a video file and return the clip from ``start_s`` on, ``duration_s`` long (None: to its end).

    Reads the stamps of the whole file, decodes one picture and holds nothing. Edit lists, rotation and pixel aspect
    are applied as a player does. Raises MediaError where the file is missing, empty, no video, damaged beyond use,
    shorter than two pictures or 0.1 s, or where the trim does not lie within it.
    """
    origin, name = _resolve(source)
    with media.open_container(origin, name) as container:
        stream = media.video_stream(container, name)
        timing = media.read_timing(container, stream, name)
    with media.open_container(origin, name) as container:
        stream = media.video_stream(container, name)
        first = next(media.decode(container, stream, name), None)
        if first is None:
            raise MediaError(
                f"{name} holds no picture that can be decoded ({stream.codec_context.name}), "
                "fetch the file again or convert it to H.264."
            )
        orientation = orientation_of(first)
        width, height = shown_size(first, orientation, stream.sample_aspect_ratio)
        has_audio = bool(container.streams.audio)
    if timing.shown_count < MIN_FRAMES or timing.duration_s < MIN_DURATION_S:
        raise MediaError(
            f"{name} is too short ({timing.shown_count} frames, {timing.duration_s:.3f} s), "
            f"give at least {MIN_FRAMES} frames and {MIN_DURATION_S} s."
        )
    whole_s = timing.duration_s
    if whole_s > SANE_DURATION_S and timing.frame_rate < SANE_FRAME_RATE:
        raise MediaError(
            f"{name} has damaged time stamps ({timing.shown_count} frames over {whole_s:.0f} s), "
            "repair it with a video tool or cut the part you need."
        )
    start_s, duration_s = _check_trim(name, start_s, duration_s, whole_s, 1 / timing.frame_rate)
    trimmed = start_s > 0 or duration_s < whole_s
    return Clip(
        name=name,
        width=width,
        height=height,
        duration_s=duration_s,
        frame_rate=timing.frame_rate,
        frame_count=max(1, round(timing.shown_count * duration_s / whole_s)),
        start_s=start_s,
        has_audio=has_audio,
        trimmed=trimmed,
        source=origin,
        timing=timing,
        orientation=orientation,
    )


def _resolve(source: str | Path | bytes | BinaryIO) -> tuple[str | bytes, str]:
    """(path or bytes, name for messages)."""
    if isinstance(source, (str, Path)):
        return str(Path(source).expanduser().absolute()), Path(source).name or str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "the video"
    if hasattr(source, "getvalue"):
        return source.getvalue(), "the video"  # whole, wherever its cursor stands; BytesIO shares its memory
    if hasattr(source, "read"):
        return source.read(), Path(str(getattr(source, "name", "the video"))).name
    raise MediaError(f"A video must be a path, bytes or an open file, not {type(source).__name__}.")


def _check_trim(
    name: str, start_s: float, duration_s: float | None, whole_s: float, period_s: float
) -> tuple[float, float]:
    """The trim as (start, duration) within the file, or MediaError. One picture too many at the end is forgiven."""
    if not (math.isfinite(start_s) and 0 <= start_s < whole_s):
        raise MediaError(
            f"{name} lasts {whole_s:.3f} s, so it cannot start at {start_s:g} s: choose 0 or a time within."
        )
    left_s = whole_s - start_s
    if duration_s is None:
        duration_s = left_s
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise MediaError(f"{name} cannot be cut to {duration_s:g} s, give a duration above 0 or none for all of it.")
    if duration_s > left_s + period_s:
        raise MediaError(
            f"{name} has {left_s:.3f} s from {start_s:g} s on, less than the {duration_s:g} s asked for: "
            "give a shorter duration or none for all of it."
        )
    duration_s = min(duration_s, left_s)
    if duration_s < MIN_DURATION_S:
        raise MediaError(
            f"{name} would be too short with {duration_s:.3f} s from {start_s:g} s on, "
            f"leave at least {MIN_DURATION_S} s."
        )
    return start_s, duration_s


def clip_from_frames(frames: np.ndarray, frame_rate: float, audio: Audio | None = None) -> Clip:
    """A clip of pictures already in memory, with an optional soundtrack that starts with them.

    ``frames`` is uint8 0..255 or float 0..1, [N, H, W, 3] (a fourth channel is alpha and is composited on black);
    it is kept as it is and converted picture by picture. Raises MediaError for other shapes, fewer than two pictures,
    less than 0.1 s or an impossible rate.
    """
    frames = np.asarray(frames)
    name = "the clip made from frames"
    if frames.ndim != 4 or frames.shape[-1] not in (3, 4) or 0 in frames.shape[1:3]:
        raise MediaError(f"Frames must have the shape [N, height, width, 3], not {list(frames.shape)}.")
    if frames.dtype != np.uint8 and not np.issubdtype(frames.dtype, np.floating):
        raise MediaError(f"Frames must be uint8 0..255 or float 0..1, not {frames.dtype}.")
    if not (math.isfinite(frame_rate) and frame_rate > 0):
        raise MediaError(f"A frame rate of {frame_rate:g} is impossible, give pictures per second above 0.")
    count, height, width = frames.shape[:3]
    duration_s = count / frame_rate
    if count < MIN_FRAMES or duration_s < MIN_DURATION_S - 1e-9:
        raise MediaError(
            f"{name} is too short ({count} frames, {duration_s:.3f} s), "
            f"give at least {MIN_FRAMES} frames and {MIN_DURATION_S} s."
        )
    return Clip(
        name=name,
        width=width,
        height=height,
        duration_s=duration_s,
        frame_rate=float(frame_rate),
        frame_count=count,
        start_s=0.0,
        has_audio=audio is not None,
        trimmed=False,
        source=None,
        frames=frames,
        audio=audio,
    )


def iter_frames(
    clip: Clip, *, rate: float | None = None, long_side: int | None = None, gray: bool = False
) -> Iterator[Frame]:
    """Pictures of ``clip`` in order of time, decoded as they are asked for.

    ``rate`` None gives every shown picture at its own time; otherwise the picture being shown at k / rate for every
    k / rate < duration. Times start at 0 and rise strictly. ``long_side`` scales down to that many pixels on the
    longer side. Raises MediaError where nothing can be decoded.
    """
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise MediaError(f"A sampling rate of {rate:g} is impossible, give pictures per second above 0.")
    if long_side is not None and long_side < 1:
        raise MediaError(f"A long side of {long_side} pixels is impossible, give 1 or more.")
    width, height = fit_long_side(clip.width, clip.height, long_side)
    picture: Callable[[Any], np.ndarray]
    stamped: Iterator[tuple[float, Any]]
    if clip.source is None:
        picture, stamped = _array_maker(clip, width, height, gray), _frames_in_memory(clip)
    else:
        picture, stamped = PictureMaker(width, height, clip.orientation, gray), _frames_of_file(clip)
    shown = _shown(clip, stamped)
    if rate is None:
        for time_s, frame in shown:
            yield Frame(time_s, picture(frame))
        return
    slack_s = clip.stamp_slack_s
    total = max(1, math.ceil((clip.duration_s - slack_s) * rate))
    index = 0
    current: Any = None
    for time_s, frame in shown:
        if current is not None and index < total and index / rate < time_s - slack_s:
            image = picture(current)
            while index < total and index / rate < time_s - slack_s:
                yield Frame(index / rate, image)
                index += 1
        current = frame
    image = picture(current)
    for last in range(index, total):
        yield Frame(last / rate, image)


def _shown(clip: Clip, stamped: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
    """Pictures shown within the clip with the time each appears; the first is the one being shown at time 0.

    Of pictures with one stamp the last counts, as it covers the others; one that comes later than the reordering can
    mend is dropped.
    """
    slack_s = clip.stamp_slack_s
    pending: tuple[float, Any] | None = None
    for time_s, frame in _in_order(stamped):
        if time_s >= clip.duration_s - slack_s:
            break
        if pending is None or time_s <= slack_s:
            pending = (0.0, frame)
        elif time_s > pending[0]:
            yield pending
            pending = (time_s, frame)
        elif time_s == pending[0]:
            pending = (time_s, frame)
    if pending is None:
        raise MediaError(
            f"{clip.name} holds no picture that can be decoded between {clip.start_s:g} s and "
            f"{clip.start_s + clip.duration_s:g} s, choose another part or fetch the file again."
        )
    yield pending


def _in_order(stamped: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
    """Sort by time within a short window, later ones behind earlier ones of the same time."""
    waiting: list[tuple[float, int, Any]] = []
    for order, (time_s, frame) in enumerate(stamped):
        heapq.heappush(waiting, (time_s, order, frame))
        if len(waiting) > REORDER_DEPTH:
            time_s, _, frame = heapq.heappop(waiting)
            yield time_s, frame
    while waiting:
        time_s, _, frame = heapq.heappop(waiting)
        yield time_s, frame


def _frames_of_file(clip: Clip) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded pictures with seconds from the clip's start, beginning at or before it."""
    assert clip.source is not None
    assert clip.timing is not None
    timing = clip.timing
    seekable = clip.start_s > 0 and timing.regular_period is None
    for back_off_s in SEEK_BACK_OFF_S if seekable else ():
        target = timing.origin_pts + math.floor((clip.start_s - back_off_s) / timing.time_base)
        if target <= timing.origin_pts:
            break
        with media.open_container(clip.source, clip.name) as container:
            stream = media.video_stream(container, clip.name)
            try:
                container.seek(target, stream=stream)
            except media.av_errors():
                break
            frames = _stamped(clip, media.decode(container, stream, clip.name))
            first = next(frames, None)
            if first is not None and first[0] <= clip.stamp_slack_s:
                yield first
                yield from frames
                return
    with media.open_container(clip.source, clip.name) as container:
        stream = media.video_stream(container, clip.name)
        yield from _stamped(clip, media.decode(container, stream, clip.name))


def _stamped(clip: Clip, frames: Iterator[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
    assert clip.timing is not None
    timing = clip.timing
    for index, frame in enumerate(frames):
        if timing.regular_period is not None:
            pts = Fraction(timing.regular_period * index)
        elif frame.pts is None:
            continue
        else:
            pts = Fraction(frame.pts - timing.origin_pts)
        yield float(pts * timing.time_base) - clip.start_s, frame


def _frames_in_memory(clip: Clip) -> Iterator[tuple[float, np.ndarray]]:
    assert clip.frames is not None
    for index in range(clip.frame_count):
        yield index / clip.frame_rate, clip.frames[index]


def _array_maker(clip: Clip, width: int, height: int, gray: bool) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one stored picture to the array asked for."""
    import av

    scale = None
    if gray or (width, height) != (clip.width, clip.height):
        scale = PictureMaker(width, height, Orientation(), gray)

    def make(picture: np.ndarray) -> np.ndarray:
        if picture.dtype != np.uint8:
            picture = np.rint(np.clip(np.nan_to_num(picture), 0.0, 1.0) * 255.0).astype(np.uint8)
        if picture.shape[-1] == 4:
            picture = over_black(picture)
        picture = np.ascontiguousarray(picture)
        return picture if scale is None else scale(av.VideoFrame.from_ndarray(picture, format="rgb24"))

    return make


def read_audio(clip: Clip) -> Audio | None:
    """The clip's own sound on its time axis, exactly as long as the clip, in the original channels and rate.

    Sound that starts late or ends early is padded with silence, sound before the first picture is cut. None where
    there is no audio stream or nothing in it can be decoded.
    """
    if not clip.has_audio:
        return None
    if clip.source is None:
        assert clip.audio is not None
        return soundtrack.fit_length(clip.audio, clip.duration_s)
    assert clip.timing is not None
    timing = clip.timing
    zero_s = timing.origin_pts * timing.time_base + Fraction(clip.start_s)
    return soundtrack.read_file_audio(clip.source, clip.name, zero_s, clip.duration_s)
