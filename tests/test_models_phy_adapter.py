"""The Phy-Adapter: exact when fresh, able to learn, indifferent to the order of objects."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pavas_core.models.network import FlowTransformer, NetworkConfig
from pavas_core.models.phy_adapter import (
    BEFORE_TOKENS,
    REACH_TOKENS,
    AdapterConfig,
    PhyAdapter,
    PhysicsInputs,
    no_physics,
    scaled_residuals,
)
from tests.parity import fill

LENGTH, FRAMES = 50, 16
CONFIG = AdapterConfig(width=128, depth=4, feature_dim=24, hidden_dim=32, bottleneck=8, use_impacts=True)
VARIANTS = {
    "paper": {"use_impacts": False},
    "impacts": {},
    "facts of impacts": {"impact_facts": 5},
    "joint gates": {"gate_context": "joint"},
    "gates too": {"modulate_gates": True},
    "mass only": {"use_velocity": False, "use_impacts": False},
    "velocity only": {"use_mass": False, "use_impacts": False},
    "sum": {"injection": "sum"},
}


def adapter(**changes):
    torch.manual_seed(0)
    return PhyAdapter(replace(CONFIG, **changes))


def backbone():
    network = FlowTransformer(NetworkConfig(20, 128, 4, 2, clip_dim=32, sync_dim=24, text_dim=16)).eval()
    with torch.no_grad():
        fill(network)
    return network


def physics(objects=2, frames=FRAMES, impacts=3, seed=0, columns=5):
    g = torch.Generator().manual_seed(seed)
    present = torch.rand(1, objects, frames, generator=g) > 0.2
    return PhysicsInputs(
        features=torch.randn(1, objects, frames, 24, generator=g),
        present=present,
        mass_kg=torch.rand(1, objects, generator=g) * 3,
        speed_mps=torch.rand(1, objects, frames, generator=g) * 3,
        impact_token=torch.rand(1, impacts, generator=g) * LENGTH,
        impulse_ns=torch.rand(1, impacts, generator=g) + 0.1,
        impacts_known=torch.ones(1, dtype=torch.bool),
        impact_facts=torch.randn(1, impacts, columns, generator=g),
    )


def run(network, residuals=None):
    g = torch.Generator().manual_seed(3)
    clip, sync, text = (torch.randn(1, n, d, generator=g) for n, d in ((16, 32), (48, 24), (77, 16)))
    conditions = network.prepare(clip, sync, text, LENGTH)
    latent = torch.randn(1, LENGTH, 20, generator=g)
    t = torch.tensor([0.3])
    return network(latent, t, conditions) if residuals is None else network(latent, t, conditions, residuals)


def trained(module):
    """A module whose zero layers are no longer zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if ".up." in name:
                value.normal_(0, 0.05)
    return module


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_adapter_leaves_the_backbone_as_it_is_bit_for_bit(changes, dtype):
    if "sum" in changes.values() and dtype != torch.float32:
        dtype = torch.float64
    network = backbone().to(dtype)
    module = adapter(**changes)
    residuals = module.residuals(module.encode(physics(columns=module.config.impact_facts), LENGTH))
    g = torch.Generator().manual_seed(3)
    clip, sync, text = (torch.randn(1, n, d, generator=g).to(dtype) for n, d in ((16, 32), (48, 24), (77, 16)))
    conditions = network.prepare(clip, sync, text, LENGTH)
    latent = torch.randn(1, LENGTH, 20, generator=g).to(dtype)
    t = torch.tensor([0.3])
    cast = replace(
        residuals,
        blocks=tuple(block.to(dtype) for block in residuals.blocks),
        condition=None if residuals.condition is None else residuals.condition.to(dtype),
    )
    with torch.no_grad():
        alone, adapted = network(latent, t, conditions), network(latent, t, conditions, cast)
    if cast.condition is None:
        assert torch.equal(alone, adapted)
    else:  # adaLN then runs on all rows, and the rounding of products depends on their number
        assert not cast.condition.any()
        torch.testing.assert_close(alone, adapted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_one_optimiser_step_moves_the_last_layers_and_then_the_sound(changes):
    network, module = backbone(), adapter(**changes)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
    before = run(network).detach()
    loss = (
        (run(network, module.residuals(module.encode(physics(columns=module.config.impact_facts), LENGTH))) - 1)
        .square()
        .mean()
    )
    loss.backward()
    optimiser.step()
    moved = [name for name, value in module.named_parameters() if name.endswith("up.weight") and value.abs().sum() > 0]
    assert len(moved) == sum(name.endswith("up.weight") for name, _ in module.named_parameters())
    after = run(network, module.residuals(module.encode(physics(columns=module.config.impact_facts), LENGTH)))
    assert not torch.equal(before, after)


def test_the_order_of_objects_does_not_matter():
    module, given = trained(adapter(gate_context="joint")), physics(objects=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = replace(
        given,
        features=given.features[:, order],
        present=given.present[:, order],
        mass_kg=given.mass_kg[:, order],
        speed_mps=given.speed_mps[:, order],
    )
    for a, b in zip(
        module.residuals(module.encode(given, LENGTH)).blocks,
        module.residuals(module.encode(shuffled, LENGTH)).blocks,
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("objects", "frames", "impacts"), [(0, 16, 0), (1, 1, 1), (30, 16, 40)])
def test_any_number_of_objects_frames_and_impacts(objects, frames, impacts):
    module = trained(adapter(gate_context="joint", impact_facts=5))
    residuals = module.residuals(module.encode(physics(objects, frames, impacts), LENGTH))
    assert all(block.shape == (1, LENGTH, 6 * 128) and block.isfinite().all() for block in residuals.blocks)


def test_padding_objects_change_nothing():
    module, given = trained(adapter()), physics(objects=2)
    padded = replace(
        given,
        features=torch.cat([given.features, torch.randn(1, 1, FRAMES, 24)], dim=1),
        present=torch.cat([given.present, torch.zeros(1, 1, FRAMES, dtype=torch.bool)], dim=1),
        mass_kg=torch.cat([given.mass_kg, torch.full((1, 1), 5.0)], dim=1),
        speed_mps=torch.cat([given.speed_mps, torch.zeros(1, 1, FRAMES)], dim=1),
    )
    a, b = module.encode(given, LENGTH), module.encode(padded, LENGTH)
    torch.testing.assert_close(a.mass, b.mass)
    torch.testing.assert_close(a.velocity, b.velocity)


def test_unknown_mass_keeps_the_speed_and_mass_matters_when_known():
    module, given = trained(adapter()), physics()
    unknown = replace(given, mass_kg=torch.full_like(given.mass_kg, float("nan")))
    heavier = replace(given, mass_kg=given.mass_kg * 10)
    known, none, heavy = (module.encode(x, LENGTH) for x in (given, unknown, heavier))
    torch.testing.assert_close(known.velocity, none.velocity)
    assert not torch.allclose(known.mass, none.mass)
    assert not torch.allclose(known.mass, heavy.mass)


def test_an_impact_lands_within_half_a_latent_token():
    module, given = trained(adapter()), physics(impacts=1)
    for where in (0.2, 10.0, 10.5, 24.9, 49.9):
        hit = replace(given, impact_token=torch.tensor([[where]]), impulse_ns=torch.tensor([[2.0]]))
        none = replace(hit, impulse_ns=torch.tensor([[float("nan")]]))
        change = (module.encode(hit, LENGTH).impact - module.encode(none, LENGTH).impact).norm(dim=-1)[0]
        centre = (change * (torch.arange(LENGTH) + 0.5)).sum() / change.sum()
        assert abs(centre - where) <= 0.5


def test_what_met_is_heard_from_its_impact_on_until_it_has_died_away():
    module, given = adapter(impact_facts=5), physics(impacts=1)
    given = replace(given, impact_token=torch.tensor([[20.0]]))
    other = replace(given, impact_facts=-given.impact_facts)
    length = 120
    change = (module.encode(given, length).ringing - module.encode(other, length).ringing).norm(dim=-1)[0]
    heard = torch.arange(length) + 0.5 - 20.0
    assert not change[heard < -BEFORE_TOKENS].any()
    assert change[(heard > -BEFORE_TOKENS) & (heard < REACH_TOKENS)].all()
    assert not change[heard > REACH_TOKENS].any()


def test_order_and_padding_of_impacts_change_nothing():
    module, given = adapter(impact_facts=5), physics(impacts=9)
    order = torch.tensor([4, 0, 8, 2, 1, 3, 7, 6, 5])
    padding = {"impact_token": 3.0, "impulse_ns": torch.nan, "impact_facts": 9.0}
    changed = {name: getattr(given, name)[:, order] for name in padding}
    padded = {
        name: torch.cat([value, torch.full_like(value[:, :2], padding[name])], dim=1) for name, value in changed.items()
    }
    expected = module.encode(given, LENGTH).ringing
    for values in (changed, padded):
        torch.testing.assert_close(module.encode(replace(given, **values), LENGTH).ringing, expected)


def test_facts_that_are_missing_are_refused():
    with pytest.raises(ValueError, match="facts"):
        adapter(impact_facts=5).encode(replace(physics(), impact_facts=None), LENGTH)


def test_physics_strength_runs_from_none_to_given():
    module, given = trained(adapter()), physics()
    with_physics = module.residuals(module.encode(given, LENGTH))
    null = module.residuals(module.encode(no_physics(1, FRAMES, CONFIG, given.features), LENGTH))
    assert torch.equal(scaled_residuals(with_physics, null, 0.0).blocks[0], null.blocks[0])
    torch.testing.assert_close(scaled_residuals(with_physics, null, 1.0).blocks[0], with_physics.blocks[0])


def test_the_mixers_of_the_large_model_stay_small():
    module = PhyAdapter(AdapterConfig(width=896, depth=21, use_impacts=True), device="meta")
    assert sum(value.numel() for value in module.mixers.parameters()) <= 15e6


def test_a_value_far_outside_training_is_named(caplog):
    module, given = adapter(), physics()
    module.encode(replace(given, mass_kg=given.mass_kg * 0 + 1e5), LENGTH)
    assert "mass" in caplog.text
