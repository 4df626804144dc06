"""Velocity in space: by CUT3R, or from the geometry of another reconstructor."""

from __future__ import annotations

import os
from pathlib import Path

from comfy_api.latest import io

from pavas_core.errors import PavasError

from . import model_folders
from .convert import clip_of, comfy_images
from .estimator_models import result_cache
from .host import comfy_runtime, say_on_node, says_what_is_missing, survives_full_memory
from .paths import fingerprint
from .velocity import known_sizes, objects_input, time_scale_input, velocity_output
from .vlm import cache_input
from .wires import Tracks, node_schema, precision_input

Cut3r = io.Custom("PAVAS_CUT3R")
MogeGeometry = io.Custom("MOGE_GEOMETRY")
Da3Geometry = io.Custom("DA3_GEOMETRY")

FOLDER = "cut3r"
"""Below ComfyUI's ``models``; ``models/pavas`` is searched as well."""
SIGNS = ("pose_retriever.mem", "register_tokens.weight")
SCALES = ("auto", "reconstruction", "gravity")
METHODS = ("robust", "equation 3")
PREVIEWS = 8


def _folders() -> list[Path]:
    import folder_paths

    known = folder_paths.folder_names_and_paths
    named = known[FOLDER][0] if FOLDER in known else []
    return [Path(path) for path in (*named, os.path.join(folder_paths.models_dir, FOLDER))]


def _files() -> dict[str, Path]:
    """CUT3R's files by widget name, told by their tensors."""
    from pavas_core.weights.names import SUFFIXES, tensor_names

    found: dict[str, Path] = {}
    for folder in dict.fromkeys([*_folders(), *model_folders.model_folders()]):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.suffix.lower() in SUFFIXES and path.is_file():
                names = tensor_names(path)
                if all(sign in names or f"module.{sign}" in names for sign in SIGNS):
                    found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def _missing(name: str) -> str:
    return (
        f"There is no CUT3R file {name!r}: put cut3r_512_dpt_4_64.pth or cut3r_224_linear_4.pth, from CUT3R's own page "
        f"on GitHub (not for commercial use), into {_folders()[0]}."
    )


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
                io.Combo.Input("file", options=list(_files()), tooltip="The .pth as published, or a .safetensors."),
                precision_input("Of encoder and decoder; auto = what suits this device. Heads stay fp32."),
            ],
            outputs=[Cut3r.Output("cut3r", display_name="cut3r", tooltip="For Velocity by CUT3R.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file):
        return True if file is None or file in _files() else _missing(file)

    @classmethod
    def fingerprint_inputs(cls, file, precision):
        path = _files().get(file)
        return None if path is None else fingerprint(path)

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, file, precision):
        from pavas_core.models.cut3r_load import load_cut3r

        path = _files().get(file)
        if path is None:
            raise PavasError(_missing(file))
        model = load_cut3r(path, precision=precision, runtime=comfy_runtime())
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
