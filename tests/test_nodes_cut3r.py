"""Load CUT3R and the velocities in space, as nodes: tiny random checkpoints in the published container."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from pavas_core.errors import PavasError, WeightsError
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.types import Track, TrackSet
from tests import comfy_double
from tests.test_models_cut3r import small
from tests.test_models_cut3r_files import Bomb, aliased, save

DEFAULTS = {"scale": "auto", "known_size": "", "time_scale": 1.0, "method": "robust"}
COUNT = 9


@pytest.fixture
def pack(monkeypatch, tmp_path):
    comfy, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    package = extension.__name__.rpartition(".")[0]
    return comfy, importlib.import_module(f"{package}.cut3r")


@pytest.fixture
def checkpoint(pack):
    folder = pack[0].models / "cut3r"
    folder.mkdir(parents=True)
    with torch.no_grad():
        return save(folder / "tiny.pth", small(dpt=False).state_dict())


def clip_with_tracks(height=48, width=64):
    """A bright square that moves to the right over noise; its masks."""
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 120, (1, height, width, 3)), COUNT, axis=0) / 255
    masks = np.zeros((COUNT, height, width), bool)
    for index in range(COUNT):
        masks[index, 10:26, 5 + 3 * index : 21 + 3 * index] = True
    frames[masks] = 1.0
    boxes = np.array([[5 + 3 * i, 10, 21 + 3 * i, 26] for i in range(COUNT)], np.float32)
    centres = np.stack([boxes[:, [0, 2]].mean(axis=1) - 0.5, boxes[:, [1, 3]].mean(axis=1) - 0.5], axis=-1)
    seen = np.ones(COUNT, bool)
    track = Track("box-1", seen, boxes, centres, np.full(COUNT, 256, np.float32), ~seen, None, pack_masks(masks))
    tracks = TrackSet(np.arange(COUNT) / 10, width, height, COUNT / 10, (track,))
    images = torch.tensor(frames, dtype=torch.float32)
    video = sys.modules["comfy_api.latest"].InputImpl.VideoFromComponents(
        comfy_double.VideoComponents(images=images, frame_rate=10)
    )
    return video, tracks


def test_files_are_offered_by_their_tensors(pack, checkpoint):
    comfy, module = pack
    (comfy.models / "pavas").mkdir()
    with torch.no_grad():
        save(comfy.models / "pavas" / "whatever.pth", {f"module.{n}": v for n, v in small().state_dict().items()})
    torch.save({"other": torch.ones(2)}, comfy.models / "cut3r" / "cut3r_512_dpt_4_64.pth")
    options = module.PavasLoadCut3r.define_schema().inputs[0].options["options"]
    assert options == ["tiny.pth", "whatever.pth"]
    assert module.PavasLoadCut3r.validate_inputs("tiny.pth") is True
    assert "such as cut3r_512_dpt_4_64.pth" in module.PavasLoadCut3r.validate_inputs("gone.pth")
    with pytest.raises(PavasError, match="There is no CUT3R file"):
        module.PavasLoadCut3r.execute("gone.pth", "fp32")
    before = module.PavasLoadCut3r.fingerprint_inputs("tiny.pth", "auto")
    with torch.no_grad():
        save(checkpoint, aliased(small()))
    assert module.PavasLoadCut3r.fingerprint_inputs("tiny.pth", "auto") != before


def test_a_malicious_file_is_refused_by_the_node(pack, checkpoint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    save(checkpoint, small().state_dict(), optimizer=Bomb())
    with pytest.raises(WeightsError, match="could run code"):
        pack[1].PavasLoadCut3r.execute("tiny.pth", "fp32")
    assert not (tmp_path / "exploded").exists()


def test_from_file_and_clip_to_velocity(pack, checkpoint):
    comfy, module = pack
    (model,) = module.PavasLoadCut3r.execute("tiny.pth", "fp32").args
    assert comfy.said == ["tiny.pth (custom size)"]
    video, tracks = clip_with_tracks()
    velocity, depth, report = module.PavasCut3rVelocity.execute(video, tracks, model, **DEFAULTS).args
    assert [one.object_id for one in velocity.velocities] == ["box-1"]
    assert len(velocity.velocities[0].speed_mps) == COUNT - 1
    assert velocity.velocities[0].scale_source == "camera"
    assert depth.shape == (8, 224, 224, 3)
    assert 0 <= depth.min() < depth.max() <= 1
    assert report.startswith("box-1: metres from CUT3R as it stands, 20 % standard error")
    assert comfy.said[-1].startswith(f"{report}\nvelocity: ")
    assert "GiB at most" in comfy.said[-1]
    assert comfy.loaded == [model.network]
    assert {(index, COUNT) for index in range(COUNT)} <= set(comfy.progress)
    literal = module.PavasCut3rVelocity.execute(
        video, tracks, model, **DEFAULTS | {"method": "equation 3", "known_size": "box-1 = 0.5"}
    ).args[0]
    assert literal.velocities[0].scale_source == "known_size"
    assert literal.velocities[0].size_m == pytest.approx(0.5)


def test_velocities_are_kept_by_what_they_were_made_of(pack, checkpoint):
    comfy, module = pack
    (model,) = module.PavasLoadCut3r.execute("tiny.pth", "fp32").args
    video, tracks = clip_with_tracks()
    first, depth, report = module.PavasCut3rVelocity.execute(video, tracks, model, **DEFAULTS, cache="use").args

    def loads(tracks=tracks, **changes):
        comfy.loaded.clear()
        given = DEFAULTS | {"cache": "use"} | changes
        again = module.PavasCut3rVelocity.execute(video, tracks, model, **given).args
        return len(comfy.loaded), again

    ran, (again, same_depth, same_report) = loads()
    assert ran == 0
    assert (again.velocities[0].speed_mps == first.velocities[0].speed_mps).all()
    assert torch.equal(depth, same_depth)
    assert report == same_report
    assert loads(cache="renew")[0] == 1
    assert loads(scale="reconstruction")[0] == 1
    assert loads(known_size="box-1 = 0.5")[0] == 1
    moved = replace(tracks, tracks=(replace(tracks.tracks[0], boxes=tracks.tracks[0].boxes + 1),))
    assert loads(tracks=moved)[0] == 1
    assert loads(cache="off")[0] == 1
    assert loads(cache="clear all")[0] == 1
    results = comfy.user / "pavas" / "results"
    assert len(list(results.glob("*.result"))) == 1


def test_cancelling_interrupts(pack, checkpoint):
    comfy, module = pack
    (model,) = module.PavasLoadCut3r.execute("tiny.pth", "fp32").args
    comfy.cancelled = True
    with pytest.raises(comfy_double.Interrupted):
        module.PavasCut3rVelocity.execute(*clip_with_tracks(), model, **DEFAULTS)


def test_geometry_of_other_nodes(pack):
    module = pack[1]
    _, tracks = clip_with_tracks()
    y, x = torch.meshgrid(torch.arange(48.0) - 24, torch.arange(64.0) - 32, indexing="ij")
    depth = torch.full((48, 64), 3.0) + 0.01 * x
    points = torch.stack([x * depth / 60, y * depth / 60, depth], dim=-1).expand(COUNT, -1, -1, -1)
    given = {**DEFAULTS, "scale": "reconstruction", "fov_x_degrees": 0.0}
    velocity, depth_pictures, _ = module.PavasGeometryVelocity.execute(
        tracks, **given, moge_geometry={"points": points}
    ).args
    # 3 pixels at a focal length of 60 and about 3 m, ten times a second.
    assert np.nanmedian(velocity.velocities[0].speed_mps) == pytest.approx(3 * 3 / 60 * 10, rel=0.1)
    assert depth_pictures.shape == (8, 48, 64, 3)
    given["fov_x_degrees"] = float(np.rad2deg(2 * np.arctan(32 / 60)))
    velocity = module.PavasGeometryVelocity.execute(tracks, **given, da3_geometry={"depth": points[..., 2]}).args[0]
    assert np.nanmedian(velocity.velocities[0].speed_mps) == pytest.approx(3 * 3 / 60 * 10, rel=0.1)
    with pytest.raises(PavasError, match="Connect either"):
        module.PavasGeometryVelocity.execute(tracks, **given)
