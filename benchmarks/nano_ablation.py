"""The paper's table 3 with pavas-nano, small: ``python -m benchmarks.nano_ablation RUN FOLDER [--seeds 3]``.

RUN is a folder of ``train nano``, whose scenes, codec and ``best.pt`` are used. First its transformer alone is trained
on for a while without any adapter: the base, which then stays as it is. On it an adapter is trained for every row, and
for every seed at equal steps: mass, speed, both, and both by direct summation; ``none`` is the base itself. Impacts are
never told. Judged on held-out scenes: APCC-delta, and how levels follow mass, speed and all changes of a scene together
(slope over that of the truth; correlation within a scene). Differences are paired: the same scenes, all seeds of both
rows; an interval resamples scenes and seeds. A job that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pavas_core.evaluation.apcc import MIN_IMPACTS, pearson, strengths_at
from pavas_core.evaluation.proof_clips import FIRST_SEED, proof_sim, truth
from pavas_core.models.nano_codec import NanoCodec
from pavas_core.models.nano_config import WINDOW_S, ablated_config
from pavas_core.models.nano_visual import look, see
from pavas_core.models.phy_adapter import AdapterConfig
from pavas_core.runtime import Runtime
from pavas_core.sampling.flow import seeded_noise
from pavas_core.simulation.simulate import counterfactual
from pavas_core.training.batches import Examples, stack, whole
from pavas_core.training.examples import SAMPLE_RATE, Variant, physics_of
from pavas_core.training.faults import with_faults
from pavas_core.training.loop import NanoNetwork, Recipe, clip_levels_db, sample, train
from pavas_core.training.store import fit_codec, held_out_examples, load_shards

ROWS = {"mass": ("mass", "delta"), "speed": ("speed", "delta"), "both": ("both", "delta"), "both, sum": ("both", "sum")}
BASE_RATE, ADAPTER_RATE = 4e-4, 3e-3
SCENES = 100
CHANGES = ({}, {"mass": 0.25}, {"mass": 4.0}, {"speed": 0.5}, {"speed": 2.0})
"""Of every scene: as it is, then by these factors."""
MASS, SPEED = (1, 0, 2), (3, 0, 4)
SAMPLED_STEPS = 6
RESAMPLES = 1000


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--base-steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--scenes", type=int, default=2400, help="of RUN that are trained on")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runtime = Runtime()
    codec = fit_codec(options.run / "codec.safetensors", runtime)
    rate_hz = codec.config.rate_hz
    data = stack(load_shards(options.run / "data", options.scenes), rate_hz)
    few = stack(held_out_examples(options.run / "held-out.pt", codec, 2, runtime)[:2], rate_hz)
    options.folder.mkdir(parents=True, exist_ok=True)
    judged = judged_scenes(options.folder / "judged.pt", codec)

    def trained(name: str, recipe: Recipe, adapter: AdapterConfig, base: Path | None) -> Path:
        folder = options.folder / name
        folder.mkdir(exist_ok=True)
        if base is None and not (folder / "state.pt").exists():
            start_from(options.run / "best.pt", folder / "state.pt", adapter, recipe)
        recipe = replace(recipe, judge_every=recipe.steps, save_every=recipe.steps, warm_up=20, ema=0.97)
        if not (folder / "best.pt").exists():
            train(data, few, codec, folder, recipe, adapter=adapter, base=base, runtime=runtime)
        return folder / "best.pt"

    base = trained("base", Recipe(options.base_steps, 24, BASE_RATE), ablated_config("none"), None)
    found: dict[str, list[dict[str, Any]]] = {
        "none": [measured(options.folder / "base", ablated_config("none"), codec, judged)] * options.seeds
    }
    found |= {name: [] for name in ROWS}
    for seed in range(options.seeds):
        for name, (row, injection) in ROWS.items():
            folder = f"{row}-{injection}-{seed}"
            adapter = ablated_config(row, injection)
            torch.manual_seed(seed)
            trained(folder, Recipe(options.steps, options.batch, ADAPTER_RATE, seed=seed), adapter, base)
            found[name].append(measured(options.folder / folder, adapter, codec, judged))
            print(name, seed, {key: round(value, 3) for key, value in figures([found[name][-1]]).items()}, flush=True)
    print("\n".join(table(found)))


def start_from(best: Path, path: Path, adapter: AdapterConfig, recipe: Recipe) -> None:
    """A state in which a run's transformer is trained on from step 0, without its adapter."""
    model = NanoNetwork(adapter)
    given = torch.load(best, weights_only=True, map_location="cpu")
    own = {name: value for name, value in given.items() if name.startswith("network.")}
    model.load_state_dict({**model.state_dict(), **own})
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=recipe.learning_rate)
    state = {"model": model.state_dict(), "average": model.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "step": 0, "best": float("-inf")}, path)


