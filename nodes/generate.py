"""From a clip and its physics to sound, by a network: encode, condition, sample, decode."""

from __future__ import annotations

from comfy_api.latest import io

from pavas_core.errors import PavasError

from .convert import clip_of, comfy_audio
from .host import comfy_runtime, say_on_node, says_what_is_missing, survives_full_memory
from .model import NO_ADAPTER, say_what_suits
from .wires import Features, Model, Physics, Scene, Tracks, node_schema, seed_input

REDO = "redo_s"
"""Key of a latent's marked parts, begin and end in seconds."""
NEGATIVE_PROMPT = "speech, voice, music"
"""The default of :mod:`pavas_core.sampling.generate`, which is not imported to declare a node."""


def guidance_inputs(seed_tooltip: str) -> list:
    """What guides a network from noise to sound beside the prompt, as every sampling node takes it."""
    return [
        io.String.Input(
            "negative_prompt",
            default=NEGATIVE_PROMPT,
            multiline=True,
            tooltip="What shall not be heard; empty = nothing in particular.",
        ),
        seed_input(seed_tooltip),
        io.Int.Input(
            "steps",
            default=25,
            min=1,
            max=200,
            tooltip="Steps from noise to sound: 25 for published models, 4 or more for pavas-nano-1.",
        ),
        io.Float.Input(
            "cfg_strength",
            default=4.5,
            min=0.0,
            max=20.0,
            step=0.1,
            tooltip="How strongly clip and prompt guide: 4.5 for published models, 1 for pavas-nano-1. Below 1 the "
            "negative prompt is not used.",
        ),
        io.Float.Input(
            "physics_strength",
            default=1.0,
            min=0.0,
            max=5.0,
            step=0.05,
            tooltip="How strongly the physics guides: 0 = not at all, 1 = as trained, more exaggerates.",
        ),
    ]


