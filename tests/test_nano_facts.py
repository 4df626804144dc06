"""What pavas-nano is told of impacts, and that a prompt counts more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pavas_core.evaluation.proof_clips import made_of, proof_clip, proof_sim
from pavas_core.models.nano import NanoModel, load_nano
from pavas_core.models.nano_facts import (
    CONTACT,
    CONTACT_S,
    CONTACTS,
    ENERGY,
    FAMILY,
    MASS,
    MATERIAL,
    OTHER_MATERIAL,
    PARTNER_MASS,
    RINGING_DB,
    SPEED,
    STUFF,
    fact_columns,
    facts_dim,
    impact_facts,
    stuff_of,
    without_stuff,
)
from pavas_core.models.nano_text import materials, named_materials, prompt_tokens
from pavas_core.physics.types import Mass
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import generate
from pavas_core.sampling.physics import encode_physics
from pavas_core.training.loop import NanoNetwork


@pytest.fixture(scope="module")
def drop():
    return proof_clip(905, "collide")


def test_facts_are_the_scenes_own_numbers(drop) -> None:
    scene = drop.sim.scene
    bodies = {body.object.id: body for body in scene.bodies}
    facts = impact_facts(scene)
    assert len(facts) == len(scene.impacts) > 0
    for row, one in zip(facts, scene.impacts, strict=True):
        assert row[MASS] == pytest.approx(bodies[one.object_id].mass.mass_kg)
        assert row[SPEED] == pytest.approx(one.pre_normal_mps)
        assert CONTACTS[int(row[CONTACT])] == one.contact
        assert materials()[int(row[MATERIAL])] == bodies[one.object_id].object.material
        assert bool(row[PARTNER_MASS].isnan()) == (one.partner is None)
        if one.partner is None:
            assert materials()[int(row[OTHER_MATERIAL])] == one.surface


def test_the_lighter_touches_shorter_and_ten_times_the_impulse_rings_twenty_decibels_louder(drop) -> None:
    scene = drop.sim.scene
    lighter = replace(scene, bodies=tuple(replace(one, mass=Mass(0.01, 0.01, 0.01, "manual")) for one in scene.bodies))
    harder = replace(scene, impacts=tuple(replace(one, impulse_ns=10 * one.impulse_ns) for one in scene.impacts))
    facts, light, hard = map(impact_facts, (scene, lighter, harder))
    assert (light[:, CONTACT_S] < facts[:, CONTACT_S]).all()
    rings = facts[:, RINGING_DB] > -100
    assert rings.any()
    torch.testing.assert_close(
        (hard - facts)[rings, RINGING_DB], torch.full((int(rings.sum()),), 20.0), atol=0.01, rtol=0
    )


def test_how_fast_something_unseen_came_is_not_known(drop) -> None:
    scene = drop.sim.scene
    pushed = replace(scene.impacts[0], pre_normal_mps=0.0, energy_loss_j=0.0)
    row = impact_facts(replace(scene, impacts=(pushed, *scene.impacts[1:])))[0]
    assert row[[SPEED, ENERGY]].isnan().all()
    assert not row[[MASS, CONTACT]].isnan().any()


def test_what_is_not_known_is_zero_in_all_columns(drop) -> None:
    facts = impact_facts(drop.sim.scene)
    columns = fact_columns(facts)
    assert columns.shape == (len(facts), facts_dim())
    assert not fact_columns(torch.full_like(facts, torch.nan)).any()
    bare = without_stuff(facts)
    assert bare[:, list(STUFF)].isnan().all()
    assert torch.equal(bare[:, MASS], facts[:, MASS])
    assert not torch.equal(fact_columns(bare), columns)


def test_things_without_a_name_or_material_are_unknown(drop) -> None:
    scene = drop.sim.scene
    nameless = replace(
        scene,
        bodies=tuple(
            replace(body, object=replace(body.object, name="object-1", material="unknown", aliases=()))
            for body in scene.bodies
        ),
    )
    assert impact_facts(nameless)[:, [MATERIAL, FAMILY]].isnan().all()
    assert stuff_of(nameless)[0] == frozenset()


def test_what_a_tool_strikes_is_not_the_ground(drop) -> None:
    on_ground = next(one for one in drop.sim.scene.impacts if one.partner is None)
    impacts = (replace(on_ground, surface="wood"), replace(on_ground, contact="strike", surface="iron"))
    assert stuff_of(replace(drop.sim.scene, impacts=impacts))[1] == {"wood"}


def test_a_prompt_names_materials_of_things_and_of_the_surface() -> None:
    named = named_materials(prompt_tokens("steel cup and rubber ball on wood floor")[0])
    assert named == (frozenset({"steel", "rubber"}), frozenset({"wood"}))
    assert named_materials(prompt_tokens("")[0]) == (frozenset(), frozenset())


@pytest.fixture(scope="module")
def told() -> NanoModel:
    """A network that is told facts and hears them, whatever it makes of them."""
    torch.manual_seed(0)
    network = NanoNetwork()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if ".up." in name or "adaLN" in name or "final_layer" in name:
                value.normal_(0, 0.05)
    return NanoModel(network.network, network.adapter, load_nano(Runtime()).codec, {})


def test_materials_of_the_scene_are_heard_unless_the_prompt_names_others(told) -> None:
    clip = proof_clip(900, "drop")
    scenes = [made_of(clip.sim.scene, material) for material in ("steel", "wood")]
    physics = [encode_physics(told, clip.features, scene, runtime=Runtime()) for scene in scenes]

    def sound(number: int, prompt: str) -> torch.Tensor:
        return generate(
            told, clip.features, physics[number], prompt=prompt, steps=1, cfg_strength=1.0, runtime=Runtime()
        )

    assert not torch.equal(sound(0, ""), sound(1, ""))
    assert torch.equal(sound(0, "glass cup"), sound(1, "glass cup"))
    steel = sound(0, "steel cup")
    assert not torch.equal(steel, sound(1, "steel cup"))
    assert told.agrees("steel cup", physics[0].stuff)
    assert not told.agrees("steel cup", physics[1].stuff)
    assert not told.agrees("cup on water", physics[0].stuff)


def test_a_scene_may_have_more_than_a_prompt_names_and_a_prompt_more_than_is_known(told) -> None:
    stuff = frozenset({"steel", "wood"}), frozenset({"ceramic", "concrete"})
    assert told.agrees("steel rod on ceramic floor", stuff)
    assert told.agrees("steel rod and wood block and glass cup on ceramic floor", stuff)
    assert told.agrees("steel rod", (frozenset(), frozenset()))
    assert not told.agrees("glass cup and steel rod", stuff)
    assert not told.agrees("steel rod on grass", stuff)


def test_heavier_things_are_told_to_be_heavier() -> None:
    from pavas_core.simulation.simulate import counterfactual

    sim = proof_sim(900, "drop")
    heavy = counterfactual(sim, {body.object.id: 5.0 for body in sim.scene.bodies}).scene
    torch.testing.assert_close(impact_facts(heavy)[:, MASS], 5 * impact_facts(sim.scene)[:, MASS])