def judged_scenes(path: Path, codec: NanoCodec) -> dict[str, Any]:
    """Held-out scenes with impacts, their changes, and the truth's strengths at every impact; kept in ``path``."""
    if not path.exists():
        examples, events, seed = [], [], FIRST_SEED
        while len(examples) < SCENES:
            if proof_sim(seed).scene.impacts:
                one, its = _judged(seed, codec)
                examples.append(one)
                events.append(its)
            seed += 1
        torch.save({"examples": examples, "events": events}, path)
    return torch.load(path, weights_only=True)


@torch.no_grad()
def _judged(seed: int, codec: NanoCodec) -> tuple[dict[str, Any], dict[str, Any]]:
    sim = proof_sim(seed)
    tracks, surface = sim.scene.tracks, sim.played.stage.floor_material
    assert tracks is not None
    measured_tracks = with_faults(tracks, np.random.default_rng([seed, 12]))
    sight = see(measured_tracks, look(sim.frames(), list(tracks.times_s), measured_tracks), WINDOW_S)
    variants, sounds = [], []
    for change in CHANGES:
        masses = {body.object.id: change["mass"] for body in sim.scene.bodies} if "mass" in change else None
        variant = Variant(counterfactual(sim, masses, change.get("speed", 1.0)).scene, surface, False, False)
        sounds.append(truth(variant.scene, surface, seed))
        wave = np.zeros((1, round(WINDOW_S * SAMPLE_RATE)), np.float32)
        wave[:, : sounds[-1].waveform.shape[1]] = sounds[-1].waveform[:, : wave.shape[1]]
        physics = physics_of(variant, measured_tracks, sight.frame_times_s)
        variants.append({"latent": codec.encode(torch.from_numpy(wave))[0], **physics})
    times = [one.time_s for one in sim.scene.impacts]
    material = {body.object.id: body.object.material for body in sim.scene.bodies}
    events = {
        "time_s": times,
        "energy_j": [one.energy_loss_j for one in sim.scene.impacts],
        "group": [f"{material[one.object_id]} {one.contact}" for one in sim.scene.impacts],
        "truth": strengths_at(sounds[0], times).tolist(),
    }
    seen = {"sync": sight.sync, "clip": sight.clip, "objects": sight.objects, "present": sight.present}
    tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
    return {**tensors, "kind": sim.kind, "variants": _tensors(variants)}, events


def _tensors(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in one.items()}
        for one in variants
    ]


@torch.no_grad()
def measured(folder: Path, adapter: AdapterConfig, codec: NanoCodec, judged: dict[str, Any]) -> dict[str, Any]:
    """Levels of every scene's changes (scenes, changes), true and made, and strengths at its impacts as made."""
    path = folder / "measured.json"
    if path.exists():
        return json.loads(path.read_text())
    from pavas_core.audio import Audio

    model = NanoNetwork(adapter)
    model.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    data: Examples = stack(judged["examples"], codec.config.rate_hz)
    levels: dict[str, list[list[float]]] = {"true": [], "made": []}
    strengths = []
    for scene in range(len(data)):
        given = whole(data, np.full(len(CHANGES), scene), np.arange(len(CHANGES)))
        # the same noise for all: what differs is what was told
        noise = seeded_noise(scene, (1, *given.latent.shape[1:])).expand_as(given.latent)
        latent = sample(model, given, noise, SAMPLED_STEPS)
        levels["true"].append(clip_levels_db(codec, given.latent).tolist())
        levels["made"].append(clip_levels_db(codec, latent).tolist())
        wave = codec.decode(latent[:1]).numpy()
        strengths.append(strengths_at(Audio(wave, SAMPLE_RATE), judged["events"][scene]["time_s"]).tolist())
    result = {**levels, "strength": strengths, "events": judged["events"]}
    path.write_text(json.dumps(result))
    return result


