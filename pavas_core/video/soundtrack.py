"""Sound of a media file on the clip's time axis, and small operations on Audio."""

from __future__ import annotations

import logging
import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import MediaError
from pavas_core.video import container as media

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

log = logging.getLogger("pavas")

# Stamps that disagree with the running sample count by less than this are rounding, not a gap.
JITTER_S = 0.002
# Decoding starts this much before a trim so that the decoder has settled when it arrives.
SETTLE_S = 1.0
MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 1_000, 768_000


def read_file_audio(source: str | bytes, name: str, zero_s: Fraction, duration_s: float) -> Audio | None:
    """Decode the first audio stream of ``source`` between file times ``zero_s`` and ``zero_s + duration_s``.

    Samples are placed by their stamps, which FFmpeg has freed of codec priming and edit lists; gaps are silence.
    None where there is no audio stream or nothing in it can be decoded.
    """
    with media.open_container(source, name) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        if stream.codec_context is None or not stream.time_base:
            log.warning("%s has a soundtrack in a codec FFmpeg cannot decode; it is left out.", name)
            return None
        if zero_s > SETTLE_S:
            try:
                container.seek(int((zero_s - Fraction(SETTLE_S)) / stream.time_base), stream=stream)
            except media.av_errors():
                log.debug("%s: the soundtrack cannot be sought, reading it from the start.", name)
        audio: np.ndarray | None = None
        position: int | None = None
        rate = 0
        for frame in media.decode(container, stream, name):
            if audio is None:
                rate = frame.sample_rate
                if not MIN_RATE <= rate <= MAX_RATE:
                    log.warning("%s has a damaged soundtrack (%d Hz); it is left out.", name, rate)
                    return None
                audio = _silence(len(frame.layout.channels), round(duration_s * rate), name)
            samples = _samples(frame, audio.shape[0], rate)
            time_s = _time_s(frame, stream.time_base)
            if time_s is not None:
                stamped = round((time_s - zero_s) * rate)
                if position is None or abs(stamped - position) > JITTER_S * rate:
                    position = stamped
            position = position or 0
            if position >= audio.shape[1]:
                break
            _place(audio, samples, position)
            position += samples.shape[1]
    return None if audio is None else Audio(audio, rate)


def _silence(channels: int, length: int, name: str) -> np.ndarray:
    try:
        return np.zeros((channels, length), np.float32)
    except MemoryError as error:
        raise MediaError(f"{name} has too much sound for this machine's memory, cut the part you need.") from error


def _time_s(frame: AudioFrame, time_base: Fraction) -> Fraction | None:
    return None if frame.pts is None else frame.pts * Fraction(frame.time_base or time_base)


def _samples(frame: AudioFrame, channels: int, rate: int) -> np.ndarray:
    """float32 [channels, T] at ``rate``; a stream that changes its layout or rate midway is converted."""
    import av

    if len(frame.layout.channels) != channels or frame.sample_rate != rate:
        known = MIN_RATE <= frame.sample_rate <= MAX_RATE
        lasts = round(frame.samples * rate / frame.sample_rate) if known else frame.samples
        silence = np.zeros((channels, lasts), np.float32)
        layout = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1", 8: "7.1"}.get(channels)
        if layout is None or not known:
            return silence
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        frame.pts = None
        try:
            parts = [part.to_ndarray() for part in (*resampler.resample(frame), *resampler.resample(None))]
        except media.av_errors():  # a damaged packet may name channels that nothing can mix
            return silence
        return np.concatenate(parts, axis=1)
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    return as_float(data)


def as_float(data: np.ndarray) -> np.ndarray:
    """PCM of any FFmpeg sample type as float32 with full scale at 1."""
    if data.dtype == np.uint8:
        return (data.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(data.dtype, np.integer):
        return (data / np.float64(-np.iinfo(data.dtype).min)).astype(np.float32)
    return data.astype(np.float32, copy=False)


def _place(target: np.ndarray, samples: np.ndarray, position: int) -> None:
    """Write ``samples`` into ``target`` at ``position``, which may lie before its start."""
    begin, end = max(position, 0), min(position + samples.shape[1], target.shape[1])
    if end > begin:
        target[:, begin:end] = samples[:, begin - position : end - position]


def fit_length(audio: Audio, duration_s: float) -> Audio:
    """``audio`` cut or padded with silence to ``duration_s``, to the sample."""
    length = round(duration_s * audio.sample_rate)
    if audio.waveform.shape[-1] == length:
        return audio
    fitted = np.zeros((audio.waveform.shape[0], length), np.float32)
    _place(fitted, audio.waveform, 0)
    return Audio(fitted, audio.sample_rate)


def resample(audio: Audio, sample_rate: int) -> Audio:
    """``audio`` at another rate by band-limited polyphase filtering, without delay."""
    check_rate(sample_rate)
    if audio.sample_rate == sample_rate:
        return audio
    from scipy.signal import resample_poly

    shared = math.gcd(sample_rate, audio.sample_rate)
    resampled = resample_poly(audio.waveform, sample_rate // shared, audio.sample_rate // shared, axis=1)
    return Audio(resampled.astype(np.float32, copy=False), sample_rate)


def match_channels(audio: Audio, channels: int) -> Audio:
    """``audio`` with another number of channels: mono is copied to all, others are averaged to mono first."""
    if audio.waveform.shape[0] == channels:
        return audio
    mono = audio.waveform.mean(axis=0, keepdims=True, dtype=np.float32)
    return Audio(np.repeat(mono, channels, axis=0), audio.sample_rate)


def check_audio(audio: Audio) -> None:
    """Raise MediaError where ``audio`` cannot be written: wrong shape, no channels, not finite, no rate."""
    shape = audio.waveform.shape
    if audio.waveform.ndim != 2 or not 1 <= shape[0] <= MAX_CHANNELS:
        raise MediaError(f"Sound must have the shape [1 to {MAX_CHANNELS} channels, samples], not {list(shape)}.")
    check_rate(audio.sample_rate)
    if not np.isfinite(audio.waveform).all():
        raise MediaError("The sound holds values that are not numbers, check the step that made it.")


def check_rate(sample_rate: int) -> None:
    """Raise MediaError where ``sample_rate`` is none that sound is kept at."""
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise MediaError(f"A sample rate of {sample_rate} Hz is impossible, give one such as 48000.")
