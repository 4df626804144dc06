"""Samples from closed forms: damped sinusoids, contact pulses, texture noise and the room around them.

Everything is evaluated at the sample instants ``offset_s + k / sample_rate`` after the contact, so a sound begins
at its exact time between two samples.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from .materials import Texture
from .modes import Modes
from .room import BAND_CENTRES_HZ, Room, band_t60_s
from .voices import Voice

_BLOCK = 256


def dry_sound(
    voice: Voice, offset_s: float, sample_rate: int, max_samples: int, floor_pa: float, rng: np.random.Generator
) -> np.ndarray:
    """Pressure [T <= max_samples] of a voice at 1 m without a room, from ``offset_s`` after the contact on."""
    parts = [
        sinusoids(voice.modes, voice.contact_s, offset_s, sample_rate, max_samples, floor_pa),
        click(voice.click_pa, voice.click_s, offset_s, sample_rate, max_samples),
    ]
    if voice.noise_pa > 0.0:
        attack = min(voice.contact_s, voice.texture.duration_s / 4)
        parts.append(texture_noise(voice.noise_pa, voice.texture, attack, offset_s, sample_rate, rng)[:max_samples])
    parts.sort(key=len)
    dry = parts[-1]
    for part in parts[:-1]:
        dry[: part.size] += part
    return dry


def sinusoids(
    modes: Modes, attack_s: float, offset_s: float, sample_rate: int, max_samples: int, floor_pa: float
) -> np.ndarray:
    """Sum of damped sines, float64 [T], each kept until it has died below ``floor_pa`` (and by 60 dB at least).

    The force acts for ``attack_s``, so the sines grow over that time. Powers of the poles factor into a matrix product:
    ``z^(qB + r) = z^(qB) z^r``.
    """
    audible = (modes.frequency_hz < 0.46 * sample_rate) & (modes.pressure_pa != 0.0)
    if not audible.any() or max_samples <= 0:
        return np.zeros(0)
    amplitude = modes.pressure_pa[audible]
    decay = modes.decay_per_s[audible]
    pole = (-decay + 2j * math.pi * modes.frequency_hz[audible]) / sample_rate
    fall = np.maximum(np.abs(amplitude) / floor_pa, 1e3)
    lengths = np.minimum((np.log(fall) / decay + attack_s) * sample_rate, max_samples)
    total = np.zeros(math.ceil(lengths.max() / _BLOCK) * _BLOCK)
    within = np.arange(_BLOCK)
    # Long and short modes apart: most of a struck thing's modes are gone long before its last one.
    bounds = [0.0, 4096.0, 32768.0, math.inf]
    for low, high in itertools.pairwise(bounds):
        group = (lengths > low) & (lengths <= high)
        if not group.any():
            continue
        blocks = math.ceil(lengths[group].max() / _BLOCK)
        starts = np.arange(blocks)[:, None] * _BLOCK + offset_s * sample_rate
        coarse = (amplitude[group] * np.exp(pole[group] * starts)).astype(np.complex64)
        fine = np.exp(pole[group][:, None] * within).astype(np.complex64)
        wave = coarse.real @ fine.imag + coarse.imag @ fine.real
        total[: blocks * _BLOCK] += wave.reshape(-1)
    rise = min(total.size, max(0, math.ceil((attack_s - offset_s) * sample_rate)))
    time = offset_s + np.arange(rise) / sample_rate
    total[:rise] *= np.sin(0.5 * math.pi * time / attack_s) ** 2
    return total[:max_samples]


def click(amplitude_pa: float, duration_s: float, offset_s: float, sample_rate: int, max_samples: int) -> np.ndarray:
    """The body's own jolt as heard: one cycle of a sine over the contact, float64 [T].

    A pulse shorter than two samples is stretched to two, keeping its low-frequency content (it goes with amplitude
    times duration squared).
    """
    stretched = max(duration_s, 2.0 / sample_rate)
    length = min(math.ceil((stretched - offset_s) * sample_rate), max_samples)
    time = offset_s + np.arange(length) / sample_rate
    return amplitude_pa * (duration_s / stretched) ** 2 * np.sin(2 * math.pi * time / stretched)


def texture_noise(
    peak_pa: float, texture: Texture, attack_s: float, offset_s: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Band-limited noise that swells over ``attack_s`` and dies with the texture's time constant, float64 [T].

    Its band falls by 6 dB an octave below ``low_hz`` and by 12 above ``high_hz``.
    """
    length = _fast_length(math.ceil((attack_s + 7.0 * texture.duration_s) * sample_rate))
    frequency = np.fft.rfftfreq(length, 1.0 / sample_rate)
    low = frequency / texture.low_hz
    shape = low / np.sqrt(1.0 + low**2) / (1.0 + (frequency / texture.high_hz) ** 2)
    # White noise of this spectral density has unit variance over the shape's whole band, whatever the sample rate.
    band_hz = math.pi / 4 * texture.high_hz
    white = rng.standard_normal(length) * math.sqrt(sample_rate / 2 / band_hz)
    noise = np.fft.irfft(np.fft.rfft(white) * shape, length)
    time = offset_s + np.arange(length) / sample_rate
    envelope = np.exp(-np.maximum(time - attack_s, 0.0) / texture.duration_s)
    envelope *= np.sin(0.5 * math.pi * np.minimum(time / attack_s, 1.0)) ** 2
    return peak_pa / 3.0 * noise * envelope


def _fast_length(samples: int) -> int:
    """The next length that Fourier transforms quickly: a power of two, or three quarters of one."""
    power = 1 << max(4, (samples - 1).bit_length())
    return power * 3 // 4 if samples <= power * 3 // 4 else power


def band_energy(modes: Modes, room: Room, sample_rate: int) -> np.ndarray:
    """Energy (Pa^2 s) [bands] that the modes feed into the room's octave bands within a tail's life."""
    audible = modes.frequency_hz < 0.46 * sample_rate
    centres = np.array(BAND_CENTRES_HZ)
    octaves = np.log2(np.maximum(modes.frequency_hz[audible], 1.0)[None, :] / centres[:, None])
    share = np.exp(-((octaves / 0.42) ** 2))
    damping = modes.decay_per_s[audible][None, :] + (6.91 / band_t60_s(room))[:, None]
    return np.sum(share * modes.pressure_pa[audible] ** 2 / (4 * damping), axis=1)


def burst_energy(energy_pa2_s: float, low_hz: float, high_hz: float) -> np.ndarray:
    """Energy of a noise or pulse between two frequencies by octave band [bands]."""
    centres = np.array(BAND_CENTRES_HZ)
    low_edge, high_edge = centres / math.sqrt(2), centres * math.sqrt(2)
    width = np.clip(np.minimum(high_edge, high_hz) - np.maximum(low_edge, low_hz), 0.0, None)
    return energy_pa2_s * width / max(high_hz - low_hz, 1.0)
