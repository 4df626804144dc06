"""CUT3R against numbers recorded from the public reference: every file of golden numbers has its check here.

A check takes the file's path and a seed to try first for its weights, and answers with (what, error, tolerance) for
every tensor compared; vectors by |difference| / (1 + |reference|), whole tensors by their worst place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.evaluation.parity.cases import Row

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pavas_core.models.cut3r import Cut3r, Cut3rConfig
    from pavas_core.models.cut3r_heads import Prediction

CLOSE, STATE = 1e-4, 1e-3
_DAMPED = re.compile(r"downstream_head\.(dpt_\w+\.head\.4|(proj|cross_proj|rgb_proj)\.fc2)\.weight")
_TINY: dict[str, Any] = {"enc_dim": 128, "enc_depth": 2, "enc_heads": 4, "dec_dim": 96, "dec_depth": 5, "dec_heads": 6}
_TINY |= {"state_heads": 8, "state_size": 30, "memory_size": 20}


def _fill(network: nn.Module, seed: int) -> None:
    """Weights by the rule of the golden numbers: normal draws, seeded by the tensor's name and ``seed``."""
    from pavas_core.evaluation.parity.weights import seeded_tensor

    for name, value in network.state_dict().items():
        drawn = seeded_tensor(name, value.shape, seed)
        value.copy_(0.1 * drawn if _DAMPED.search(name) else drawn)


_SEEDS = 256


def _seed(golden: Mapping[str, Tensor], config: Cut3rConfig, given: int) -> int:
    """The seed of a file's weights, which it does not name: the one whose state before the first frame it holds."""
    tokens = golden.get("stream.state0.state_feat")
    for seed in (given, *range(_SEEDS)):
        state = _first_state(config, seed)
        if tokens is not None and error(state, tokens) < CLOSE:
            return seed
        if tokens is None and error(state[:, ::16, ::8], golden["state0.state_feat"]) < CLOSE:
            return seed
    return given


def _first_state(config: Cut3rConfig, seed: int) -> Tensor:
    """The state before the first frame, without the rest of the network."""
    from pavas_core.evaluation.parity.weights import seeded_tensor

    weight = seeded_tensor("decoder_embed_state.weight", (config.dec_dim, config.enc_dim), seed)
    bias = seeded_tensor("decoder_embed_state.bias", (config.dec_dim,), seed)
    tokens = seeded_tensor("register_tokens.weight", (config.state_size, config.enc_dim), seed)
    return (tokens @ weight.T + bias)[None]


def _network(config: Cut3rConfig, seed: int) -> Cut3r:
    import torch

    from pavas_core.models.cut3r import Cut3r

    network = Cut3r(config, device="meta").to_empty(device="cpu").eval()
    with torch.no_grad():
        _fill(network, seed)
    return network


def error(value: Tensor, reference: Tensor) -> float:
    """Worst |difference| / (1 + |reference|); along the last axis where that holds vectors."""
    value, reference = value.double(), reference.double()
    if value.shape != reference.shape:
        return float("inf")
    if reference.ndim > 1 and reference.shape[-1] in (3, 7):
        return float(((value - reference).norm(dim=-1) / (1 + reference.norm(dim=-1))).max())
    return float(((value - reference).abs() / (1 + reference.abs())).max())


def _outputs(prediction: Prediction) -> dict[str, Tensor]:
    from pavas_core.models.cut3r_camera import world_points

    named = {
        "pts3d_in_self_view": prediction.points,
        "conf_self": prediction.confidence,
        "camera_pose": prediction.pose,
        "rgb": prediction.rgb,
        "pts3d_in_other_view": prediction.world_points,
        "conf": prediction.world_confidence,
        "world_from_self": world_points(prediction.points, prediction.pose),
    }
    return {name: value for name, value in named.items() if value is not None}


def _compare(golden: Mapping[str, Tensor], prefix: str, values: Mapping[str, Tensor], tolerance: float) -> list[Row]:
    """Those of ``values`` that the file has under ``prefix``."""
    return [
        (prefix + name, error(value, golden[prefix + name]), tolerance)
        for name, value in values.items()
        if prefix + name in golden
    ]


def _state(golden: Mapping[str, Tensor], prefix: str, state: Any) -> list[Row]:
    return _compare(golden, prefix, {"state_feat": state.tokens, "mem": state.memory}, STATE)


