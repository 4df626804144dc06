"""The list of nodes ComfyUI gets."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .detect import PavasDetectMotion
from .inspect_scene import PavasLoadPhysics, PavasPhysicsPreview, PavasSavePhysics
from .mass import PavasManualMass
from .scene import PavasCombinePhysics, PavasPhysicsEditor
from .synthesis import PavasSynthesizeImpacts
from .track import PavasTrackMotion, PavasTracksToMask
from .velocity import PavasManualVelocity, PavasPlanarVelocity
from .video import PavasLoadVideo, PavasSaveVideo

NODES: list[type[io.ComfyNode]] = [
    PavasLoadVideo,
    PavasDetectMotion,
    PavasTrackMotion,
    PavasManualMass,
    PavasPlanarVelocity,
    PavasManualVelocity,
    PavasCombinePhysics,
    PavasPhysicsEditor,
    PavasPhysicsPreview,
    PavasSavePhysics,
    PavasLoadPhysics,
    PavasTracksToMask,
    PavasSynthesizeImpacts,
    PavasSaveVideo,
]


class PavasExtension(ComfyExtension):
    """ComfyUI's handle on the pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
