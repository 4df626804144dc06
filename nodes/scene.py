"""Putting the physics together and correcting it by hand."""

from __future__ import annotations

from comfy_api.latest import io

from .host import comfy_runtime, says_what_is_missing
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
            search_aliases=["override mass", "override speed", "edit impacts", "mute", "solo", "correct physics"],
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
                io.Video.Input(
                    "video", optional=True, tooltip="The clip, shown in the editor's dialog; without it only masks are."
                ),
            ],
            outputs=[
                Scene.Output("edited_scene", display_name="scene", tooltip="The scene with the corrections."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, scene, edits, video=None):
        from pavas_core.physics.editor_view import summary
        from pavas_core.physics.overrides import apply_edits

        from .editor_files import write_editor_files

        orphans: list[str] = []
        edited = apply_edits(scene, edits, orphans)
        lines = summary(scene, edited, orphans)
        shown = write_editor_files(scene, video, comfy_runtime())
        return io.NodeOutput(edited, ui={"pavas_editor": [shown | {"summary": lines}], "text": ["\n".join(lines)]})
