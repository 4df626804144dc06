"""Opening media files: one place that knows FFmpeg's errors, streams and time stamps.

Every failure leaves as one :class:`~pavas_core.errors.MediaError` sentence.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from pavas_core.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

log = logging.getLogger("pavas")

# Frame threads each keep a decoded picture; more than this costs memory and gains little.
MAX_DECODER_THREADS = 8
# Demuxers that FFmpeg picks for text by file name only, and would draw as a picture.
TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
AVDISCARD_ALL, AV_DISPOSITION_ATTACHED_PIC = 48, 0x400
# What a broken file makes PyAV raise besides its own errors.
DATA_ERRORS = (ValueError, OverflowError, EOFError, IndexError, OSError, ArithmeticError, TypeError)


@dataclass(frozen=True)
class VideoTiming:
    """What the stamps of a video stream say, from one pass over its packets without decoding.

    ``origin_pts`` is the stamp of the first shown picture and ``end_pts`` the end of the last one, both in units of
    ``time_base`` seconds. ``regular_period`` is set, in the same units, when the file has no usable stamps and
    pictures are taken to follow each other at the stream's nominal rate. ``hidden`` says where pictures lie that an
    edit list keeps from view: only before the first shown one, or elsewhere. ``last_ticks`` is how long the last
    picture is shown. ``decoding_stamps`` holds orderly ones for every packet, int64 [packets] in file order, where the
    file's own are missing or disorderly.
    """

    time_base: Fraction
    origin_pts: int
    end_pts: int
    shown_count: int
    frame_rate: float
    regular_period: Fraction | None
    last_ticks: int = 0
    hidden: Literal["none", "leading", "inside"] = "none"
    decoding_stamps: np.ndarray | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from the first shown picture to the end of the last."""
        return float((self.end_pts - self.origin_pts) * self.time_base)


def av_errors() -> tuple[type[BaseException], ...]:
    """Everything FFmpeg and PyAV raise for bad data."""
    import av

    return (av.FFmpegError, *DATA_ERRORS)


@contextmanager
def open_container(source: str | bytes, name: str) -> Iterator[InputContainer]:
    """Open ``source`` (a path, or the bytes of a file) for reading.

    Raises MediaError where the file is absent, empty, unreadable or not a media file.
    """
    import av

    try:
        if isinstance(source, bytes):
            if not source:
                raise MediaError(f"{name} is empty (0 bytes), copy or export the video again.")
            # gif, ogg and others seek while probing, so a real file object is needed
            container = av.open(io.BytesIO(source), mode="r", metadata_errors="replace")
        else:
            check_readable(source, name)
            # "file:" keeps FFmpeg from reading a name such as "take:1.mp4" as a network protocol
            container = av.open("file:" + source, mode="r", metadata_errors="replace")
    except MediaError:
        raise
    except av_errors() as error:
        raise MediaError(not_media_sentence(source, name)) from error
    with container:
        if container.format.name in TEXT_FORMATS:
            raise MediaError(not_media_sentence(source, name))
        yield container


def check_readable(path: str, name: str) -> None:
    """Raise MediaError where ``path`` is not a readable file with something in it."""
    if os.path.isdir(path):
        raise MediaError(f"{name} is a folder, give the path of one video file.")
    if not os.path.isfile(path):
        raise MediaError(f"{name} does not exist at {path}, check the path.")
    if os.path.getsize(path) == 0:
        raise MediaError(f"{name} is empty (0 bytes), copy or export the video again.")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{name} may not be read by this user, change its permissions.")


