"""Windows, both ways, losses and doubles, with a segmenter that sees colours: where it looks, is where it was told."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pavas_core.errors import PhysicsError
from pavas_core.estimation.masks import segment_track as module
from pavas_core.estimation.masks.mask_tracks import tracks_of_masks
from pavas_core.estimation.masks.segment_prompts import masks_of_sam3, prompts_of_boxes, prompts_of_points
from pavas_core.estimation.masks.segment_track import TimedPrompt, segment_track
from pavas_core.estimation.masks.segmenter import Prompt
from pavas_core.estimation.result_cache import ResultCache
from pavas_core.physics.types import MovingObject, ObjectSet
from pavas_core.video.clip import clip_from_frames

HEIGHT, WIDTH, COUNT, RATE = 96, 160, 40, 20.0
RED, BLUE = (220, 40, 30), (30, 40, 220)


def place(index: int) -> tuple[int, int]:
    """x, y of the red block's corner."""
    return 10 + 3 * index, 20 + index


def clip(hidden=range(0)):
    return clip_from_frames(clip_frames(hidden), RATE)


def clip_frames(hidden=range(0)):
    frames = np.full((COUNT, HEIGHT, WIDTH, 3), 90, np.uint8)
    for index in range(COUNT):
        x, y = place(index)
        if index not in hidden:
            frames[index, y : y + 10, x : x + 20] = RED
        frames[index, 70:80, 100:112] = BLUE
    return frames


@dataclass
class ColourSession:
    """Follows the colour in the middle of its prompt, as long as it is near where it was."""

    images: list
    log: list

    def prompt(self, frame, prompt):
        self.log.append((frame, prompt))
        image = self.images[frame]
        if prompt.mask is not None:
            y, x = (int(np.mean(values)) for values in np.nonzero(prompt.mask))
        elif prompt.box is not None:
            x, y = int((prompt.box[0] + prompt.box[2]) / 2), int((prompt.box[1] + prompt.box[3]) / 2)
        else:
            x, y = (int(value) for value in prompt.points[0])
        self.colour = image[y, x]
        self.at = frame
        return self._mask(frame)

    def step(self, frame, reverse):
        return self._mask(frame)

    def _mask(self, frame):
        grey = np.abs(self.colour.astype(int) - 90).max() < 20
        same = np.abs(self.images[frame].astype(int) - self.colour).max(-1) < 20
        return same & (not grey)


class ColourSegmenter:
    name, fingerprint = "colour", "colour-1"

    def __init__(self):
        self.module, self.prompts, self.windows = torch.nn.PReLU(), [], []

    def sessions(self, images, count, runtime):
        self.windows.append(len(images))
        return [ColourSession(list(images), self.prompts) for _ in range(count)]


def objects(*names, **options):
    things = tuple(MovingObject(f"{name.replace(' ', '-')}-1", name, **options) for name in names)
    return ObjectSet(things, WIDTH, HEIGHT, COUNT / RATE)


def box_of(colour, image):
    rows, columns = np.nonzero(np.abs(image.astype(int) - colour).max(-1) < 20)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if rows.size else None


@pytest.fixture
def grounder(monkeypatch):
    asked = []

    def ground(model, image, words, runtime):
        asked.append(words)
        found = box_of(RED if "red" in words else BLUE, image)
        return tuple(float(value) for value in found) if found else None

    monkeypatch.setattr(module, "ground", ground)
    return SimpleNamespace(model=torch.nn.PReLU(), fingerprint="grounder", asked=asked)


def check_red(track, seen):
    assert np.flatnonzero(track.visible).tolist() == list(seen)
    for index in seen:
        x, y = place(index)
        np.testing.assert_allclose(track.boxes[index], [x, y, x + 20, y + 10], atol=0.01)
        np.testing.assert_allclose(track.centroids[index], [x + 9.5, y + 4.5], atol=0.01)
        assert track.area_px[index] == pytest.approx(200)


@pytest.mark.parametrize("window", [160, 12])
def test_words_to_masks_in_windows(grounder, window):
    found = segment_track(
        clip(), objects("red block", "blue block"), ColourSegmenter(), grounder=grounder, window=window
    )
    red, blue = found.tracks.tracks
    check_red(red, range(COUNT))
    assert blue.visible.all()
    np.testing.assert_allclose(blue.boxes[5], [100, 70, 112, 80], atol=0.01)
    assert found.objects.objects[0].box == pytest.approx((10, 20, 30, 30))
    assert found.starts["blue-block-1"].time_s == 0
    assert found.starts["blue-block-1"].prompt.box == pytest.approx((100, 70, 112, 80))


def test_a_box_in_the_middle_goes_both_ways():
    x, y = place(20)
    things = objects("red block", box=(x, y, x + 20, y + 10), time_s=1.0)
    segmenter = ColourSegmenter()
    check_red(segment_track(clip(), things, segmenter).tracks.tracks[0], range(COUNT))
    ((frame, prompt),) = segmenter.prompts
    assert frame == 20
    assert prompt.box == pytest.approx((x, y, x + 20, y + 10))


