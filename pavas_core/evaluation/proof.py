"""The proof that pavas-nano obeys physics: held-out scenes, bars, and an interval for every figure.

The truth itself and its twin (same events, other random draws, through the codec) are scored first. A bar is met when
the pessimistic end of the interval meets it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.errors import PavasError
from pavas_core.evaluation import proof_tasks as tasks
from pavas_core.evaluation.apcc import Event, apcc, apcc_excess, save_events
from pavas_core.evaluation.proof_clips import FIRST_SEED
from pavas_core.evaluation.proof_joins import joins_task
from pavas_core.evaluation.statistics import Figure, bootstrap, correlation, mean, pooled_f1, share, spearman
from pavas_core.runtime import Runtime
from pavas_core.training.examples import ROOM_TONE_DB

MIN_MOVE_DB_PER_DECADE = 3.0
"""Sweeps are judged where the truth's loudness moves by this."""
MIN_MOVE_OCTAVES = 0.1


@dataclass(frozen=True)
class Size:
    """How many clips each measurement gets."""

    clips: int = 200
    sweeps: int = 32
    """Per contact type."""
    edits: int = 16
    swaps: int = 20
    materials: int = 16
    seeds: int = 8
    joins: int = 16
    pixels: int = 64
    tries: int = 30
    """Seeds tried for every clip that a measurement wants, as not every scene suits it."""


FULL = Size(clips=1200, sweeps=80, edits=80, swaps=60, materials=60, seeds=20, joins=60, pixels=200)


def sized(clips: int) -> Size:
    """The default measurement in the proportions of another number of clips."""
    whole = Size()
    shares = {name: max(1, round(count * clips / whole.clips)) for name, count in vars(whole).items()}
    return Size(**{**shares, "tries": whole.tries})


@dataclass(frozen=True)
class Row:
    """One figure and what it must reach; without a bar it is told for comparison."""

    name: str
    figure: Figure
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the interval's pessimistic end reaches the bar; None without one."""
        if self.least is None and self.most is None:
            return None
        if np.isnan(self.figure.low) or np.isnan(self.figure.high):
            return False
        above = self.least is None or self.figure.low >= self.least
        return above and (self.most is None or self.figure.high <= self.most)

    def text(self) -> str:
        """One line of the table."""
        verdict = {True: "met", False: "MISS", None: ""}[self.met]
        one = self.figure
        parts = [f">= {self.least:g}"] if self.least is not None else []
        parts += [f"<= {self.most:g}"] if self.most is not None else []
        interval = f"{one.low:7.3f} ..{one.high:7.3f}"
        return f"{verdict:<5}{self.name:<58}{one.value:8.3f}  {interval}  n={one.count:<5}{' '.join(parts)}"


def prove(
    size: Size, *, processes: int = 2, weights: Path | None = None, dump: Path | None = None, runtime: Runtime
) -> list[Row]:
    """Measure everything of the network in the box, or of other ``weights``; rows in the table's order."""
    with _workers(processes, weights) as pool:
        found = _measure(size, str(dump) if dump else "", pool, runtime)
    if dump:
        _save_events(found["clip"], dump)
    return rows_of(found)


def _measure(size: Size, folder: str, pool: Executor | None, runtime: Runtime) -> dict[str, list[dict[str, Any]]]:
    first = FIRST_SEED
    wanted: list[tuple[str, Callable, tuple, int]] = [
        *((f"sweep {name}", tasks.sweep_task, (name,), size.sweeps) for name in tasks.SWEPT),
        ("edit", tasks.edit_task, (), size.edits),
        ("swap", tasks.swap_task, (), size.swaps),
        ("material", tasks.material_task, (), size.materials),
        ("seeds", tasks.seeds_task, (), size.seeds),
        ("joins", joins_task, (), size.joins),
    ]
    searches = [
        _Search("clip", tasks.clip_task, (folder,), first, size.clips, size.clips),
        _Search("pixels", tasks.pixels_task, (), first + 50_000, size.pixels, size.pixels),
        *(
            _Search(name, task, extra, first + 60_000 + 5_000 * number, count, count * size.tries)
            for number, (name, task, extra, count) in enumerate(wanted)
        ),
    ]
    _run(searches, pool, runtime)
    return {one.name: one.found for one in searches}


