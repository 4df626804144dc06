"""One sound an object from a network that makes only one."""

from __future__ import annotations

from comfy_api.latest import io

from .convert import clip_of, comfy_audio
from .generate import guidance_inputs
from .host import comfy_runtime, says_what_is_missing, survives_full_memory
from .model import say_what_suits
from .wires import Model, Scene, Stems, Tracks, node_schema, output_gain_input


class PavasEncodeStems(io.ComfyNode):
    """What a network sees of every object alone."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasEncodeStems",
            display_name="Encode Stems (PAVAS)",
            category="PAVAS/model",
            description=(
                "Looks at every tracked object alone, everything else standing still, so that a network makes a sound "
                "for each. Takes as long as Encode Video for every object; edits use the result again."
            ),
            search_aliases=["per object features", "mask video", "separate objects", "isolate object"],
            inputs=[
                Model.Input("model", tooltip="The sound model; its encoders look at the clip."),
                io.Video.Input("video", tooltip="The clip to make sound for."),
                Tracks.Input("tracks", tooltip="The objects; the better their masks, the cleaner the stems."),
            ],
            outputs=[
                Stems.Output("stem_features", display_name="stem features", tooltip="For Sample Stems."),
            ],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, model, video, tracks):
        from pavas_core.sampling.stems import encode_stems

        return io.NodeOutput(encode_stems(model, clip_of(video), tracks, runtime=comfy_runtime()))


class PavasSampleStems(io.ComfyNode):
    """A network's sound of every object, and their sum."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSampleStems",
            display_name="Sample Stems (PAVAS)",
            category="PAVAS/model",
            description=(
                "Makes a sound for every object alone, from what is seen of it and its own mass, speed and impacts. "
                "The mix is the sum of the stems."
            ),
            search_aliases=["stems", "multitrack", "per object sound", "separate sounds", "isolate"],
            inputs=[
                Model.Input("model", tooltip="The sound model that encoded the stems."),
                Stems.Input("stem_features", tooltip="From Encode Stems."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What is heard; the same words for every object. May stay empty.",
                ),
                *guidance_inputs("Same seed, same sounds; the objects differ in noise by themselves."),
                io.Int.Input("takes", default=1, min=1, max=16, tooltip="Sounds to make of every object."),
                io.Combo.Input(
                    "channels",
                    options=["mono", "stereo"],
                    default="mono",
                    tooltip="Stereo places every object where it is seen.",
                ),
                output_gain_input(),
                Scene.Input(
                    "scene", optional=True, tooltip="Physics of the objects, for models with a Phy-Adapter; or edited."
                ),
            ],
            outputs=[
                io.Audio.Output(
                    "audio", display_name="audio", is_output_list=True, tooltip="The sum of the stems, one a take."
                ),
                io.Audio.Output(
                    "stems",
                    display_name="stems",
                    is_output_list=True,
                    tooltip="Every object of a take, take by take.",
                ),
                io.String.Output(
                    "stem_names",
                    display_name="stem names",
                    is_output_list=True,
                    tooltip="Object and take of each.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(
        cls, model, stem_features, prompt, negative_prompt, seed, steps, cfg_strength, physics_strength, takes,
        channels, output_gain_db, scene=None,
    ):  # fmt: skip
        from pavas_core.sampling.stems import sample_stems
        from pavas_core.synthesis.layers import mix_layers

        say_what_suits(cls, model, cfg_strength)
        made = sample_stems(
            model,
            stem_features,
            scene,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            cfg_strength=cfg_strength,
            physics_strength=physics_strength,
            takes=takes,
            stereo=channels == "stereo",
            output_gain_db=output_gain_db,
            runtime=comfy_runtime(),
        )
        mixes = [comfy_audio(mix_layers([(sound, 0.0) for sound in take.values()])) for take in made]
        names = [f"{name}_take{number}" for number, take in enumerate(made, start=1) for name in take]
        return io.NodeOutput(mixes, [comfy_audio(sound) for take in made for sound in take.values()], names)