def not_media_sentence(source: str | bytes, name: str) -> str:
    """Say why FFmpeg could not open ``source``."""
    head = source[:12] if isinstance(source, bytes) else _head(source)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return (
            f"{name} has no usable index: the recording, download or copy was probably cut off, "
            "fetch it again or repair it with a video tool."
        )
    return f"{name} is not a video file FFmpeg can read, give an mp4, mov, mkv, webm or similar."


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(12)
    except OSError:
        return b""


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream a player would show: the first that is a moving picture, not a cover image."""
    import av

    for stream in container.streams.video:
        if not stream.disposition.value & AV_DISPOSITION_ATTACHED_PIC:
            break
    else:
        if container.streams.audio:
            raise MediaError(f"{name} holds sound but no picture, give a video file.")
        raise MediaError(f"{name} holds no video stream, give a video file.")
    if stream.codec_context is None or stream.time_base is None:
        raise MediaError(f"{name} uses a video codec this FFmpeg cannot decode, convert it to H.264.")
    # PyAV moved the enumeration between versions; the name is stable
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(os.cpu_count() or 1, MAX_DECODER_THREADS)
    assert isinstance(stream, av.VideoStream)
    return stream


def packets(container: InputContainer, stream: Any, name: str) -> Iterator[Packet]:
    """Packets of ``stream`` to the end of the file, or to where the file breaks off, and the final empty one."""
    other: Any
    for other in container.streams:
        if other is not stream and hasattr(other, "discard"):
            other.discard = AVDISCARD_ALL  # lets the demuxer skip what nobody reads
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            return
        except av_errors() as error:
            log.warning("%s breaks off early (%s); what is there is used.", name, error)
            return
        yield packet


def decode(container: InputContainer, stream: Any, name: str) -> Iterator[Any]:
    """Frames of ``stream`` in decoder order; packets that cannot be decoded are skipped and counted in the log."""
    broken = 0
    flushed = False
    for packet in packets(container, stream, name):
        flushed = flushed or packet.size == 0
        try:
            frames = packet.decode()
        except av_errors():
            broken += 1
            continue
        yield from frames
    if not flushed:
        try:
            yield from stream.codec_context.decode(None)
        except av_errors():
            broken += 1
    if broken:
        log.warning("%s: %d damaged packets of the %s stream were skipped.", name, broken, stream.type)


def read_timing(container: InputContainer, stream: VideoStream, name: str) -> VideoTiming:
    """Read all stamps of ``stream``; leaves the container at its end.

    Pictures that an edit list hides (FFmpeg marks their packets as discarded) do not count.
    Raises MediaError where there are no pictures at all.
    """
    import numpy as np

    time_base = Fraction(stream.time_base or Fraction(1, 90_000))
    stamps: list[int] = []
    hidden: list[int | None] = []
    every_pts: list[int] = []
    orderly, last_dts = True, None
    count = missing = 0
    last, last_ticks = None, 0
    for packet in packets(container, stream, name):
        if packet.size == 0:
            continue
        every_pts.append(packet.pts or 0)
        dts, pts = packet.dts, packet.pts
        orderly = orderly and dts is not None and (last_dts is None or dts > last_dts) and (pts is None or pts >= dts)
        last_dts = dts
        if packet.is_discard:
            hidden.append(packet.pts)
            continue
        count += 1
        if packet.pts is None:
            missing += 1
            continue
        stamps.append(packet.pts)
        if last is None or packet.pts >= last:
            last, last_ticks = packet.pts, packet.duration or 0
    if count == 0:
        raise MediaError(f"{name} holds no pictures, export the video again.")
    nominal = stream.average_rate or stream.guessed_rate or Fraction(25)
    # AVI numbers pictures as they are decoded, which says nothing once B-frames change their order
    unordered = container.format.name == "avi" and stream.codec_context.has_b_frames
    if missing or unordered or not stamps:
        period = 1 / (Fraction(nominal) * time_base)
        return VideoTiming(time_base, 0, round(count * period), count, float(nominal), period)
    times = np.unique(np.array(stamps, np.int64))
    if last_ticks <= 0:
        last_ticks = int(np.median(np.diff(times))) if times.size > 1 else 0
    origin, end = int(times[0]), int(times[-1]) + last_ticks
    span = float((end - origin) * time_base)
    rate = times.size / span if span > 0 else 0.0
    if rate and abs(float(nominal) / rate - 1) < 1e-3:
        rate = float(nominal)  # the container's own fraction is free of stamp rounding
    where: Literal["none", "leading", "inside"] = "none"
    if hidden:
        where = "leading" if all(pts is not None and pts < origin for pts in hidden) else "inside"
    rebuilt = None if orderly else _decoding_stamps(np.array(every_pts, np.int64))
    return VideoTiming(time_base, origin, end, int(times.size), rate, None, last_ticks, where, rebuilt)


def _decoding_stamps(pts: np.ndarray) -> np.ndarray:
    """Strictly rising decoding stamps, none after its picture is shown, for packets with ``pts`` in file order.

    The k-th packet is decoded when the (k - d)-th picture is shown, with the least delay d that leaves every packet
    in time; equal stamps are spread backwards by single ticks.
    """
    import numpy as np

    shown = np.sort(pts)
    place = np.searchsorted(shown, pts, side="right") - 1  # the last picture shown no later than each packet's own
    delay = max(0, int(np.max(np.arange(pts.size) - place)))
    dts = np.concatenate([shown[0] - np.arange(delay, 0, -1), shown[: pts.size - delay]])
    # dts[k] <= dts[k + 1] - 1 for all k, by a running minimum from the end
    ticks = np.arange(pts.size)
    return np.minimum.accumulate((dts - ticks)[::-1])[::-1] + ticks
