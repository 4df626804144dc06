"""Moving objects and masses by a vision-language model, or from any node's text."""

from __future__ import annotations

from comfy_api.latest import io

from pavas_core.estimation.language import vlm_text

from .convert import clip_of, comfy_images
from .estimator_models import CACHE_MODES, chosen, result_cache, vlm_choices
from .host import comfy_runtime, say_on_node, says_what_is_missing, survives_full_memory
from .wires import Mass, Objects, Vlm, node_schema, precision_input

VLM_EXAMPLE = "Qwen/Qwen3-VL-8B-Instruct (Apache-2.0) as a folder with its json and safetensors files"


def cache_input() -> io.Combo.Input:
    return io.Combo.Input(
        "cache",
        options=list(CACHE_MODES),
        default=CACHE_MODES[0],
        tooltip="Results on disk by content: use them, make this one anew, keep none, or remove all of them first.",
    )


def _pictures_input() -> io.Int.Input:
    return io.Int.Input(
        "pictures", default=12, min=2, max=64, step=1, tooltip="How many pictures, spread over time, the model sees."
    )


def _prompt_input(default: str, fields: str) -> io.String.Input:
    return io.String.Input(
        "prompt", default=default, multiline=True, tooltip=f"What the model is asked. {fields} are filled in."
    )


def _seen_outputs() -> list:
    return [
        io.Image.Output("seen", display_name="seen", tooltip="The pictures the model saw."),
        io.String.Output("answer", display_name="answer", tooltip="The model's words."),
    ]


def _shown(seen) -> tuple:
    import numpy as np

    return comfy_images(np.stack([frame.image for frame in seen.frames])), seen.text


