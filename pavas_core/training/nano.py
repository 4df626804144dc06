"""Training pavas-nano from nothing: scenes, codec, network, and the file of weights."""

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.errors import WeightsError
from pavas_core.models.nano_codec import NanoCodec
from pavas_core.models.nano_config import NAME, network_config
from pavas_core.models.nano_packing import packed
from pavas_core.models.phy_adapter import AdapterConfig
from pavas_core.runtime import Runtime
from pavas_core.training.loop import NanoNetwork, Recipe, parameter_count, train
from pavas_core.training.store import fit_codec, held_out_examples, load_shards, make_shards
from pavas_core.video.atomic import replacing

JUDGED_SCENES = 24
LEVEL_SCENES, LEVEL_SEED = 300, 65_800


def train_nano(
    folder: Path,
    recipe: Recipe,
    *,
    scenes: int,
    device: str = "cpu",
    threads: int = 0,
    processes: int = 1,
    adapter: AdapterConfig | None = None,
    base: Path | None = None,
    start_from: Path | None = None,
    runtime: Runtime,
) -> Path:
    """Make what is missing in ``folder``, train, and write ``pavas-nano-1.safetensors`` there; its path.

    A job that was stopped goes on where it was. More ``scenes`` or steps than before continue the same training.
    ``processes`` share every batch; their number changes results by rounding only. With ``base``, the ``best.pt`` of an
    earlier run, its transformer stays as it is and only the ``adapter`` is trained; with ``start_from``, likewise,
    training begins with all that it has. Either is trained on in the codec that lies beside it.
    """
    import torch

    _use_threads(threads)
    shards = folder / "data"
    shards.mkdir(parents=True, exist_ok=True)
    _take_codec(start_from or base, folder)
    codec = fit_codec(folder / "codec.safetensors", runtime)
    make_shards(shards, codec, scenes, runtime)
    held_out_examples(folder / "held-out.pt", codec, JUDGED_SCENES, runtime)
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as file:
        told = {"scenes": scenes, "device": device, "processes": processes, "started_from": start_from is not None}
        file.write(json.dumps({**told, **asdict(recipe)}) + "\n")
    if processes > 1:
        meeting = folder / "meeting"
        meeting.unlink(missing_ok=True)
        arguments = (folder, recipe, scenes, device, adapter, base, start_from, threads, processes)
        torch.multiprocessing.spawn(_one_of_many, arguments, nprocs=processes)
        meeting.unlink(missing_ok=True)
    else:
        _train_in(folder, recipe, scenes, device, adapter, base, start_from, runtime)
    model = NanoNetwork(adapter)
    model.load_state_dict(torch.load(folder / "best.pt", weights_only=True, map_location="cpu"))
    path = export(model, codec, folder)
    return export(model, codec, folder, -level_bias_db(path, runtime))


def _take_codec(earlier: Path | None, folder: Path) -> None:
    """Copy the codec of an ``earlier`` run, in which its weights speak. Raises WeightsError where it is missing."""
    own = folder / "codec.safetensors"
    if earlier is None or own.exists():
        return
    if not (theirs := earlier.parent / own.name).exists():
        raise WeightsError(f"{theirs} does not exist: {earlier.name} must lie beside the codec it was trained with.")
    shutil.copy(theirs, own)


def level_bias_db(weights: Path, runtime: Runtime) -> float:
    """Mean error of the levels of scenes that are neither trained on nor played by the proof."""
    from pavas_core.evaluation.heard import clip_level_db
    from pavas_core.evaluation.proof_clips import made, proof_clip, truth
    from pavas_core.models.nano import load_nano

    model, errors = load_nano(runtime, weights), []
    for index in range(LEVEL_SCENES):
        runtime.step("level", index, LEVEL_SCENES)
        clip = proof_clip(LEVEL_SEED + index)
        sounds = made(model, clip, clip.sim.scene, runtime)[0], truth(clip.sim.scene, clip.surface, clip.seed)
        errors.append(clip_level_db(sounds[0]) - clip_level_db(sounds[1]))
    return float(np.mean(errors))


def _use_threads(threads: int) -> None:
    import cv2
    import torch

    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


def _one_of_many(
    rank: int,
    folder: Path,
    recipe: Recipe,
    scenes: int,
    device: str,
    adapter: AdapterConfig | None,
    base: Path | None,
    start_from: Path | None,
    threads: int,
    processes: int,
) -> None:
    import torch.distributed as dist

    _use_threads(threads)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=processes)
    _train_in(folder, recipe, scenes, device, adapter, base, start_from, Runtime())
    dist.destroy_process_group()


def _train_in(
    folder: Path,
    recipe: Recipe,
    scenes: int,
    device: str,
    adapter: AdapterConfig | None,
    base: Path | None,
    start_from: Path | None,
    runtime: Runtime,
) -> None:
    """Train on the examples that are in ``folder``."""
    from pavas_core.training.batches import stack

    codec = fit_codec(folder / "codec.safetensors", runtime)
    rate_hz = codec.config.rate_hz
    data = stack(load_shards(folder / "data", scenes), rate_hz)
    held_out = stack(held_out_examples(folder / "held-out.pt", codec, JUDGED_SCENES, runtime)[:JUDGED_SCENES], rate_hz)
    train(
        data, held_out, codec, folder, recipe,
        adapter=adapter, base=base, start_from=start_from, device=device, runtime=runtime,
    )  # fmt: skip


def export(model: NanoNetwork, codec: NanoCodec, folder: Path, lift_db: float = 0.0) -> Path:
    """Write network, adapter and codec, packed, with their configuration, recipe and scores.

    All sounds become ``lift_db`` louder: their log spectra by a constant, which the mean of the latent takes up.
    """
    import torch
    from safetensors.torch import save_file

    network = copy.deepcopy(model.network)
    with torch.no_grad():
        network.latent_mean += codec.basis.sum(dim=1) * (lift_db / 20 * math.log(10))
    parts = {"network": network, "adapter": model.adapter, "codec": codec}
    tensors = {
        f"{part}.{name}": value.detach()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }
    path = folder / f"{NAME}.safetensors"
    with replacing(path) as temporary:
        save_file(packed(tensors), str(temporary), metadata=_metadata(model, folder, lift_db))
    return path


def _metadata(model: NanoNetwork, folder: Path, lift_db: float) -> dict[str, str]:
    """What the weights are and how they came to be, as JSON by topic."""
    notes = [json.loads(line) for line in _lines(folder / "metrics.jsonl")]
    best: dict[str, Any] = max(notes, key=lambda note: note["score"]) if notes else {}
    topics = {
        "network": asdict(network_config()),
        "adapter": asdict(model.adapter.config),
        "runs": [json.loads(line) for line in _lines(folder / "runs.jsonl")],
        "held_out_scores": best,
        "lift_db": round(lift_db, 3),
        "parameters": parameter_count([model]),
        "numpy": np.__version__,
    }
    return {"name": NAME, **{topic: json.dumps(value) for topic, value in topics.items()}}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
