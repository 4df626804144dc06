"""The scorer of impacts: what it is told, what it answers, and the file of its weights."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pavas_core.estimation.planar.hits import marks_of
from pavas_core.estimation.planar.scorer import INSIDE, WEIGHTS, find_peaks, peaks_of, response, weights
from pavas_core.estimation.planar.signals import COLUMNS, features, grid_times, mirrored, observe
from pavas_core.estimation.planar.velocity import fitted_velocity, steady_points
from pavas_core.physics.types import Track, TrackSet
from tests.planar_tracks import make_track, make_tracks

BOUNCES_S = (0.6, 1.2, 1.8)


def _ball(times_s: np.ndarray, width: float = 640.0) -> np.ndarray:
    """A ball that leaves the ground at every bounce as fast as it came."""
    since = (times_s % 0.6)[:, None]
    height = 0.5 * 1.5 * since * (0.6 - since)
    return width * np.hstack([0.2 + 0.2 * times_s[:, None], 0.5 - height])


def _seen(rate_hz: float = 30.0, width: float = 640.0) -> TrackSet:
    times_s = np.arange(0, 2.2, 1 / rate_hz)
    points = _ball(times_s, width)
    track = make_track("ball-1", points, diameter_px=0.05 * width)
    tracks = make_tracks(times_s, track)
    return replace(tracks, width=round(width), height=round(0.75 * width))


def _features(tracks: TrackSet) -> np.ndarray:
    seen = [observe(t, tracks, t.centroids.astype(float), []) for t in tracks.tracks]
    x = features(seen, 0, tracks, grid_times(tracks))
    assert x is not None
    return x


def _peaks(tracks: TrackSet) -> list[float]:
    fitted = fitted_velocity(tracks)
    marks = [marks_of(v, tracks.width, fitted.time_scale) for v in fitted.velocities]
    return [p.time_s for p in find_peaks(tracks, steady_points(tracks), marks)[0] if p.probability > 0.5]


def _measured(tracks: TrackSet, seed: int = 0) -> TrackSet:
    """The tracks with the noise of an outline."""
    rng = np.random.default_rng(seed)
    out = []
    for track in tracks.tracks:
        shift = rng.normal(0, 0.4, track.centroids.shape).astype(np.float32)
        swell = np.exp(rng.normal(0, 0.03, len(shift))).astype(np.float32)
        boxes = track.boxes + np.tile(shift, 2) + rng.normal(0, 0.5, track.boxes.shape).astype(np.float32)
        out.append(replace(track, centroids=track.centroids + shift, boxes=boxes, area_px=track.area_px * swell))
    return replace(tracks, tracks=tuple(out))


def test_every_column_has_a_name() -> None:
    x = _features(_seen())
    assert x.shape[1] == len(COLUMNS) == len(set(COLUMNS))
    assert np.isfinite(x).all()
    assert x.dtype == np.float32


def test_the_size_of_the_picture_makes_no_difference() -> None:
    np.testing.assert_allclose(_features(_seen(width=640.0)), _features(_seen(width=1280.0)), atol=2e-3)


def _stopping(tracks: TrackSet, frame: int = 18) -> TrackSet:
    """The first track with three quarters of its fast pixels stopped after a frame, and a quarter of what follows."""
    stops = np.full((len(tracks.times_s), 3), np.nan, np.float32)
    stops[frame], stops[frame + 3] = (0.75, 4e-3, 0.9), (0.25, 1e-3, -0.9)
    return replace(tracks, tracks=(replace(tracks.tracks[0], stops=stops), *tracks.tracks[1:]))


def _column(x: np.ndarray, name: str) -> np.ndarray:
    return x[:, COLUMNS.index(name)]


def test_what_stops_is_told_at_its_frame() -> None:
    tracks = _seen()
    x, grid = _features(_stopping(tracks)), grid_times(tracks)
    at = int(np.argmin(np.abs(grid - tracks.times_s[18])))
    later = int(np.argmin(np.abs(grid - tracks.times_s[21])))
    assert _column(x, "stop_known").min() == 1.0
    assert _column(x, "stop_share")[at] == pytest.approx(0.75)
    assert _column(x, "stop_down")[at] == pytest.approx(0.9)
    assert _column(x, "stop_first")[at] == pytest.approx(1.0)
    assert _column(x, "stop_first")[later] == pytest.approx(0.25)
    assert _column(x, "stop_lost")[at] > 1.5 * _column(x, "stop_lost")[later] > 0.0
    away = np.min([np.abs(grid - tracks.times_s[k]) for k in (18, 21)], axis=0) > 1.01 / 30
    for name in ("stop_fast", "stop_share", "stop_lost", "stop_own", "stop_first", "stop_most", "stop_down"):
        assert not _column(x, name)[away].any()


def test_tracks_nobody_has_watched_for_stops_say_so() -> None:
    x = _features(_seen())
    assert not x[:, [i for i, name in enumerate(COLUMNS) if name.startswith("stop")]].any()
    tracks = _seen()
    unstopped = np.full((len(tracks.times_s), 3), np.nan, np.float32)
    x = _features(replace(tracks, tracks=(replace(tracks.tracks[0], stops=unstopped),)))
    assert _column(x, "stop_known").all()
    assert not _column(x, "stop_fast").any()


def test_what_stops_is_told_to_those_that_touch_it() -> None:
    tracks = _stopping(_seen())
    ball = tracks.tracks[0]
    for name, other, shift in (("near_stop", "apart_stop", 30.0), ("apart_stop", "near_stop", 200.0)):
        way = np.array([shift, 0.0], np.float32)
        beside = replace(
            ball, object_id="ball-2", boxes=ball.boxes + np.tile(way, 2), centroids=ball.centroids + way, stops=None
        )
        two = replace(tracks, tracks=(beside, ball))
        x, at = _features(two), int(np.argmin(np.abs(grid_times(tracks) - tracks.times_s[18])))
        assert _column(x, name)[at] == pytest.approx(0.75)
        assert not _column(x, other).any()


def test_a_turn_is_told_by_the_flow() -> None:
    times_s = np.arange(0, 2.2, 1 / 30)
    middles = (times_s[1:] + times_s[:-1]) / 2
    flow = np.stack([np.where(middles < 1.0, 300.0, -100.0), np.zeros(len(middles))], axis=1).astype(np.float32)
    tracks = make_tracks(times_s, replace(make_track("hand-1", _ball(times_s), diameter_px=32.0), flow_px_s=flow))
    x, grid = _features(tracks), grid_times(tracks)
    on, away = np.abs(grid - 1.0) < 0.01, np.abs(grid - 1.0) > 0.12
    assert _column(x, "turn")[on] == pytest.approx(1.1, abs=0.15)
    assert (_column(x, "turn.x")[on] < -0.9).all()
    assert np.abs(_column(x, "turn")[away]).max() < 1e-5
    assert _column(x, "rest")[grid < 0.6] == pytest.approx(1.0)
    assert _column(x, "rest")[(grid > 1.0) & (grid < 1.7)] == pytest.approx(1 / 3, abs=0.01)


def test_the_frame_rate_hardly_shows_in_the_motion() -> None:
    slow, fast = _features(_seen(rate_hz=30.0)), _features(_seen(rate_hz=60.0))
    columns = [COLUMNS.index(name) for name in ("v.x", "v.y", "edge.bottom", "extreme.bottom", "side", "fill")]
    clear = np.min([np.abs(grid_times(_seen())[: len(slow)] - t) for t in (0.0, *BOUNCES_S)], axis=0) > 0.08
    both = min(len(slow), len(fast)) - 5
    gap = np.abs(slow[:both, columns] - fast[:both, columns])[clear[:both]]
    assert np.median(gap) < 0.02
    assert gap.max() < 0.3


def test_a_mirror_is_what_the_mirrored_track_tells() -> None:
    tracks = _stopping(_seen())
    track = tracks.tracks[0]
    boxes = track.boxes.copy()
    boxes[:, [0, 2]] = tracks.width - boxes[:, [2, 0]]
    turned: Track = replace(track, boxes=boxes, centroids=track.centroids * [-1, 1] + [tracks.width, 0])
    flipped = replace(tracks, tracks=(turned,))
    np.testing.assert_allclose(mirrored(_features(tracks)), _features(flipped), atol=1e-3)
    x = _features(tracks)
    np.testing.assert_array_equal(mirrored(mirrored(x)), x)


@pytest.mark.parametrize("rate_hz", [15.0, 25.0, 30.0, 60.0])
def test_bounces_are_heard_at_any_frame_rate(rate_hz: float) -> None:
    heard = np.array(_peaks(_measured(_seen(rate_hz))))
    away = np.abs(heard[:, None] - BOUNCES_S)
    assert (away.min(axis=1) < 0.03).all()
    assert (away.min(axis=0) < 0.03).sum() >= 2


def test_a_ball_in_flight_is_not_hit() -> None:
    times_s = np.arange(0, 0.9, 1 / 30)
    points = 640 * np.stack([0.2 + 0.5 * times_s, 0.7 - 1.2 * times_s + 1.3 * times_s**2], axis=1)
    assert not _peaks(_measured(make_tracks(times_s, make_track("ball-1", points, diameter_px=32.0))))


def test_what_is_hardly_seen_says_nothing() -> None:
    tracks = _seen()
    visible = np.zeros(len(tracks.times_s), bool)
    visible[:2] = True
    tracks = replace(tracks, tracks=(replace(tracks.tracks[0], visible=visible),))
    assert find_peaks(tracks, [tracks.tracks[0].centroids.astype(float)], [[]]) == [[]]


def test_peaks_keep_apart_and_stay_inside() -> None:
    grid = np.arange(120) / 60
    y = np.zeros((120, 4))
    y[:, 0] = -9.0
    y[30, 0], y[33, 0], y[80, 0], y[110, 0] = 3.0, 2.0, 1.0, 4.0
    peaks = peaks_of(y, grid < 1.5, grid)
    assert [round(p.time_s, 2) for p in peaks] == [0.5, 1.33]
    assert peaks[0].probability > peaks[1].probability > 0.5


def test_the_answer_is_the_same_twice() -> None:
    x = _features(_seen())
    np.testing.assert_array_equal(response(x, weights()), response(x, weights()))


def test_the_file_of_weights_says_what_it_is() -> None:
    from safetensors import safe_open

    assert WEIGHTS.stat().st_size < 700_000
    with safe_open(str(WEIGHTS), "numpy") as file:
        facts = file.metadata()
    assert facts["name"] == "pavas-impacts-3"
    assert tuple(json.loads(facts["columns"])) == COLUMNS
    assert json.loads(facts["recipe"])["steps"] > 0
    assert json.loads(facts["held_out_scores"])["cross_entropy"] > 0
    assert len(weights()) == json.loads(facts["recipe"])["members"]
    assert all(one["mean"].shape == (len(COLUMNS),) for one in weights())
    assert COLUMNS[INSIDE] == "inside"
