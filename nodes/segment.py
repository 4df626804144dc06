"""Segment & Track: words, boxes, points or masks to a mask in every picture."""

from __future__ import annotations

from comfy_api.latest import io

from pavas_core.errors import PavasError

from .convert import clip_of
from .estimator_models import chosen, florence_choices, result_cache, sam2_choices
from .host import comfy_runtime, say_on_node, says_what_is_missing, survives_full_memory
from .vlm import cache_input
from .wires import Objects, Tracks, node_schema, precision_input

NONE = "none"
BoundingBox = io.Custom("BOUNDING_BOX")
Sam3Tracks = io.Custom("SAM3_TRACK_DATA")
FLORENCE_EXAMPLE = "florence-community/Florence-2-base as a folder"
SAM2_EXAMPLE = "sam2.1_hiera_large.pt, or facebook/sam2.1-hiera-large as a folder"


class PavasSegmentTrack(io.ComfyNode):
    """Mask and box of every object in every analysed picture, by Florence-2 and SAM 2."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSegmentTrack",
            display_name="Segment & Track (PAVAS)",
            category="PAVAS/objects",
            description=(
                "Florence-2 finds each object by its words, SAM 2 follows its mask through the clip. Boxes, points, "
                "masks, objects with boxes and SAM 3 tracks take the place of Florence-2."
            ),
            search_aliases=["sam2", "florence", "segment anything", "grounding", "mask track"],
            inputs=[
                io.Video.Input("video", tooltip="The clip the objects are in."),
                Objects.Input("objects", tooltip="What to find and follow."),
                io.Combo.Input(
                    "sam2",
                    options=[*sam2_choices(), NONE],
                    tooltip="SAM 2 of models/sam2: an official file (sam2 package) or a folder (transformers).",
                ),
                io.Combo.Input(
                    "florence",
                    options=[*florence_choices(), NONE],
                    tooltip="Florence-2 folder; not needed for objects with boxes or prompts.",
                ),
                precision_input("auto = what suits this device."),
                cache_input(),
                # Without forceInput newer front ends draw a box of their own here and send it unasked.
                BoundingBox.Input(
                    "boxes",
                    optional=True,
                    tooltip="Boxes in the order of the objects.",
                    extra_dict={"forceInput": True},
                ),
                io.String.Input(
                    "points",
                    optional=True,
                    default="",
                    tooltip='Points as JSON: [{"x": 12, "y": 80}], or {"ball-1": [{"x": 12, "y": 80, "time_s": 0.5}]}.',
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="One mask an object in the first picture; or one a picture of a single object: no SAM 2.",
                ),
                Sam3Tracks.Input(
                    "sam3_tracks",
                    optional=True,
                    tooltip="Tracks of ComfyUI's SAM 3 in the order of the objects: no SAM 2.",
                ),
            ],
            outputs=[
                Tracks.Output("tracks", display_name="tracks", tooltip="Where each object is at every moment."),
                Objects.Output("merged_objects", display_name="objects", tooltip="The objects, doubles merged."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, sam2, florence):
        return True  # missing models are told with their cure when the node runs

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(
        cls, video, objects, sam2, florence, precision, cache, boxes=None, points=None, mask=None, sam3_tracks=None
    ):
        from pavas_core.estimation.masks import segment_prompts as given
        from pavas_core.estimation.masks.grounding import load_grounder
        from pavas_core.estimation.masks.mask_tracks import tracks_of_masks
        from pavas_core.estimation.masks.sam2 import load_segmenter
        from pavas_core.estimation.masks.segment_track import segment_track
        from pavas_core.estimation.stage_cost import cost_of

        clip, runtime = clip_of(video), comfy_runtime()
        finished = given.masks_of_sam3(sam3_tracks) if sam3_tracks is not None else None
        masks = mask.detach().cpu().numpy() if mask is not None else None
        if finished is None and masks is not None and len(masks) > len(objects.objects):
            finished = [list(masks > 0.5)]
        if finished is not None:
            return io.NodeOutput(tracks_of_masks(clip, objects, finished, runtime=runtime), objects)
        prompts = given.prompts_of_masks(masks, objects) if masks is not None else {}
        prompts |= given.prompts_of_points(points or "", objects)
        if boxes is not None:
            prompts |= given.prompts_of_boxes(boxes, objects, clip.frame_rate)
        if sam2 == NONE:
            raise PavasError(f"Following objects needs SAM 2: choose {SAM2_EXAMPLE}, from models/sam2.")
        with cost_of("segmentation and tracking", runtime.device) as cost:
            segmenter = load_segmenter(
                chosen(sam2, sam2_choices(), "SAM 2", "sam2", SAM2_EXAMPLE), precision=precision, runtime=runtime
            )
            grounder = None
            if florence != NONE and any(one.id not in prompts and one.box is None for one in objects.objects):
                folder = chosen(florence, florence_choices(), "Florence-2", "florence2", FLORENCE_EXAMPLE)
                grounder = load_grounder(folder, precision=precision, runtime=runtime)
            found = segment_track(
                clip,
                objects,
                segmenter,
                grounder=grounder,
                prompts=prompts,
                cache=result_cache(cache),
                renew=cache == "renew",
                runtime=runtime,
            )
        seen = [
            f"{one.object_id}: in {int(one.visible.sum())} of {len(one.visible)} pictures"
            for one in found.tracks.tracks
        ]
        say_on_node(cls, "\n".join([*seen, str(cost)]))
        return io.NodeOutput(found.tracks, found.objects)
