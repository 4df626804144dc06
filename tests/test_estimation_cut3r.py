"""CUT3R on clips: pictures by time, windows that agree, constant memory, cancelling, depth pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from pavas_core.errors import Cancelled
from pavas_core.estimation.space.cut3r import DepthPreview, _laid, _shown_at, reconstruct
from pavas_core.models.cut3r import Cut3r
from pavas_core.models.cut3r_heads import Prediction
from pavas_core.models.cut3r_load import Cut3rModel
from pavas_core.runtime import Runtime
from pavas_core.video.clip import clip_from_frames
from tests.test_models_cut3r import small


@pytest.fixture(scope="module")
def model():
    with torch.no_grad():
        network = small(dpt=False, ray_maps=False, all_heads=False)
    return Cut3rModel(network.requires_grad_(False), "small", Path("small.pth"))


def clip(count, height=40, width=60):
    rng = np.random.default_rng(3)
    return clip_from_frames(rng.integers(0, 255, (count, height, width, 3), np.uint8), 10.0)


def test_views_are_those_of_the_network_run_picture_by_picture(model):
    from pavas_core.models.cut3r_picture import network_input, place, prepare_picture

    film = clip(6)
    views = list(reconstruct(film, np.arange(6) / 10, model).views)
    assert len(views) == 6
    placement = place(60, 40, 224)
    state = model.network.initial_state(1)
    with torch.inference_mode():
        for index, view in enumerate(views):
            image = network_input(prepare_picture(film.frames[index], placement))
            prediction, state = model.network(image, state, first=index == 0)
            np.testing.assert_allclose(view.points, prediction.points[0].numpy(), atol=1e-5)
            np.testing.assert_allclose(view.confidence, prediction.confidence[0].numpy(), rtol=1e-5)
            assert view.pose.shape == (4, 4)
            assert view.picture.shape == (224, 224)


def test_pictures_are_chosen_by_time():
    film = clip(8)
    shown = list(_shown_at(film, np.array([0.0, 0.25, 0.3, 0.79, 0.95])))
    assert [int(np.flatnonzero([(f == s).all() for f in film.frames])[0]) for s in shown] == [0, 2, 3, 7, 7]


def test_long_clips_are_seen_in_windows_and_keep_nothing(model, monkeypatch):
    """Every window begins anew on the pictures both share; no state or view outlives its turn."""
    starts, decoded = [], []
    decode = Cut3r.decode

    def watched(self, *arguments, first, **options):
        decoded.append(first)
        starts.extend([len(decoded)] * first)
        return decode(self, *arguments, first=first, **options)

    monkeypatch.setattr(Cut3r, "decode", watched)
    views = reconstruct(clip(20), np.arange(20) / 10, model, window=8, overlap=3).views
    assert iter(views) is views  # made as they are asked for
    assert len(list(views)) == 20
    # 8 pictures; 3 again and 5 new; 3 again and 5 new; 3 again and 2 new.
    assert starts == [1, 9, 17, 25]
    assert len(decoded) == 8 + 8 + 8 + 5


def test_a_window_is_laid_onto_the_one_before():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 2, (300, 3))
    turn = np.linalg.qr(rng.normal(0, 1, (3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    b = 0.8 * a @ turn.T + [0.3, -1, 2] + rng.normal(0, 0.01, a.shape)
    b[:60] += rng.normal(0, 3, (60, 3))  # things that moved
    scale, rotation, shift = _laid(a, b)
    assert scale == pytest.approx(0.8, rel=0.01)
    np.testing.assert_allclose(rotation, turn, atol=0.01)
    np.testing.assert_allclose(shift, [0.3, -1, 2], atol=0.02)


def test_overlapping_windows_give_one_world(model, monkeypatch):
    """Whatever world and scale each window makes up, things stay where they were in the first one."""
    rng = np.random.default_rng(5)
    scene = torch.tensor(rng.normal([0, 0, 4], [1, 1, 0.5], (224, 224, 3)), dtype=torch.float32)
    worlds = []

    def decode(self, feature, grid, state, *, first, write=True, all_heads=False):
        if first:
            worlds.append((rng.uniform(0.5, 2.0), torch.tensor(rng.normal(0, 1, 7), dtype=torch.float32)))
        scale, pose = worlds[-1]
        return Prediction(scale * scene[None], torch.ones(1, 224, 224), pose[None]), state

    monkeypatch.setattr(Cut3r, "decode", decode)
    views = list(reconstruct(clip(20), np.arange(20) / 10, model, window=8, overlap=3).views)
    assert len(worlds) == 4
    for view in views[1:]:
        np.testing.assert_allclose(world(view), world(views[0]), atol=1e-3)


def world(view):
    return view.points @ view.pose[:3, :3].T + view.pose[:3, 3]


def test_cancelling_stops_within_a_picture(model):
    calls = []

    def stop():
        calls.append(1)
        if len(calls) > 4:
            raise Cancelled

    seen = []
    with pytest.raises(Cancelled):
        seen.extend(
            1 for _ in reconstruct(clip(12), np.arange(12) / 10, model, runtime=Runtime(check_cancelled=stop)).views
        )
    assert len(calls) == 5


def test_the_network_is_lent_and_seconds_are_logged(model, caplog):
    lent = []

    def lend(modules, device, activation_bytes):
        from contextlib import nullcontext

        lent.append((modules, activation_bytes))
        return nullcontext()

    with caplog.at_level(logging.INFO, "pavas"):
        list(reconstruct(clip(2), np.arange(2) / 10, model, runtime=Runtime(lend_device=lend)).views)
    assert lent[0][0] == (model.network,)
    assert lent[0][1] > 0
    assert "2 pictures of 196 tokens" in caplog.text


def test_depth_pictures_are_on_one_scale(model):
    preview = DepthPreview(3)
    watched = preview.watch(reconstruct(clip(7), np.arange(7) / 10, model))
    assert len(list(watched.views)) == 7
    pictures = preview.pictures()
    assert pictures.shape == (3, 224, 224, 3)
    assert pictures.dtype == np.uint8
    assert pictures.std() > 10
