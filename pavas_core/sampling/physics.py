"""A scene's physics as a network's Phy-Adapter takes it, computed once an edit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pavas_core.errors import PhysicsError
from pavas_core.models.network import Residuals
from pavas_core.models.phy_adapter import PhyAdapter, PhysicsCondition, PhysicsInputs, no_physics
from pavas_core.physics.resample import impact_times_s, speed_at
from pavas_core.sampling.windows import latent_length

if TYPE_CHECKING:
    from pavas_core.models.sound_model import Features, ObjectFeatures, SoundModel
    from pavas_core.physics.types import Body, Scene
    from pavas_core.runtime import Runtime


log = logging.getLogger("pavas")


@dataclass(frozen=True)
class Physics:
    """Pooled physics of one scene (the PAVAS_PHYSICS wire), on the CPU.

    It depends neither on the flow time nor on the latent, so that steps, seeds and takes share it.
    """

    model: str
    """Name of the network whose adapter made it."""
    given: PhysicsCondition
    """(1, L, Dh) per condition, over the whole clip."""
    null: PhysicsCondition
    """(1, 1, Dh): no physics, the same at every time."""
    unnamed: PhysicsCondition | None = None
    """``given`` as if nobody had said what things are made of: for prompts that name other materials. Only networks
    whose adapter is told materials have it."""
    stuff: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    """Materials told in ``given``: of things, and of surfaces."""
    ringing: torch.Tensor | None = None
    """What these materials are expected to ring (``SoundModel.ringing_of``)."""

    def without_names(self) -> Physics:
        """The same where nobody has said what things are made of."""
        return self if self.unnamed is None else replace(self, given=self.unnamed, ringing=None)


def encode_physics(model: SoundModel, features: Features, scene: Scene, *, runtime: Runtime) -> Physics:
    """Condition ``model``'s adapter on the masses, speeds and impacts of ``scene`` (paper eqs 4-9).

    Raises PhysicsError if the model has no adapter, or if the features do not hold the scene's objects.
    """
    adapter = model.adapter
    if adapter is None:
        raise PhysicsError(
            f"{model.name} has no Phy-Adapter, so physics cannot change its sound: choose one with an adapter, or "
            "leave the physics input unconnected."
        )
    inputs = physics_inputs(features, scene, model.latent_rate_hz, adapter.config.feature_dim)
    length = latent_length(features.duration_s, model.latent_rate_hz)
    told = model.told_of_impacts(scene) if adapter.config.impact_facts else None
    if told is None:
        with torch.inference_mode(), runtime.resident(adapter):
            given = adapter.encode(_on(inputs, runtime.device), length)
            null = null_condition(adapter, runtime.device)
        return Physics(model.name, _condition_on(given, "cpu"), _condition_on(null, "cpu"))
    both = (replace(inputs, impact_facts=facts) for facts in (told.facts, told.unnamed))
    with torch.inference_mode(), runtime.resident(adapter), _said_once():
        given, unnamed = (_condition_on(adapter.encode(_on(one, runtime.device), length), "cpu") for one in both)
        null = _condition_on(null_condition(adapter, runtime.device), "cpu")
    return Physics(model.name, given, null, unnamed, told.stuff, model.ringing_of(scene, length))


@contextmanager
def _said_once() -> Iterator[None]:
    """What the adapter says of a scene's values it says of every condition in which they stand: once is enough."""
    said = set[str]()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        known = text in said
        said.add(text)
        return not known

    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def null_condition(adapter: PhyAdapter, device: str) -> PhysicsCondition:
    """What the adapter learned for nothing being known; one token stands for all."""
    like = torch.zeros(1, device=device)
    return adapter.encode(no_physics(1, 1, adapter.config, like), 1)


def residuals_of(
    adapter: PhyAdapter, condition: PhysicsCondition, first: int, last: int, dtype: torch.dtype, device: str
) -> Residuals:
    """The adapter's residuals for latent tokens ``first`` to ``last``; a condition of one token stands for all."""

    def part(name: str) -> torch.Tensor | None:
        value = getattr(condition, name)
        return None if value is None else (value if value.shape[1] == 1 else value[:, first:last]).to(device)

    residuals = adapter.residuals(PhysicsCondition(*map(part, PhysicsCondition.__dataclass_fields__)))

    blocks = tuple(block.to(dtype) for block in residuals.blocks)
    return Residuals(blocks, None if residuals.condition is None else residuals.condition.to(dtype))


def physics_inputs(features: Features, scene: Scene, latent_rate_hz: float, feature_dim: int) -> PhysicsInputs:
    """The adapter's inputs for one clip; objects in the order of the scene's bodies."""
    found = [(body, _features_of(body, features)) for body in scene.bodies]
    times_s = features.frame_times_s.numpy().astype(float)
    shape = (1, len(found), len(times_s))
    speeds = [speed_at(body.velocity, times_s, impact_times_s(scene, body.object.id)) for body, _ in found]
    seen = [one for _, one in found]
    return PhysicsInputs(
        features=torch.cat([torch.zeros(0, feature_dim), *(one.features.float() for one in seen)]).view(
            *shape, feature_dim
        ),
        present=torch.cat([torch.zeros(0, dtype=torch.bool), *(one.present for one in seen)]).view(shape),
        mass_kg=torch.tensor([body.mass.mass_kg for body, _ in found], dtype=torch.float32).view(shape[:2]),
        speed_mps=torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *speeds])).view(shape),
        impact_token=torch.tensor([[one.time_s * latent_rate_hz for one in scene.impacts]], dtype=torch.float32),
        impulse_ns=torch.tensor([[one.impulse_ns for one in scene.impacts]], dtype=torch.float32),
        impacts_known=torch.ones(1, dtype=torch.bool),
    )


def _features_of(body: Body, features: Features) -> ObjectFeatures:
    names = (body.object.id, *body.object.aliases)
    for seen in features.objects:
        if seen.object_id in names:
            return seen
    have = ", ".join(seen.object_id for seen in features.objects) or "no object"
    raise PhysicsError(
        f"The features show {have} but not {body.object.id}: connect the same tracks to Encode Video and "
        "Combine Physics."
    )


def _on(inputs: PhysicsInputs, device: str) -> PhysicsInputs:
    return replace(inputs, **{name: one.to(device) for name, one in vars(inputs).items() if one is not None})


def _condition_on(condition: PhysicsCondition, device: str) -> PhysicsCondition:
    values = (getattr(condition, name) for name in PhysicsCondition.__dataclass_fields__)
    return PhysicsCondition(*(None if value is None else value.to(device) for value in values))