class _Taps:
    """Outputs of inner modules of the last frame, by the golden numbers' names."""

    def __init__(self, network: Cut3r) -> None:
        self.values: dict[str, Tensor] = {}
        head: Any = network.downstream_head
        watched = {
            "enc_norm": network.enc_norm,
            "decoder_embed": network.decoder_embed,
            "dec_block0": network.dec_blocks[0],
            "dec_block_state0": network.dec_blocks_state[0],
            "dec_norm": network.dec_norm,
            "dec_norm_state": network.dec_norm_state,
            "pose_head_raw": head.pose_head.mlp,
            "final_transform0": head.final_transform[0],
            "final_transform1": head.final_transform[1],
        }
        names = ("dpt_self", "dpt_cross", "dpt_rgb") if head.dpt else ("proj", "cross_proj", "rgb_proj")
        watched |= {f"{name}_raw": getattr(head, name) for name in names}
        if head.dpt:
            watched |= {
                f"dpt_self_path{level}": getattr(head.dpt_self.scratch, f"refinenet{level}") for level in (1, 4)
            }
        for name, module in watched.items():
            module.register_forward_hook(self._keeper(name))
        network.patch_embed.proj.register_forward_hook(self._keeper("patch_embed", tokens=True))

    def _keeper(self, name: str, tokens: bool = False) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
            self.values[name] = output.flatten(2).transpose(1, 2) if tokens else output

        return keep


def check_tiny(path: Path, seed: int) -> list[Row]:
    """A small network with every way through it: a stream, inner tensors, a query, masks, resets, a batch."""
    import torch
    from safetensors.torch import load_file

    from pavas_core.models.cut3r import Cut3rConfig
    from pavas_core.models.cut3r_camera import focal_length

    golden = load_file(path)
    config = Cut3rConfig(dpt="dpt" in path.stem, **_TINY)
    network = _network(config, _seed(golden, config, seed))
    with torch.inference_mode():
        rows = _masks(network, golden, "masks_recurrent.", mixed=False)
        rows += _masks(network, golden, "masks_forward.", mixed=True)
        rows += _batch(network, golden)
        taps, state = _Taps(network), network.initial_state(1)
        rows += _state(golden, "stream.state0.", state)
        focal = []
        for index in range(4):
            image = golden[f"input.stream.img{index}"]
            prediction, state = network(image, state, first=index == 0, all_heads=True)
            rows += _compare(golden, f"stream.frame{index}.", _outputs(prediction), CLOSE)
            rows += _compare(golden, f"tap.frame{index}.", taps.values, CLOSE)
            rows += _state(golden, f"stream.state{index + 1}.", state)
            focal.append(focal_length(prediction.points))
        # The geometry of random weights leaves the focal length ill-conditioned.
        rows.append(("stream.focal_weiszfeld", error(torch.cat(focal), golden["stream.focal_weiszfeld"]), 1e-2))
        query = network.query(golden["input.query.ray_map"], state, all_heads=True)
        rows += _compare(golden, "query.", _outputs(query), CLOSE)
    return rows


def _masks(network: Cut3r, golden: Mapping[str, Tensor], prefix: str, *, mixed: bool) -> list[Row]:
    """Images, ray maps, both; frames that may not change the state, and a reset."""
    images = {0: "stream", 1: "stream", 2: "stream", 4: "masks", 5: "masks"}
    rows: list[Row] = []
    state = network.initial_state(1)
    for index in range(6):
        prediction, state = network(
            golden[f"input.{images[index]}.img{index}"] if index in images else None,
            state,
            first=index == 0,
            rays=golden.get(f"input.masks.ray_map{index}"),
            update=index not in (1, 3),
            reset=index == 4,
            mixed=mixed,
        )
        rows += _compare(golden, f"{prefix}frame{index}.", _outputs(prediction), CLOSE)
    return rows + _state(golden, f"{prefix}state_final.", state)


def _batch(network: Cut3r, golden: Mapping[str, Tensor]) -> list[Row]:
    """Two clips at once, with a frame that changes one state only and a reset of one only."""
    import torch

    rows: list[Row] = []
    state = network.initial_state(2)
    updates, resets = ((1, 1), (1, 0), (1, 1)), ((0, 0), (0, 0), (0, 1))
    for index, (update, reset) in enumerate(zip(updates, resets, strict=True)):
        prediction, state = network(
            golden[f"input.batch.img{index}"],
            state,
            first=index == 0,
            update=torch.tensor(update).bool(),
            reset=torch.tensor(reset).bool(),
        )
        rows += _compare(golden, f"batch.frame{index}.", _outputs(prediction), CLOSE)
    return rows + _state(golden, "batch.state_final.", state)