class PavasLoadVlm(io.ComfyNode):
    """A vision-language model from a folder of ComfyUI's."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasLoadVlm",
            display_name="Load VLM (PAVAS)",
            category="PAVAS/model",
            description=(
                "Loads a vision-language model of the transformers library from models/VLM or models/LLM. No code from "
                "the model's folder is run, nothing is downloaded."
            ),
            search_aliases=["qwen", "vision language model", "llm", "vlm"],
            inputs=[
                io.Combo.Input("model", options=list(vlm_choices()), tooltip="Folder of the model."),
                precision_input("auto = what suits this device."),
            ],
            outputs=[Vlm.Output("vlm", display_name="vlm", tooltip="For Detect Moving Objects and Estimate Mass.")],
        )

    @classmethod
    def validate_inputs(cls, model):
        return True  # a missing folder is told with its cure when the node runs

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, model, precision):
        from pavas_core.estimation.language.vlm import load_vlm

        folder = chosen(model, vlm_choices(), "vision-language model", "VLM", VLM_EXAMPLE)
        return io.NodeOutput(load_vlm(folder, precision=precision, runtime=comfy_runtime()))


class PavasDetectVlm(io.ComfyNode):
    """What moves, in a model's words."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasDetectVlm",
            display_name="Detect Moving Objects (VLM, PAVAS)",
            category="PAVAS/objects",
            description=(
                "A vision-language model names what really moves, what it does and what it is made of. The same clip "
                "gives the same answer. Segment & Track then finds where the things are."
            ),
            search_aliases=["find objects", "moving objects", "qwen"],
            inputs=[
                io.Video.Input("video", tooltip="The clip to look at."),
                Vlm.Input("vlm", tooltip="The model, from Load VLM."),
                _prompt_input(vlm_text.DETECT_PROMPT, "{count}, {times} and {max_objects}"),
                _pictures_input(),
                io.Int.Input("max_objects", default=8, min=1, max=32, step=1, tooltip="Ask for at most this many."),
                cache_input(),
            ],
            outputs=[
                Objects.Output("objects", display_name="objects", tooltip="What moves, without places."),
                *_seen_outputs(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, video, vlm, prompt, pictures, max_objects, cache):
        from pavas_core.estimation.language.vlm import detect_vlm
        from pavas_core.estimation.stage_cost import cost_of

        runtime = comfy_runtime()
        with cost_of("detection", runtime.device) as cost:
            objects, seen = detect_vlm(
                clip_of(video),
                vlm,
                prompt=prompt,
                pictures=pictures,
                max_objects=max_objects,
                cache=result_cache(cache),
                renew=cache == "renew",
                runtime=runtime,
            )
        say_on_node(cls, f"{', '.join(one.id for one in objects.objects) or 'nothing moves'}\n{cost}")
        return io.NodeOutput(objects, *_shown(seen))


class PavasEstimateMassVlm(io.ComfyNode):
    """How heavy things are, in a model's words."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasEstimateMassVlm",
            display_name="Estimate Mass (VLM, PAVAS)",
            category="PAVAS/physics",
            description=(
                "A vision-language model estimates every object's mass with a range and a reason. Takes the place of "
                "Mass by one wire."
            ),
            search_aliases=["weight", "kg", "mass estimation", "qwen"],
            inputs=[
                io.Video.Input("video", tooltip="The clip the objects are in."),
                Objects.Input("objects", tooltip="The objects that need a mass."),
                Vlm.Input("vlm", tooltip="The model, from Load VLM."),
                _prompt_input(vlm_text.MASS_PROMPT, "{count}, {times} and {objects}"),
                _pictures_input(),
                cache_input(),
            ],
            outputs=[
                Mass.Output("mass", display_name="mass", tooltip="A mass for every object, with range and reason."),
                *_seen_outputs(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, video, objects, vlm, prompt, pictures, cache):
        from pavas_core.estimation.language.vlm import estimate_masses_vlm
        from pavas_core.estimation.stage_cost import cost_of

        runtime = comfy_runtime()
        with cost_of("mass estimation", runtime.device) as cost:
            masses, seen = estimate_masses_vlm(
                clip_of(video),
                objects,
                vlm,
                prompt=prompt,
                pictures=pictures,
                cache=result_cache(cache),
                renew=cache == "renew",
                runtime=runtime,
            )
        lines = [
            f"{name}: {one.mass_kg:.3g} kg ({one.low_kg:.3g} to {one.high_kg:.3g})"
            for name, one in masses.masses.items()
        ]
        say_on_node(cls, "\n".join([*lines, str(cost)]))
        return io.NodeOutput(masses, *_shown(seen))


class PavasObjectsFromText(io.ComfyNode):
    """Objects from any node's words."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasObjectsFromText",
            display_name="Objects From Text (PAVAS)",
            category="PAVAS/objects",
            description="Reads what moves from any text, such as that of a language-model node: JSON or a list.",
            search_aliases=["parse objects", "ollama", "llm text"],
            inputs=[
                io.Video.Input("video", tooltip="The clip the text is about."),
                io.String.Input(
                    "text", default="", multiline=True, tooltip='Such as [{"object": "red ball"}], or a list.'
                ),
                io.Int.Input("max_objects", default=8, min=1, max=32, step=1, tooltip="Keep at most this many."),
            ],
            outputs=[Objects.Output("objects", display_name="objects", tooltip="What moves, without places.")],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, video, text, max_objects):
        clip = clip_of(video)
        try:
            objects = vlm_text.parse_objects(
                text, clip.width, clip.height, clip.duration_s, max_objects=max_objects, source="text"
            )
        except vlm_text.AnswerError as error:
            raise vlm_text.unusable("text about moving objects", error, text) from None
        return io.NodeOutput(objects)


class PavasMassFromText(io.ComfyNode):
    """Masses from any node's words."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasMassFromText",
            display_name="Mass From Text (PAVAS)",
            category="PAVAS/physics",
            description="Reads masses from any text: JSON, a list, or sentences that name an object and its mass.",
            search_aliases=["parse mass", "ollama", "llm text", "weight"],
            inputs=[
                Objects.Input("objects", tooltip="The objects that need a mass."),
                io.String.Input(
                    "text", default="", multiline=True, tooltip="Such as: The red ball weighs about 600 g."
                ),
            ],
            outputs=[Mass.Output("mass", display_name="mass", tooltip="A mass for every object.")],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, objects, text):
        try:
            masses = vlm_text.parse_masses(text, objects, source="text")
        except vlm_text.AnswerError as error:
            raise vlm_text.unusable("text about masses", error, text) from None
        return io.NodeOutput(masses)
