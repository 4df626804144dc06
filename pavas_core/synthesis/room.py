"""The room a sound is heard in: early reflections, a diffuse tail and the room's own faint noise.

The late tail is the standard statistical model: Gaussian noise in octave bands, each decaying exponentially
(Moorer, "About this reverberation business", Computer Music J. 3 (1979); Kuttruff, *Room Acoustics*, chapter 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pavas_core.errors import PavasError

BAND_CENTRES_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
_TAIL_BLOCK = 8192
_ECHO_BLOCK = 32768


@dataclass(frozen=True)
class Room:
    """Acoustics of a place."""

    t60_s: float
    """Reverberation time at 500 Hz; 0 = no tail."""
    tail_db: float
    """Energy of the tail relative to the direct sound's."""
    echoes: tuple[tuple[float, float, float], ...]
    """Early reflections: delay in seconds, gain at the left and at the right."""


ROOMS = {
    "dry": Room(0.0, -math.inf, ()),
    "small": Room(0.35, -9.0, ((0.0037, 0.32, 0.20), (0.0061, 0.16, 0.28), (0.0094, 0.18, 0.12), (0.0137, 0.09, 0.14))),
    "large": Room(1.20, -7.0, ((0.0113, 0.22, 0.14), (0.0187, 0.12, 0.20), (0.0293, 0.14, 0.10), (0.0431, 0.08, 0.12))),
}


def find_room(name: str) -> Room:
    """The room called ``name``. Raises PavasError for an unknown one."""
    if name not in ROOMS:
        raise PavasError(f"There is no room '{name}'; choose one of {', '.join(ROOMS)}.")
    return ROOMS[name]


def add_echoes(heard: np.ndarray, direct: np.ndarray, room: Room, sample_rate: int) -> None:
    """Add the early reflections of ``direct`` [T] to ``heard`` [channels, T] in place, in blocks as for the tail.

    Sample by sample from earlier samples only, so a change never reaches what sounded before it.
    """
    for start in range(0, direct.size, _ECHO_BLOCK):
        stop = min(start + _ECHO_BLOCK, direct.size)
        for delay_s, left, right in room.echoes:
            delay = round(delay_s * sample_rate)
            levels = (left, right) if heard.shape[0] == 2 else (0.5 * (left + right),)
            echo = direct[max(0, start - delay) : max(0, stop - delay)]
            for channel, level in zip(heard, levels, strict=True):
                channel[stop - echo.size : stop] += np.float32(level) * echo


def add_tail(heard: np.ndarray, levels: np.ndarray, bank: np.ndarray) -> None:
    """Add ``bank`` [bands, 2, T] weighted by ``levels`` [bands] to ``heard`` [channels, T'] in place.

    In blocks that stay in the processor's cache, several times faster than at once.
    """
    channels, samples = heard.shape
    weights = levels.astype(np.float32)
    for start in range(0, min(samples, bank.shape[2]), _TAIL_BLOCK):
        stop = min(start + _TAIL_BLOCK, samples, bank.shape[2])
        heard[:, start:stop] += np.tensordot(weights, bank[:, :channels, start:stop], 1)


def band_t60_s(room: Room) -> np.ndarray:
    """Reverberation time per octave band [7], seconds: walls and air absorb the highs."""
    return room.t60_s * np.array([1.1, 1.05, 1.0, 0.95, 0.85, 0.65, 0.4])


@lru_cache(maxsize=8)
def tail_bank(name: str, sample_rate: int) -> np.ndarray:
    """Decaying octave-band noises of unit energy, float32 [bands, 2, samples]; the same for every clip."""
    room = find_room(name)
    length = int(0.8 * room.t60_s * sample_rate)
    rng = np.random.default_rng(20140)
    noise = np.fft.rfft(rng.standard_normal((2, length)))
    frequency = np.fft.rfftfreq(length, 1.0 / sample_rate)
    time_s = np.arange(length) / sample_rate
    # Diffusion builds up over some milliseconds; the last fifth fades, 40 dB down, instead of breaking off.
    swell = (1.0 - np.exp(-time_s / 0.006)) * np.minimum(1.0, (length - np.arange(length)) / (0.2 * length))
    bank = np.zeros((len(BAND_CENTRES_HZ), 2, length), np.float32)
    for band, (centre, t60) in enumerate(zip(BAND_CENTRES_HZ, band_t60_s(room), strict=True)):
        octaves = np.log2(np.maximum(frequency, 1.0) / centre)
        if centre > 0.45 * sample_rate:
            continue
        shape = np.exp(-0.5 * (octaves / 0.42) ** 2)
        decayed = np.fft.irfft(noise * shape, length) * swell * np.exp(-6.91 * time_s / t60)
        bank[band] = decayed / np.sqrt(np.mean(np.sum(decayed**2, axis=1)))
    bank.flags.writeable = False
    return bank


@lru_cache(maxsize=8)
def steady_tail(name: str, sample_rate: int) -> np.ndarray:
    """Reverberation of what sounds on and on, as an impulse response float32 [2, samples]; empty in a dry room.

    Each octave band of the tail has as much of the sound's energy in that band as the room leaves to it.
    """
    room = find_room(name)
    if room.t60_s <= 0.0:
        return np.zeros((0, 0), np.float32)
    # A band of unit energy, a Gaussian of 0.42 octaves, has its energy within this share of all frequencies.
    share = 0.42 * math.log(2.0) * math.sqrt(math.pi) * np.array(BAND_CENTRES_HZ) / (sample_rate / 2)
    levels = np.sqrt(share * 10.0 ** (room.tail_db / 10.0)).astype(np.float32)
    return np.tensordot(levels, tail_bank(name, sample_rate), 1)


def room_tone(samples: int, sample_rate: int, channels: int, level_db: float, rng: np.random.Generator) -> np.ndarray:
    """Faint low-pass noise of ``level_db`` dBFS RMS, float32 [channels, samples].

    A seamless loop of two to four seconds, far below what an ear follows at this level.
    """
    length = 1 << (2 * sample_rate).bit_length()
    frequency = np.fft.rfftfreq(length, 1.0 / sample_rate)
    shape = 0.02 + 1.0 / np.sqrt(1.0 + (frequency / 400.0) ** 2)
    shape[0] = 0.0
    scale = 10.0 ** (level_db / 20.0) / math.sqrt(float(np.mean(shape**2)))
    white = rng.standard_normal((channels, length))
    loop = (scale * np.fft.irfft(np.fft.rfft(white) * shape, length)).astype(np.float32)
    return np.tile(loop, -(-samples // length))[:, :samples]
