"""Moments at which what is held or alive may strike: how they are found, measured and weighed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pavas_core.estimation.planar import hits
from pavas_core.estimation.planar.moments import MEASURES, WEIGHTS, Moments, find_moments, likelihood, seen_to_stop
from pavas_core.estimation.planar.scorer import Peak
from pavas_core.estimation.planar.signals import Mark
from pavas_core.physics.types import Break, Track, Velocity
from tests.planar_tracks import make_track, make_tracks

RATE = 30.0
TIMES_S = np.arange(86) / RATE
WIDTH = 640
PERIOD = 15
BLOWS_S = (np.arange(1, 6) * PERIOD) / RATE
FAST = 2.0 * WIDTH


def swinging(abrupt: bool) -> np.ndarray:
    """Downward pixel speed [L-1] of a tool lifted and swung twice a second and stopped at once, or waved gently."""
    phase = np.arange(len(TIMES_S) - 1) / PERIOD
    if not abrupt:
        return -0.15 * FAST * np.sin(np.pi * phase)
    phase %= 1
    return FAST * np.where(phase < 0.2, 0.0, np.where(phase < 0.6, -0.4, (phase - 0.6) / 0.4))


def stops_of(abrupt: bool) -> np.ndarray:
    """As ``Track.stops``: a large loss, of nearly everything, at every blow."""
    rng = np.random.default_rng(5)
    stops = (rng.uniform(0, 1, (len(TIMES_S), 3)) * [0.2, 0.1, 1.0]).astype(np.float32)
    if abrupt:
        stops[PERIOD::PERIOD] = 1.0, 1.0, 0.9
    return stops


def tool(abrupt: bool = True) -> Track:
    """A thing at the border whose centre says nothing."""
    down = swinging(abrupt)
    points = np.stack([np.full(len(TIMES_S), 300.0), 200 + 0.2 * np.r_[0, np.cumsum(down)] / RATE], axis=1)
    track = make_track("object-1", points, 60.0, truncated=np.ones(len(TIMES_S), bool))
    flow = np.stack([down, down], axis=1).astype(np.float32)
    return replace(track, flow_px_s=flow, stops=stops_of(abrupt))


def moments_of(track: Track, peaks: list[Peak] | None = None, marks: list[Mark] | None = None) -> Moments:
    found = find_moments(track, make_tracks(TIMES_S, track), peaks or [], marks or [])
    assert found is not None
    return found


def test_every_measure_has_a_weight() -> None:
    assert set(json.loads(WEIGHTS.read_text())["weights"]) == set(MEASURES)


def test_blows_are_moments_and_likelier_than_what_lies_between() -> None:
    found = moments_of(tool())
    assert all(np.abs(found.times_s - blow).min() < 1.5 / RATE for blow in BLOWS_S)
    likely = likelihood(found.measures)
    struck = np.abs(found.times_s[:, None] - BLOWS_S).min(axis=1) < 1.5 / RATE
    assert likely[struck].min() > likely[~struck].max()
    assert likely[struck].min() > 0.6
    assert seen_to_stop(found.measures)[struck].all()
    assert (found.before[struck, 1] > 0.5).all()
    assert (np.abs(found.after[struck, 1]) < 0.2).all()


def test_a_wave_in_which_nothing_stops_makes_no_blow() -> None:
    track = tool(abrupt=False)
    assert not seen_to_stop(moments_of(track).measures).any()
    assert judged(track) == []


def test_an_echo_of_a_larger_stop_is_not_seen_to_stop() -> None:
    track = tool()
    assert track.stops is not None
    stops = track.stops.copy()
    stops[PERIOD + 4] = 0.9, 0.3, 0.9
    found = moments_of(replace(track, stops=stops), [Peak((PERIOD + 4) / RATE, 0.5, 1.0, 0.1)])
    echo = np.abs(found.times_s - (PERIOD + 4) / RATE) < 0.03
    assert echo.any()
    assert not seen_to_stop(found.measures)[echo].any()


@pytest.mark.parametrize(
    ("measure", "likelier"),
    [("downward", 1), ("stopped", 1), ("heard", 1), ("confirmed", 1), ("side", -1), ("camera", -1)],
)
def test_what_speaks_for_a_blow_and_what_against(measure: str, likelier: int) -> None:
    rows = np.zeros((2, len(MEASURES)))
    rows[1, MEASURES.index(measure)] = 1.0
    low, high = likelihood(rows)
    assert (high > low) == (likelier > 0)


def test_size_of_the_picture_does_not_matter() -> None:
    one = tool()
    large = replace(
        one, flow_px_s=3 * one.flow_px_s, area_px=9 * one.area_px, boxes=3 * one.boxes, centroids=3 * one.centroids
    )
    small = moments_of(one)
    tracks = replace(make_tracks(TIMES_S, large), width=3 * WIDTH, height=3 * 360)
    found = find_moments(large, tracks, [], [])
    assert found is not None
    np.testing.assert_allclose(found.measures, small.measures, atol=1e-5)


def test_what_the_scorer_or_the_fits_name_is_a_moment_too() -> None:
    named = Peak(0.23, 0.5, 1.0, 0.1), Mark(1.2, 0.6, np.ones(2), np.zeros(2))
    found = moments_of(tool(abrupt=False), [named[0]], [named[1]])
    for one, column in zip(named, ("heard", "confirmed"), strict=True):
        at = int(np.argmin(np.abs(found.times_s - one.time_s)))
        assert abs(found.times_s[at] - one.time_s) < 0.06
        assert found.measures[at, MEASURES.index(column)] > np.median(found.measures[:, MEASURES.index(column)])


def test_a_break_of_the_fits_counts_as_far_as_something_stops_there() -> None:
    mark = Mark(float(BLOWS_S[2]), 0.6, np.ones(2), np.zeros(2))
    confirmed = []
    for share in (0.9, 0.3, 0.0):
        track = tool()
        assert track.stops is not None
        stops = track.stops.copy()
        stops[3 * PERIOD, 0] = share
        found = moments_of(replace(track, stops=stops), [], [mark])
        at = int(np.argmin(np.abs(found.times_s - mark.time_s)))
        confirmed.append(float(found.measures[at, MEASURES.index("confirmed")]))
    assert confirmed == pytest.approx([0.54, 0.18, 0.0], abs=1e-6)


@pytest.mark.parametrize("unknown", [{"flow_px_s": None}, {"stops": None}])
def test_without_flow_or_stops_there_is_nothing_to_weigh(unknown: dict[str, None]) -> None:
    track = replace(tool(), **unknown)  # type: ignore[arg-type]
    assert find_moments(track, make_tracks(TIMES_S, track), [], []) is None
    fit = Break(1.2, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9)
    assert judged(track, fit) == [fit]


def velocity(*breaks: Break) -> Velocity:
    count = len(TIMES_S) - 1
    return Velocity(
        "object-1", (TIMES_S[:-1] + TIMES_S[1:]) / 2, np.ones(count, np.float32), np.ones((count, 3), np.float32),
        np.ones(count, np.float32), breaks, 0.002, "assumed", 0.5,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer hears nothing unless a test says so."""
    monkeypatch.setattr(hits, "find_peaks", lambda tracks, *_: [[] for _ in tracks.tracks])


