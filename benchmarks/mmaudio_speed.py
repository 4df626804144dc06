"""Sampling and encoding beside the public reference, with the same weights in one process.

``python -m benchmarks.mmaudio_speed CHECKOUT`` where CHECKOUT is a clone of https://github.com/hkchengrex/MMAudio;
it needs einops, and nothing is downloaded: weights are random draws. Both sides take turns, and the fastest turn of
each counts, in seconds of processor time on a CPU (other programs do not disturb it much) and of the clock elsewhere.

A ratio above 1 says that ours is faster. "error" is the worst difference of the two outputs over the largest value of
the reference's; "cosine" is that of our bfloat16 features with the reference's fp32 ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from pavas_core.evaluation.parity.weights import fill
from pavas_core.models.clip_encoder import ClipEncoder
from pavas_core.models.layers import lay_out_for_cpu
from pavas_core.models.network import VARIANTS, FlowTransformer
from pavas_core.models.synchformer import HOP, PREFIX, WINDOW, SyncEncoder
from pavas_core.sampling.flow import Branch, guided_flow, integrate, seeded_noise

CFG = 4.5
CLIP_TOKENS, SYNC_TOKENS, TEXT_TOKENS = 64, 192, 77
LATENT_LENGTH = {20: 250, 40: 345}


def main() -> None:
    """Print a line for every comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", choices=["sampling", "motion", "pictures"], nargs="+")
    parser.add_argument("--variant", choices=list(VARIANTS), default="small_16k")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--windows", type=int, default=1, help="of 16 pictures, for Synchformer")
    parser.add_argument("--pictures", type=int, default=1, help="for CLIP")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if not (options.checkout / "mmaudio").is_dir():
        parser.error(f"{options.checkout} has no folder mmaudio: give a clone of the reference.")
    sys.path.insert(0, str(options.checkout))
    benchmarks = {"sampling": sampling, "motion": motion, "pictures": pictures}
    with torch.inference_mode():
        for name in options.only or benchmarks:
            benchmarks[name](options)


