"""Decay and brightness of recorded impacts beside the modal engine's.

``python -m benchmarks.recorded_impacts FOLDER`` where FOLDER is the drumkit folder of Debian's package
``hydrogen-drumkits`` (``apt-get download hydrogen-drumkits && dpkg -x hydrogen-drumkits_*.deb FOLDER``). Its kits
*Gimme A Hand* and *The Black Pearl* (GPL-2) hold everyday things struck at five strengths. Nothing is trained on them.

Columns: T60 of the strongest partial and of the octave bands (Schroeder integration, -5 to -25 dB), spectral centroid
of the first 80 ms at the middle strength, and its change in octaves from the softest to the hardest stroke (the engine:
16 times the speed). Levels cannot be compared, as the kits' makers normalised the strokes; where a kit repeats one
recording at five levels the last column is empty.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import soundfile

from pavas_core.physics.types import Body, Impact, Mass, MovingObject, Scene, Velocity
from pavas_core.synthesis.engine import synthesize_impacts

STRENGTHS = ("Softest", "Soft", "Med", "Hard", "Hardest")
SPEEDS_MPS = (0.3, 0.6, 1.2, 2.4, 4.8)
BANDS_HZ = (250, 500, 1000, 2000, 4000, 8000)

# Recording; what strikes (name, material, kg); what is struck.
CASES = (
    ("Clave", ("stick", "wood", 0.10), ("stick", "wood", 0.10)),
    ("WoodBlock", ("stick", "wood", 0.05), ("box", "wood", 0.40)),
    ("WaterglassHi", ("spoon", "steel", 0.03), ("glass", "glass", 0.15)),
    ("WaterglassLo", ("spoon", "steel", 0.03), ("glass", "glass", 0.30)),
    ("Cowbell", ("stick", "wood", 0.05), ("bell", "steel", 0.50)),
    ("PearlSideStick", ("stick", "wood", 0.05), ("bar", "steel", 0.50)),
    ("PaisteBell", ("stick", "wood", 0.05), ("cymbal", "brass", 2.50)),
    ("PearlTom1", ("stick", "wood", 0.05), ("drum", "wood", 3.00)),
    ("BongoLo", ("hand", "flesh", 0.30), ("drum", "wood", 1.50)),
    ("CajonThumps", ("hand", "flesh", 0.50), ("box", "wood", 4.00)),
)


def main() -> None:
    """Print a line for every recording and one for the engine's counterpart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    bands = " ".join(f"{band:5d}" for band in BANDS_HZ)
    print(f"{'':24s} tone Hz  T60 s | T60 s at {bands} | centroid Hz, octaves soft to hard")
    for name, tool, struck in CASES:
        files = [sorted(folder.rglob(f"{name}-{strength}.wav"))[0] for strength in STRENGTHS]
        report(f"{name} recorded", [read(file) for file in files])
        report(f"{name} engine", [strike(tool, struck, speed) for speed in SPEEDS_MPS])


def report(title: str, sounds: list[tuple[np.ndarray, int]]) -> None:
    """One line about five sounds [T] of rising strength."""
    middle, rate = sounds[2]
    tone = strongest_hz(middle, rate)
    bands = " ".join(f"{decay_s(middle, rate, band / math.sqrt(2), band * math.sqrt(2)):5.2f}" for band in BANDS_HZ)
    change = math.log2(centroid_hz(*sounds[4]) / centroid_hz(*sounds[0]))
    same = np.corrcoef(sounds[0][0][:400], sounds[4][0][:400])[0, 1] > 0.9999
    print(f"{title:24s} {tone:7.0f} {decay_s(middle, rate, tone / 1.12, tone * 1.12):6.2f} |          {bands} "
          f"| {centroid_hz(middle, rate):8.0f} " + ("" if same else f"{change:+8.2f}"))  # fmt: skip


def read(path: Path) -> tuple[np.ndarray, int]:
    """A recording as mono [T] from its onset."""
    sound, rate = soundfile.read(path, always_2d=True)
    mono = sound.mean(axis=1)
    return mono[np.argmax(np.abs(mono) > 0.05 * np.abs(mono).max()) :], rate


def strike(tool: tuple[str, str, float], struck: tuple[str, str, float], speed_mps: float) -> tuple[np.ndarray, int]:
    """The engine's sound [T] of one thing, given by name, material and mass, knocking another."""
    bodies = [make_body(part, *description) for part, description in zip("ab", (tool, struck), strict=True)]
    reduced = 1.0 / (1.0 / tool[2] + 1.0 / struck[2])
    away, impulse, loss = 0.5 * speed_mps, 1.5 * reduced * speed_mps, 0.375 * reduced * speed_mps**2
    impact = Impact("knock", 0.0, "a", "b", struck[1], "strike", (0.0, -1.0, 0.0),
                    speed_mps, away, speed_mps, away, impulse, loss)  # fmt: skip
    scene = Scene(3.0, 640, 360, tuple(bodies), (impact,))
    return synthesize_impacts(scene, channels=1, room_tone_db=None).mix.waveform[0].astype(float), 48000


def make_body(key: str, name: str, material: str, mass_kg: float) -> Body:
    """A body at rest."""
    none = np.zeros(0, np.float32)
    velocity = Velocity(key, none.astype(float), none, None, None, (), None, "manual", 0.0)
    return Body(MovingObject(key, name, material=material), Mass(mass_kg, mass_kg, mass_kg, "manual"), velocity)


def strongest_hz(sound: np.ndarray, rate: int) -> float:
    """Frequency of the strongest partial above 100 Hz."""
    power = np.abs(
        np.fft.rfft(sound[: rate // 2] * np.exp(-np.arange(min(sound.size, rate // 2)) / (0.1 * rate)), 1 << 17)
    )
    power[: int(100 / rate * (1 << 17))] = 0.0
    return float(np.argmax(power) * rate / (1 << 17))


def decay_s(sound: np.ndarray, rate: int, low_hz: float, high_hz: float) -> float:
    """T60 of a band from -5 to -25 dB of its backward-integrated energy, seconds; NaN where it never gets there."""
    from scipy.signal import butter, sosfilt

    if high_hz > 0.48 * rate:
        return math.nan
    band = sosfilt(butter(3, [low_hz, high_hz], "bandpass", fs=rate, output="sos"), sound)
    left = np.cumsum(band[::-1] ** 2)[::-1]
    level = 10 * np.log10(left / left[0] + 1e-12)
    span = np.flatnonzero((level < -5) & (level > -25))
    if span.size < 16:
        return math.nan
    return float(-60.0 / np.polyfit(span / rate, level[span], 1)[0])


def centroid_hz(sound: np.ndarray, rate: int) -> float:
    """Power-weighted mean frequency of the first 80 ms."""
    start = sound[: int(0.08 * rate)]
    power = np.abs(np.fft.rfft(start)) ** 2
    return float(np.sum(np.fft.rfftfreq(start.size, 1 / rate) * power) / np.sum(power))


if __name__ == "__main__":
    main()
