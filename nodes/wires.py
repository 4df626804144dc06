"""The pack's own socket types and the one way to declare a node."""

from __future__ import annotations

from comfy_api.latest import io

from pavas_core.runtime import PRECISIONS

Objects = io.Custom("PAVAS_OBJECTS")
Tracks = io.Custom("PAVAS_TRACKS")
Mass = io.Custom("PAVAS_MASS")
Velocity = io.Custom("PAVAS_VELOCITY")
Scene = io.Custom("PAVAS_SCENE")
Model = io.Custom("PAVAS_MODEL")
Features = io.Custom("PAVAS_FEATURES")
Physics = io.Custom("PAVAS_PHYSICS")
Vlm = io.Custom("PAVAS_VLM")
Stems = io.Custom("PAVAS_STEMS")


def node_schema(**fields) -> io.Schema:
    """Build a node's schema from the fields this ComfyUI knows.

    Newer fields (``search_aliases`` and the like) are comforts; ComfyUI 0.3.64 refuses a schema that
    names one it does not know, so they are left out there.
    """
    known = io.Schema.__dataclass_fields__
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def seed_input(tooltip: str) -> io.Int.Input:
    """A seed that stays as it is after a run, where this ComfyUI can say so."""
    fixed = io.ControlAfterGenerate.fixed if hasattr(io, "ControlAfterGenerate") else True
    return io.Int.Input("seed", default=0, min=0, max=2**63 - 1, control_after_generate=fixed, tooltip=tooltip)


def precision_input(tooltip: str) -> io.Combo.Input:
    """What a network computes in, as every node that loads one takes it."""
    return io.Combo.Input("precision", options=list(PRECISIONS), default=PRECISIONS[0], tooltip=tooltip)


def output_gain_input() -> io.Float.Input:
    """Gain of all that a node makes, never of single clips."""
    return io.Float.Input(
        "output_gain_db",
        default=0.0,
        min=-60.0,
        max=40.0,
        step=0.5,
        tooltip="Gain of everything in dB; the same for every clip.",
    )