def picture_of(index: int, height: int, width: int) -> Tensor:
    """The made-up image number ``index`` (1, 3, H, W) of the full-size numbers."""
    import torch

    y, x = np.mgrid[:height, :width].astype(float)
    waves = [
        np.sin(0.11 * (c + 1) * x + 0.07 * (3 - c) * y + 0.9 * index + 0.5 * c)
        * np.cos(0.05 * (c + 2) * y - 0.03 * x + 0.4 * index)
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(waves)[None]).float()


def check_full(path: Path, seed: int) -> list[Row]:
    """Two frames through a network of the released size; 3.2 GB of memory, about a minute."""
    import torch
    from safetensors.torch import load_file

    from pavas_core.models.cut3r import VARIANTS

    golden = load_file(path)
    dpt = "dpt" in path.stem
    config = VARIANTS["cut3r_512_dpt" if dpt else "cut3r_224_linear"]
    network = _network(config, _seed(golden, config, seed))
    height, width = (160, 224) if dpt else (224, 224)
    rows: list[Row] = []
    with torch.inference_mode():
        taps, state = _Taps(network), network.initial_state(1)
        rows += _strided_state(golden, "state0.", state)
        for index in range(2):
            prediction, state = network(picture_of(index, height, width), state, first=index == 0, all_heads=True)
            outputs = _outputs(prediction)
            shown = {name: value if name == "camera_pose" else value[:, ::2, ::2] for name, value in outputs.items()}
            rows += _compare(golden, f"frame{index}.", shown, CLOSE)
            inner = {name: _strided(name, value) for name, value in taps.values.items()}
            rows += _compare(golden, f"tap.frame{index}.", inner, CLOSE)
            rows += _strided_state(golden, f"state{index + 1}.", state)
    return rows


def _strided(name: str, value: Tensor) -> Tensor:
    """The places of an inner tensor that the full-size files keep."""
    if value.ndim == 4:
        return value[:, :, ::4, ::4]
    return value[:, ::8, ::8] if value.ndim == 3 else value


def _strided_state(golden: Mapping[str, Tensor], prefix: str, state: Any) -> list[Row]:
    rows: list[Row] = []
    for name, value in {"state_feat": state.tokens, "mem": state.memory}.items():
        shown = {name: value[:, ::16, ::8], f"{name}_rowmean": value.mean(dim=-1)}
        rows += _compare(golden, prefix, shown, STATE)
    return rows


def check_rope(path: Path, _seed: int) -> list[Row]:
    """Rotary positions, single precision and rounded to half."""
    from safetensors.torch import load_file

    from pavas_core.models.cut3r_blocks import rotary, rotate

    golden = load_file(path)
    rows: list[Row] = []
    for name in sorted({key.split(".")[0] for key in golden}):
        tokens, position = golden[f"{name}.tokens"], golden[f"{name}.positions"]
        places = rotary(position[:, None], tokens.shape[-1])
        rows.append((f"{name}.out", error(rotate(tokens, places), golden[f"{name}.out"]), 1e-5))
        half = rotate(tokens.half(), places)
        rows.append((f"{name}.out_fp16", error(half, golden[f"{name}.out_fp16"]), 2e-3))
    return rows


def check_poses(path: Path, _seed: int) -> list[Row]:
    """Pose head to quaternion to matrix and back, and points moved by it."""
    from safetensors.torch import load_file

    from pavas_core.models.cut3r_camera import matrix_pose, pose_matrix, world_points
    from pavas_core.models.cut3r_heads import decode_pose

    golden = load_file(path)
    encoding = golden["encoding"]
    values = {
        "encoding": decode_pose(golden["raw"]),
        "matrix": pose_matrix(encoding),
        "matrix_unnormalised": pose_matrix(golden["enc_unnormalised"]),
        "matrix_to_encoding": matrix_pose(golden["matrix_unnormalised"]),
        "points_world": world_points(golden["points"], encoding),
    }
    return _compare(golden, "", values, 1e-5)


