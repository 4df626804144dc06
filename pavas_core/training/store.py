"""Examples on disk: made once from their seeds, in shards, so that a killed job goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.models.nano_codec import NanoCodec
from pavas_core.runtime import Runtime
from pavas_core.training.examples import FIRST_SEED, draw_variants, example, training_clip, true_sound
from pavas_core.video.atomic import replacing

SHARD = 16
CODEC_SCENES = 96
CODEC_SEED = 500
HELD_OUT_SEED = 700
"""The codec is fitted on scenes of these seeds, which are not trained on."""


def fit_codec(path: Path, runtime: Runtime) -> NanoCodec:
    """The codec in ``path``, fitted to simulated sounds and written there if it is not."""
    import torch
    from safetensors.torch import load_file, save_file

    codec = NanoCodec()
    if not path.exists():
        sounds = []
        for index in range(CODEC_SCENES):
            runtime.step("codec", index, CODEC_SCENES)
            sim = training_clip(CODEC_SEED + index)
            rng = np.random.default_rng([CODEC_SEED + index, 13])
            for variant in draw_variants(sim, rng, 4):
                sounds.append(true_sound(variant.scene, variant.surface, int(rng.integers(1 << 30)))[:65536])
        codec.fit(torch.from_numpy(np.stack([np.pad(one, (0, 65536 - len(one))) for one in sounds])))
        with replacing(path) as temporary:
            save_file(codec.state_dict(), str(temporary))
    codec.load_state_dict(load_file(str(path)))
    return codec


def make_shards(
    folder: Path, codec: NanoCodec, scenes: int, runtime: Runtime, *, first: int = 0, stride: int = 1
) -> None:
    """Make the shards of ``scenes`` training seeds that are not yet in ``folder``.

    Several processes can share the work: each takes every ``stride``-th shard from ``first`` on.
    """
    import torch

    encode = _encoder(codec)
    shards = -(-scenes // SHARD)
    for shard in range(first, shards, stride):
        runtime.step("scenes", shard * SHARD, scenes)
        path = folder / f"shard-{shard:05d}.pt"
        if path.exists():
            continue
        made = [_tensors(example(FIRST_SEED + shard * SHARD + index, encode)) for index in range(SHARD)]
        with replacing(path) as temporary:
            torch.save(made, temporary)
    runtime.step("scenes", scenes, scenes)


def held_out_examples(path: Path, codec: NanoCodec, scenes: int, runtime: Runtime) -> list[dict[str, Any]]:
    """Examples of seeds that are not trained on, to choose weights by; kept in ``path``."""
    import torch

    if not path.exists():
        made = []
        for index in range(scenes):
            runtime.step("held-out", index, scenes)
            made.append(_tensors(example(HELD_OUT_SEED + index, _encoder(codec))))
        with replacing(path) as temporary:
            torch.save(made, temporary)
    return torch.load(path, weights_only=True)


def _encoder(codec: NanoCodec) -> Any:
    import torch

    @torch.no_grad()
    def encode(sounds: np.ndarray) -> np.ndarray:
        return codec.encode(torch.from_numpy(sounds)).numpy().astype(np.float16)

    return encode


def load_shards(folder: Path, scenes: int) -> list[dict[str, Any]]:
    """The examples of the first ``scenes`` seeds."""
    import torch

    shards = -(-scenes // SHARD)
    found = [torch.load(folder / f"shard-{shard:05d}.pt", weights_only=True) for shard in range(shards)]
    return [one for shard in found for one in shard]


def _tensors(value: Any) -> Any:
    """``value`` with tensors for arrays, as ``torch.load(weights_only=True)`` takes them."""
    import torch

    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, dict):
        return {name: _tensors(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tensors(item) for item in value]
    return value
