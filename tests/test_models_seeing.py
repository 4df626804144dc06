"""What the published encoders see: the right pictures at the right times, scaled as in training; objects' features."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pavas_core.models import frames
from pavas_core.models.clip_encoder import ClipEncoder, clip_config
from pavas_core.models.seeing import look, patch_weights
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.types import Track, TrackSet
from pavas_core.runtime import Runtime
from pavas_core.video.clip import clip_from_frames
from pavas_core.video.cuts import find_cuts
from tests.parity import FOLDER, fill, goldens, manifest, needs_goldens
from tests.video_files import numbered_picture, picture_number

TINY_CLIP = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 42, "layers": 2, "width": 64, "head_width": 64, "patch_size": 14, "mlp_ratio": 2.0},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
RUNTIME = Runtime()


class TinySync(nn.Module):
    """Eight tokens a window: the mean brightness of its picture pairs."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def encode_window(self, window):
        pairs = window.float().mean(dim=(1, 3, 4)).unflatten(1, (8, 2)).mean(dim=2)
        return (self.scale * pairs)[..., None]


def tiny_encoder() -> ClipEncoder:
    encoder = ClipEncoder(TINY_CLIP).eval()
    fill(encoder.clip)
    return encoder


@needs_goldens
def test_the_official_reader_takes_the_same_frames():
    cases = json.loads((FOLDER / "frame_sampling.json").read_text())
    for case in cases:
        numerator, _, denominator = case["fps"].partition("/")
        rate = int(numerator) / int(denominator or 1)
        times = [index / rate for index in range(case["num_frames"])]
        picks = [frames.official_picks(times, hz, case["requested_duration"]) for hz in (8.0, 25.0)]
        assert [len(one) for one in picks] == [case["raw_clip"], case["raw_sync"]], case["fps"]
        duration, semantic, sync = frames.official_durations(*map(len, picks), case["requested_duration"])
        assert duration == pytest.approx(case["final_duration"])
        assert picks[0][:semantic] == case["clip_idx"]
        assert picks[1][:sync] == case["sync_idx"]


@needs_goldens
@pytest.mark.parametrize("name", ["wide", "tall"])
def test_pictures_are_scaled_like_the_reference(name):
    golden = goldens("preprocess")
    image = golden[f"in.image_{name}"].numpy()
    semantic, sync = frames.semantic_picture(image), frames.sync_picture(image)
    assert torch.equal(semantic, golden[f"clip.resized_u8_{name}"][0])
    assert torch.equal(sync, golden[f"sync.cropped_u8_{name}"][0])
    if name == "wide":
        rows = golden["clip.normalized_wide_rows0_32"][0]
        torch.testing.assert_close(frames.normalised_semantic(semantic)[:, :32], rows, atol=1e-6, rtol=0)
        rows = golden["sync.normalized_wide_rows0_32"][0]
        torch.testing.assert_close(frames.normalised_sync(sync)[:, :32], rows, atol=1e-6, rtol=0)


@needs_goldens
def test_clip_has_the_published_names_and_tokens():
    shapes = manifest("open_clip_vit_h_14_378_quickgelu")
    encoder = ClipEncoder(clip_config(shapes), device="meta")
    assert {name: list(value.shape) for name, value in encoder.clip.state_dict().items()} == shapes
    prompts = ["", "a dog barking while rain falls on a tin roof", "Waves CRASHING, seagulls!  music"]
    assert torch.equal(encoder.tokenize(prompts), goldens("clip_dfn5b")["in.tokens"])
    assert (encoder.grid, encoder.side_px) == (27, 378)


def test_a_clip_model_is_told_from_its_tensors():
    encoder = tiny_encoder()
    shapes = {name: list(value.shape) for name, value in encoder.clip.state_dict().items()}
    assert clip_config(shapes) == TINY_CLIP
    again = ClipEncoder(clip_config(shapes), device="meta")
    again.clip.load_state_dict(encoder.clip.state_dict(), assign=True)
    tokens = encoder.tokenize(["a heavy ball", "a " * 40])
    with torch.inference_mode():
        torch.testing.assert_close(again.encode_tokens(tokens), encoder.encode_tokens(tokens))
        changed = tokens.clone()
        changed[0, 3] = 7
        before, after = encoder.encode_tokens(tokens)[0], encoder.encode_tokens(changed)[0]
    torch.testing.assert_close(before[:3], after[:3])
    assert not torch.allclose(before[3:], after[3:]), "a token changes those after it and none before"
    assert tokens[1, -1] == 49407, "what is too long keeps its end"


@pytest.mark.parametrize("rate", [10, 16, 24, 25, 30, 60])
def test_pictures_are_taken_by_time_from_any_rate(rate):
    total = round(2.6 * rate)
    clip = clip_from_frames(np.stack([numbered_picture(number) for number in range(total)]), rate)
    for hz, count in ((8.0, 20), (25.0, 60)):
        picks = [picture_number(image) for image in frames.nearest_pictures(clip, hz, count)]
        assert len(picks) == count
        for index, number in enumerate(picks):
            assert abs(number / rate - index / hz) <= 0.5 / rate + 1e-6
    assert [picture_number(image) for image in frames.nearest_pictures(clip, 8.0, 40)][-1] == total - 1, "held"


def gray_clip(levels: np.ndarray, rate: float, height: int = 48, width: int = 80):
    pictures = np.repeat(levels.astype(np.uint8), height * width * 3).reshape(len(levels), height, width, 3)
    return clip_from_frames(pictures, rate)