def check_maps(path: Path, _seed: int) -> list[Row]:
    """Points, confidence and colours from raw maps."""
    from safetensors.torch import load_file

    from pavas_core.models.cut3r_heads import decode_rgb, points_and_confidence

    golden = load_file(path)
    points, confidence = points_and_confidence(golden["raw"])
    forward, _ = points_and_confidence(golden["raw"], positive_z=True)
    values = {"pts3d": points, "conf": confidence, "pts3d_pos_z": forward, "rgb": decode_rgb(golden["raw"][:, :3])}
    return _compare(golden, "", values, 1e-5)


def check_focal(path: Path, _seed: int) -> list[Row]:
    """Focal lengths; the picture with wild points (2) has none by least squares, only by the median."""
    from safetensors.torch import load_file

    from pavas_core.models.cut3r_camera import focal_length, median_focal_length

    golden = load_file(path)
    sound = [0, 1, 3]
    return [
        ("weiszfeld", error(focal_length(golden["pts3d"])[sound], golden["weiszfeld"][sound]), CLOSE),
        ("median", error(median_focal_length(golden["pts3d"]), golden["median"]), CLOSE),
    ]


def check_pictures(path: Path, _seed: int) -> list[Row]:
    """Resizing, cropping and range, in grey levels; another version of Pillow may differ by one."""
    from safetensors.torch import load_file

    from pavas_core.models.cut3r_picture import network_input, place, prepare_picture

    golden = load_file(path)
    rows: list[Row] = []
    for key in sorted({name.rsplit(".", 1)[0] for name in golden}):
        width, height = (int(side) for side in key.split(".")[0].split("x"))
        placement = place(width, height, int(key.rsplit("size", 1)[1]))
        picture = prepare_picture(_gradients(width, height), placement)
        right_size = golden[f"{key}.true_shape"][0].tolist() == [placement.height, placement.width]
        rows.append((f"{key}.true_shape", 0.0 if right_size else float("inf"), 0.0))
        values = picture.transpose(2, 0, 1).astype(int)
        for name, step in (("u8", 1), ("u8_stride3", 3)):
            if f"{key}.{name}" in golden and right_size:
                off = np.abs(values[:, ::step, ::step] - golden[f"{key}.{name}"].numpy()).max()
                rows.append((f"{key}.{name}", float(off), 1.0))
        shown = network_input(picture)[0, :, ::16, ::16]
        rows.append((f"{key}.float_stride16", error(shown, golden[f"{key}.float_stride16"]), 2.0 / 255))
    return rows


def _gradients(width: int, height: int) -> np.ndarray:
    """The made-up source picture, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    channels = [x * 255 // (width - 1), y * 255 // (height - 1), (7 * x + 13 * y + 37) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def check_container(path: Path, _seed: int) -> list[Row]:
    """A checkpoint in the released container opens without running anything it names."""
    from pavas_core.weights.cut3r_container import read_container

    tensors = read_container(path)
    return [("tensors", 0.0 if tensors else float("inf"), 0.0)]


def check_manifest(path: Path, _seed: int) -> list[Row]:
    """Names and shapes of a released file's tensors, those listed twice once: our network has exactly these."""
    import json

    from pavas_core.models.cut3r import Cut3r, config_from_shapes
    from pavas_core.weights.cut3r_container import own_name

    released = {own_name(name): shape for name, shape in json.loads(path.read_text())["tensors"].items()}
    network = Cut3r(config_from_shapes(released), device="meta").state_dict()
    ours = {name: list(value.shape) for name, value in network.items()}
    differing = [name for name in released.keys() | ours.keys() if released.get(name) != ours.get(name)]
    return [("names and shapes that differ", float(len(differing)), 0.0)]


CHECKS: dict[str, Callable[[Path, int], list[Row]]] = {
    "focal.safetensors": check_focal,
    "full_dpt.safetensors": check_full,
    "full_linear.safetensors": check_full,
    "manifest_cut3r_224_linear.json": check_manifest,
    "manifest_cut3r_512_dpt.json": check_manifest,
    "mock_container_namespace.pth": check_container,
    "mock_container_omegaconf.pth": check_container,
    "pose_encoding.safetensors": check_poses,
    "postprocess.safetensors": check_maps,
    "preprocess.safetensors": check_pictures,
    "rope2d.safetensors": check_rope,
    "tiny_dpt.safetensors": check_tiny,
    "tiny_linear.safetensors": check_tiny,
}
"""The check of every file of golden numbers, by the file's name."""
