"""Finding what moves."""

from __future__ import annotations

from comfy_api.latest import io

from .convert import clip_of
from .host import comfy_runtime, says_what_is_missing
from .wires import Objects, node_schema


class PavasDetectMotion(io.ComfyNode):
    """Objects that really move, apart from camera motion, shadows and flicker."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasDetectMotion",
            display_name="Detect Moving Objects (PAVAS)",
            category="PAVAS/objects",
            description="Finds what really moves in a clip, with the camera's own motion taken out. Needs no model.",
            search_aliases=["motion detection", "find objects", "moving objects"],
            inputs=[
                io.Video.Input("video", tooltip="The clip to search."),
                io.Int.Input(
                    "max_objects",
                    default=8,
                    min=1,
                    max=32,
                    step=1,
                    tooltip="Keep at most this many objects, the surest ones.",
                ),
            ],
            outputs=[
                Objects.Output("objects", display_name="objects", tooltip="What moves, for Track and the mass nodes.")
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, video, max_objects):
        from pavas_core.estimation.tracking.motion import detect_motion

        return io.NodeOutput(detect_motion(clip_of(video), max_objects=max_objects, runtime=comfy_runtime()))
