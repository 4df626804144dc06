"""Batches: which examples, and what of them the network is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pavas_core.models.nano_config import WINDOW_S
from pavas_core.models.nano_facts import (
    ENERGY,
    FACTS,
    MASS,
    PARTNER_MASS,
    SPEED,
    STUFF,
    fact_columns,
    without_expected,
    without_stuff,
)
from pavas_core.models.nano_text import Thing, text_tokens
from pavas_core.models.nano_visual import CROP, MOTION_DIM
from pavas_core.models.phy_adapter import PhysicsInputs
from pavas_core.simulation.scenes import QUIET
from pavas_core.training.mirror import mirrored_clip, mirrored_objects, mirrored_sync

OBJECTS = 4
IMPACTS = 40
PAIR_SHARE = 0.5
"""Share of a batch that are counterfactual pairs: the same pictures under two physics."""
CONFLICT_SHARE = 0.2
"""Share of items whose pictures are another scene's; the tracks win."""
UNCONDITIONAL = 0.06
NO_PHYSICS = 0.12
NO_MASS = NO_SPEED = NO_IMPACTS = 0.15
NO_OBJECT = 0.1
NO_PROMPT = 0.15
NO_WORD = 0.15
NO_PICTURES = 0.15
NO_STUFF = 0.35
"""Share of items whose impacts are not told what met: the prompt must do."""
NO_FACT = 0.08
"""Share of impacts of which one such fact is not told, of the others."""
MIRRORED = 0.5
"""Share of items whose left and right are exchanged."""
OFTEN = {"collide": 2.5, **dict.fromkeys(QUIET, 0.5)}
"""How often scenes of a kind are drawn, others 1: collisions are rare, and there is little to learn where nothing hits
anything."""


@dataclass(frozen=True)
class Examples:
    """All examples as tensors; n scenes of V variants."""

    sync: Tensor
    clip: Tensor
    objects: Tensor
    present: Tensor
    latent: Tensor
    """(n, V, L, C)."""
    mass_kg: Tensor
    speed_mps: Tensor
    impact_token: Tensor
    impulse_ns: Tensor
    facts: Tensor
    """(n, V, IMPACTS, FACTS) what met in every impact."""
    things: list[list[list[Thing]]]
    surface: list[list[str]]
    edited: np.ndarray
    restuffed: np.ndarray
    often: np.ndarray
    """(n,), sum 1: how often each scene is drawn."""

    def __len__(self) -> int:
        return len(self.sync)


@dataclass(frozen=True)
class Batch:
    """What one training step sees."""

    scene: Tensor
    """(B,): items of one number are one scene under several physics."""
    latent: Tensor
    sync: Tensor
    clip: Tensor
    text: Tensor
    no_sync: Tensor
    """bool (B,): the null token stands for all sync rows; likewise for clip and text."""
    no_clip: Tensor
    physics: PhysicsInputs


def stack(examples: Sequence[dict[str, Any]], rate_hz: float) -> Examples:
    """Pad and stack examples; objects beyond the fourth and impacts beyond the fortieth are left out."""
    count, variants = len(examples), len(examples[0]["variants"])
    frames, width = examples[0]["objects"].shape[1:]
    objects = torch.zeros(count, OBJECTS, frames, width, dtype=torch.float16)
    present = torch.zeros(count, OBJECTS, frames, dtype=torch.bool)
    mass = torch.full((count, variants, OBJECTS), torch.nan)
    speed = torch.full((count, variants, OBJECTS, frames), torch.nan)
    token = torch.zeros(count, variants, IMPACTS)
    impulse = torch.full((count, variants, IMPACTS), torch.nan)
    facts = torch.full((count, variants, IMPACTS, FACTS), torch.nan)
    for index, one in enumerate(examples):
        kept = min(OBJECTS, len(one["objects"]))
        objects[index, :kept] = one["objects"][:kept]
        present[index, :kept] = one["present"][:kept]
        for number, variant in enumerate(one["variants"]):
            mass[index, number, :kept] = variant["mass_kg"][:kept]
            speed[index, number, :kept] = variant["speed_mps"][:kept]
            hits = min(IMPACTS, len(variant["impact_s"]))
            token[index, number, :hits] = variant["impact_s"][:hits] * rate_hz
            impulse[index, number, :hits] = variant["impulse_ns"][:hits]
            facts[index, number, :hits] = variant["facts"][:hits]
    every = [one["variants"] for one in examples]
    latent = torch.stack([torch.stack([variant["latent"] for variant in row]) for row in every])
    often = np.array([OFTEN.get(one["kind"], 1.0) for one in examples])
    return Examples(
        torch.stack([one["sync"] for one in examples]),
        torch.stack([one["clip"] for one in examples]),
        objects,
        present,
        latent,
        mass,
        speed,
        token,
        impulse,
        facts,
        [[[Thing(*thing) for thing in variant["things"]] for variant in row] for row in every],
        [[variant["surface"] for variant in row] for row in every],
        np.array([[variant["edited"] for variant in row] for row in every]),
        np.array([[variant["restuffed"] for variant in row] for row in every]),
        often / often.sum(),
    )


