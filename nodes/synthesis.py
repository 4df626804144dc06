"""Sound from impacts by physical modelling."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from pavas_core.synthesis.room import ROOMS

from .convert import comfy_audio
from .host import comfy_runtime, says_what_is_missing
from .wires import Scene, node_schema, output_gain_input, seed_input

log = logging.getLogger("pavas")


class PavasSynthesizeImpacts(io.ComfyNode):
    """The modal engine: every impact of the scene as sound, per object and mixed."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasSynthesizeImpacts",
            display_name="Synthesize Impacts (PAVAS)",
            category="PAVAS/sound",
            description=(
                "Computes the sound of every impact from mass, speed, material and size (physical modelling, no model "
                "to download). Louder means more energy: nothing is normalised."
            ),
            search_aliases=["modal synthesis", "foley", "impact sound", "physical modelling"],
            inputs=[
                Scene.Input("scene", tooltip="The physics to make audible."),
                io.String.Input(
                    "prompt",
                    default="",
                    tooltip=(
                        "What moves and what it hits, such as: rubber ball rolling on wooden floor. "
                        "Empty = as estimated."
                    ),
                ),
                seed_input("Same seed, same sound; another seed varies strike positions and noise, not the physics."),
                io.Combo.Input("room", options=list(ROOMS), default="small", tooltip="The room it sounds in."),
                io.Combo.Input(
                    "sample_rate",
                    options=["48000", "44100", "32000", "16000"],
                    default="48000",
                    tooltip="Samples a second.",
                ),
                io.Combo.Input(
                    "channels",
                    options=["stereo", "mono"],
                    default="stereo",
                    tooltip="Stereo places each impact where it is seen.",
                ),
                output_gain_input(),
            ],
            outputs=[
                io.Audio.Output("audio", display_name="audio", tooltip="All objects together."),
                io.Audio.Output(
                    "stems",
                    display_name="stems",
                    is_output_list=True,
                    tooltip="A list with one sound an object; together they are the mix.",
                ),
                io.String.Output(
                    "stem_names", display_name="stem names", is_output_list=True, tooltip="The object of each stem."
                ),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, scene, prompt, seed, room, sample_rate, channels, output_gain_db):
        from pavas_core.synthesis.engine import synthesize_impacts
        from pavas_core.synthesis.prompt import apply_prompt

        scene, floor, unknown_words = apply_prompt(scene, prompt)
        if unknown_words:
            log.warning("The prompt's words %s name no material or shape and are not used.", ", ".join(unknown_words))
        sound = synthesize_impacts(
            scene,
            sample_rate=int(sample_rate),
            channels=1 if channels == "mono" else 2,
            seed=seed,
            room=room,
            floor=floor,
            output_gain_db=output_gain_db,
            runtime=comfy_runtime(),
        )
        names = list(sound.stems)
        return io.NodeOutput(comfy_audio(sound.mix), [comfy_audio(sound.stems[name]) for name in names], names)
