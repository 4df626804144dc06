"""Training the scorer of impacts: its examples on disk, its network, and the file of weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.estimation.planar.scorer import COMMON, DILATIONS, INSIDE, MOST_SIGMAS, OFFSET_S, SPEED_FLOOR
from pavas_core.estimation.planar.signals import COLUMNS, mirrored
from pavas_core.runtime import Runtime
from pavas_core.training.impact_examples import (
    IMITATED_SEED,
    TRACKED_SEED,
    Example,
    imitated_examples,
    tracked_clip,
    tracked_examples,
    tracks_seen,
)
from pavas_core.video.atomic import replacing

if TYPE_CHECKING:
    import torch
    from torch import nn

NAME = "pavas-impacts-3"
HELD_OUT_EVERY = 8
"""Of so many tracked scenes one is not trained on."""
WIDTH = 56
TAPS = 5
LENGTH = 288
"""Grid steps of a training crop, 4.8 seconds."""
_NOISE = 0.05
"""Added to every signal, in its standard deviations."""
_DECAY = 0.05
_DROPOUT = 0.25
_MARKS = [i for i, name in enumerate(COLUMNS) if name.startswith("mark")]
_STOPS = [i for i, name in enumerate(COLUMNS) if "stop" in name]
_OTHERS_MARKS = [COLUMNS.index("near_mark"), COLUMNS.index("apart_mark")]


@dataclass(frozen=True)
class ImpactRecipe:
    """How the scorer is trained."""

    members: int = 3
    """Networks, trained alike from seeds one apart."""
    steps: int = 6000
    batch: int = 32
    tracked_share: float = 0.7
    """Of a batch: tracks of the shipped tracker; the others are imitated."""
    rate: float = 2.5e-3
    seed: int = 0


def train_impacts(folder: Path, recipe: ImpactRecipe, *, imitated: int, tracked: int, runtime: Runtime) -> Path:
    """Make what is missing in ``folder``, train, and write ``impacts.safetensors`` there; its path.

    ``imitated`` scenes take a fraction of a second each, ``tracked`` ones several seconds. A job that was stopped finds
    the examples it has made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = _stored(folder / "imitated", range(IMITATED_SEED, IMITATED_SEED + imitated), imitated_examples, runtime)
    seeds = range(TRACKED_SEED, TRACKED_SEED + tracked)
    seen = _stored(folder / "tracked", seeds, _through_tracker, runtime)
    held_out = [one for one in seen if one.seed % HELD_OUT_EVERY == 0]
    trained_on = [one for one in seen if one.seed % HELD_OUT_EVERY]
    network, scores = fit(trained_on, made, held_out, recipe, runtime)
    counts = {"imitated_scenes": imitated, "tracked_scenes": tracked, "examples": len(trained_on) + len(made)}
    return export(network, folder / "impacts.safetensors", {**asdict(recipe), **counts}, scores)


def _through_tracker(seed: int) -> list[Example]:
    sim = tracked_clip(seed)
    return tracked_examples(sim, tracks_seen(sim))


def _stored(
    folder: Path, seeds: Sequence[int], make: Callable[[int], list[Example]], runtime: Runtime
) -> list[Example]:
    """The examples of all seeds, made where they are not yet in the folder; ours alone are read back."""
    folder.mkdir(exist_ok=True)
    out: list[Example] = []
    for done, seed in enumerate(seeds):
        runtime.step(f"{folder.name} scenes", done, len(seeds))
        path = folder / f"{seed}.npz"
        if not path.exists():
            _save(path, make(seed))
        out += _load(path)
    runtime.step(f"{folder.name} scenes", len(seeds), len(seeds))
    return out


def _save(path: Path, examples: Sequence[Example]) -> None:
    arrays: dict[str, Any] = {
        f"{i}.{name}": np.asarray(value) for i, one in enumerate(examples) for name, value in vars(one).items()
    }
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _load(path: Path) -> list[Example]:
    with np.load(path) as stored:
        count = len({name.split(".")[0] for name in stored.files})
        fields = [{name: stored[f"{i}.{name}"] for name in Example.__dataclass_fields__} for i in range(count)]
    return [Example(**{**one, "seed": int(one["seed"]), "tracked": bool(one["tracked"])}) for one in fields]


