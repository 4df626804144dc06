"""How fast things are."""

from __future__ import annotations

from comfy_api.latest import io

from .host import comfy_runtime, says_what_is_missing
from .wires import Objects, Tracks, Velocity, node_schema


def time_scale_input() -> io.Float.Input:
    """Slow motion, as every velocity node takes it."""
    return io.Float.Input(
        "time_scale",
        default=1.0,
        min=0.001,
        max=100.0,
        step=0.001,
        tooltip="Seconds of the world per second of the clip: 0.25 for four times slow motion, 1 = real time.",
    )


def objects_input():
    """The objects, as every measurement of velocity takes them."""
    return Objects.Input(
        "objects", optional=True, tooltip="Needed only where known sizes go by name rather than by id."
    )


def velocity_output():
    """What every measurement of velocity gives."""
    return Velocity.Output("velocity", display_name="velocity", tooltip="Speed of each object, and where it jumps.")


class PavasPlanarVelocity(io.ComfyNode):
    """Speed in m/s from the tracks, with the metric scale from gravity, a known size or metres per pixel."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasPlanarVelocity",
            display_name="Velocity in the Picture Plane (PAVAS)",
            category="PAVAS/physics",
            description=(
                "Measures speed in metres a second. The scale comes from free flight under gravity unless you give it."
            ),
            search_aliases=["speed", "planar velocity", "metres per second"],
            inputs=[
                Tracks.Input("tracks", tooltip="Where each object is at every moment."),
                io.Float.Input(
                    "metres_per_px",
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    step=0.0001,
                    round=0.000001,
                    tooltip="Metres that one pixel of the picture spans where things move; 0 = measure it.",
                ),
                io.String.Input(
                    "known_size",
                    default="",
                    multiline=True,
                    placeholder="ball-1 = 0.22",
                    tooltip="One line an object: its id or name, =, diameter in metres. Empty = none known.",
                ),
                time_scale_input(),
                objects_input(),
                io.Float.Input(
                    "sensitivity",
                    default=1.0,
                    min=0.01,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    optional=True,
                    tooltip="Raise it to 3 where impacts are missed, lower it to 0.3 where they are made up.",
                ),
            ],
            outputs=[
                velocity_output(),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, tracks, metres_per_px, known_size, time_scale, objects=None, sensitivity=1.0):
        from pavas_core.estimation.planar.velocity import planar_velocity

        return io.NodeOutput(
            planar_velocity(
                tracks,
                objects,
                metres_per_px=metres_per_px or None,
                known_size_m=known_sizes(known_size) or None,
                time_scale=time_scale,
                sensitivity=sensitivity,
                runtime=comfy_runtime(),
            )
        )


def known_sizes(text: str) -> dict[str, float]:
    """Diameters in metres by object from lines ``name = metres``. Raises PhysicsError for a line that is none."""
    from pavas_core.estimation.planar.scale import read_known_sizes

    return read_known_sizes(line for line in text.replace(",", "\n").splitlines() if line.strip())


class PavasManualVelocity(io.ComfyNode):
    """Speed drawn by hand, where no estimate is wanted."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasManualVelocity",
            display_name="Velocity by Hand (PAVAS)",
            category="PAVAS/physics",
            description="Speed curves as text: one line an object, points time:speed. A time given twice is an impact.",
            search_aliases=["manual velocity", "speed curve"],
            inputs=[
                Objects.Input("objects", tooltip="The objects the curves belong to."),
                io.String.Input(
                    "curves",
                    default="",
                    multiline=True,
                    placeholder="ball-1 = 0:0 0.5:4.9 0.5:3.1 1.1:3.1",
                    tooltip=(
                        "One line an object: its id or name, =, then points seconds:metres-a-second. The same time "
                        "twice is a sudden change: an impact."
                    ),
                ),
                time_scale_input(),
            ],
            outputs=[
                velocity_output(),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, objects, curves, time_scale):
        from pavas_core.estimation.manual_velocity import manual_velocity

        return io.NodeOutput(manual_velocity(curves, objects, time_scale=time_scale))