@dataclass
class _Search:
    """A measurement of so many clips, made of one seed after the other, as not every scene suits it."""

    name: str
    task: Callable[..., dict[str, Any] | None]
    extra: tuple
    first_seed: int
    count: int
    most_tries: int
    tried: int = 0
    results: dict[int, dict[str, Any] | None] = field(default_factory=dict)

    @property
    def found(self) -> list[dict[str, Any]]:
        """The first ``count`` results in the order of seeds, so that it never matters which was ready first."""
        return [one for _, one in sorted(self.results.items()) if one is not None][: self.count]

    @property
    def lacks(self) -> bool:
        """Whether another seed is to be tried, if all that are being tried succeed."""
        waiting = self.tried - len(self.results)
        return len(self.found) + waiting < self.count and self.tried < self.most_tries

    def next_seed(self) -> int:
        """The seed of the next try."""
        self.tried += 1
        return self.first_seed + self.tried - 1


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def _workers(processes: int, weights: Path | None) -> Iterator[Executor | None]:
    """Processes for all measurements, since starting one costs seconds; None = this one.

    Each computes with one thread: libraries that start as many as there are cores would wait for each other's. They
    read the environment when they are loaded, so it is set while processes start.
    """
    if processes <= 1:
        tasks.begin(weights)
        yield None
        return
    context = get_context("spawn")
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        with ProcessPoolExecutor(processes, context, initializer=tasks.begin, initargs=(weights,)) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(searches: Sequence[_Search], pool: Executor | None, runtime: Runtime) -> None:
    """Make all measurements; those of one kind that find nothing do not keep others waiting."""
    total = sum(one.count for one in searches)
    waiting: dict[Future, tuple[_Search, int]] = {}
    try:
        while True:
            for search in searches:
                while search.lacks:
                    seed = search.next_seed()
                    if pool is None:
                        search.results[seed] = search.task(seed, *search.extra)
                        runtime.step(search.name, sum(len(one.found) for one in searches), total)
                    else:
                        waiting[pool.submit(search.task, seed, *search.extra)] = search, seed
            if not waiting:
                return
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                search, seed = waiting.pop(done)
                search.results[seed] = done.result()
                runtime.step(search.name, sum(len(one.found) for one in searches), total)
    except BaseException:
        if pool is not None:
            pool.shutdown(cancel_futures=True)  # else a cancelled run would first finish all that waits
        raise