def judged(
    track: Track, *breaks: Break, reliable: bool = False, rigid: bool = False, sensitivity: float = 1.0
) -> list[Break]:
    tracks, points = make_tracks(TIMES_S, track), [track.centroids.astype(float)]
    found = hits.judged(tracks, points, [reliable], [rigid], [velocity(*breaks)], 1.0, sensitivity)[0]
    return [b for b in found.breaks if b.confidence >= 0.5]


def test_likely_moments_become_breaks_with_the_speeds_of_the_flow() -> None:
    found = judged(tool())
    assert [b.time_s for b in found] == pytest.approx(list(BLOWS_S), abs=1.5 / RATE)
    metres = 0.002 * WIDTH
    for one in found:
        assert 0.5 * metres < one.pre_mps[1] < 1.5 * metres
        assert abs(one.post_mps[1]) < 0.2 * metres
        assert one.confidence >= 0.6


@pytest.mark.parametrize(("likely", "struck"), [(0.35, 0), (0.45, len(BLOWS_S))])
def test_what_is_seen_to_stop_strikes_where_two_of_five_such_do(
    monkeypatch: pytest.MonkeyPatch, likely: float, struck: int
) -> None:
    monkeypatch.setattr(hits, "likelihood", lambda measures: np.full(len(measures), likely))
    assert len(judged(tool())) == struck


@pytest.mark.parametrize(("sensitivity", "struck"), [(0.5, 0), (1.0, 0), (3.0, len(BLOWS_S))])
def test_sensitivity_multiplies_the_odds_of_what_is_weighed(
    monkeypatch: pytest.MonkeyPatch, sensitivity: float, struck: int
) -> None:
    monkeypatch.setattr(hits, "likelihood", lambda measures: np.full(len(measures), 0.3))
    assert len(judged(tool(), sensitivity=sensitivity)) == struck


