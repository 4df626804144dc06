"""The scorer: truth scores full marks and every kind of mistake costs what it should."""

from dataclasses import replace

import pytest

from pavas_core.simulation.score import ClipScore, report, score_clip
from pavas_core.simulation.simulate import simulate


@pytest.fixture(scope="module")
def sim():
    return simulate(390, kind="drop", width=320, height=180, frame_rate=30.0, duration_s=3.0)


def test_truth_scores_full_marks(sim):
    score = score_clip(sim, sim.scene)
    assert score.wanted == score.found > 0
    assert score.impacts == score.hits > 0
    assert score.false == score.extra == 0
    assert max(score.pre_errors + score.post_errors) == 0.0
    assert set(score.energy_ratios) == {1.0}
    assert all(bar.met for bar in report([score]).bars)


def test_lost_object_and_its_impacts_are_missed(sim):
    scene = sim.scene
    gone = scene.bodies[0].object.id
    tracks = replace(scene.tracks, tracks=tuple(t for t in scene.tracks.tracks if t.object_id != gone))
    kept = tuple(i for i in scene.impacts if i.object_id != gone)
    score = score_clip(sim, replace(scene, tracks=tracks, impacts=kept))
    assert gone in score.missed
    assert score.found == score.wanted - 1
    assert score.hits < score.impacts


def test_object_elsewhere_is_false_and_so_is_a_double(sim):
    first = sim.scene.tracks.tracks[0]
    away = replace(first, object_id="ghost-1", boxes=first.boxes + 500.0, centroids=first.centroids + 500.0)
    double = replace(first, object_id="double-1")
    tracks = replace(sim.scene.tracks, tracks=(*sim.scene.tracks.tracks, away, double))
    assert score_clip(sim, replace(sim.scene, tracks=tracks)).false == 2


def test_late_impacts_miss_and_are_extra(sim):
    late = tuple(replace(i, time_s=i.time_s + 0.06) for i in sim.scene.impacts[:1])
    score = score_clip(sim, replace(sim.scene, impacts=late))
    assert score.hits == 0
    assert score.extra == 1
    close = tuple(replace(i, time_s=i.time_s + 0.03) for i in sim.scene.impacts[:1])
    assert score_clip(sim, replace(sim.scene, impacts=close)).hits == 1


def test_wrong_speed_and_energy_are_measured(sim):
    wrong = tuple(
        replace(i, pre_speed_mps=1.2 * i.pre_speed_mps, energy_loss_j=2.0 * i.energy_loss_j) for i in sim.scene.impacts
    )
    score = score_clip(sim, replace(sim.scene, impacts=wrong))
    assert score.pre_errors == pytest.approx([0.2] * len(score.pre_errors))
    assert score.energy_ratios == pytest.approx([2.0] * len(score.energy_ratios))
    bars = {bar.name: bar for bar in report([score]).bars}
    assert not bars["median error of the speed before an impact"].met
    assert not bars["impacts whose energy loss is within x1.5"].met
    assert "MISS" in report([score]).text()


def test_table_pools_counts_over_clips():
    one = ClipScore(1, "drop", 2, 2, 0, 4, 4, 0, (0.0,), (0.0,), (1.0,))
    two = ClipScore(2, "pan", 2, 1, 1, 4, 0, 2, (), (), ())
    bars = {bar.name: bar.value for bar in report([one, two]).bars}
    assert bars["moving objects found"] == pytest.approx(0.75)
    assert bars["false objects a clip"] == pytest.approx(0.5)
    assert bars["F1 of impacts at 40 ms"] == pytest.approx(2 * 4 / (8 + 4 + 2))
