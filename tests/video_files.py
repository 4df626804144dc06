"""Small video files with known pictures, stamps and sound, for the video tests."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pavas_core.audio import Audio

BITS = 8
FORMATS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "ts": "mpegts", "avi": "avi", "nut": "nut"}


def numbered_picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """An RGB picture that says ``number`` in eight vertical bars, readable after compression and scaling."""
    image = np.zeros((height, width, 3), np.uint8)
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        image[:, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 20
    return image


def picture_number(image: np.ndarray) -> int:
    """The number :func:`numbered_picture` wrote."""
    gray = image if image.ndim == 2 else image.mean(axis=2)
    width = gray.shape[1]
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return sum(int(gray[:, x].mean() > 127) << bit for bit, x in enumerate(centres))


def numbers(frames: Iterable) -> list[int]:
    """The numbers of all ``frames``."""
    return [picture_number(frame.image) for frame in frames]


def clicks(times_s: Sequence[float], duration_s: float, sample_rate: int = 48_000, channels: int = 2) -> Audio:
    """Silence with a short loud pulse at each time."""
    waveform = np.zeros((channels, round(duration_s * sample_rate)), np.float32)
    for time_s in times_s:
        begin = round(time_s * sample_rate)
        waveform[:, begin : begin + 3] = np.array([0.5, -0.5, 0.25], np.float32)[: waveform.shape[1] - begin]
    return Audio(waveform, sample_rate)


def click_errors_s(
    waveform: np.ndarray, sample_rate: int, times_s: Sequence[float], zero_s: float = 0.0
) -> list[float]:
    """How far from each time, in seconds, the loudest sample within 60 ms lies; sample 0 is at ``zero_s``."""
    level = np.abs(waveform).max(axis=0)
    errors = []
    for time_s in times_s:
        begin = max(0, round((time_s - zero_s - 0.06) * sample_rate))
        window = level[begin : begin + round(0.12 * sample_rate)]
        assert window.max() > 0.1, f"no click near {time_s} s"
        errors.append((begin + int(window.argmax())) / sample_rate + zero_s - time_s)
    return errors


def make_video(
    path: Path,
    ticks: Sequence[int],
    *,
    tick: Fraction = Fraction(1, 1000),
    last_ticks: int = 40,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
    audio: Audio | None = None,
    audio_codec: str = "aac",
    audio_start_s: float = 0.0,
    pictures: Sequence[np.ndarray] | None = None,
    colour: dict[str, int] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write picture k (numbered k unless ``pictures`` are given) at ``ticks[k]``, and ``audio`` if given."""
    suffix = path.suffix[1:]
    default = {"libx264": {"g": "6", "crf": "18", "preset": "ultrafast"}}.get(codec, {})
    with av.open(str(path), "w", format=FORMATS[suffix], container_options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=25, options={**default, **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = tick
        for key, value in (colour or {}).items():
            setattr(stream.codec_context, key, value)
        sound = None
        if audio is not None:
            sound = output.add_stream(audio_codec, rate=audio.sample_rate)
            sound.layout = "mono" if audio.waveform.shape[0] == 1 else "stereo"
        packets = []
        ends = dict(zip(ticks, [*ticks[1:], ticks[-1] + last_ticks], strict=True))
        for number, at in enumerate(ticks):
            image = numbered_picture(number, *size) if pictures is None else pictures[number]
            source = "rgba" if image.shape[-1] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=source).reformat(format=pixel_format)
            frame.pts, frame.time_base = at, tick
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            packet.duration = max(0, ends.get(packet.pts, last_ticks) - packet.pts)
        if sound is not None and audio is not None:
            packets += _sound_packets(sound, audio, audio_start_s)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            output.mux(packet)
    return path


def make_intra_video(path: Path, ticks: Sequence[int], *, tick: Fraction = Fraction(1, 1000)) -> Path:
    """Motion JPEG whose stamps may repeat or go back, written packet by packet with orderly decoding stamps."""
    with av.open(str(path), "w", format=FORMATS[path.suffix[1:]]) as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.codec_context.time_base = tick
        packets = []
        for number in range(len(ticks)):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, tick
            packets += stream.encode(frame)
        packets += stream.encode(None)
        least = min(ticks)
        for order, (packet, at) in enumerate(zip(packets, ticks, strict=True)):
            packet.pts, packet.dts, packet.duration = at, least - len(ticks) + order, 0
            output.mux(packet)
    return path


def make_sound_file(path: Path, audio: Audio, codec: str = "aac") -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w", format=FORMATS[path.suffix[1:]]) as output:
        stream = output.add_stream(codec, rate=audio.sample_rate)
        stream.layout = "mono" if audio.waveform.shape[0] == 1 else "stereo"
        for packet in _sound_packets(stream, audio, 0.0):
            output.mux(packet)
    return path


def _sound_packets(stream, audio: Audio, start_s: float) -> list:
    packets = []
    for begin in range(0, audio.waveform.shape[1], 1024):
        chunk = np.ascontiguousarray(audio.waveform[:, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=stream.layout.name)
        frame.sample_rate = audio.sample_rate
        frame.pts = begin + round(start_s * audio.sample_rate)
        frame.time_base = Fraction(1, audio.sample_rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


# -- editing mp4 boxes (ISO/IEC 14496-12), where FFmpeg's own writer offers no way ---------------------------------


def boxes(data: bytes, begin: int, end: int) -> list[tuple[bytes, int, int]]:
    """(type, start, end) of the boxes between two offsets."""
    found = []
    while begin + 8 <= end:
        size, kind = struct.unpack(">I4s", data[begin : begin + 8])
        if size < 8:
            break
        found.append((kind, begin, begin + size))
        begin += size
    return found


def _child(data: bytes, parent: tuple[bytes, int, int], kind: bytes) -> tuple[bytes, int, int]:
    return next(box for box in boxes(data, parent[1] + 8, parent[2]) if box[0] == kind)


def _tracks(data: bytes) -> tuple[tuple[bytes, int, int], list[tuple[bytes, int, int]]]:
    moov = next(box for box in boxes(data, 0, len(data)) if box[0] == b"moov")
    assert moov[2] == len(data), "the index must come last, so that editing it moves no sample"
    return moov, [box for box in boxes(data, moov[1] + 8, moov[2]) if box[0] == b"trak"]


def with_matrix(path: Path, matrix: Sequence[float]) -> Path:
    """Set the display matrix (a, b, c, d) of the first track in place."""
    data = bytearray(path.read_bytes())
    _, tracks = _tracks(bytes(data))
    _, start, _ = _child(bytes(data), tracks[0], b"tkhd")
    at = start + 8 + 4 + 20 + 8 + 8  # header, version and flags, times and ids, reserved, layer to reserved
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def with_edits(path: Path, entries: Sequence[tuple[int, int]], track: int = 0) -> Path:
    """Replace the edit list of a track in place: ``entries`` of (duration in movie ticks, media time or -1)."""
    data = path.read_bytes()
    moov, tracks = _tracks(data)
    _, start, end = tracks[track]
    kept = b"".join(data[a:b] for kind, a, b in boxes(data, start + 8, end) if kind != b"edts")
    table = b"".join(struct.pack(">IihH", duration, at, 1, 0) for duration, at in entries)
    elst = struct.pack(">I4sII", 16 + len(table), b"elst", 0, len(entries)) + table
    edts = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    tkhd_size = struct.unpack(">I", kept[:4])[0]
    body = kept[:tkhd_size] + edts + kept[tkhd_size:]
    trak = struct.pack(">I4s", 8 + len(body), b"trak") + body
    content = data[moov[1] + 8 : start] + trak + data[end : moov[2]]
    path.write_bytes(data[: moov[1]] + struct.pack(">I4s", 8 + len(content), b"moov") + content)
    return path


def movie_timescale(path: Path) -> int:
    """Ticks a second of the movie header."""
    data = path.read_bytes()
    moov, _ = _tracks(data)
    _, start, _ = _child(data, moov, b"mvhd")
    return struct.unpack(">I", data[start + 20 : start + 24])[0]


def packet_bytes(source: Path | bytes) -> list[bytes]:
    """The payload of every video packet."""
    with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def shared_media() -> list[Path]:
    """Real clips handed to the project, where there are any."""
    root = Path(os.environ.get("PAVAS_SHARED") or Path(__file__).parents[2] / "shared")
    folder = root / "media"
    return sorted(path for path in folder.glob("*") if path.suffix in (".mp4", ".mov", ".mkv", ".webm"))


def need_encoder(name: str) -> None:
    """Skip a test whose encoder this FFmpeg build lacks."""
    try:
        av.Codec(name, "w")
    except Exception:
        pytest.skip(f"this FFmpeg build has no {name} encoder")
