"""Following objects from picture to picture."""

from __future__ import annotations

from comfy_api.latest import io

from .convert import clip_of
from .host import comfy_runtime, says_what_is_missing
from .wires import Objects, Tracks, node_schema


class PavasTrackMotion(io.ComfyNode):
    """Mask, box and flow of every object in every analysed picture."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasTrackMotion",
            display_name="Track Objects (PAVAS)",
            category="PAVAS/objects",
            description="Follows the objects through the clip. Needs no model.",
            search_aliases=["track motion", "segmentation", "object tracking"],
            inputs=[
                io.Video.Input("video", tooltip="The same clip that the objects were found in."),
                Objects.Input("objects", tooltip="What to follow."),
            ],
            outputs=[
                Tracks.Output("tracks", display_name="tracks", tooltip="Where each object is at every moment."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, video, objects):
        from pavas_core.estimation.tracking.motion import track_motion

        return io.NodeOutput(track_motion(clip_of(video), objects, runtime=comfy_runtime()))


class PavasTracksToMask(io.ComfyNode):
    """Tracks as ComfyUI's MASK, for every node that takes one."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasTracksToMask",
            display_name="Tracks to Mask (PAVAS)",
            category="PAVAS/objects",
            description="Gives the tracked objects' masks as a MASK batch.",
            search_aliases=["object mask", "segmentation mask"],
            inputs=[
                Tracks.Input("tracks", tooltip="Tracks with masks."),
                io.String.Input(
                    "object_ids",
                    default="",
                    tooltip="Ids to show, separated by commas, such as object-1, object-2; empty = all of them.",
                ),
                io.Int.Input(
                    "long_side",
                    default=512,
                    min=16,
                    max=4096,
                    step=1,
                    tooltip="Size of the mask's longer side in pixels.",
                ),
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="With the clip: one mask for each of its pictures. Without: one for each analysed picture.",
                ),
            ],
            outputs=[io.Mask.Output("mask", display_name="mask", tooltip="One mask a picture, 1 = object.")],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, tracks, object_ids, long_side, video=None):
        import torch

        from pavas_core.estimation.tracking.mask_pictures import union_masks
        from pavas_core.video.clip import iter_frames

        times_s = None
        if video is not None:
            times_s = [frame.time_s for frame in iter_frames(clip_of(video), long_side=16, gray=True)]
        wanted = [name.strip() for name in object_ids.split(",") if name.strip()]
        masks = union_masks(tracks, wanted, long_side=long_side, times_s=times_s)
        return io.NodeOutput(torch.from_numpy(masks).float())