def rows_of(found: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """The table from all measurements."""
    sweeps = [one for name in tasks.SWEPT for one in found[f"sweep {name}"]]
    return [
        *_onset_rows(found["clip"], found["pixels"]),
        *_apcc_rows(found["clip"]),
        *_level_rows(found["clip"], found["pixels"]),
        *_sweep_rows(sweeps),
        *_edit_rows(found["edit"], found["swap"]),
        *_material_rows(found["clip"], found["material"]),
        *_quiet_rows(found["clip"]),
        *_seed_rows(found["seeds"]),
        *_join_rows(found["joins"]),
    ]


def _f1(clips: Sequence[dict[str, Any]], name: str) -> Figure:
    return bootstrap(
        [clip["onsets"][name] for clip in clips if not clip["quiet"] and name in clip["onsets"]], pooled_f1
    )


def _onset_rows(clips: Sequence[dict[str, Any]], pixels: Sequence[dict[str, Any]]) -> list[Row]:
    return [
        Row("onset F1@50 ms: truth", _f1(clips, "truth"), least=0.95),
        Row("onset F1@50 ms: twin through the codec", _f1(clips, "twin")),
        Row("onset F1@50 ms: all conditions", _f1(clips, "given"), least=0.88),
        Row("onset F1@50 ms: physics nulled", _f1(clips, "nulled"), least=0.75),
        Row(
            "onset F1@50 ms: everything but mass from pixels",
            bootstrap([one["onsets"] for one in pixels], pooled_f1),
            least=0.75,
        ),
    ]


def _apcc_rows(clips: Sequence[dict[str, Any]]) -> list[Row]:
    events = [Event(str(clip["seed"]), **impact) for clip in clips for impact in clip["impacts"]]
    strength = {
        name: np.array([value for clip in clips for value in clip["strength"].get(name, [])])
        for name in ("truth", "twin", "given")
    }
    rows = []
    for log_energy, word in ((False, "linear"), (True, "log")):
        try:
            scores = {
                name: apcc(events, strength["truth"], strength[name], log_energy=log_energy)
                for name in ("twin", "given")
            }
            excess = apcc_excess(events, strength["truth"], strength["given"], strength["twin"], log_energy=log_energy)
        except PavasError:
            nothing = Figure(float("nan"), float("nan"), float("nan"), len(events))
            rows.append(Row(f"APCC-delta, {word}", nothing, most=0.0))
            continue
        for name, told in (("twin", "twin"), ("given", "all conditions")):
            score = scores[name]
            rows.append(Row(f"APCC-delta, {word}: {told}", Figure(score.delta, score.low, score.high, len(events))))
        rows.append(Row(f"APCC-delta, {word}: more than the twin", Figure(*excess, len(events)), most=0.03))
    return rows


def _level_rows(clips: Sequence[dict[str, Any]], pixels: Sequence[dict[str, Any]]) -> list[Row]:
    def pairs(name: str) -> list[tuple[float, float]]:
        return [(clip["level_db"]["truth"], clip["level_db"][name]) for clip in clips]

    def bias(units: list[tuple[float, float]]) -> float:
        return float(np.mean([made - true for true, made in units]))

    return [
        Row("clip level correlation: twin", bootstrap(pairs("twin"), correlation)),
        Row("clip level correlation: all conditions", bootstrap(pairs("given"), correlation), least=0.95),
        Row("clip level bias, dB: twin", bootstrap(pairs("twin"), bias), least=-1.0, most=1.0),
        Row("clip level bias, dB: all conditions", bootstrap(pairs("given"), bias), least=-1.0, most=1.0),
        Row(
            "clip level correlation: physics from pixels",
            bootstrap([tuple(one["level_db"]) for one in pixels], correlation),
            least=0.80,
        ),
    ]


def _sweep_rows(sweeps: Sequence[dict[str, Any]]) -> list[Row]:
    rows = []
    for name in ("mass", "speed"):
        for contact in tasks.SWEPT:
            mine = [one[name] for one in sweeps if one["contact"] == contact]
            moving = [one for one in mine if abs(one["true_slope"]) >= MIN_MOVE_DB_PER_DECADE]
            if not moving:
                continue
            rows.append(
                Row(
                    f"{name} sweep, {contact}: Spearman",
                    bootstrap([one["spearman"] for one in moving], mean),
                    least=0.98,
                )
            )
            ratio = bootstrap([(one["slope"], one["true_slope"]) for one in moving], _slope_ratio)
            rows.append(Row(f"{name} sweep, {contact}: slope / truth", ratio, least=0.8, most=1.2))
    turns = [one[name] for one in sweeps for name in ("mass", "speed")]
    turning = [one for one in turns if abs(one["true_octaves"]) > MIN_MOVE_OCTAVES]
    agree = [one["octaves"] * one["true_octaves"] > 0 for one in turning]
    rows.append(Row("centroid direction agrees", share(agree), least=0.9))
    return rows


def _slope_ratio(units: Sequence[tuple[float, float]]) -> float:
    """Least squares through the origin: slopes as made over slopes of the truth."""
    made, true = np.array(units).T
    return float((made * true).sum() / (true * true).sum())


def _edit_rows(edits: Sequence[dict[str, Any]], swaps: Sequence[dict[str, Any]]) -> list[Row]:
    deleted = [one["down_db"] >= tasks.DELETED_DB for one in edits]
    added = [one["added"] for one in edits if one["added"] is not None]
    return [
        Row("masses swapped: order of loudness flips", share([one["flips"] for one in swaps]), least=0.9),
        Row("impact deleted: 20 dB down", share(deleted), least=0.9),
        Row("impact added: heard within 40 ms", share(added), least=0.9),
    ]


def _material_rows(clips: Sequence[dict[str, Any]], rung: Sequence[dict[str, Any]]) -> list[Row]:
    half = len(clips) // 2
    train = [one for clip in clips[:half] for one in clip["materials"]]
    test = [one for clip in clips[half:] for one in clip["materials"]]
    rows = []
    if train and test:
        names = sorted({one["material"] for one in train})
        weights = _fit_classifier(
            np.array([one["truth"] for one in train]), [names.index(one["material"]) for one in train]
        )
        own, heard = (
            [names[np.argmax(_with_one(np.array([one[kind]])) @ weights)] == one["material"] for one in test]
            for kind in ("truth", "given")
        )
        rows.append(Row("material heard: classifier on the truth", share(own)))
        rows.append(Row("material heard: as made", share(heard), least=0.8 * float(np.mean(own))))
    units = [one["decay_s"] for one in rung]
    rows.append(Row("T60 over materials: Spearman", bootstrap(units, _decay_spearman), least=0.9))
    return rows


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x / 20.0, np.ones((len(x), 1))], axis=1)


