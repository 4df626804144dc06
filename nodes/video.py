"""Load Video and Save Video: the ends of the graph."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_api.latest import InputImpl, io, ui

from pavas_core.errors import PavasError

from .convert import audio_of, clip_of, trimmed_video
from .host import comfy_runtime, says_what_is_missing
from .paths import example_names, files_in, fingerprint, new_output_file, readable_file
from .wires import node_schema

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".gif")


def _video_choices() -> list[str]:
    import folder_paths

    names = [path.name for path in files_in([Path(folder_paths.get_input_directory())], VIDEO_SUFFIXES)]
    return example_names(".mp4") + names


class PavasLoadVideo(io.ComfyNode):
    """A file of the input folder, or the pack's example, as VIDEO."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasLoadVideo",
            display_name="Load Video (PAVAS)",
            category="PAVAS/video",
            description="Opens a video file without decoding it. The list begins with the example clip of this pack.",
            search_aliases=["open video", "import video", "clip"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=_video_choices(),
                    upload=io.UploadType.video,
                    tooltip="A video of the input folder, an upload, or the [example] clip that comes with PAVAS.",
                ),
                io.Float.Input(
                    "start_s",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Where to begin, in seconds from the first picture.",
                ),
                io.Float.Input(
                    "duration_s",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="How many seconds to use; 0 = to the end of the file.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    "video", display_name="video", tooltip="The clip, for PAVAS nodes and every other VIDEO input."
                )
            ],
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
    def fingerprint_inputs(cls, file, start_s, duration_s):
        return fingerprint(readable_file(file))

    @classmethod
    @says_what_is_missing
    def execute(cls, file, start_s, duration_s):
        video = trimmed_video(str(readable_file(file)), start_s, duration_s)
        clip_of(video)
        return io.NodeOutput(video)


class PavasSaveVideo(io.ComfyNode):
    """The clip with its new sound, as a file in ComfyUI's output folder."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSaveVideo",
            display_name="Save Video (PAVAS)",
            category="PAVAS/video",
            description=(
                "Writes the video with the new sound into the output folder. An untrimmed file's pictures are copied "
                "untouched; only pictures without a file, or cut ones, are encoded."
            ),
            search_aliases=["export video", "mux audio", "add sound to video", "combine video and audio"],
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="The video to put the sound on."),
                io.Audio.Input("audio", tooltip="The sound, starting with the video's first picture."),
                io.String.Input(
                    "filename_prefix",
                    default="pavas/video",
                    tooltip="Name of the file below the output folder; may hold subfolders and fields such as %year%.",
                ),
                io.Boolean.Input(
                    "keep_original_sound",
                    default=False,
                    tooltip="Mix the video's own sound under the new one, instead of replacing it.",
                ),
                io.Float.Input(
                    "original_gain_db",
                    default=-12.0,
                    min=-60.0,
                    max=20.0,
                    step=0.5,
                    tooltip="Level of the video's own sound in dB, used only when it is kept.",
                ),
                io.Combo.Input(
                    "format",
                    options=["auto", "mp4", "mov", "mkv", "webm"],
                    default="auto",
                    tooltip="The kind of file; auto keeps the source's own, so that its pictures can be copied.",
                ),
                io.Boolean.Input(
                    "save_workflow",
                    default=True,
                    tooltip="Store the graph in the file, so that dropping it on ComfyUI opens the graph again.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    "saved_video", display_name="video", tooltip="The file that was written, sound included."
                ),
                io.String.Output("saved_file", display_name="file", tooltip="Its name below ComfyUI's output folder."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, video, audio, filename_prefix, keep_original_sound, original_gain_db, format, save_workflow):
        from pavas_core.video.save import save_video

        clip = clip_of(video)
        sound = audio_of(audio)
        path, subfolder = new_output_file(filename_prefix, _suffix(format, clip), clip.width, clip.height)
        report = save_video(
            clip,
            sound,
            path,
            original_gain_db=original_gain_db if keep_original_sound else None,
            metadata=_workflow_metadata(cls.hidden) if save_workflow else None,
            runtime=comfy_runtime(),
        )
        name = f"{subfolder}/{path.name}" if subfolder else path.name
        shown = {
            "images": [ui.SavedResult(path.name, subfolder, io.FolderType.output)],
            "animated": (True,),
            "text": (_describe(report, name),),
        }
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), name, ui=shown)


def _suffix(format: str, clip) -> str:
    """The file's ending: the source's own for ``auto`` where it can be written, else .mp4."""
    from pavas_core.video.save import TARGETS

    if format != "auto":
        return f".{format}"
    own = Path(clip.source).suffix.lower() if isinstance(clip.source, str) else ""
    return own if own in TARGETS else ".mp4"


def _describe(report, name: str) -> str:
    pictures = "pictures copied" if report.video_copied else "pictures encoded"
    limited = f", peaks limited by {report.limited_db:.1f} dB" if report.limited_db else ""
    return f"{name}: {pictures}{limited}"


def _workflow_metadata(hidden) -> dict[str, str] | None:
    """The graph in the tags ComfyUI's frontend looks for; None where ComfyUI runs with --disable-metadata."""
    from comfy.cli_args import args

    if args.disable_metadata:
        return None
    graph = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        graph["prompt"] = hidden.prompt
    return {name: json.dumps(value) for name, value in graph.items()} or None