class PavasEncodeVideo(io.ComfyNode):
    """What a network sees of a clip, computed once for every prompt, seed, edit and take."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasEncodeVideo",
            display_name="Encode Video (PAVAS)",
            category="PAVAS/model",
            description=(
                "Looks at the clip once, at the times the model was trained for, whatever the clip's frame rate. "
                "Prompt, seed and physics edits use the result again."
            ),
            search_aliases=["video features", "synchformer", "clip features"],
            inputs=[
                Model.Input("model", tooltip="The sound model; its encoders look at the clip."),
                io.Video.Input("video", tooltip="The clip to make sound for."),
                Tracks.Input(
                    "tracks",
                    optional=True,
                    tooltip="Objects in the clip, needed for physics: what each looks like is encoded as well.",
                ),
            ],
            outputs=[
                Features.Output("features", display_name="features", tooltip="What the model sees of the clip."),
            ],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, model, video, tracks=None):
        return io.NodeOutput(model.encode_video(clip_of(video), tracks, runtime=comfy_runtime()))


class PavasPhyAdapterEncode(io.ComfyNode):
    """Mass, speed and impacts as the network's Phy-Adapter hears them; computed once an edit."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasPhyAdapterEncode",
            display_name="Phy-Adapter Encode (PAVAS)",
            category="PAVAS/model",
            description=(
                "Turns the scene's masses, speeds and impacts into what steers the network. A model without a trained "
                "adapter does not hear them, and the node says so."
            ),
            search_aliases=["physics conditioning", "mass", "velocity", "adapter"],
            inputs=[
                Model.Input("model", tooltip="The sound model."),
                Features.Input("features", tooltip="The encoded clip, with tracks."),
                Scene.Input("scene", tooltip="The physics, edited or as estimated."),
            ],
            outputs=[
                Physics.Output("physics", display_name="physics", tooltip="For the sampler."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, model, features, scene):
        from pavas_core.sampling.physics import encode_physics

        if model.adapter is None:
            say_on_node(cls, NO_ADAPTER)
            return io.NodeOutput(None)
        return io.NodeOutput(encode_physics(model, features, scene, runtime=comfy_runtime()))


class PavasSampler(io.ComfyNode):
    """Noise to latent sound, guided by the clip, the prompt and the physics."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSampler",
            display_name="PAVAS Sampler",
            category="PAVAS/model",
            description=(
                "Makes the sound of the clip, or of the prompt alone where no features are connected. Same inputs and "
                "seed, same sound."
            ),
            search_aliases=["generate sound", "video to audio", "text to audio", "foley", "flow matching"],
            inputs=[
                Model.Input("model", tooltip="The sound model."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What is heard, such as: a rubber ball bounces on wood. May stay empty with a clip.",
                ),
                *guidance_inputs("Same seed, same sound, on every device; another seed is another take."),
                io.Int.Input(
                    "takes", default=1, min=1, max=16, tooltip="Sounds to make at once, each of another noise."
                ),
                io.Float.Input(
                    "duration_s",
                    default=8.0,
                    min=1.0,
                    max=600.0,
                    step=0.1,
                    tooltip="Length of the sound where no features are connected; else it is as long as the clip.",
                ),
                Features.Input("features", optional=True, tooltip="The encoded clip; without one, text to sound."),
                Physics.Input("physics", optional=True, tooltip="Encoded physics, for models with a Phy-Adapter."),
                io.Latent.Input(
                    "kept", optional=True, tooltip="From Regenerate Part: only the marked parts are made anew."
                ),
            ],
            outputs=[
                io.Latent.Output("latent", display_name="latent", tooltip="The takes, for Vocode."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(
        cls,
        model,
        prompt,
        negative_prompt,
        seed,
        steps,
        cfg_strength,
        physics_strength,
        takes,
        duration_s,
        features=None,
        physics=None,
        kept=None,
    ):
        from pavas_core.sampling.generate import features_of_text, generate
        from pavas_core.sampling.redo import Kept

        say_what_suits(cls, model, cfg_strength)
        if features is None:
            features = features_of_text(model, duration_s if kept is None else kept.get("duration_s", duration_s))
        latent = generate(
            model,
            features,
            physics,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            cfg_strength=cfg_strength,
            physics_strength=physics_strength,
            takes=takes,
            kept=None if kept is None else Kept(kept["samples"], tuple(kept.get(REDO, ()))),
            runtime=comfy_runtime(),
        )
        return io.NodeOutput({"samples": latent, "type": "audio", "duration_s": features.duration_s})


class PavasRegeneratePart(io.ComfyNode):
    """Marks a part of a finished latent, which the sampler then makes anew."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasRegeneratePart",
            display_name="Regenerate Part (PAVAS)",
            category="PAVAS/model",
            description=(
                "Marks a stretch of a sound to be made anew with another seed, prompt or physics, while all else stays "
                "as it is. Chain several for several stretches."
            ),
            search_aliases=["inpaint audio", "redo part", "masked region", "replace part of sound", "retake"],
            inputs=[
                io.Latent.Input("latent", tooltip="A finished latent of PAVAS Sampler."),
                io.Float.Input(
                    "start_s", default=0.0, min=0.0, max=600.0, step=0.01, tooltip="Where the part begins, seconds."
                ),
                io.Float.Input(
                    "end_s", default=1.0, min=0.0, max=600.0, step=0.01, tooltip="Where the part ends, seconds."
                ),
            ],
            outputs=[
                io.Latent.Output("kept", display_name="kept", tooltip="For the input kept of another PAVAS Sampler."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, latent, start_s, end_s):
        from pavas_core.sampling.redo import checked_span

        if "duration_s" not in latent:
            raise PavasError("This latent is not of a PAVAS Sampler: connect one's output.")
        span = checked_span(start_s, end_s, latent["duration_s"])
        return io.NodeOutput({**latent, REDO: (*latent.get(REDO, ()), span)})


class PavasVocode(io.ComfyNode):
    """Latent sound to AUDIO, one a take."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasVocode",
            display_name="Vocode (PAVAS)",
            category="PAVAS/model",
            description="Decodes every take to sound of exactly the clip's length. Nothing is normalised.",
            search_aliases=["decode audio", "vae decode audio", "bigvgan", "vocoder"],
            inputs=[
                Model.Input("model", tooltip="The model that made the latent."),
                io.Latent.Input("latent", tooltip="From the sampler."),
                io.Float.Input(
                    "output_gain_db",
                    default=0.0,
                    min=-60.0,
                    max=40.0,
                    step=0.5,
                    tooltip="Gain in dB; the same for every take and clip.",
                ),
            ],
            outputs=[
                io.Audio.Output(
                    "audio",
                    display_name="audio",
                    is_output_list=True,
                    tooltip="A list with one sound a take.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, model, latent, output_gain_db):
        from pavas_core.evaluation.loudness import measure
        from pavas_core.sampling.vocode import vocode

        samples = latent["samples"]
        duration_s = latent.get("duration_s", samples.shape[1] / model.latent_rate_hz)
        takes = vocode(model, samples, duration_s, output_gain_db=output_gain_db, runtime=comfy_runtime())
        reports = [measure(take) for take in takes]
        say_on_node(
            cls,
            "\n".join(f"Take {n}: " + "; it ".join((str(one), *one.faults)) for n, one in enumerate(reports, start=1)),
        )
        return io.NodeOutput([comfy_audio(take) for take in takes])