def _fit_classifier(x: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Ridge regression onto one-hot labels."""
    x = _with_one(x)
    target = np.eye(max(labels) + 1)[labels]
    return np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ target)


def _decay_spearman(units: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Rank correlation over materials of the decay times' geometric means over all scenes."""
    true, made = np.nanmean(np.log(np.array(units)), axis=0).T
    known = np.isfinite(true) & np.isfinite(made)
    return spearman(true[known], made[known]) if known.sum() > 2 else float("nan")


def _quiet_rows(clips: Sequence[dict[str, Any]]) -> list[Row]:
    quiet = [clip for clip in clips if clip["quiet"]]
    rate = bootstrap([clip["onsets"]["given"][2] / clip["duration_s"] for clip in quiet], mean)
    level = bootstrap([clip["level_db"]["given"] - ROOM_TONE_DB for clip in quiet], mean)
    return [
        Row("no contact: onsets per second", rate, most=0.1),
        Row("no contact: level over room tone, dB", level, least=-3.0, most=3.0),
    ]


def _seed_rows(runs: Sequence[dict[str, Any]]) -> list[Row]:
    return [
        Row("same scene, 8 seeds: level SD, dB", bootstrap([one["sd_db"] for one in runs], mean), most=1.5),
        Row("same scene, 8 seeds: waveforms differ", share([one["differ"] for one in runs]), least=1.0),
    ]


def _join_rows(clips: Sequence[dict[str, Any]]) -> list[Row]:
    counts = [(one["joins"], one["elsewhere"]) for one in clips if "joins" in one]
    quiet = [one for one in clips if "step_db" in one]

    def beside(units: list[tuple[tuple[int, int, int], tuple[int, int, int]]]) -> float:
        at_joins, elsewhere = zip(*units, strict=True)
        return pooled_f1(at_joins) / max(pooled_f1(elsewhere), 1e-9)

    return [
        Row("joins of a long sound: onset F1 / that elsewhere", bootstrap(counts, beside), least=0.95),
        Row("joins in room tone: largest step of level, dB", bootstrap([one["step_db"] for one in quiet], max), most=1),
        Row("joins in room tone: onsets a clip", bootstrap([one["onsets"] for one in quiet], mean), most=0.0),
    ]


def _save_events(clips: Sequence[dict[str, Any]], folder: Path) -> None:
    events = [Event(f"{clip['seed']:06d}", **impact) for clip in clips for impact in clip["impacts"]]
    save_events(events, folder / "events.json")


def save_rows(rows: Sequence[Row], path: Path) -> None:
    """The table as JSON."""
    listed = [
        {"name": row.name, **vars(row.figure), "least": row.least, "most": row.most, "met": row.met} for row in rows
    ]
    path.write_text(json.dumps(listed, indent=1), encoding="utf-8")
