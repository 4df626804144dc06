"""Load VLM, detection, masses and Segment & Track as nodes, on tiny checkpoints in ComfyUI's folders."""

from __future__ import annotations

import importlib
import shutil
import sys

import numpy as np
import pytest
import torch

from pavas_core.errors import PavasError, WeightsError
from pavas_core.estimation.language import vlm_text
from pavas_core.physics.types import MovingObject, ObjectSet
from tests import comfy_double
from tests.tiny_checkpoints import save_estimators

COUNT, HEIGHT, WIDTH = 8, 60, 100


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    save_estimators(base)
    return base


@pytest.fixture
def pack(monkeypatch, tmp_path, checkpoints):
    comfy, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    shutil.copytree(checkpoints, comfy.models, dirs_exist_ok=True)
    package = extension.__name__.rpartition(".")[0]
    return comfy, importlib.import_module(f"{package}.vlm"), importlib.import_module(f"{package}.segment")


@pytest.fixture
def video():
    frames = torch.full((COUNT, HEIGHT, WIDTH, 3), 0.3)
    for index in range(COUNT):
        frames[index, 20:40, 10 + 5 * index : 30 + 5 * index] = torch.tensor([1.0, 0.5, 0.0])
    return sys.modules["comfy_api.latest"].InputImpl.VideoFromComponents(
        comfy_double.VideoComponents(images=frames, frame_rate=8)
    )


def things(*names):
    objects = tuple(MovingObject(f"{name}-1", name) for name in names)
    return ObjectSet(objects, WIDTH, HEIGHT, COUNT / 8)


def segment(module, video, objects, **given):
    chosen = {"sam2": "tiny-sam2", "florence": "none", "precision": "auto", "cache": "off"} | given
    return module.PavasSegmentTrack.execute(video, objects, **chosen).args


def test_models_lie_where_users_have_them(pack):
    comfy, vlm, module = pack
    (comfy.models / "sam2" / "sam2.1_hiera_large.safetensors").write_bytes(b"x")
    (comfy.models / "sams").mkdir()
    (comfy.models / "sams" / "sam2_hiera_tiny.pt").write_bytes(b"x")
    (comfy.models / "sams" / "sam_vit_h_4b8939.pth").write_bytes(b"x")
    (comfy.models / "LLM").mkdir()
    shutil.copytree(comfy.models / "VLM" / "tiny-vlm", comfy.models / "LLM" / "mine")
    options = [socket.options["options"] for socket in module.PavasSegmentTrack.define_schema().inputs[2:4]]
    assert set(options[0]) == {"tiny-sam2", "sam2.1_hiera_large.safetensors", "sam2_hiera_tiny.pt", "none"}
    assert options[1] == ["tiny-florence", "none"]
    assert vlm.PavasLoadVlm.define_schema().inputs[0].options["options"] == ["tiny-vlm", "mine"]
    with pytest.raises(WeightsError, match=r"There is no vision-language model 'gone': put one, such as Qwen"):
        vlm.PavasLoadVlm.execute("gone", "auto")


def test_from_words_to_masses_and_tracks(pack, video):
    comfy, vlm, module = pack
    (model,) = vlm.PavasLoadVlm.execute("tiny-vlm", "auto").args
    asked = {"prompt": vlm_text.DETECT_PROMPT, "pictures": 3, "max_objects": 8, "cache": "use"}
    objects, seen, answer = vlm.PavasDetectVlm.execute(video, model, **asked).args
    assert [one.id for one in objects.objects] == ["orange-ball-1"]
    assert seen.shape == (3, HEIGHT, WIDTH, 3)
    assert answer.startswith('[{"object": "orange ball"')
    assert comfy.said[-1].startswith("orange-ball-1\ndetection: ")
    assert [one["network"] for one in comfy.loaded] == [model.model]
    asked = {"prompt": vlm_text.MASS_PROMPT, "pictures": 3, "cache": "use"}
    masses, _, _ = vlm.PavasEstimateMassVlm.execute(video, objects, model, **asked).args
    assert masses.masses["orange-ball-1"].mass_kg == 0.6
    assert "orange-ball-1: 0.6 kg (0.5 to 0.7)" in comfy.said[-1]

    tracks, merged = segment(module, video, objects, florence="tiny-florence", cache="use")
    assert [one.object_id for one in tracks.tracks] == [one.id for one in merged.objects] == ["orange-ball-1"]
    assert "segmentation and tracking: " in comfy.said[-1]
    results = comfy.user / "pavas" / "results"
    assert len(list(results.glob("*.result"))) == 3
    comfy.loaded.clear()
    again, _ = segment(module, video, objects, florence="tiny-florence", cache="use")
    assert comfy.loaded == []
    np.testing.assert_array_equal(again.tracks[0].boxes, tracks.tracks[0].boxes)
    segment(module, video, objects, florence="tiny-florence", cache="clear all")
    assert len(list(results.glob("*.result"))) == 1


def test_boxes_points_and_masks_take_the_place_of_words(pack, video):
    module = pack[2]
    box = [{"x": 10, "y": 20, "width": 20, "height": 20}]
    assert len(segment(module, video, things("ball"), boxes=box)[0].times_s) == COUNT
    assert segment(module, video, things("ball"), points='[{"x": 20, "y": 30}]')[1].objects
    painted = torch.zeros(1, HEIGHT, WIDTH)
    painted[0, 20:40, 10:30] = 1
    tracks, _ = segment(module, video, things("ball"), mask=painted)
    assert tracks.tracks[0].boxes[0] == pytest.approx([10, 20, 30, 40], abs=2)
    with pytest.raises(PavasError, match="Nothing says where ball-1 is"):
        segment(module, video, things("ball"))
    with pytest.raises(PavasError, match="needs SAM 2"):
        segment(module, video, things("ball"), sam2="none", boxes=box)


def test_finished_masks_need_no_network(pack, video):
    comfy, _, module = pack
    masks = torch.zeros(COUNT, HEIGHT, WIDTH)
    for index in range(COUNT):
        masks[index, 20:40, 10 + 5 * index : 30 + 5 * index] = 1
    tracks, _ = segment(module, video, things("ball"), sam2="none", mask=masks)
    for index in (0, COUNT - 1):
        np.testing.assert_allclose(tracks.tracks[0].boxes[index], [10 + 5 * index, 20, 30 + 5 * index, 40], atol=0.5)
    assert comfy.loaded == []


def test_texts_of_other_nodes(pack, video):
    vlm = pack[1]
    (objects,) = vlm.PavasObjectsFromText.execute(video, "1. orange ball (rubber): bounces", 8).args
    assert objects.objects[0].name == "orange ball"
    (masses,) = vlm.PavasMassFromText.execute(objects, "The orange ball weighs about 600 g.").args
    assert masses.masses["orange-ball-1"].mass_kg == pytest.approx(0.6)
    with pytest.raises(PavasError, match=r"it reads 'It is heavy\.'"):
        vlm.PavasMassFromText.execute(objects, "It is heavy.")
    with pytest.raises(PavasError, match="above 0"):
        vlm.PavasMassFromText.execute(objects, "The orange ball weighs 0 kg.")
    with pytest.raises(PavasError, match="text about moving objects"):
        vlm.PavasObjectsFromText.execute(video, "hello", 8)
