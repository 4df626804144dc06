"""What the sampler shall hear, in words: composed from the clip's objects, shown, and open to the user's pen."""

from __future__ import annotations

from comfy_api.latest import io

from pavas_core.errors import PavasError
from pavas_core.sampling.prompts import PLACEHOLDER, filled_prompt

from .host import says_what_is_missing
from .wires import Objects, Scene, node_schema


class PavasComposePrompt(io.ComfyNode):
    """A prompt from objects and their contacts."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasComposePrompt",
            display_name="Compose Prompt (PAVAS)",
            category="PAVAS/model",
            description=(
                "Says in words what the clip's objects are made of and what they do, as a prompt for the sampler. The "
                "prompt is shown on the node; the text is yours to change."
            ),
            search_aliases=["prompt from objects", "caption", "describe scene", "auto prompt"],
            is_output_node=True,  # so that the prompt can be looked at before anything is sampled
            inputs=[
                io.String.Input(
                    "text",
                    default=PLACEHOLDER,
                    multiline=True,
                    tooltip=f"The prompt. {PLACEHOLDER} stands for the objects' words; without it, yours alone count.",
                ),
                Scene.Input("scene", optional=True, tooltip="Objects with what they hit, as estimated or edited."),
                Objects.Input(
                    "objects", optional=True, tooltip="Objects alone, in graphs without physics; the scene goes first."
                ),
            ],
            outputs=[
                io.String.Output("prompt", display_name="prompt", tooltip="For the sampler's prompt."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, text, scene=None, objects=None):
        if scene is not None:
            prompt = filled_prompt(text, [body.object for body in scene.bodies], scene.impacts)
        elif objects is not None:
            prompt = filled_prompt(text, objects.objects)
        elif PLACEHOLDER in text:
            raise PavasError(f"{PLACEHOLDER} stands for objects, and none are connected: wire a scene or objects.")
        else:
            prompt = text.strip()
        return io.NodeOutput(prompt, ui={"pavas_prompt": [prompt]})
