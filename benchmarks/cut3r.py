"""CUT3R at its released sizes with drawn weights: seconds a picture, memory, and what half precision changes.

    python -m benchmarks.cut3r [--variant cut3r_512_dpt] [--device cuda] [--precision bf16 fp16] [--frames 4]

Drawn weights say nothing of the geometry, but all of speed and memory; and the error of half precision against single
precision on the same weights, as |difference| / |point|, in the middle and at the 95th percentile of all points.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pavas_core.evaluation.parity.cut3r import picture_of
from pavas_core.evaluation.parity.weights import seeded_tensor
from pavas_core.models.cut3r import VARIANTS, Cut3r, Cut3rConfig
from pavas_core.models.cut3r_camera import pose_matrix

SIZES = {"cut3r_512_dpt": (288, 512), "cut3r_224_linear": (224, 224)}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_DAMPED = ("head.4.weight", "proj.fc2.weight", "mlp.fc2.weight")


def drawn(config: Cut3rConfig, dtype: torch.dtype, device: str) -> Cut3r:
    """The network for videos with drawn weights."""
    network = Cut3r(config, dtype=dtype, device="meta").to_empty(device=device).eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        made = seeded_tensor(name, value.shape, 1)
        value.copy_(0.1 * made if "downstream_head" in name and name.endswith(_DAMPED) else made)
    return network


def run(network: Cut3r, pictures: list[Tensor], *, all_heads: bool = False) -> tuple[list[Any], dict[str, float]]:
    """Predictions, and seconds a picture for encoder and decoder with heads; the first picture warms up."""
    cuda = pictures[0].device.type == "cuda"

    def now() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    spent = {"encoder": 0.0, "decoder and heads": 0.0}
    found = []
    state = network.initial_state(1, pictures[0].device)
    for index, picture in enumerate(pictures):
        grid = picture.shape[-2] // 16, picture.shape[-1] // 16
        start = now()
        feature = network.encode(picture)
        middle = now()
        prediction, state = network.decode(feature, grid, state, first=index == 0, all_heads=all_heads)
        end = now()
        if index or len(pictures) == 1:
            spent["encoder"] += (middle - start) / max(1, len(pictures) - 1)
            spent["decoder and heads"] += (end - middle) / max(1, len(pictures) - 1)
        found.append(tuple(part.float().cpu() for part in prediction[:3]))
    return found, spent


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=SIZES, default="cut3r_512_dpt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", nargs="*", choices=TYPES, default=["bf16"], help="compared with fp32")
    parser.add_argument("--frames", type=int, default=3)
    options = parser.parse_args()
    config = replace(VARIANTS[options.variant], ray_maps=False, all_heads=False)
    pictures = [picture_of(index, *SIZES[options.variant]).to(options.device) for index in range(options.frames)]
    exact: list[Any] = []
    with torch.inference_mode():
        for precision in dict.fromkeys(["fp32", *options.precision]):
            network = drawn(config, TYPES[precision], options.device)
            found, spent = run(network, pictures)
            weights = sum(p.numel() * p.element_size() for p in network.parameters()) / 2**30
            del network
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            if options.device.startswith("cuda"):
                peak = torch.cuda.max_memory_allocated() / 2**30
                torch.cuda.reset_peak_memory_stats()
            stages = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in spent.items())
            print(f"{options.variant} {precision}: {stages} a picture; weights {weights:.2f} GB, peak {peak:.2f} GB")
            exact = exact or found
            if precision != "fp32":
                print(f"  against fp32: {_difference(found, exact)}")


def _difference(found: list[Any], exact: list[Any]) -> str:
    off, turned, moved = [], [], []
    for (points, _, pose), (true_points, _, true_pose) in zip(found, exact, strict=True):
        off.append(((points - true_points).norm(dim=-1) / true_points.norm(dim=-1).clamp(min=1e-3)).flatten())
        rotation = pose_matrix(pose)[0, :3, :3].T @ pose_matrix(true_pose)[0, :3, :3]
        turned.append(torch.rad2deg(((rotation.trace() - 1) / 2).clamp(-1, 1).acos()))
        moved.append((pose[0, :3] - true_pose[0, :3]).norm() / true_pose[0, :3].norm())
    points = torch.cat(off)
    return (
        f"points {100 * points.median():.3g} % in the middle, {100 * points.quantile(0.95):.3g} % at the 95th "
        f"percentile; rotation {max(turned):.2g} degrees, shift {100 * max(moved):.2g} %"
    )


if __name__ == "__main__":
    main()