@pytest.mark.parametrize(("sensitivity", "heard"), [(0.25, 0.5), (1.0, 0.8), (4.0, 16 / 17)])
def test_sensitivity_multiplies_the_odds_of_what_is_heard(
    monkeypatch: pytest.MonkeyPatch, sensitivity: float, heard: float
) -> None:
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(float(BLOWS_S[1]), 0.8, 1.0, 0.2)]])
    fit = Break(float(BLOWS_S[1]), 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.5)
    (one,) = judged(replace(tool(), stops=None), fit, reliable=True, rigid=True, sensitivity=sensitivity)
    assert one.confidence == pytest.approx(heard)


def test_unlikely_breaks_of_the_fits_are_dropped_and_likely_ones_kept_as_they_are() -> None:
    fit = Break(1.3, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9)
    assert judged(tool(abrupt=False), fit) == []
    near = replace(fit, time_s=float(BLOWS_S[1]) - 0.01)
    found = judged(tool(), near)
    assert near in found
    assert sum(abs(b.time_s - near.time_s) < 0.2 for b in found) == 1


def test_what_the_scorer_is_sure_of_takes_the_place_of_a_late_break_of_an_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    blow = float(BLOWS_S[1])
    late = Break(blow + 0.07, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9)
    apart = replace(late, time_s=float(BLOWS_S[3]))
    for probability, expected in ((0.95, blow), (0.6, late.time_s)):
        peak = Peak(blow, probability, 1.0, 0.2)
        monkeypatch.setattr(hits, "find_peaks", lambda *_, peak=peak: [[peak]])
        times = [b.time_s for b in judged(replace(tool(), stops=None), late, apart)]
        assert times == pytest.approx([expected, apart.time_s])


def test_of_two_that_the_scorer_is_sure_of_at_once_the_surer_one_is_the_blow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand that knocks quickly is lifted shortly before, which sounds like a blow as well."""
    blow = float(BLOWS_S[1])
    fit = Break(blow, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9)
    peaks = [Peak(blow - 0.06, 0.96, 1.0, 0.8), Peak(blow, 0.98, 1.0, 0.2)]
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [peaks])
    (one,) = judged(replace(tool(), stops=None), fit)
    assert one.time_s == pytest.approx(blow)


@pytest.mark.parametrize(("heard", "fitted", "expected"), [(0.95, 0.8, 1), (0.95, 0.6, 0), (0.85, 0.8, 0)])
def test_nothing_speaks_against_what_scorer_and_fits_agree_on(
    monkeypatch: pytest.MonkeyPatch, heard: float, fitted: float, expected: int
) -> None:
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(1.3, heard, 1.0, 0.2)]])
    monkeypatch.setattr(hits, "likelihood", lambda measures: np.full(len(measures), 0.1))
    fit = Break(1.3, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, fitted)
    track = replace(tool(abrupt=False), truncated=np.zeros(len(TIMES_S), bool))
    assert len(judged(track, fit, reliable=True)) == expected


def test_a_break_that_is_hardly_heard_stays_where_it_is_when_its_moment_is_likely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thin stick that drums: the fits know when and how fast, and something is seen to stop."""
    blow = float(BLOWS_S[1])
    fit = Break(blow - 0.012, 0.01, (300.0, 200.0), (0.0, 1.5, 0.0), (0.0, -0.4, 0.0), 0.1, 0.9)
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(blow - 0.01, 0.35, 1.0, 0.2)]])
    track = replace(tool(), truncated=np.zeros(len(TIMES_S), bool))
    near = [b for b in judged(track, fit, reliable=True) if abs(b.time_s - blow) < 0.1]
    assert [b.time_s for b in near] == pytest.approx([fit.time_s], abs=0.005)


def test_an_arm_strikes_once_at_a_time() -> None:
    blow = float(BLOWS_S[1])
    early = Break(blow - 0.06, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.6)
    late = replace(early, time_s=blow + 0.06)
    half_sure = replace(early, time_s=blow - 0.065, confidence=0.4)
    found = judged(tool(), half_sure, early, late, replace(early, time_s=float(BLOWS_S[3])))
    near = [b.time_s for b in found if abs(b.time_s - blow) < 0.1]
    assert near in ([early.time_s], [late.time_s])
    assert any(abs(b.time_s - BLOWS_S[3]) < 0.01 for b in found)


@pytest.mark.parametrize(("reliable", "strikes"), [(False, 1), (True, 2)])
def test_only_what_has_a_reliable_centre_is_believed_to_strike_twice_within_a_fifth_of_a_second(
    monkeypatch: pytest.MonkeyPatch, reliable: bool, strikes: int
) -> None:
    blow = float(BLOWS_S[1])
    fits = [
        Break(blow + aside, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9) for aside in (-0.06, 0.06)
    ]
    peaks = [Peak(fit.time_s, 0.9, 1.0, 0.1) for fit in fits]
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [peaks])
    found = judged(replace(tool(), truncated=np.zeros(len(TIMES_S), bool)), *fits, reliable=reliable)
    assert sum(abs(b.time_s - blow) < 0.1 for b in found) == strikes


