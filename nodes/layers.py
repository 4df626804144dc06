"""Working with finished sounds: layers, levels by physics, stems and markers as files."""

from __future__ import annotations

from comfy_api.latest import io

from pavas_core.errors import PavasError

from .convert import audio_of, comfy_audio
from .host import says_what_is_missing
from .paths import new_output_file
from .wires import Scene, node_schema

SOUND_FORMATS = ("wav 24 bit", "wav float", "flac")


class PavasMixLayers(io.ComfyNode):
    """Exact impacts over a network's texture, each at its own gain."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasMixLayers",
            display_name="Mix Layers (PAVAS)",
            category="PAVAS/sound",
            description=(
                "Adds sounds that start together: the impacts of the modal engine over a network's texture, so that "
                "published models get physical impacts. Nothing is normalised."
            ),
            search_aliases=["mix audio", "layer sounds", "sum audio", "combine audio"],
            inputs=[
                io.Audio.Input("impacts", tooltip="The exact impacts, from Synthesize Impacts."),
                io.Audio.Input("texture", tooltip="What lies under them, such as a network's sound."),
                _gain("impacts_gain_db", "Gain of the impacts in dB."),
                _gain("texture_gain_db", "Gain of the texture in dB."),
            ],
            outputs=[
                io.Audio.Output(
                    "audio",
                    display_name="audio",
                    tooltip="Both together, at the higher sample rate, as long as the longer.",
                )
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, impacts, texture, impacts_gain_db, texture_gain_db):
        from pavas_core.synthesis.layers import mix_layers

        layers = [(audio_of(impacts), impacts_gain_db), (audio_of(texture), texture_gain_db)]
        return io.NodeOutput(comfy_audio(mix_layers(layers)))


class PavasPhysicsGain(io.ComfyNode):
    """Physics for sounds of models without an adapter: levels of impacts follow the edited energies."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasPhysicsGain",
            display_name="Physics Gain (PAVAS)",
            category="PAVAS/sound",
            description=(
                "Changes how loud each impact of any sound is, as the edited scene changes its energy; decays keep "
                "their own impact's gain. For models that do not hear mass and speed."
            ),
            search_aliases=["dynamics", "impact level", "velocity to volume"],
            inputs=[
                io.Audio.Input("audio", tooltip="A sound in time with the clip."),
                Scene.Input("estimate", tooltip="The physics that the sound was made for, before any edit."),
                Scene.Input("edited", tooltip="The same scene with other masses or speeds, from the editor."),
            ],
            outputs=[
                io.Audio.Output("audio_out", display_name="audio", tooltip="The sound with its impacts at new levels."),
                io.String.Output("report", display_name="report", tooltip="What was done, one line an impact."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, audio, estimate, edited):
        from pavas_core.synthesis.physics_gain import rescale_impacts

        result = rescale_impacts(audio_of(audio), estimate, edited)
        lines = [
            f"{one.impact_id}: {one.gain_db:+.1f} dB at {one.onset_s:.3f} s"
            + ("" if one.heard else ", nothing heard there")
            for one in result.gains
        ]
        lines += [f"{name}: not in the estimate, so there is no sound to scale" for name in result.missing]
        return io.NodeOutput(comfy_audio(result.audio), "\n".join(lines))


class PavasSaveStems(io.ComfyNode):
    """Every sound of a list as a file, its object and take in the name."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSaveStems",
            display_name="Save Stems (PAVAS)",
            category="PAVAS/sound",
            description="Writes every sound of a list to a file of its own. All start together and are equally long.",
            search_aliases=["export stems", "save wav", "multitrack"],
            is_output_node=True,
            is_input_list=True,
            inputs=[
                io.Audio.Input("audio", tooltip="Stems of Synthesize Impacts, or takes of Vocode."),
                io.String.Input(
                    "filename_prefix",
                    default="pavas/stem",
                    tooltip="Beginning of the files' names below the output folder; may hold subfolders.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(SOUND_FORMATS),
                    default=SOUND_FORMATS[0],
                    tooltip="Floats keep what exceeds full scale, so that stems add up to the mix however loud.",
                ),
                io.String.Input(
                    "names",
                    optional=True,
                    force_input=True,
                    tooltip="Stem names of Synthesize Impacts; without, takes.",
                ),
            ],
            outputs=[
                io.String.Output("files", display_name="files", tooltip="Names below the output folder, one a line.")
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, audio, filename_prefix, format, names=None):
        from pavas_core.video.audio_files import write_flac, write_wav
        from pavas_core.video.soundtrack import fit_length

        sounds = [
            audio_of({"waveform": one["waveform"][k : k + 1], "sample_rate": one["sample_rate"]})
            for one in audio
            for k in range(one["waveform"].shape[0])
        ]
        labels = names or [f"take{number}" for number in range(1, len(sounds) + 1)]
        if len(labels) != len(sounds):
            raise PavasError(
                f"There are {len(sounds)} sounds and {len(labels)} names: connect both from the same node."
            )
        longest_s = max(sound.duration_s for sound in sounds)
        files, shown = [], []
        for sound, label in zip(sounds, labels, strict=True):
            suffix = ".flac" if format[0] == "flac" else ".wav"
            path, subfolder = new_output_file(f"{filename_prefix[0]}_{_plain(label)}", suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = fit_length(sound, longest_s)
            if suffix == ".flac":
                write_flac(whole, path)
            else:
                write_wav(whole, path, subtype="float32" if "float" in format[0] else "pcm24")
            files.append("/".join(part for part in (subfolder, path.name) if part))
            shown.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
        return io.NodeOutput("\n".join(files), ui={"audio": shown})


class PavasSaveMarkers(io.ComfyNode):
    """Impacts for an editor or sequencer: CSV and MIDI."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSaveMarkers",
            display_name="Save Markers (PAVAS)",
            category="PAVAS/physics",
            description="Writes the impacts as CSV and as MIDI (a key per object, loudness by energy).",
            search_aliases=["export csv", "export midi", "impact times", "timecode"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="The physics whose impacts to write."),
                io.String.Input(
                    "filename_prefix",
                    default="pavas/markers",
                    tooltip="Beginning of the files' names below the output folder; may hold subfolders.",
                ),
            ],
            outputs=[
                io.String.Output("files", display_name="files", tooltip="Names below the output folder, one a line.")
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, scene, filename_prefix):
        from pavas_core.physics.midi import write_midi
        from pavas_core.physics.serialise import write_impacts_csv

        files, shown = [], []
        for suffix, write in ((".impacts.csv", write_impacts_csv), (".mid", write_midi)):
            path, subfolder = new_output_file(filename_prefix, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(scene, path)
            files.append("/".join(part for part in (subfolder, path.name) if part))
            shown.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
        return io.NodeOutput("\n".join(files), ui={"files": shown})


def _gain(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=0.0, min=-60.0, max=40.0, step=0.5, tooltip=tooltip)


def _plain(label: str) -> str:
    """An object's id as part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in label) or "stem"