def fit(
    tracked: Sequence[Example],
    imitated: Sequence[Example],
    held_out: Sequence[Example],
    recipe: ImpactRecipe,
    runtime: Runtime,
) -> tuple[nn.Module, dict[str, float]]:
    """Networks trained on the examples, which answer by their mean, and its scores on those held out."""
    pools = [[one for one in pool if len(one.hit) > 8] for pool in (tracked, imitated)]
    shares = [recipe.tracked_share, 1.0 - recipe.tracked_share]
    shares = [share if pool else 0.0 for share, pool in zip(shares, pools, strict=True)]
    counts = np.round(np.array(shares) / sum(shares) * recipe.batch).astype(int)
    told = np.concatenate([one.features[one.weight > 0] for pool in pools for one in pool[::5]]).astype(np.float32)
    mean, std = told.mean(axis=0), np.maximum(told.std(axis=0), 0.05)
    network = together(
        [_trained(pools, counts, mean, std, recipe, recipe.seed + member, runtime) for member in range(recipe.members)]
    )
    return network, judge(network, held_out)


def _trained(
    pools: Sequence[Sequence[Example]],
    counts: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    recipe: ImpactRecipe,
    seed: int,
    runtime: Runtime,
) -> nn.Module:
    """One network, trained on batches of so many examples (``counts``) of each pool."""
    import torch

    rng = np.random.default_rng([seed, 17])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make_network(mean, std)
        spread = torch.from_numpy(std)[:, None]
        optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.steps, pct_start=0.1)
        likely = [np.array([1.0 + one.hit.any() for one in pool]) for pool in pools]
        for step in range(recipe.steps):
            runtime.step("steps", step, recipe.steps)
            picked = [
                pool[int(i)]
                for pool, p, n in zip(pools, likely, counts, strict=True)
                if n
                for i in rng.choice(len(pool), n, p=p / p.sum())
            ]
            x, truth = _batch(picked, rng)
            network.train()
            x = x + _NOISE * spread * torch.randn_like(x)
            loss = _loss(network(x), *truth)
            (loss[0] + 0.3 * loss[1] + 0.3 * loss[2]).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        runtime.step("steps", recipe.steps, recipe.steps)
    return network.eval()


def judge(network: nn.Module, examples: Sequence[Example]) -> dict[str, float]:
    """Cross-entropy a moment, error of the time in milliseconds and of the logarithm of speeds, on ``examples``."""
    import torch

    if not examples:
        return {}
    totals = np.zeros(3)
    with torch.no_grad():
        for start in range(0, len(examples), 32):
            part = examples[start : start + 32]
            x, truth = _batch(part, None)
            totals += len(part) * np.array([float(value) for value in _loss(network(x), *truth)])
    entropy, offset, speed = totals / len(examples)
    return {"cross_entropy": entropy / _PER_HIT, "offset_ms": 1000 * offset * OFFSET_S, "log_speed": speed}


_PER_HIT = 20.0
"""About one moment in so many is a hit."""


