"""Saving a clip with a new soundtrack, copying the pictures wherever there is a stream to copy."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.audio import Audio, linear_gain
from pavas_core.errors import MediaError
from pavas_core.runtime import Runtime
from pavas_core.video import container as media
from pavas_core.video.atomic import DISK_ERRORS, replacing
from pavas_core.video.clip import Clip, Frame, iter_frames, open_clip, read_audio
from pavas_core.video.limiter import limit
from pavas_core.video.picture import RANGE_LIMITED, SPC_BT709, UNSPECIFIED
from pavas_core.video.soundtrack import check_audio, fit_length, match_channels, resample

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

log = logging.getLogger("pavas")

Draw = Callable[[np.ndarray, float], np.ndarray]
# Lossy codecs overshoot: this leaves them room.
CEILING_DB = -1.0
# Ticks a second of newly encoded pictures: every common frame rate is exact or within 6 microseconds.
ENCODE_TICKS = 90_000
X264_OPTIONS = {"crf": "18", "preset": "veryfast", "bf": "0"}
VP9_OPTIONS = {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
AUDIO_CHUNK = 4096
AUDIO_BITS_PER_CHANNEL = 128_000
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
# Keys that describe the old file's container, not its content.
CONTAINER_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})


@dataclass(frozen=True)
class SaveReport:
    """What was written: ``path``, by how many decibels the limiter held the sound down (0 = untouched), and whether
    the pictures are the source's own packets."""

    path: Path
    limited_db: float
    video_copied: bool = False


@dataclass(frozen=True)
class _Target:
    """How one kind of file is written."""

    format: str
    video_codec: str
    video_options: dict[str, str]
    audio_codec: str
    audio_format: str
    audio_rates: tuple[int, ...]
    options: dict[str, str]

    @property
    def has_edit_lists(self) -> bool:
        return self.format in ("mp4", "mov")


AAC_RATES = (48000, 44100, 96000, 88200, 64000, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
FLAC_RATES = (*AAC_RATES, 192000, 176400)
_MP4_OPTIONS = {"movflags": "use_metadata_tags+faststart"}
_MP4 = _Target("mp4", "libx264", X264_OPTIONS, "aac", "fltp", AAC_RATES, _MP4_OPTIONS)
# Matroska gets FLAC: how AAC priming is marked there changed between FFmpeg versions, FLAC has none.
TARGETS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": _Target("mov", "libx264", X264_OPTIONS, "aac", "fltp", AAC_RATES, _MP4_OPTIONS),
    ".mkv": _Target("matroska", "libx264", X264_OPTIONS, "flac", "s32", FLAC_RATES, {}),
    ".webm": _Target("webm", "libvpx-vp9", VP9_OPTIONS, "libopus", "flt", (48000,), {}),
}


def save_video(
    clip: Clip,
    audio: Audio,
    path: str | Path,
    *,
    original_gain_db: float | None = None,
    metadata: dict[str, str] | None = None,
    draw: Draw | None = None,
    runtime: Runtime | None = None,
) -> SaveReport:
    """Write ``clip`` with ``audio`` as its soundtrack to ``path`` (.mp4, .m4v, .mov, .mkv or .webm).

    The video packets of an untrimmed file are copied untouched, with their rotation, colour tags and relative stamps;
    pictures are encoded only for trims, clips made from frames, and codecs or edit lists the target cannot hold. The
    first shown picture is at time 0 of the new file and the sound is cut or padded to the video's length. The clip's
    own sound is replaced, or mixed under at ``original_gain_db``. Peaks over -1 dBFS are limited and reported.
    ``metadata`` is written as tags of the file, over those of the source. With ``draw`` every picture is what that
    makes of it and its time in seconds, and is encoded. The target appears whole or not at all.

    Raises MediaError where the target is the source itself, cannot be written or is of an unknown kind, and where the
    sound is not finite or has an impossible shape.
    """
    path = Path(path)
    runtime = runtime or Runtime()
    target = TARGETS.get(path.suffix.lower())
    if target is None:
        raise MediaError(f"{path.name} is not of a kind that can be written, end it in {', '.join(TARGETS)}.")
    refuse_source(clip, path)
    check_audio(audio)
    sound, limited_db = _soundtrack(clip, audio, original_gain_db, target)
    if limited_db:
        log.warning("The sound was too loud and its peaks were limited by up to %.1f dB.", limited_db)
    tags = {**_source_tags(clip), **(metadata or {})}
    with replacing(path) as temporary:

        def write(copy: bool) -> None:
            _run(_write(clip, sound, temporary, target, tags, copy, draw), path, clip.frame_count, runtime)

        copied = draw is None and _can_copy(clip, target)
        if copied:
            try:
                write(copy=True)
                open_clip(temporary)  # damaged packets can make a file that nothing opens
            except MediaError as error:
                if _disk_error(error.__cause__):
                    raise
                log.info("%s: the pictures cannot be copied (%s), encoding them.", clip.name, error.__cause__ or error)
                copied = False
        if not copied:
            write(copy=False)
    return SaveReport(path, limited_db, copied)