def test_a_large_clip_is_worked_through_in_small_pictures(grounder):
    large = clip_from_frames(np.repeat(np.repeat(clip_frames(), 10, axis=1), 10, axis=2)[:4], RATE)
    things = ObjectSet((MovingObject("red-block-1", "red block"),), large.width, large.height, large.duration_s)
    segmenter = ColourSegmenter()
    found = segment_track(large, things, segmenter, grounder=grounder)
    ((_, prompt),) = segmenter.prompts
    assert max(prompt.box) < module.LONG_SIDE
    assert found.starts["red-block-1"].prompt.box == pytest.approx((100, 200, 300, 300), abs=8)
    np.testing.assert_allclose(found.tracks.tracks[0].boxes[0], [100, 200, 300, 300], atol=8)

    boxed = ObjectSet(
        (MovingObject("red-block-1", "red block", box=(100, 200, 300, 300)),), *(large.width, large.height, 1)
    )
    segment_track(large, boxed, segmenter)
    height, width = 461, 768
    assert segmenter.prompts[-1][1].box == pytest.approx(
        (100 * width / 1600, 200 * height / 960, 300 * width / 1600, 300 * height / 960), rel=0.01
    )


def test_it_is_looked_for_until_it_shows(grounder):
    check_red(
        segment_track(clip(range(0, 15)), objects("red block"), ColourSegmenter(), grounder=grounder).tracks.tracks[0],
        range(15, COUNT),
    )


def test_what_was_lost_at_a_windows_end_is_found_again(grounder):
    segmenter = ColourSegmenter()
    found = segment_track(clip(range(14, 26)), objects("red block"), segmenter, grounder=grounder, window=20)
    check_red(found.tracks.tracks[0], [*range(14), *range(26, COUNT)])
    assert max(segmenter.windows) <= 20 + module.OVERLAP


def test_two_words_for_one_thing_are_merged(grounder):
    found = segment_track(clip(), objects("red block", "red brick"), ColourSegmenter(), grounder=grounder)
    assert [one.id for one in found.objects.objects] == ["red-block-1"]
    assert {"red-brick-1", "red brick"} <= set(found.objects.objects[0].aliases)
    assert [bool(track.visible.any()) for track in found.tracks.tracks] == [True, False]


def test_without_words_or_boxes_the_cure_is_told():
    with pytest.raises(ValueError, match="connect a Florence-2"):
        segment_track(clip(), objects("red block"), ColourSegmenter())


def test_the_cache_answers_for_the_same_pictures_only(grounder, tmp_path):
    cache, segmenter = ResultCache(tmp_path), ColourSegmenter()
    first = segment_track(clip(), objects("red block"), segmenter, grounder=grounder, cache=cache)
    again = segment_track(clip(), objects("red block"), segmenter, grounder=grounder, cache=cache)
    assert len(segmenter.windows) == 1
    np.testing.assert_array_equal(first.tracks.tracks[0].boxes, again.tracks.tracks[0].boxes)
    segment_track(clip(range(5, 6)), objects("red block"), segmenter, grounder=grounder, cache=cache)
    assert len(segmenter.windows) == 2


def test_points_boxes_and_masks_of_other_nodes():
    things = objects("red block", "blue block")
    boxes = prompts_of_boxes([{"x": 10, "y": 20, "width": 20, "height": 10}], things, RATE)
    assert boxes["red-block-1"].prompt.box == (10, 20, 30, 30)
    placed = '{"blue block": [{"x": 105, "y": 75, "time_s": 0.5}, {"x": 1, "y": 2, "label": 0, "time_s": 0.5}]}'
    points = prompts_of_points(placed, things)
    assert points["blue-block-1"].prompt.points == ((105, 75), (1, 2))
    assert points["blue-block-1"].prompt.point_labels == (1, 0)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:30, 10:30] = True
    prompts = {"red-block-1": TimedPrompt(0.0, Prompt(mask=mask)), "blue-block-1": points["blue-block-1"]}
    red, blue = segment_track(clip(), things, ColourSegmenter(), prompts=prompts).tracks.tracks
    check_red(red, range(COUNT))
    assert blue.visible.all()
    with pytest.raises(PhysicsError, match="no box"):
        prompts_of_boxes([{"x": 1}], things, RATE)
    with pytest.raises(PhysicsError, match="no JSON"):
        prompts_of_points("(1, 2)", things)


def test_sam_3_tracks_are_read_as_comfyui_packs_them():
    masks = np.zeros((COUNT, 1, HEIGHT, WIDTH), np.uint8)
    for index in range(COUNT):
        x, y = place(index)
        masks[index, 0, y : y + 10, x : x + 20] = 1
    bits = torch.from_numpy(masks).view(COUNT, 1, HEIGHT, WIDTH // 8, 8)
    packed = (bits * (1 << torch.arange(8))).sum(-1).byte()
    finished = masks_of_sam3({"packed_masks": packed, "orig_size": (HEIGHT, WIDTH)})
    check_red(tracks_of_masks(clip(), objects("red block"), finished).tracks[0], range(COUNT))
    with pytest.raises(PhysicsError, match="10 masks for 40 pictures"):
        tracks_of_masks(clip(), objects("red block"), [finished[0][:10]])
