"""CUT3R rebuilt: tensor names equal the released ones, a stream of frames equals the public reference."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file

from pavas_core.models.cut3r import (
    VARIANTS,
    Cut3r,
    Cut3rConfig,
    config_from_names,
    decode_pose,
    decode_rgb,
    focal_length,
    points_and_confidence,
    pose_matrix,
    rope2d,
    world_points,
)
from tests.parity import SHARED, fill, shapes

FOLDER = SHARED / "parity" / "cut3r"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden numbers are not beside the repository")
NOT_NEEDED_FOR_VIDEO = re.compile(
    r"masked_(img|ray_map)_token|patch_embed_ray_map|enc_(blocks|norm)_ray_map|layer\d_rn"
)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.inference_mode():
        yield


def goldens(name):
    return load_file(FOLDER / "public" / f"{name}.safetensors")


@pytest.mark.parametrize("name", VARIANTS)
def test_released_names_and_shapes(name):
    released = json.loads((FOLDER / f"manifest_{name}.json").read_text())["tensors"]
    needed = {key: shape for key, shape in released.items() if not NOT_NEEDED_FOR_VIDEO.search(key)}
    assert shapes(Cut3r(VARIANTS[name], device="meta")) == needed
    assert config_from_names(released) == VARIANTS[name]


@pytest.mark.parametrize("head", ["dpt", "linear"])
def test_stream_matches_the_reference(head):
    config = Cut3rConfig(
        dpt=head == "dpt",
        enc_dim=128,
        enc_depth=2,
        enc_heads=4,
        dec_dim=96,
        dec_depth=5,
        dec_heads=6,
        state_heads=8,
        state_size=30,
        memory_size=20,
    )
    network, golden = Cut3r(config).eval(), goldens(f"tiny_{head}")
    fill(network)
    for name, value in network.state_dict().items():
        if re.search(r"downstream_head\.(dpt_\w+\.head\.4|(proj|cross_proj|rgb_proj)\.fc2)\.weight", name):
            value.mul_(0.1)
    state = network.initial_state(1)
    for index in range(4):
        image = golden[f"input.stream.img{index}"]
        fast, _ = network(image, state, first=index == 0)
        full, state = network(image, state, first=index == 0, all_heads=True)
        torch.testing.assert_close(fast.points, full.points, atol=0, rtol=0)
        for name, value in {
            "pts3d_in_self_view": full.points,
            "conf_self": full.confidence,
            "camera_pose": full.pose,
            "rgb": full.rgb,
            "pts3d_in_other_view": full.world_points,
            "conf": full.world_confidence,
            "world_from_self": world_points(full.points, full.pose),
        }.items():
            torch.testing.assert_close(value, golden[f"stream.frame{index}.{name}"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(state.tokens, golden[f"stream.state{index + 1}.state_feat"], atol=1e-3, rtol=0)
        torch.testing.assert_close(state.memory, golden[f"stream.state{index + 1}.mem"], atol=1e-3, rtol=0)


def test_positions_poses_and_maps_match_the_reference():
    golden = goldens("rope2d")
    for width in (16, 48, 64):
        tokens, position = golden[f"hd{width}.tokens"], golden[f"hd{width}.positions"]
        torch.testing.assert_close(rope2d(tokens, position), golden[f"hd{width}.out"], atol=1e-5, rtol=0)
    golden = goldens("pose_encoding")
    torch.testing.assert_close(decode_pose(golden["raw"]), golden["encoding"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pose_matrix(golden["encoding"]), golden["matrix"], atol=1e-5, rtol=1e-5)
    unnormalised = pose_matrix(golden["enc_unnormalised"])
    torch.testing.assert_close(unnormalised, golden["matrix_unnormalised"], atol=1e-5, rtol=1e-5)
    golden = goldens("postprocess")
    points, confidence = points_and_confidence(golden["raw"])
    torch.testing.assert_close(points, golden["pts3d"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(confidence, golden["conf"], atol=1e-5, rtol=1e-5)
    forward = points_and_confidence(golden["raw"], positive_z=True)[0]
    torch.testing.assert_close(forward, golden["pts3d_pos_z"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decode_rgb(golden["raw"][:, :3]), golden["rgb"], atol=1e-5, rtol=1e-5)


def test_focal_length_matches_the_reference():
    golden = goldens("focal")
    sound = [0, 1, 3]  # item 2 is ill-conditioned on purpose
    estimated = focal_length(golden["pts3d"])
    torch.testing.assert_close(estimated[sound], golden["weiszfeld"][sound], atol=1e-3, rtol=1e-4)
