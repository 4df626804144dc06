"""Florence-2 from folder to box, and the whole way from words to tracks, on tiny checkpoints of the real formats."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pavas_core.errors import Cancelled, WeightsError
from pavas_core.estimation.masks.grounding import box_of_answer, ground, is_florence_folder, load_grounder
from pavas_core.estimation.masks.sam2 import load_segmenter
from pavas_core.estimation.masks.segment_track import segment_track
from pavas_core.physics.types import MovingObject, ObjectSet
from pavas_core.runtime import Runtime
from pavas_core.video.clip import clip_from_frames
from tests.tiny_checkpoints import save_florence, save_sam2_transformers

WIDTH, HEIGHT = 200, 60
SAYS = "red ball<loc_100><loc_200><loc_300><loc_600>"
SAID_BOX = (20.0, 12.0, 60.0, 36.0)
"""Of SAYS, which counts in thousandths of each side, in pixels; each bin counts half."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_florence(tmp_path_factory.mktemp("florence") / "base", says=SAYS)


@pytest.fixture(scope="module")
def grounder(folder):
    return load_grounder(folder)


@pytest.fixture
def image():
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, : WIDTH // 2] = 255
    return picture


def test_the_box_lies_where_the_words_of_the_network_say(grounder, image):
    assert ground(grounder, image, "a red ball") == pytest.approx(SAID_BOX, abs=0.2)
    assert ground(grounder, np.ascontiguousarray(image.swapaxes(0, 1)), "a red ball") == pytest.approx(
        (6.0, 40.0, 18.0, 120.0), abs=0.2
    )


def test_the_network_is_asked_for_the_words_in_an_upright_picture(grounder, image, monkeypatch):
    calls = []
    generate = grounder.model.generate
    monkeypatch.setattr(grounder.model, "generate", lambda **given: calls.append(given) or generate(**given))
    ground(grounder, image, "a red ball")
    (given,) = calls
    asked = grounder.processor.tokenizer.decode(given["input_ids"][0])
    assert asked.count("<image>") == 5
    assert "Locate the phrases in the caption: a red ball" in asked
    seen = given["pixel_values"][0].mean(0)
    assert seen.shape == (64, 64)
    assert (seen[:, :28] > 1).all()
    assert (seen[:, 36:] < -1).all()
    assert given["do_sample"] is False


@pytest.mark.parametrize(
    ("text", "words", "box"),
    [
        ("ball<loc_0><loc_0><loc_99><loc_99>hammer<loc_500><loc_500><loc_700><loc_700>", "steel hammer",
         (100, 30, 140, 42)),
        ("ball<loc_0><loc_0><loc_999><loc_999>", "ball", None),
        ("ball<loc_300><loc_300><loc_200><loc_400>", "ball", None),
        ("ball<loc_300><loc_300><loc_301><loc_301>", "ball", None),
        ("ball", "ball", None),
        ("", "ball", None),
        ("ball<loc_0><loc_0><loc_999><loc_999><loc_100><loc_500><loc_200><loc_900>", "ball", (20, 30, 40, 54)),
    ],
)  # fmt: skip
def test_which_box_of_an_answer(grounder, text, words, box):
    found = box_of_answer(grounder.processor, f"</s><s>{text}</s>", words, WIDTH, HEIGHT)
    assert found is None if box is None else found == pytest.approx(box, abs=0.2)


def test_random_weights_give_a_box_or_none(tmp_path, image):
    random = load_grounder(save_florence(tmp_path / "random", seed=1))
    box = ground(random, image, "a red ball")
    assert box is None or (0 <= box[0] < box[2] <= WIDTH and 0 <= box[1] < box[3] <= HEIGHT)
    assert box == ground(random, image, "a red ball")


def test_folders_that_are_no_florence_are_told(tmp_path, folder):
    assert is_florence_folder(folder)
    with pytest.raises(WeightsError, match="is no Florence-2 in the format"):
        load_grounder(tmp_path)
    remote = tmp_path / "remote"
    remote.mkdir()
    for path in folder.iterdir():
        (remote / path.name).write_bytes(path.read_bytes())
    config = json.loads((remote / "config.json").read_text())
    (remote / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling.Florence"}}))
    with pytest.raises(WeightsError, match="is no Florence-2 in the format"):
        load_grounder(remote)
    (remote / "config.json").write_text(json.dumps(config))
    weights = remote / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_grounder(remote)
    weights.unlink()
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_grounder(remote)


def test_from_words_to_tracks_with_the_real_classes(tmp_path, grounder):
    """Random weights segment nothing sensible; what they are asked, and where, is what counts."""
    frames = np.random.default_rng(0).integers(0, 255, (12, HEIGHT, WIDTH, 3)).astype(np.uint8)
    clip = clip_from_frames(frames, 10.0)
    segmenter = load_segmenter(save_sam2_transformers(tmp_path / "sam2", seed=3), precision="fp32")
    heard = []
    handle = segmenter.module.prompt_encoder.register_forward_pre_hook(
        lambda _, given, named: heard.append(named), with_kwargs=True
    )
    try:
        things = ObjectSet((MovingObject("ball-1", "red ball", time_s=0.45),), WIDTH, HEIGHT, 1.2)
        found = segment_track(clip, things, segmenter, grounder=grounder)
    finally:
        handle.remove()
    points = next(one["input_points"] for one in heard if one.get("input_points") is not None)
    scale = np.array([128 / WIDTH, 128 / HEIGHT])
    expected = np.array([SAID_BOX[:2], SAID_BOX[2:]]) * scale
    np.testing.assert_allclose(points.reshape(-1, 2)[:2].numpy(), expected, atol=0.5)
    (track,) = found.tracks.tracks
    assert len(found.tracks.times_s) == 12
    assert track.visible[4], "where the words said it is first seen"
    box = track.boxes[4]
    assert 0 <= box[0] < box[2] <= WIDTH
    assert 0 <= box[1] < box[3] <= HEIGHT

    def stop(stage, done, total):
        if done == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        segment_track(clip, things, segmenter, grounder=grounder, runtime=Runtime(on_progress=stop))