def race(device: str, repeats: int, *runners: Callable[[], Tensor]) -> tuple[list[float], list[Tensor]]:
    """Seconds of the fastest turn and the output of every runner, taking turns."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = [float("inf")] * len(runners)
    outputs = [torch.zeros(0)] * len(runners)
    for _ in range(repeats):
        for index, run in enumerate(runners):
            start = clock()
            outputs[index] = run().float().cpu()
            seconds[index] = min(seconds[index], clock() - start)
    return seconds, outputs


def say(what: str, seconds: list[float], outputs: list[Tensor], half: bool = False) -> None:
    """One line about two runners, the reference first."""
    theirs, ours = outputs
    line = f"{what:<44} {seconds[0]:7.2f} s {seconds[1]:7.2f} s  {seconds[0] / seconds[1]:5.2f} x"
    if half:
        print(f"{line}  cosine {cosine_similarity(theirs, ours, dim=-1).min():.5f}", flush=True)
    else:
        print(f"{line}  error {(theirs - ours).abs().max() / theirs.abs().max():.1e}", flush=True)


def sampling(options: argparse.Namespace) -> None:
    """Guided Euler steps from the same noise and features."""
    from mmaudio.model.networks import get_my_mmaudio

    config, device = VARIANTS[options.variant], options.device
    ours = FlowTransformer(config, device="meta").to_empty(device="cpu").eval()
    fill(ours)
    theirs = get_my_mmaudio(options.variant).eval()
    theirs.load_weights(dict(ours.state_dict()))
    if device == "cpu":
        lay_out_for_cpu(ours)
    ours, theirs = ours.to(device), theirs.to(device)
    length = LATENT_LENGTH[config.latent_dim]
    clip, sync, text = (
        seeded_noise(seed, shape).to(device)
        for seed, shape in (
            (1, (1, CLIP_TOKENS, config.clip_dim)),
            (2, (1, SYNC_TOKENS, config.sync_dim)),
            (3, (1, TEXT_TOKENS, config.text_dim)),
        )
    )
    noise = seeded_noise(4, (1, length, config.latent_dim)).to(device)

    def reference() -> Tensor:
        given, null = theirs.preprocess_conditions(clip, sync, text), theirs.get_empty_conditions(1)
        x, times = noise, torch.linspace(0, 1, options.steps + 1)
        for index in range(options.steps):
            velocity = theirs.ode_wrapper(times[index].to(device), x, given, null, CFG)
            x = x + (times[index + 1] - times[index]) * velocity
        return x

    def own() -> Tensor:
        given = ours.prepare(clip, sync, text, length)
        null = ours.prepare_null(CLIP_TOKENS, SYNC_TOKENS, ours.empty_text(1, text), length)
        branches = [Branch(given, factor=CFG), Branch(null, factor=1 - CFG)]
        return integrate(lambda x, t: guided_flow(ours, x, t, branches), noise, options.steps)

    seconds, outputs = race(device, options.repeats, reference, own)
    say(f"sampling, {options.variant}, {options.steps} guided steps", seconds, outputs)


def motion(options: argparse.Namespace) -> None:
    """Synchformer's visual encoder, fp32 and bfloat16."""
    from mmaudio.ext.synchformer import Synchformer

    ours = SyncEncoder().eval()
    fill(ours, prefix=PREFIX)
    theirs = Synchformer().eval()
    theirs.load_state_dict({PREFIX + name: value for name, value in ours.state_dict().items()})
    count = HOP * (options.windows - 1) + WINDOW
    shown = seeded_noise(5, (1, count, 3, 224, 224)).clamp(-1, 1)
    starts = range(0, count - WINDOW + 1, HOP)
    windows = torch.stack([shown[0, start : start + WINDOW] for start in starts])

    def reference(dtype: torch.dtype) -> Tensor:
        return theirs(windows[:, None].to(options.device, dtype)).flatten(0, 2)

    def own(dtype: torch.dtype) -> Tensor:
        return ours.encode_window(windows.transpose(1, 2).to(options.device, dtype)).flatten(0, 1)

    compare(options, "motion", f"{options.windows} windows", theirs, ours, reference, own)


def pictures(options: argparse.Namespace) -> None:
    """CLIP's picture tower, fp32 and bfloat16; the reference gives it 384 pixels of which it sees 378."""
    from open_clip import get_model_config

    config = get_model_config("ViT-H-14-378-quickgelu")
    parts = ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")
    ours = ClipEncoder({name: config[name] for name in parts}, device="meta")
    visual: Any = ours.clip.visual.to_empty(device="cpu").eval()
    fill(visual, prefix="visual.")
    shown = seeded_noise(6, (options.pictures, 3, 384, 384))

    def reference(dtype: torch.dtype) -> Tensor:
        visual.output_tokens = False
        return normalize(visual(shown.to(options.device, dtype)), dim=-1)

    def own(dtype: torch.dtype) -> Tensor:
        visual.output_tokens = True
        return ours.encode_pictures(shown.to(options.device, dtype))[0]

    compare(options, "pictures", f"{options.pictures} pictures", visual, visual, reference, own)


def compare(
    options: argparse.Namespace,
    name: str,
    amount: str,
    theirs: nn.Module,
    ours: nn.Module,
    reference: Callable[[torch.dtype], Tensor],
    own: Callable[[torch.dtype], Tensor],
) -> None:
    """The reference's fp32 against ours in fp32, then in bfloat16."""
    theirs.to(options.device)
    ours.to(options.device)
    single = torch.float32
    seconds, outputs = race(options.device, options.repeats, lambda: reference(single), lambda: own(single))
    say(f"{name}, {amount}, fp32", seconds, outputs)
    ours.to(torch.bfloat16)
    half_seconds, half_outputs = race(options.device, options.repeats, lambda: own(torch.bfloat16))
    say(
        f"{name}, {amount}, our bfloat16 against fp32",
        [seconds[0], half_seconds[0]],
        [outputs[0], half_outputs[0]],
        True,
    )


if __name__ == "__main__":
    main()
