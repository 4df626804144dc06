"""What is heard of impacts, figures with intervals, and the table that says whether the bars are met."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.evaluation import heard
from pavas_core.evaluation.proof import Row, _run, _Search, _slope_ratio, _workers, rows_of
from pavas_core.evaluation.proof_clips import proof_sim, proof_stage
from pavas_core.evaluation.proof_joins import _struck_throughout
from pavas_core.evaluation.proof_tasks import _leading, _left_to_ring, counts_where, onset_counts
from pavas_core.evaluation.statistics import Figure, bootstrap, correlation, mean, pooled_f1, share, spearman
from pavas_core.runtime import Runtime

RATE = 16000


def tone(times_s: list[float], decay_per_s: float = 30.0, hz: float = 800.0, gain: float = 0.5) -> Audio:
    """Decaying tones over faint noise, 2 s."""
    t = np.arange(2 * RATE) / RATE
    wave = 1e-4 * np.random.default_rng(0).standard_normal(t.size)
    for start in times_s:
        since = np.maximum(t - start, 0)
        wave += gain * (t >= start) * np.exp(-decay_per_s * since) * np.sin(2 * np.pi * hz * since)
    return Audio(wave[None].astype(np.float32), RATE)


def test_audible_impacts_rise_and_stand_apart() -> None:
    sound = tone([0.5, 1.0])
    assert heard.audible(sound, [0.5, 0.55, 1.0, 1.5], -60.0).tolist() == [0.5, 1.0]


def test_masked_impacts_are_neither_hits_nor_false() -> None:
    sound = tone([0.5, 1.0, 1.5])
    assert onset_counts(sound, np.array([0.5, 1.0, 1.5]), [0.5, 1.0, 1.5]) == (3, 3, 3)
    assert onset_counts(sound, np.array([0.5, 1.0]), [0.5, 1.0, 1.5]) == (2, 2, 2)
    assert onset_counts(sound, np.array([0.5, 1.0]), [0.5, 1.0]) == (2, 2, 3)
    assert onset_counts(sound, np.array([0.5, 0.8]), [0.5, 0.8]) == (1, 2, 3)


def test_level_is_that_of_the_signal() -> None:
    wave = 0.1 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert heard.clip_level_db(Audio(wave[None], RATE)) == pytest.approx(-23.01, abs=0.05)


def test_an_octave_up_is_one_octave_of_centroid() -> None:
    low, high = (heard.centroid_octaves(tone([0.1], hz=hz)) for hz in (500.0, 1000.0))
    assert high - low == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("t60_s", [0.2, 0.5, 3.0])
def test_decay_time_of_an_exponential(t60_s: float) -> None:
    sound = tone([0.2], decay_per_s=6.908 / t60_s)
    assert heard.decay_s(sound, 0.2, 1.2, -70.0) == pytest.approx(t60_s, rel=0.1)


def test_decay_is_that_of_what_is_heard() -> None:
    """A soft impact is short however long room tone goes on, and one that is not heard has no decay."""
    assert heard.decay_s(tone([0.2], decay_per_s=6.908 / 0.2, gain=0.02), 0.2, 1.2, -70.0) == pytest.approx(
        0.2, rel=0.15
    )
    assert np.isnan(heard.decay_s(tone([0.2], gain=1e-5), 0.2, 1.2, -70.0))
    assert np.isnan(heard.decay_s(tone([]), 0.2, 0.205, -70.0))


def test_sweeps_are_heard_at_impacts_that_lead() -> None:
    scene = proof_sim(900, "drop").scene
    like = scene.impacts[0]

    def at(time_s: float, contact: str, energy_j: float):
        return replace(like, time_s=time_s, contact=contact, energy_loss_j=energy_j)

    impacts = (at(0.5, "bounce", 1.0), at(0.6, "landing", 9.0), at(1.5, "landing", 1.0), at(1.6, "bounce", 1.0))
    scene = replace(scene, impacts=impacts)
    assert _leading(scene, "landing") == [impacts[1]]
    assert _leading(scene, "bounce") == []


def test_the_stage_is_that_of_the_scene() -> None:
    stage, sim = proof_stage(900, "drop"), proof_sim(900, "drop")
    assert [actor.name for actor in stage.actors] == [actor.name for actor in sim.played.stage.actors]


def test_what_rings_is_left_to_ring() -> None:
    sim = next(sim for sim in (proof_sim(seed, "drop") for seed in range(900, 960)) if _left_to_ring(sim.scene))
    names = {body.object.id: body.object.name.split()[-1] for body in sim.scene.bodies}
    times = np.array([one.time_s for one in sim.scene.impacts])
    for one, until in _left_to_ring(sim.scene).items():
        assert names[one.object_id] in ("cup", "rod")
        assert 0.3 - 1e-9 <= until - one.time_s <= 1.0 + 1e-9
        assert not ((times > one.time_s) & (times < until)).any()


def test_joins_are_told_from_elsewhere() -> None:
    """A false onset counts where it lies, but none does at an impact that is not audible by itself."""
    audible, onsets, impacts = np.array([1.0, 4.0]), np.array([1.02, 2.0, 4.2, 5.0]), np.array([1.0, 2.0, 4.0])
    assert counts_where(audible, onsets, impacts, lambda time_s: time_s < 3.0) == (1, 1, 1)
    assert counts_where(audible, onsets, impacts, lambda time_s: time_s >= 3.0) == (0, 1, 2)


def test_every_join_and_every_stretch_between_is_struck() -> None:
    sim = proof_sim(900, "drop")
    shared = [(1.0, 1.6), (2.6, 3.2)]
    struck = _struck_throughout(sim.scene, shared, np.random.default_rng(0)).impacts
    times = np.array([one.time_s for one in struck])
    assert (np.diff(times) > 0).all()
    assert len({one.id for one in struck}) == len(struck) == 15
    assert {one.impulse_ns for one in struck} == {max(one.impulse_ns for one in sim.scene.impacts)}
    for start, end in shared:
        assert ((times >= start - 0.1) & (times <= end + 0.1)).sum() == 3


def test_workers_compute_with_one_thread_and_leave_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with _workers(2, None):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def _every_third(seed: int, latest_first: threading.Event | None) -> dict | None:
    if latest_first is not None and seed == 102:
        assert latest_first.wait(60)  # for a later seed's result
    elif latest_first is not None and seed > 102:
        latest_first.set()
    return {"seed": seed} if seed % 3 == 0 else None


@pytest.mark.parametrize("processes", [0, 4])
def test_the_first_suitable_seeds_count_and_no_more_are_tried(processes: int) -> None:
    late = threading.Event() if processes else None
    searches = [
        _Search("three", _every_third, (late,), 100, 3, 50),
        _Search("none", lambda seed: None, (), 0, 2, 7),
    ]
    with ThreadPoolExecutor(max(1, processes)) as pool:
        _run(searches, pool if processes else None, Runtime())
    assert [one["seed"] for one in searches[0].found] == [102, 105, 108]
    assert searches[0].tried == 9
    assert searches[1].found == []
    assert searches[1].tried == 7


def test_a_failing_measurement_ends_the_others() -> None:
    def fails(seed: int) -> dict:
        raise RuntimeError(f"seed {seed}")

    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="seed 5"):
        _run([_Search("one", fails, (), 5, 100, 100)], pool, Runtime())


def test_intervals_hold_the_value_and_shrink_with_more_units() -> None:
    rng = np.random.default_rng(1)
    few, many = (bootstrap(list(rng.normal(3, 1, n)), mean) for n in (20, 2000))
    assert few.low < few.value < few.high
    assert many.high - many.low < 0.2 * (few.high - few.low)


def test_statistics_by_hand() -> None:
    assert pooled_f1([(1, 2, 2), (1, 2, 2)]) == 0.5
    assert pooled_f1([(0, 0, 0)]) == 1.0
    assert correlation([(0, 0), (1, 2), (2, 4)]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [10, 100, 50]) == pytest.approx(0.5)
    assert share([True, False]).value == 0.5
    assert _slope_ratio([(5, 10), (10, 20)]) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high", "met"), [(0.9, 0.95, True), (0.87, 0.95, False), (float("nan"), 1.0, False)])
def test_a_bar_is_met_by_the_pessimistic_end(low: float, high: float, met: bool) -> None:
    assert Row("x", Figure(0.93, low, high, 9), least=0.88).met is met
    assert Row("x", Figure(0.93, low, high, 9)).met is None


def clip(seed: int, hits: int, quiet: bool = False) -> dict:
    """A clip of which ``hits`` of 4 impacts were found, as ``clip_task`` tells it."""
    rng = np.random.default_rng(seed)
    level = float(-40 + seed)
    count = 0 if quiet else 4
    energy = rng.uniform(1, 10, count)
    strength = {name: (energy + rng.normal(0, 0.1, count)).tolist() for name in ("truth", "twin", "given")}
    features = rng.normal(0, 10, 32)
    return {
        "seed": seed,
        "kind": "drop",
        "quiet": quiet,
        "duration_s": 4.0,
        "onsets": {
            "truth": (count, count, count),
            "twin": (count, count, count),
            "given": (min(hits, count), count, min(hits, count)),
            "nulled": (0, count, 0),
        },
        "level_db": dict.fromkeys(("truth", "twin", "given", "nulled"), level),
        "strength": strength if count else {},
        "impacts": [
            {"time_s": 0.5 * k, "energy_loss_j": float(e), "group": "wood bounce"} for k, e in enumerate(energy)
        ],
        "materials": [{"material": "wood", "truth": features.tolist(), "given": features.tolist()}],
    }


def measured(hits: int) -> dict:
    turn = {"spearman": 1.0, "true_slope": 10.0, "slope": 10.0, "true_octaves": -1.0, "octaves": -0.8}
    contacts = ("bounce", "strike", "collision", "landing")
    return {
        "clip": [clip(seed, hits) for seed in range(12)] + [clip(seed, 0, quiet=True) for seed in (30, 34)],
        "pixels": [{"onsets": (4, 4, 4), "level_db": [float(k), float(k)]} for k in range(5)],
        **{f"sweep {name}": [{"contact": name, "mass": turn, "speed": turn}] * 3 for name in contacts},
        "edit": [{"down_db": 30.0, "added": True}] * 4,
        "swap": [{"flips": True}] * 4,
        "material": [{"decay_s": [[1.0, 0.9], [0.5, 0.5], [0.2, 0.1], [0.1, 0.05]]}] * 3,
        "seeds": [{"sd_db": 0.5, "differ": True}] * 3,
        "joins": [{"joins": (hits, 4, hits), "elsewhere": (4, 4, 4)}] * 3 + [{"step_db": 0.1, "onsets": 4 - hits}],
    }


def test_the_table_tells_good_from_bad() -> None:
    good = {row.name: row for row in rows_of(measured(4))}
    bad = {row.name: row for row in rows_of(measured(2))}
    assert good["onset F1@50 ms: all conditions"].met
    assert not bad["onset F1@50 ms: all conditions"].met
    assert bad["onset F1@50 ms: all conditions"].figure.value == pytest.approx(2 / 3)
    assert not good["onset F1@50 ms: physics nulled"].met
    assert good["APCC-delta, linear: more than the twin"].met
    assert good["mass sweep, strike: slope / truth"].met
    assert not good["no contact: level over room tone, dB"].met  # 40 dB over the room
    for name in ("joins of a long sound: onset F1 / that elsewhere", "joins in room tone: onsets a clip"):
        assert good[name].met
        assert not bad[name].met
    assert all(len(row.text()) < 140 for row in good.values())


def test_folder_of_sounds_is_judged_by_its_event_file(tmp_path, capsys) -> None:
    import soundfile

    from pavas_core.cli import main
    from pavas_core.evaluation.apcc import Event, save_events

    events = []
    for number in range(8):
        times = [0.3, 0.7, 1.1, 1.5]
        gains = [0.05 * (1 + (number + k) % 5) for k in range(4)]
        sound = sum(tone([t], gain=g).waveform for t, g in zip(times, gains, strict=True))
        events += [Event(f"{number}", t, g * g, "wood bounce") for t, g in zip(times, gains, strict=True)]
        for folder, factor in (("truth", 1.0), ("made", 1.0)):
            (tmp_path / folder).mkdir(exist_ok=True)
            soundfile.write(tmp_path / folder / f"{number}.wav", factor * sound.T, RATE, subtype="FLOAT")
    save_events(events, tmp_path / "events.json")
    judge = ["evaluate", "--sounds", str(tmp_path / "made"), "--truth", str(tmp_path / "truth")]
    assert main([*judge, "--events", str(tmp_path / "events.json")]) == 0
    assert "APCC-delta, linear: 0.000" in capsys.readouterr().out
    assert main(judge) == 2