def _run(writing: Generator[int, None, None], path: Path, total: int, runtime: Runtime) -> None:
    """Write step by step, turning FFmpeg's errors into MediaError and letting the host's own interruption pass."""
    with closing(writing):
        while True:
            try:
                done = next(writing)
            except StopIteration:
                return
            except MediaError:
                raise
            except media.av_errors() as error:
                cure = "free some space" if _disk_error(error) else "try .mp4 or another name"
                reason = getattr(error, "strerror", None) or error
                raise MediaError(f"{path.name} could not be written ({reason}), {cure}.") from error
            runtime.step("save video", min(done, total), total)


def refuse_source(clip: Clip, path: Path) -> None:
    """Raise MediaError where ``path`` is the file ``clip`` is read from."""
    if isinstance(clip.source, str) and path.exists() and os.path.samefile(path, clip.source):
        raise MediaError(f"{path.name} is the video being read, choose another name to write to.")


def _disk_error(error: BaseException | None) -> bool:
    return getattr(error, "errno", None) in DISK_ERRORS


def _soundtrack(clip: Clip, audio: Audio, original_gain_db: float | None, target: _Target) -> tuple[Audio, float]:
    """The sound to encode: at a rate the codec takes, as long as the video, mixed and limited."""
    rate = audio.sample_rate if audio.sample_rate in target.audio_rates else 48_000
    sound = fit_length(resample(audio, rate), clip.duration_s)
    if original_gain_db is not None:
        gain = linear_gain(original_gain_db)
        original = read_audio(clip)
        if original is not None:
            channels = max(sound.waveform.shape[0], min(2, original.waveform.shape[0]))
            sound = match_channels(sound, channels)
            under = match_channels(fit_length(resample(original, rate), clip.duration_s), channels)
            sound = Audio(sound.waveform + np.float32(gain) * under.waveform, rate)
    return limit(sound, CEILING_DB)


def _source_tags(clip: Clip) -> dict[str, str]:
    if clip.source is None:
        return {}
    with media.open_container(clip.source, clip.name) as container:
        return {key: value for key, value in container.metadata.items() if key.lower() not in CONTAINER_KEYS}


def _can_copy(clip: Clip, target: _Target) -> bool:
    if clip.source is None or clip.trimmed or clip.timing is None or clip.timing.regular_period is not None:
        return False
    if clip.timing.hidden == "inside" or (clip.timing.hidden == "leading" and not target.has_edit_lists):
        return False
    import io

    import av

    with (
        media.open_container(clip.source, clip.name) as container,
        av.open(io.BytesIO(), "w", format=target.format) as trial,
    ):
        return media.video_stream(container, clip.name).codec_context.name in trial.supported_codecs


def _write(
    clip: Clip, sound: Audio, path: Path, target: _Target, tags: dict[str, str], copy: bool, draw: Draw | None
) -> Generator[int, None, None]:
    """Write the file, giving the number of pictures written after each."""
    import av

    with av.open(
        f"file:{path}", "w", format=target.format, container_options=target.options, metadata_errors="replace"
    ) as output:
        output.metadata.update(tags)
        pictures = _copied_packets(clip, output, target) if copy else _encoded_packets(clip, output, target, draw)
        next(pictures)  # adds its stream, so that the header is written with both
        stream: Any = output.add_stream(target.audio_codec, rate=sound.sample_rate)
        stream.layout = LAYOUTS[sound.waveform.shape[0]]
        stream.format = target.audio_format
        stream.bit_rate = AUDIO_BITS_PER_CHANNEL * sound.waveform.shape[0]
        samples = _encoded_sound(sound, stream)
        nothing: tuple[float, Any] = (math.inf, None)
        sound_s, waiting = next(samples, nothing)
        for done, (time_s, packet) in enumerate(pictures):
            while waiting is not None and sound_s <= time_s:
                output.mux(waiting)
                sound_s, waiting = next(samples, nothing)
            output.mux(packet)
            yield done + 1
        while waiting is not None:
            output.mux(waiting)
            sound_s, waiting = next(samples, nothing)


