"""The list of nodes ComfyUI gets."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .cut3r import PavasCut3rVelocity, PavasGeometryVelocity, PavasLoadCut3r
from .detect import PavasDetectMotion
from .generate import PavasEncodeVideo, PavasPhyAdapterEncode, PavasRegeneratePart, PavasSampler, PavasVocode
from .inspect_scene import PavasLoadPhysics, PavasOverlayVideo, PavasPhysicsPreview, PavasSavePhysics
from .layers import PavasMixLayers, PavasPhysicsGain, PavasSaveMarkers, PavasSaveStems
from .mass import PavasManualMass
from .model import PavasDownloadModels, PavasLoadModel
from .model_folders import register_folder
from .prompt import PavasComposePrompt
from .scene import PavasCombinePhysics, PavasPhysicsEditor
from .segment import PavasSegmentTrack
from .stems import PavasEncodeStems, PavasSampleStems
from .synthesis import PavasSynthesizeImpacts
from .takes import PavasPickTake
from .track import PavasTrackMotion, PavasTracksToMask
from .velocity import PavasManualVelocity, PavasPlanarVelocity
from .video import PavasLoadVideo, PavasSaveVideo
from .vlm import PavasDetectVlm, PavasEstimateMassVlm, PavasLoadVlm, PavasMassFromText, PavasObjectsFromText

NODES: list[type[io.ComfyNode]] = [
    PavasLoadVideo,
    PavasDetectMotion,
    PavasLoadVlm,
    PavasDetectVlm,
    PavasObjectsFromText,
    PavasTrackMotion,
    PavasSegmentTrack,
    PavasManualMass,
    PavasEstimateMassVlm,
    PavasMassFromText,
    PavasPlanarVelocity,
    PavasManualVelocity,
    PavasLoadCut3r,
    PavasCut3rVelocity,
    PavasGeometryVelocity,
    PavasCombinePhysics,
    PavasPhysicsEditor,
    PavasPhysicsPreview,
    PavasOverlayVideo,
    PavasSavePhysics,
    PavasLoadPhysics,
    PavasTracksToMask,
    PavasSynthesizeImpacts,
    PavasMixLayers,
    PavasPhysicsGain,
    PavasSaveStems,
    PavasSaveMarkers,
    PavasLoadModel,
    PavasEncodeVideo,
    PavasPhyAdapterEncode,
    PavasComposePrompt,
    PavasSampler,
    PavasRegeneratePart,
    PavasVocode,
    PavasEncodeStems,
    PavasSampleStems,
    PavasPickTake,
    PavasDownloadModels,
    PavasSaveVideo,
]


class PavasExtension(ComfyExtension):
    """ComfyUI's handle on the pack."""

    async def on_load(self) -> None:
        register_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