def test_features_follow_the_clips_own_time():
    """Brightness rises with time, so a token tells when its pictures were shown."""
    rate, seconds = 30, 2.5
    levels = np.arange(round(rate * seconds)) / (rate * seconds) * 250
    seen = look(
        gray_clip(levels, rate), None, tiny_encoder(), TinySync(), encoder="tiny", dtype=torch.float32, runtime=RUNTIME
    )
    assert seen.duration_s == pytest.approx(seconds)
    assert seen.clip.shape == (20, 24)
    assert seen.sync.shape == (8 * 6, 1)
    level = (seen.sync[:, 0] / 2 + 0.5) * 255
    shown_s = level / 250 * seconds
    wanted_s = torch.tensor([(8 * s + 2 * k + 0.5) / 25 for s in range(6) for k in range(8)])
    assert float((shown_s - wanted_s).abs().max()) < 0.5 / rate + 0.01
    assert seen.objects == ()
    assert seen.cuts_s == ()


def test_a_clip_shorter_than_a_window_is_held():
    seen = look(
        gray_clip(np.full(6, 90), 30),
        None,
        tiny_encoder(),
        TinySync(),
        encoder="t",
        dtype=torch.float32,
        runtime=RUNTIME,
    )
    assert seen.clip.shape[0] == 1
    assert seen.sync.shape[0] == 8


def test_object_features_are_sums_over_the_mask():
    """Eq. 4: two masks that share the picture sum to the whole; one that is empty is not present."""
    rate, count, height, width = 8, 8, 384, 384
    rng = np.random.default_rng(0)
    clip = clip_from_frames(rng.integers(0, 255, (count, height, width, 3), dtype=np.uint8), rate)
    left = np.zeros((count, height, width), dtype=bool)
    left[:, :, :150] = True
    masks = {"all": np.ones_like(left), "left": left, "right": ~left, "gone": left & False}
    nan = np.full((count, 2), np.nan, np.float32)
    tracks = TrackSet(
        np.arange(count) / rate,
        width,
        height,
        count / rate,
        tuple(
            Track(
                name,
                mask.any(axis=(1, 2)),
                np.tile(nan, 2),
                nan,
                nan[:, 0],
                mask.any(axis=(1, 2)),
                masks=pack_masks(mask),
            )
            for name, mask in masks.items()
        ),
    )
    seen = look(clip, tracks, tiny_encoder(), TinySync(), encoder="t", dtype=torch.float32, runtime=RUNTIME)
    by_id = {one.object_id: one for one in seen.objects}
    total = by_id["left"].features + by_id["right"].features
    torch.testing.assert_close(total, by_id["all"].features, atol=1e-4, rtol=1e-4)
    assert by_id["left"].present.all()
    assert not by_id["gone"].present.any()
    assert not by_id["gone"].features.any()
    boxed = replace(
        tracks, tracks=(replace(tracks.tracks[1], masks=None, boxes=np.tile([0, 0, 150, 384], (count, 1))),)
    )
    again = look(clip, boxed, tiny_encoder(), TinySync(), encoder="t", dtype=torch.float32, runtime=RUNTIME)
    torch.testing.assert_close(again.objects[0].features, by_id["left"].features, atol=1e-4, rtol=1e-4)


def test_patch_weights_see_what_the_model_sees():
    cover = np.zeros((216, 384), dtype=bool)
    cover[:, 378:] = True
    assert not patch_weights(cover, 378, 27).any(), "the last six columns are not looked at"
    cover[:] = False
    cover[0:108] = True
    weights = patch_weights(cover, 378, 27)
    assert weights[:13].eq(1).all()
    assert weights[14:].eq(0).all()
    assert float(weights.sum()) == pytest.approx(27 * 192 / 14, rel=0.01)


def test_cuts_are_found_and_motion_and_flashes_are_none():
    rng = np.random.default_rng(1)
    scenes = [rng.integers(0, 255, (60, 100, 3), dtype=np.uint8) for _ in range(2)]
    moving = [np.roll(scenes[0], 2 * index, axis=1) for index in range(20)]
    still = [scenes[1]] * 20
    clip = clip_from_frames(np.stack(moving + still), 20)
    smooth = clip_from_frames(np.stack([np.full((60, 100, 3), 40 + 5 * index, np.uint8) for index in range(30)]), 20)
    flash = np.stack([*still[:10], np.full_like(scenes[1], 255), *still[:10]])
    blurred = [np.asarray(scenes[0][::1]) for _ in range(15)]
    two = clip_from_frames(np.stack([*blurred, *still[:15]]), 20)
    assert find_cuts(two, runtime=RUNTIME) == (0.75,)
    assert find_cuts(smooth, runtime=RUNTIME) == ()
    assert find_cuts(clip_from_frames(flash, 20), runtime=RUNTIME) == ()
    assert len(find_cuts(clip, runtime=RUNTIME)) <= 1
    jerky = [np.roll(scenes[0], 30 * (index // 4), axis=1) for index in range(24)]
    assert find_cuts(clip_from_frames(np.stack(jerky), 20), runtime=RUNTIME) == (), "each picture shown four times"
    slides = np.stack([*[scenes[0]] * 10, *[scenes[1]] * 10])
    assert find_cuts(clip_from_frames(slides, 20), runtime=RUNTIME) == (0.5,), "nothing moves but the cut"
