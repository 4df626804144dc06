"""Putting the physics together and correcting it by hand."""

from __future__ import annotations

from comfy_api.latest import io, ui

from .host import says_what_is_missing
from .wires import Mass, Objects, Scene, Tracks, Velocity, node_schema


class PavasCombinePhysics(io.ComfyNode):
    """Objects, tracks, masses and velocities as one scene with its impacts."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasCombinePhysics",
            display_name="Combine Physics (PAVAS)",
            category="PAVAS/physics",
            description="Brings mass and velocity together and finds the impacts: when, what, how hard.",
            search_aliases=["find impacts", "scene", "physics"],
            inputs=[
                Objects.Input("objects", tooltip="What moves."),
                Tracks.Input("tracks", tooltip="Where it is."),
                Mass.Input("mass", tooltip="How heavy it is."),
                Velocity.Input("velocity", tooltip="How fast it is."),
            ],
            outputs=[
                Scene.Output("scene", display_name="scene", tooltip="All physics of the clip, impacts included."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, objects, tracks, mass, velocity):
        from pavas_core.physics.combine import combine_physics

        return io.NodeOutput(combine_physics(objects, tracks, mass, velocity))


class PavasPhysicsEditor(io.ComfyNode):
    """The estimate with the user's corrections; bypassed, the estimate as it is."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasPhysicsEditor",
            display_name="Physics Editor (PAVAS)",
            category="PAVAS/physics",
            description=(
                "Changes mass, material, speed or impacts of the scene. Empty edits, or bypassing the node, keep the "
                "estimate."
            ),
            search_aliases=["override mass", "override speed", "edit impacts"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="The estimated physics."),
                io.String.Input(
                    "edits",
                    default="",
                    multiline=True,
                    placeholder='{"objects": {"ball-1": {"mass_kg": 0.6}}}',
                    tooltip="Corrections as JSON; the help page lists them. Empty = none.",
                ),
            ],
            outputs=[
                Scene.Output("edited_scene", display_name="scene", tooltip="The scene with the corrections."),
                io.String.Output(
                    "report", display_name="report", tooltip="Objects, impacts and their ids in words, for Preview Any."
                ),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, scene, edits):
        from pavas_core.physics.overrides import apply_edits

        edited = apply_edits(scene, edits)
        report = describe(edited)
        return io.NodeOutput(edited, report, ui=ui.PreviewText(report))


def describe(scene) -> str:
    """A few plain lines: one an object, one an impact, then the notes."""
    lines = [
        f"{body.object.id}: {body.mass.mass_kg:.3g} kg ({body.mass.source}), {body.object.material}"
        for body in scene.bodies
    ]
    lines += [
        f"{impact.id}: {impact.time_s:.3f} s {impact.object_id} {impact.contact} on "
        f"{impact.partner or impact.surface}, {impact.pre_normal_mps:.2f} m/s, {impact.energy_loss_j:.3g} J"
        for impact in scene.impacts
    ]
    return "\n".join([*lines, *scene.notes])
