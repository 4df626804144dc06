"""How heavy things are."""

from __future__ import annotations

from comfy_api.latest import io

from .host import says_what_is_missing
from .wires import Mass, Objects, Velocity, node_schema


class PavasManualMass(io.ComfyNode):
    """Masses from the user's text; from the table of everyday things, or the size, where it is silent."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasManualMass",
            display_name="Mass (PAVAS)",
            category="PAVAS/physics",
            description=(
                "One line an object: name = kg, and its material if you like. Objects without a line get a mass from "
                "the table of everyday things or from their size."
            ),
            search_aliases=["manual mass", "weight", "kg"],
            inputs=[
                Objects.Input("objects", tooltip="The objects that need a mass."),
                io.String.Input(
                    "masses",
                    default="",
                    multiline=True,
                    placeholder="ball-1 = 0.6 rubber\n* = 1",
                    tooltip=(
                        "One line an object: its id or name, =, and kilograms (or 450 g), a material, both, or a thing "
                        "such as basketball; * stands for all others. Empty = table or size."
                    ),
                ),
                Velocity.Input(
                    "velocity",
                    optional=True,
                    tooltip="Gives the size of objects the table does not know, so that their mass can be guessed.",
                ),
            ],
            outputs=[Mass.Output("mass", display_name="mass", tooltip="A mass for every object, with its source.")],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, objects, masses, velocity=None):
        from pavas_core.estimation.masses import masses_from_text

        return io.NodeOutput(masses_from_text(masses, objects, velocity))
