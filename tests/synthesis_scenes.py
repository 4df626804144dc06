"""Small scenes for the modal engine's tests."""

import numpy as np

from pavas_core.physics.types import Body, Impact, Mass, MovingObject, Scene, Velocity


def make_body(name="object", material="unknown", mass_kg=0.5, body_id=None):
    """A body without a motion curve."""
    thing = MovingObject(body_id or f"{name}-1", name, material=material)
    empty = np.zeros(0, np.float32)
    velocity = Velocity(thing.id, empty.astype(float), empty, None, None, (), None, "manual", 0.0)
    return Body(thing, Mass(mass_kg, mass_kg, mass_kg, "manual"), velocity)


def make_impact(body, time_s=0.1, speed_mps=2.0, restitution=0.5, surface="concrete", contact="bounce", partner=None,
                impact_id=None, x=0.5):  # fmt: skip
    """A blow with the impulse and energy loss that follow from mass and speed."""
    mass = body.mass.mass_kg
    return Impact(
        id=impact_id or f"impact-{time_s}",
        time_s=time_s,
        object_id=body.object.id,
        partner=partner,
        surface=surface,
        contact=contact,
        normal=(0.0, -1.0, 0.0),
        pre_normal_mps=speed_mps,
        post_normal_mps=restitution * speed_mps,
        pre_speed_mps=speed_mps,
        post_speed_mps=restitution * speed_mps,
        impulse_ns=mass * speed_mps * (1 + restitution),
        energy_loss_j=0.5 * mass * speed_mps**2 * (1 - restitution**2),
        position=(x, 0.5),
    )


def make_scene(bodies, impacts, duration_s=1.0):
    """A scene of these bodies and impacts."""
    return Scene(duration_s, 640, 360, tuple(bodies), tuple(impacts))