def _batch(
    examples: Sequence[Example], rng: np.random.Generator | None
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Features [B, C, T] and hit, weight, offset [B, T] and speeds [B, 2, T]; varied where there is an ``rng``."""
    import torch

    count = len(examples)
    x = np.zeros((count, len(COLUMNS), LENGTH), np.float32)
    hit, weight, offset = np.zeros((3, count, LENGTH), np.float32)
    speeds = np.full((count, 2, LENGTH), np.nan, np.float32)
    for row, one in enumerate(examples):
        length = len(one.hit)
        first = int(rng.integers(0, length - LENGTH + 1)) if rng is not None and length > LENGTH else 0
        part = slice(first, min(length, first + LENGTH))
        told = one.features[part].astype(np.float32)
        if rng is not None:
            if rng.random() < 0.5:
                told = mirrored(told)
            if rng.random() < 0.2:
                told[:, _MARKS] = 0.0
            if rng.random() < 0.1:
                told[:, _OTHERS_MARKS] = 0.0
            if rng.random() < 0.15:
                told[:, _STOPS] = 0.0
        size = len(told)
        x[row, :, :size] = told.T
        hit[row, :size], weight[row, :size], offset[row, :size] = one.hit[part], one.weight[part], one.offset[part]
        speeds[row, :, :size] = one.speeds[part].T
    return torch.from_numpy(x), (*map(torch.from_numpy, (hit, weight, offset / np.float32(OFFSET_S), speeds)),)  # type: ignore[return-value]


def _loss(
    out: torch.Tensor, hit: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, speeds: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy a moment times _PER_HIT, and where hit the errors of the time and of the logarithm of speeds."""
    import torch
    from torch.nn import functional

    each = functional.binary_cross_entropy_with_logits(out[:, 0], hit, reduction="none")
    entropy = _PER_HIT * (each * weight).sum() / weight.sum().clamp(min=1)
    on = (hit > 0) & (weight > 0)
    late = (functional.smooth_l1_loss(out[:, 1], offset, reduction="none") * on).sum() / on.sum().clamp(min=1)
    known = on[:, None] & torch.isfinite(speeds)
    wanted = torch.log(torch.where(known, speeds, torch.ones_like(speeds)) + SPEED_FLOOR)
    off = functional.smooth_l1_loss(out[:, 2:4], wanted, reduction="none", beta=0.3) * known
    return entropy, late, off.sum() / known.sum().clamp(min=1)


def together(networks: Sequence[nn.Module]) -> nn.Module:
    """The networks answering by their mean, as ``planar.scorer.response`` does."""
    import torch
    from torch import nn

    class Together(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList(networks)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([one(x) for one in self.members]).mean(dim=0)

    return Together().eval()


def make_network(mean: np.ndarray, std: np.ndarray, width: int = WIDTH) -> nn.Module:
    """One of the networks that ``planar.scorer.response`` evaluates, [B, C, T] to [B, 4, T]."""
    import torch
    from torch import nn
    from torch import nn as operations  # what makes layers, named as in the networks that ComfyUI runs

    class ImpactNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean = nn.Parameter(torch.from_numpy(mean), requires_grad=False)
            self.std = nn.Parameter(torch.from_numpy(std), requires_grad=False)
            self.inp = operations.Conv1d(len(COLUMNS), width, 1)
            self.conv = nn.ModuleList(
                [operations.Conv1d(width, width, TAPS, padding=TAPS // 2 * d, dilation=d) for d in DILATIONS]
            )
            self.mix = nn.ModuleList([operations.Conv1d(width, width, 1) for _ in DILATIONS])
            self.glob = operations.Linear(2 * width, width)
            self.out1 = operations.Conv1d(width, width, 1)
            self.out = operations.Conv1d(width, 4, 1)
            self.drop = nn.Dropout(_DROPOUT)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside = x[:, INSIDE : INSIDE + 1].clamp(0, 1)
            h = ((x - self.mean[:, None]) / self.std[:, None]).clamp(-MOST_SIGMAS, MOST_SIGMAS)
            h = torch.relu(self.inp(h))
            for conv, mix in zip(self.conv, self.mix, strict=True):
                h = h + self.drop(mix(torch.relu(conv(h))))
            mean = (h * inside).sum(dim=2) / inside.sum(dim=2).clamp(min=1)
            most = (h - 1e4 * (1 - inside)).amax(dim=2).clamp(min=-50)
            whole = self.glob(torch.cat([mean, most], dim=1))
            return self.out(torch.relu(self.out1(h) + whole[:, :, None]))

    return ImpactNetwork()


def export(network: nn.Module, path: Path, recipe: dict[str, object], scores: dict[str, float]) -> Path:
    """Write the weights of networks ``together`` in half precision with what they are and how they came to be."""
    from safetensors.numpy import save_file

    members = [one.state_dict() for one in network.members.children()]  # type: ignore[union-attr]
    tensors = {
        name: value.numpy() if name in COMMON else np.stack([one[name].numpy() for one in members]).astype(np.float16)
        for name, value in members[0].items()
    }
    facts = {"columns": COLUMNS, "recipe": recipe, "held_out_scores": scores}
    metadata = {"name": NAME, **{topic: json.dumps(value) for topic, value in facts.items()}}
    with replacing(path) as temporary:
        save_file(tensors, str(temporary), metadata=metadata)
    return path