def figures(runs: Sequence[dict[str, Any]], scenes: Sequence[int] | None = None) -> dict[str, float]:
    """Means over runs of all figures, of the given scenes."""
    chosen = list(range(len(runs[0]["true"]))) if scenes is None else list(scenes)
    rows = [_figures(run, chosen) for run in runs]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _figures(run: dict[str, Any], scenes: list[int]) -> dict[str, float]:
    true, made = (np.array(run[name])[scenes] for name in ("true", "made"))
    result = {}
    for name, columns in (("mass slope", MASS), ("speed slope", SPEED), ("slope", tuple(range(len(CHANGES))))):
        wanted, own = (x[:, columns] - x[:, columns].mean(axis=1, keepdims=True) for x in (true, made))
        result[name] = float((wanted * own).sum() / (wanted * wanted).sum())
    result["within"] = pearson(own.ravel(), wanted.ravel())
    energy, group, strength, heard = (
        np.concatenate([np.asarray(of[scene]) for scene in scenes])
        for of in (
            [one["energy_j"] for one in run["events"]],
            [one["group"] for one in run["events"]],
            [one["truth"] for one in run["events"]],
            run["strength"],
        )
    )
    for word, value in (("linear", energy), ("log", np.log(np.maximum(energy, 1e-9)))):
        gaps = [
            abs(
                pearson(value[group == name], strength[group == name])
                - pearson(value[group == name], heard[group == name])
            )
            for name in np.unique(group)
            if (group == name).sum() >= MIN_IMPACTS
        ]
        result[f"APCC-delta {word}"] = float(np.mean(gaps)) if gaps else float("nan")
    return result


def table(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A line per row with its intervals, then a line per comparison of both with the others."""
    names = list(figures(found["none"]))
    lines = [f"{'':<18}" + "".join(f"{name:>26}" for name in names)]
    for row, runs in found.items():
        spread = _resampled(lambda scenes, seeds, runs=runs: figures([runs[i] for i in seeds], scenes), runs)
        value = figures(runs)
        lines.append(f"{row:<18}" + "".join(_cell(value[name], spread[name]) for name in names))
    for row in ("none", "mass", "speed", "both, sum"):
        lines.append(_difference(f"both - {row}", found["both"], found[row], names))
    return lines


def _difference(title: str, one: list[dict[str, Any]], other: list[dict[str, Any]], names: list[str]) -> str:
    def gap(scenes: Sequence[int], seeds: Sequence[int]) -> dict[str, float]:
        first, second = (figures([runs[i] for i in seeds], scenes) for runs in (one, other))
        return {name: first[name] - second[name] for name in names}

    value = gap(range(len(one[0]["true"])), range(len(one)))
    spread = _resampled(gap, one)
    return f"{title:<18}" + "".join(_cell(value[name], spread[name]) for name in names)


def _resampled(of: Callable[..., dict[str, float]], runs: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(0)
    scenes, seeds = len(runs[0]["true"]), len(runs)
    draws = [of(rng.integers(scenes, size=scenes), rng.integers(seeds, size=seeds)) for _ in range(RESAMPLES)]
    return {name: tuple(np.nanpercentile([one[name] for one in draws], [2.5, 97.5])) for name in draws[0]}


def _cell(value: float, span: tuple[float, float]) -> str:
    return f"{value:8.3f} ({span[0]:6.3f} ..{span[1]:6.3f})"


if __name__ == "__main__":
    main()