@pytest.mark.parametrize(
    ("stopping", "likely", "believed"), [(True, 0.55, True), (False, 0.55, False), (False, 0.8, True)]
)
def test_an_arm_that_is_not_seen_to_stop_must_be_likelier_to_strike(
    monkeypatch: pytest.MonkeyPatch, stopping: bool, likely: float, believed: bool
) -> None:
    monkeypatch.setattr(hits, "likelihood", lambda measures: np.full(len(measures), likely))
    fit = Break(float(BLOWS_S[1]), 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9)
    track = tool()
    found = judged(track if stopping else replace(track, stops=0.3 * stops_of(abrupt=True)), fit)
    assert (fit in found) == believed


@pytest.mark.parametrize(("x", "heard", "expected"), [(340.0, 0.9, 1), (600.0, 0.9, 0), (340.0, 0.7, 0)])
def test_nothing_speaks_against_two_that_touch_and_are_surely_hit_at_once(
    monkeypatch: pytest.MonkeyPatch, x: float, heard: float, expected: int
) -> None:
    still = np.zeros(len(TIMES_S), bool)
    track = replace(tool(abrupt=False), truncated=still)
    path = track.centroids + np.array([x - 300.0, 0.0], np.float32)
    tracks = make_tracks(TIMES_S, track, make_track("ball-1", path, 60.0, truncated=still))
    peaks = [[Peak(1.3, 0.9, 1.0, 0.2)], [Peak(1.31, heard, 1.0, 0.2)]]
    monkeypatch.setattr(hits, "find_peaks", lambda *_: peaks)
    points = [t.centroids.astype(float) for t in tracks.tracks]
    found = hits.judged(tracks, points, [True] * 2, [False] * 2, [velocity(), velocity()], 1.0)[0]
    assert sum(b.confidence >= 0.5 for b in found.breaks) == expected


@pytest.mark.parametrize(("heard", "expected"), [(0.9, 0), (0.995, 1)])
def test_nothing_speaks_against_what_the_scorer_is_certain_of(
    monkeypatch: pytest.MonkeyPatch, heard: float, expected: int
) -> None:
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(1.3, heard, 1.0, 0.2)]])
    monkeypatch.setattr(hits, "likelihood", lambda measures: np.full(len(measures), 0.1))
    assert len(judged(tool(abrupt=False))) == expected


def test_rigid_things_that_nothing_drives_are_not_weighed() -> None:
    track = replace(tool(), truncated=np.zeros(len(TIMES_S), bool))
    assert judged(track, reliable=True, rigid=True) == judged(replace(track, stops=None), reliable=True)


def test_a_rigid_thing_strikes_where_the_scorer_hears_a_little_of_a_likely_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A drumstick in a hand out of sight looks like a thing that nothing drives."""
    blow = float(BLOWS_S[1])
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(blow, 0.2, 1.0, 0.2)]])
    track = replace(tool(), truncated=np.zeros(len(TIMES_S), bool))
    sure = [b.time_s for b in judged(track, reliable=True, rigid=True) if b.confidence >= 0.5]
    assert sure == pytest.approx([blow], abs=0.02)
    # What scorer or fits say of it elsewhere is not doubted.
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(blow, 0.2, 1.0, 0.2), Peak(1.3, 0.9, 1.0, 0.2)]])
    fit = Break(1.3, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, -0.5, 0.0), 0.1, 0.4)
    assert any(b.time_s == 1.3 for b in judged(track, fit, reliable=True, rigid=True))


@pytest.mark.parametrize(("sigma", "kept"), [(0.01, True), (0.5, False)])
def test_what_the_path_of_a_rigid_thing_tells_exactly_is_not_told_anew(
    monkeypatch: pytest.MonkeyPatch, sigma: float, kept: bool
) -> None:
    """A ball that another sets rolling: its speed before is nothing, so no share of that tells how sure it is."""
    blow = float(BLOWS_S[1])
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[Peak(blow, 0.95, 0.0, 1.5)]])
    track = replace(tool(), truncated=np.zeros(len(TIMES_S), bool))
    fit = Break(blow, 0.005, (300.0, 200.0), (0.0, 0.0, 0.0), (1.8, 0.0, 0.0), sigma, 0.95)
    near = [b for b in judged(track, fit, reliable=True, rigid=True) if abs(b.time_s - blow) < 0.05]
    assert len(near) == 1
    assert (near[0].post_mps == fit.post_mps) == kept