def _copied_packets(clip: Clip, output: OutputContainer, target: _Target) -> Iterator[Any]:
    """First None, once the stream is added; then (seconds, packet) of the source with stamps counted from time 0."""
    assert clip.source is not None
    assert clip.timing is not None
    with media.open_container(clip.source, clip.name) as container:
        stream: Any = media.video_stream(container, clip.name)
        copy: Any = output.add_stream_from_template(stream, opaque=True)
        copy.metadata.update({key: value for key, value in stream.metadata.items() if key in ("language", "title")})
        if target.has_edit_lists and "mp4" in container.format.name:
            copy.codec_context.codec_tag = stream.codec_context.codec_tag  # hvc1 must not turn into hev1
        yield None
        timing = clip.timing
        sent = (packet for packet in media.packets(container, stream, clip.name) if packet.size)
        for index, packet in enumerate(sent):
            dts = packet.dts if timing.decoding_stamps is None else int(timing.decoding_stamps[index])
            assert packet.pts is not None
            assert dts is not None
            packet.pts, packet.dts = packet.pts - timing.origin_pts, dts - timing.origin_pts
            packet.duration = packet.duration or timing.last_ticks
            packet.stream = copy
            yield float(packet.dts * timing.time_base), packet


def _encoded_packets(clip: Clip, output: OutputContainer, target: _Target, draw: Draw | None = None) -> Iterator[Any]:
    """First None, once the stream is added; then (seconds, packet) of the pictures encoded at their own times."""
    import av

    rate = Fraction(clip.frame_rate).limit_denominator(1001)
    stream: Any = output.add_stream(target.video_codec, rate=rate, options=target.video_options)
    stream.width, stream.height = clip.width + clip.width % 2, clip.height + clip.height % 2
    stream.pix_fmt = "yuv420p"
    tick = Fraction(1, ENCODE_TICKS)
    stream.codec_context.time_base = tick
    stream.codec_context.gop_size = max(1, round(2 * clip.frame_rate))
    stream.codec_context.colorspace, stream.codec_context.color_range = SPC_BT709, RANGE_LIMITED
    stream.codec_context.color_primaries, stream.codec_context.color_trc = _source_light(clip)
    yield None
    durations: dict[int, int] = {}

    def timed(packet: Packet) -> tuple[float, Packet]:
        packet.duration = durations.pop(packet.pts or 0, 0)
        return float((packet.dts or 0) * packet.time_base), packet

    for frame, next_s in _with_next_time(clip):
        image = frame.image if draw is None else draw(frame.image, frame.time_s)
        picture = av.VideoFrame.from_ndarray(_even(image), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        picture.pts, picture.time_base = round(frame.time_s * ENCODE_TICKS), tick
        durations[picture.pts] = round(next_s * ENCODE_TICKS) - picture.pts
        yield from map(timed, stream.encode(picture))
    yield from map(timed, stream.encode(None))


def _source_light(clip: Clip) -> tuple[int, int]:
    """(primaries, transfer) of the source, which decoding to RGB leaves as they are; BT.709 where it says nothing."""
    primaries = transfer = UNSPECIFIED
    if clip.source is not None:
        with media.open_container(clip.source, clip.name) as container:
            context = media.video_stream(container, clip.name).codec_context
            primaries, transfer = int(context.color_primaries), int(context.color_trc)
    known = [SPC_BT709 if tag in (0, UNSPECIFIED) else tag for tag in (primaries, transfer)]
    return known[0], known[1]


def _with_next_time(clip: Clip) -> Iterator[tuple[Frame, float]]:
    """Every picture with the time the next one appears, the clip's end for the last."""
    held: Frame | None = None
    for frame in iter_frames(clip):
        if held is not None:
            yield held, frame.time_s
        held = frame
    if held is not None:
        yield held, clip.duration_s


def _even(image: np.ndarray) -> np.ndarray:
    """Repeat the last column or row of an odd-sized picture, as 4:2:0 video has even sizes."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return image


def _encoded_sound(sound: Audio, stream: Any) -> Iterator[tuple[float, Packet]]:
    """(seconds, packet) of the encoded sound, whose first sample is at time 0."""
    import av

    layout = LAYOUTS[sound.waveform.shape[0]]
    for begin in range(0, sound.waveform.shape[1], AUDIO_CHUNK):
        chunk = np.ascontiguousarray(sound.waveform[:, begin : begin + AUDIO_CHUNK])
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.sample_rate, begin, Fraction(1, sound.sample_rate)
        for packet in stream.encode(frame):
            yield float((packet.pts or 0) * packet.time_base), packet
    for packet in stream.encode(None):
        yield float((packet.pts or 0) * packet.time_base), packet
