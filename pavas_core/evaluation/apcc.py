"""Audio-Physics Correlation Coefficient (paper section 4.1), version 1 of our reading.

Per impact: the kinetic energy lost, and the onset strength of the sound there, whatever its value. Per class (material
and contact) their Pearson correlation, for the true and for the judged sound. APCC-delta is the mean over classes of
the absolute difference. Where the paper is silent: the strength is the maximum within 50 ms, cut half-way to the next
impact so that it is never a neighbour's; its level reference is fixed for the whole set; classes under 30 impacts are
left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import PavasError
from pavas_core.evaluation.onsets import onset_strength

VERSION = 1
WINDOW_S = 0.05
MIN_IMPACTS = 30


@dataclass(frozen=True)
class Event:
    """One true impact: ``clip`` names its sound, ``group`` its class, ``energy_loss_j`` in joules."""

    clip: str
    time_s: float
    energy_loss_j: float
    group: str


@dataclass(frozen=True)
class ClassScore:
    """Correlations of one class."""

    impacts: int
    truth: float
    judged: float


@dataclass(frozen=True)
class ApccScore:
    """APCC-delta with its bootstrap interval; ``left_out`` counts impacts of classes too small to judge."""

    delta: float
    low: float
    high: float
    truth: float
    """Mean correlation of the true sound."""
    judged: float
    classes: dict[str, ClassScore]
    left_out: int
    log_energy: bool
    version: int = VERSION


def strengths_at(audio: Audio, times_s: Sequence[float]) -> np.ndarray:
    """Onset strength of every impact [n], each within its own part of the time axis."""
    frame_times, strength = onset_strength(audio)
    times = np.asarray(times_s, dtype=float)
    order = np.argsort(times, kind="stable")
    result = np.zeros(times.size)
    for rank, index in enumerate(order):
        time = times[index]
        low = high = WINDOW_S
        if rank > 0:
            low = min(low, (time - times[order[rank - 1]]) / 2)
        if rank + 1 < times.size:
            high = min(high, (times[order[rank + 1]] - time) / 2)
        inside = (frame_times >= time - low - 1e-9) & (frame_times <= time + high + 1e-9)
        if not inside.any():
            inside[np.argmin(np.abs(frame_times - time))] = True
        result[index] = strength[inside].max()
    return result


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two samples; 0 where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-12 else 0.0


def apcc(
    events: Sequence[Event],
    truth: np.ndarray,
    judged: np.ndarray,
    *,
    log_energy: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> ApccScore:
    """APCC-delta of strengths ``judged`` [n] against ``truth`` [n] at the same ``events``.

    ``log_energy`` correlates with the logarithm of the energy. The interval is the central 95 % over resampled
    impacts. Raises PavasError where no class has enough impacts.
    """
    energy, groups = _energies(events, log_energy), _classes(events)
    draws = [_delta(energy, truth, judged, picks) for picks in _resampled(groups, resamples, seed)]
    low, high = np.percentile(draws, [2.5, 97.5]) if draws else (np.nan, np.nan)
    classes = {
        name: ClassScore(
            members.size, pearson(energy[members], truth[members]), pearson(energy[members], judged[members])
        )
        for name, members in groups.items()
    }
    return ApccScore(
        delta=_delta(energy, truth, judged, groups),
        low=float(low),
        high=float(high),
        truth=float(np.mean([score.truth for score in classes.values()])),
        judged=float(np.mean([score.judged for score in classes.values()])),
        classes=classes,
        left_out=len(events) - sum(members.size for members in groups.values()),
        log_energy=log_energy,
    )


def apcc_excess(
    events: Sequence[Event],
    truth: np.ndarray,
    judged: np.ndarray,
    twin: np.ndarray,
    *,
    log_energy: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """By how much the APCC-delta of ``judged`` exceeds that of ``twin``, and its central 95 % interval.

    Both are drawn with the same impacts, so that what these have of chance is in both and does not widen the interval.
    Raises PavasError where no class has enough impacts.
    """
    energy, groups = _energies(events, log_energy), _classes(events)

    def excess(picks: Mapping[str, np.ndarray]) -> float:
        return _delta(energy, truth, judged, picks) - _delta(energy, truth, twin, picks)

    low, high = np.percentile([excess(picks) for picks in _resampled(groups, resamples, seed)], [2.5, 97.5])
    return excess(groups), float(low), float(high)


def _energies(events: Sequence[Event], log_energy: bool) -> np.ndarray:
    energy = np.array([event.energy_loss_j for event in events], dtype=float)
    return np.log(np.maximum(energy, 1e-9)) if log_energy else energy


def _classes(events: Sequence[Event]) -> dict[str, np.ndarray]:
    """Indices of the events of every class that is large enough."""
    groups: dict[str, np.ndarray] = {}
    for name in sorted({event.group for event in events}):
        members = np.array([index for index, event in enumerate(events) if event.group == name])
        if members.size >= MIN_IMPACTS:
            groups[name] = members
    if not groups:
        raise PavasError(
            f"No class has the {MIN_IMPACTS} impacts that a correlation needs; judge more clips or merge classes."
        )
    return groups


def _resampled(groups: Mapping[str, np.ndarray], resamples: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield {name: rng.choice(members, members.size) for name, members in groups.items()}


def _delta(energy: np.ndarray, truth: np.ndarray, judged: np.ndarray, picks: Mapping[str, np.ndarray]) -> float:
    """Mean over classes of the absolute difference of the two correlations, over the impacts picked."""
    gaps = [abs(pearson(energy[m], truth[m]) - pearson(energy[m], judged[m])) for m in picks.values()]
    return float(np.mean(gaps))


def load_events(path: Path) -> list[Event]:
    """Events from a JSON list of objects with the fields of :class:`Event`. Raises PavasError if it is none."""
    try:
        return [Event(**item) for item in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise PavasError(
            f"{Path(path).name} is no event file ({error}); give a JSON list of objects with "
            "clip, time_s, energy_loss_j and group."
        ) from error


def save_events(events: Sequence[Event], path: Path) -> None:
    """Write events as JSON for :func:`load_events`."""
    Path(path).write_text(json.dumps([asdict(event) for event in events], indent=1), encoding="utf-8")


def folder_strengths(events: Sequence[Event], folder: Path) -> np.ndarray:
    """Onset strengths [n] from ``folder``/``clip``.wav. Raises PavasError naming a missing or unreadable file."""
    import soundfile

    result = np.zeros(len(events))
    for clip in sorted({event.clip for event in events}):
        path = Path(folder) / f"{clip}.wav"
        try:
            wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise PavasError(f"{path.name} cannot be read ({error}); the folder needs one wav per clip.") from error
        members = [index for index, event in enumerate(events) if event.clip == clip]
        result[members] = strengths_at(Audio(wave.T, rate), [events[index].time_s for index in members])
    return result
