"""Velocity in space: by CUT3R, or from the geometry of another reconstructor."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from pavas_core.errors import PavasError, WeightsError

from .convert import clip_of, comfy_images
from .estimator_models import chosen, cut3r_choices, result_cache
from .host import comfy_runtime, say_on_node, says_what_is_missing, survives_full_memory
from .paths import fingerprint
from .velocity import known_sizes, objects_input, time_scale_input, velocity_output
from .vlm import cache_input
from .wires import Tracks, node_schema, precision_input

Cut3r = io.Custom("PAVAS_CUT3R")
MogeGeometry = io.Custom("MOGE_GEOMETRY")
Da3Geometry = io.Custom("DA3_GEOMETRY")

EXAMPLE = "cut3r_512_dpt_4_64.pth or cut3r_224_linear_4.pth from CUT3R's own page on GitHub (not for commercial use)"
SCALES = ("auto", "reconstruction", "gravity")
METHODS = ("robust", "equation 3")
PREVIEWS = 8


def _path(name: str) -> Path:
    return chosen(name, cut3r_choices(), "CUT3R file", "cut3r", EXAMPLE)


class PavasLoadCut3r(io.ComfyNode):
    """The network that turns pictures into metric points."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasLoadCut3r",
            display_name="Load CUT3R (PAVAS)",
            category="PAVAS/model",
            description=(
                "Loads CUT3R from models/cut3r without running anything its file names. Which of the two releases it "
                "is, is told by its tensors."
            ),
            search_aliases=["cut3r", "3d reconstruction", "pointmap", "metric depth"],
            inputs=[
                io.Combo.Input(
                    "file", options=list(cut3r_choices()), tooltip="The .pth as published, or a .safetensors."
                ),
                precision_input("Of encoder and decoder; auto = what suits this device. Heads stay fp32."),
            ],
            outputs=[Cut3r.Output("cut3r", display_name="cut3r", tooltip="For Velocity by CUT3R.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file):
        try:
            return True if file is None else bool(_path(file))
        except WeightsError as missing:
            return str(missing)

    @classmethod
    def fingerprint_inputs(cls, file, precision):
        path = cut3r_choices().get(file)
        return None if path is None else fingerprint(path)

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, file, precision):
        from pavas_core.models.cut3r_load import load_cut3r

        model = load_cut3r(_path(file), precision=precision, runtime=comfy_runtime())
        say_on_node(cls, model.name)
        return io.NodeOutput(model)


def _choices() -> list:
    """What every velocity in space can be told."""
    return [
        io.Combo.Input(
            "scale",
            options=list(SCALES),
            default=SCALES[0],
            tooltip="Where metres come from: auto = gravity where a free flight says them better.",
        ),
        io.String.Input(
            "known_size",
            default="",
            multiline=True,
            placeholder="ball-1 = 0.22",
            tooltip="One line an object: its id or name, =, diameter in metres. One fixes the scale of all.",
        ),
        time_scale_input(),
        io.Combo.Input(
            "method",
            options=list(METHODS),
            default=METHODS[0],
            tooltip="robust, or the paper's equation 3 to the letter: differences of mean points, noise included.",
        ),
    ]


def _outputs() -> list:
    """What every velocity in space gives."""
    return [
        velocity_output(),
        io.Image.Output("depth", display_name="depth", tooltip="Depth of a few pictures: near is bright."),
        io.String.Output("report", display_name="report", tooltip="Scale and noise floor, a line an object."),
    ]


class PavasCut3rVelocity(io.ComfyNode):
    """Speed in metres a second in all three dimensions, camera motion included."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasCut3rVelocity",
            display_name="Velocity by CUT3R (PAVAS)",
            category="PAVAS/physics",
            description=(
                "Measures speed towards and away from the camera too, and while it moves. The node says where its "
                "metres come from and below which speed nothing is known."
            ),
            search_aliases=["3d velocity", "cut3r", "speed", "world velocity"],
            inputs=[
                io.Video.Input("video", tooltip="The same clip that was tracked."),
                Tracks.Input("tracks", tooltip="Where each object is at every moment, with masks."),
                Cut3r.Input("cut3r", tooltip="From Load CUT3R."),
                *_choices(),
                cache_input(),
                objects_input(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, video, tracks, cut3r, scale, known_size, time_scale, method, cache="use", objects=None):
        from pavas_core.estimation.space.cut3r_velocity import cut3r_velocity
        from pavas_core.estimation.stage_cost import cost_of

        runtime = comfy_runtime()
        with cost_of("velocity", runtime.device) as cost:
            found, depth = cut3r_velocity(
                clip_of(video),
                tracks,
                cut3r,
                objects,
                scale=scale,
                known_size_m=known_sizes(known_size),
                time_scale=time_scale,
                method=method,
                previews=PREVIEWS,
                cache=result_cache(cache),
                renew=cache == "renew",
                runtime=runtime,
            )
        report = "\n".join(found.notes)
        say_on_node(cls, f"{report}\n{cost}")
        return io.NodeOutput(found, comfy_images(depth), report)


def _measure(made, tracks, objects, scale, known_size, time_scale, method, runtime):
    from pavas_core.estimation.space.world_velocity import observe, world_velocity

    return world_velocity(
        observe(made, tracks, runtime=runtime),
        tracks,
        objects,
        scale=scale,
        known_size_m=known_sizes(known_size) or None,
        time_scale=time_scale,
        method=method,
        runtime=runtime,
    )


class PavasGeometryVelocity(io.ComfyNode):
    """The same estimator on the geometry of another reconstructor."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasGeometryVelocity",
            display_name="Velocity from Geometry (PAVAS)",
            category="PAVAS/physics",
            description=(
                "Measures speed in space from ComfyUI's own MoGe or Depth Anything 3 nodes, run on every picture of "
                "the tracked clip."
            ),
            search_aliases=["moge", "depth anything 3", "3d velocity", "geometry", "speed"],
            inputs=[
                Tracks.Input("tracks", tooltip="Where each object is at every moment, with masks."),
                *_choices(),
                io.Float.Input(
                    "fov_x_degrees",
                    default=0.0,
                    min=0.0,
                    max=170.0,
                    step=0.1,
                    tooltip="Horizontal angle of view, for Depth Anything 3 in mono mode; 0 = from the geometry.",
                ),
                MogeGeometry.Input("moge_geometry", optional=True, tooltip="From MoGe Inference."),
                Da3Geometry.Input("da3_geometry", optional=True, tooltip="From Depth Anything 3 Inference."),
                objects_input(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    def execute(
        cls,
        tracks,
        scale,
        known_size,
        time_scale,
        method,
        fov_x_degrees,
        moge_geometry=None,
        da3_geometry=None,
        objects=None,
    ):
        from pavas_core.estimation.space.cut3r import DepthPreview
        from pavas_core.estimation.space.foreign_geometry import from_da3, from_moge

        if (moge_geometry is None) == (da3_geometry is None):
            raise PavasError("Connect either moge_geometry or da3_geometry: one of them is what speed is read from.")
        made = (
            from_moge(moge_geometry, tracks)
            if da3_geometry is None
            else from_da3(da3_geometry, tracks, fov_x_deg=fov_x_degrees)
        )
        preview = DepthPreview(PREVIEWS)
        runtime = comfy_runtime()
        found = _measure(preview.watch(made), tracks, objects, scale, known_size, time_scale, method, runtime)
        report = "\n".join(found.notes)
        say_on_node(cls, report)
        return io.NodeOutput(found, comfy_images(preview.pictures()), report)
