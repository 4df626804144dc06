"""Seeing, saving and loading the physics of a clip."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import InputImpl, io, ui

from pavas_core.errors import PavasError

from .convert import audio_of, clip_of, comfy_images
from .host import comfy_runtime, says_what_is_missing
from .paths import files_in, fingerprint, new_output_file, readable_file
from .wires import Scene, node_schema

PHYSICS_SUFFIX = ".physics.json"
OVERLAY_SUBFOLDER = "pavas_overlay"


class PavasPhysicsPreview(io.ComfyNode):
    """The clip with masks, speeds and impacts drawn in, and curves over time."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasPhysicsPreview",
            display_name="Preview Physics (PAVAS)",
            category="PAVAS/physics",
            description="Shows what was found: masks, speeds and impacts in the pictures, and curves over time.",
            search_aliases=["show physics", "plot speed", "overlay"],
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="The clip the scene belongs to."),
                Scene.Input("scene", tooltip="The physics to show."),
                io.Int.Input(
                    "pictures", default=4, min=1, max=64, step=1, tooltip="How many pictures of the clip to draw on."
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="With a sound, the plot shows its waveform and spectrogram below the curves.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "overlays", display_name="overlays", tooltip="Pictures with masks, speeds and impacts."
                ),
                io.Image.Output("plot", display_name="plot", tooltip="Speed and energy over time, impacts marked."),
                io.String.Output(
                    "report", display_name="report", tooltip="Objects, impacts and their ids in words, for Preview Any."
                ),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, video, scene, pictures, audio=None):
        from pavas_core.plots import overlay_frames, plot_scene

        clip = clip_of(video)
        overlays = comfy_images(overlay_frames(clip, scene, count=pictures, runtime=comfy_runtime()))
        plot = comfy_images(plot_scene(scene, audio_of(audio) if audio is not None else None)[None])
        shown = [*ui.PreviewImage(plot, cls=cls).values, *ui.PreviewImage(overlays, cls=cls).values]
        report = describe(scene)
        return io.NodeOutput(overlays, plot, report, ui={"images": shown, "text": (report,)})


class PavasOverlayVideo(io.ComfyNode):
    """The whole clip with masks, speeds and impacts drawn in, as a video to watch with its sound."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasOverlayVideo",
            display_name="Overlay Video (PAVAS)",
            category="PAVAS/physics",
            description="Draws masks, speeds and impacts into every picture and shows the video with the sound.",
            search_aliases=["draw masks", "debug video", "preview video", "annotate"],
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="The clip the scene belongs to."),
                Scene.Input("scene", tooltip="The physics to draw."),
                io.Audio.Input("audio", optional=True, tooltip="The sound to hear; without one, the clip's own."),
            ],
            outputs=[
                io.Video.Output("overlay", display_name="video", tooltip="The drawn video, for Save Video."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, video, scene, audio=None):
        import uuid

        import folder_paths

        from pavas_core.plots import save_overlay_video

        clip = clip_of(video)
        folder = Path(folder_paths.get_temp_directory()) / OVERLAY_SUBFOLDER
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"overlay_{uuid.uuid4().hex[:12]}.mp4"
        save_overlay_video(clip, scene, path, audio_of(audio) if audio is not None else None, runtime=comfy_runtime())
        shown = {"images": [ui.SavedResult(path.name, OVERLAY_SUBFOLDER, io.FolderType.temp)], "animated": (True,)}
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=shown)


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


class PavasSavePhysics(io.ComfyNode):
    """The scene as JSON (and its arrays beside) in the output folder."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSavePhysics",
            display_name="Save Physics (PAVAS)",
            category="PAVAS/physics",
            description="Writes the scene as JSON, with masks and curves beside it, into the output folder.",
            search_aliases=["export physics", "json"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="The physics to write."),
                io.String.Input(
                    "filename_prefix",
                    default="pavas/physics",
                    tooltip="Name of the file below the output folder; may hold subfolders.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "saved_file",
                    display_name="file",
                    tooltip="Its name, ready for Load Physics: name.physics.json [output].",
                )
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, scene, filename_prefix):
        from pavas_core.physics.serialise import save_scene

        path, subfolder = new_output_file(filename_prefix, PHYSICS_SUFFIX)
        save_scene(scene, path)
        name = f"{subfolder}/{path.name}" if subfolder else path.name
        return io.NodeOutput(f"{name} [output]", ui=ui.PreviewText(name))


def _physics_choices() -> list[str]:
    """Physics files directly in input, input/pavas, output and output/pavas."""
    import folder_paths

    choices = []
    for root, mark in (
        (Path(folder_paths.get_input_directory()), ""),
        (Path(folder_paths.get_output_directory()), " [output]"),
    ):
        found = files_in([root, root / "pavas"], (PHYSICS_SUFFIX,))
        choices += [path.relative_to(root).as_posix() + mark for path in found]
    return choices


class PavasLoadPhysics(io.ComfyNode):
    """A saved scene."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasLoadPhysics",
            display_name="Load Physics (PAVAS)",
            category="PAVAS/physics",
            description="Reads a scene that Save Physics or the command line wrote.",
            search_aliases=["import physics", "json"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=_physics_choices(),
                    tooltip="A .physics.json file of the input or output folder, or of the folder pavas in either.",
                )
            ],
            outputs=[Scene.Output("scene", display_name="scene", tooltip="The physics that were saved.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        if file is None:
            return True
        try:
            readable_file(file)
        except PavasError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file):
        return fingerprint(readable_file(file))

    @classmethod
    @says_what_is_missing
    def execute(cls, file):
        from pavas_core.physics.serialise import load_scene

        return io.NodeOutput(load_scene(readable_file(file)))