def draw(data: Examples, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scene and variant of every item; the first half are pairs of one scene."""
    pairs = int(size * PAIR_SHARE) // 2
    variants = data.latent.shape[1]
    scene = rng.choice(len(data), size=size - pairs, p=data.often)
    scene = np.concatenate([np.repeat(scene[:pairs], 2), scene[pairs:]])
    variant = rng.integers(variants, size=size)
    variant[1 : 2 * pairs : 2] = (variant[: 2 * pairs : 2] + rng.integers(1, variants, size=pairs)) % variants
    # what is told by the pictures alone must be the pictures' own physics: enough of it
    variant[2 * pairs :][rng.random(size - 2 * pairs) < 0.35] = 0
    return scene, variant


def batch(data: Examples, scene: np.ndarray, variant: np.ndarray, rng: np.random.Generator) -> Batch:
    """The items with what is withheld from the network drawn anew."""
    size = len(scene)
    sync, clip = data.sync[scene].float(), data.clip[scene].float()
    objects, present = data.objects[scene].float(), data.present[scene].clone()
    mass, speed = data.mass_kg[scene, variant].clone(), data.speed_mps[scene, variant].clone()
    token, impulse = data.impact_token[scene, variant], data.impulse_ns[scene, variant].clone()
    facts = data.facts[scene, variant].clone()
    known = torch.ones(size, dtype=torch.bool)
    no_sync, no_clip = rng.random(size) < 0.03, rng.random(size) < NO_PICTURES
    text = []
    for item in range(size):
        at = scene[item], variant[item]
        if rng.random() < CONFLICT_SHARE:
            other = int(rng.integers(len(data)))
            clip[item] = data.clip[other]
            look = slice(MOTION_DIM, MOTION_DIM + CROP * CROP + 3)
            objects[item, :, :, look] = data.objects[other, :, :, look] * present[item, :, :, None]
            sync[item, :, -3:] = data.sync[other, :, -3:]
        named = rng.random() >= NO_STUFF
        text.append(_told(data, at, named, rng))
        facts[item] = _facts_told(facts[item], named, rng)
        if rng.random() < UNCONDITIONAL:
            no_sync[item] = no_clip[item] = True
            text[-1] = text_tokens([], "")
            present[item], known[item] = False, False
            continue
        no_sync[item] &= variant[item] != 0
        own = variant[item] == 0
        if own and rng.random() < 2 * NO_PHYSICS:
            present[item], known[item] = False, False
            no_sync[item] = False
            continue
        withheld = rng.random(3) < (NO_MASS, NO_SPEED, NO_IMPACTS)
        if not own and withheld.sum() > 1:
            withheld[:] = False
        if withheld[:2].any():
            facts[item] = without_expected(facts[item])
        if withheld[0]:
            mass[item] = torch.nan
            facts[item][:, [MASS, PARTNER_MASS, ENERGY]] = torch.nan
        if withheld[1]:
            speed[item] = torch.nan
            facts[item][:, [SPEED, ENERGY]] = torch.nan
        if withheld[2] and not data.edited[at]:
            known[item] = False
        if rng.random() < NO_OBJECT:
            present[item, int(rng.integers(OBJECTS))] = False
    impulse[~known] = torch.nan
    turned = torch.from_numpy(rng.random(size) < MIRRORED)
    sync[turned], clip[turned] = mirrored_sync(sync[turned]), mirrored_clip(clip[turned])
    objects[turned] = mirrored_objects(objects[turned])
    physics = PhysicsInputs(
        objects * present[..., None], present, mass, speed, token, impulse, known, fact_columns(facts)
    )
    return Batch(
        torch.from_numpy(scene),
        data.latent[scene, variant].float(),
        sync,
        clip,
        torch.stack(text),
        torch.from_numpy(no_sync),
        torch.from_numpy(no_clip),
        physics,
    )


def _facts_told(facts: Tensor, named: bool, rng: np.random.Generator) -> Tensor:
    """Facts (K, FACTS) with what is withheld: what things are made of, all of it or some."""
    if not named:
        return without_stuff(facts)
    facts = facts.clone()
    silent = torch.from_numpy(rng.random(len(facts)) < NO_FACT)
    facts[silent] = without_expected(facts[silent])
    for place in STUFF:
        facts[torch.from_numpy(rng.random(len(facts)) < NO_FACT), place] = torch.nan
    return facts


def _told(data: Examples, at: tuple[int, int], named: bool, rng: np.random.Generator) -> Tensor:
    """The prompt: all, a part or nothing of what things and ground are made of; all where nothing else tells it."""
    scene, variant = at
    things, surface = data.things[scene][variant], data.surface[scene][variant]
    if data.restuffed[at] and not named:
        return text_tokens(things, surface)
    if rng.random() < NO_PROMPT:
        return text_tokens([], "")
    kept = [
        Thing("" if rng.random() < NO_WORD else one.material, "" if rng.random() < NO_WORD else one.family)
        for one in things
    ]
    return text_tokens(kept, "" if rng.random() < NO_WORD else surface)


def whole(data: Examples, scene: np.ndarray, variant: np.ndarray) -> Batch:
    """The items with everything told, for judging."""
    size = len(scene)
    text = [text_tokens(data.things[s][v], data.surface[s][v]) for s, v in zip(scene, variant, strict=True)]
    present = data.present[scene]
    physics = PhysicsInputs(
        data.objects[scene].float() * present[..., None],
        present,
        data.mass_kg[scene, variant],
        data.speed_mps[scene, variant],
        data.impact_token[scene, variant],
        data.impulse_ns[scene, variant],
        torch.ones(size, dtype=torch.bool),
        fact_columns(data.facts[scene, variant]),
    )
    never = torch.zeros(size, dtype=torch.bool)
    return Batch(
        torch.from_numpy(scene),
        data.latent[scene, variant].float(),
        data.sync[scene].float(),
        data.clip[scene].float(),
        torch.stack(text),
        never,
        never,
        physics,
    )


def latent_tokens(rate_hz: float) -> int:
    """Latent tokens of the window."""
    return round(WINDOW_S * rate_hz)
