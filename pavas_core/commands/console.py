"""What every command says to its user: progress, tables, the files it wrote."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.errors import MediaError
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np

    from pavas_core.physics.types import Scene


@contextlib.contextmanager
def progress() -> Iterator[Runtime]:
    """A runtime that draws one bar a stage on a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            for bar in bars.values():
                bar.close()
            bars[stage] = tqdm(total=total, desc=stage, unit="", leave=False, disable=None, file=sys.stderr)
        bars[stage].total = total
        bars[stage].update(done - bars[stage].n)

    try:
        yield Runtime(on_progress=on_progress)
    finally:
        for bar in bars.values():
            bar.close()


def report(scene: Scene) -> str:
    """Objects and impacts as plain tables, and when what rolls or slides does so."""
    from pavas_core.physics.lasting import find_lasting_contacts

    objects = [["object", "mass", "material", "top speed", "mass from", "scale from"]]
    for body in scene.bodies:
        speeds = [speed for speed in body.velocity.speed_mps.tolist() if not math.isnan(speed)]
        objects.append(
            [
                body.object.id,
                f"{body.mass.mass_kg:.3g} kg",
                body.object.material,
                f"{max(speeds):.2f} m/s" if speeds else "unknown",
                body.mass.source,
                f"{body.velocity.scale_source.replace('_', ' ')} (±{100 * body.velocity.scale_sigma:.0f} %)",
            ]
        )
    impacts = [["impact", "time", "object", "contact", "with", "approach", "impulse", "energy loss"]]
    for one in scene.impacts:
        impacts.append(
            [
                one.id,
                f"{one.time_s:.3f} s",
                one.object_id,
                one.contact,
                one.partner or one.surface,
                f"{one.pre_normal_mps:.2f} m/s",
                f"{one.impulse_ns:.3g} N s",
                f"{one.energy_loss_j:.3g} J",
            ]
        )
    lasting = [
        f"{one.object_id} {one.manner} from {one.times_s[0]:.2f} to {one.times_s[-1]:.2f} s."
        for one in find_lasting_contacts(scene)
    ]
    notes = [*lasting, *scene.notes]
    parts = [
        table(objects) if scene.bodies else "Nothing moves in this clip.",
        table(impacts) if scene.impacts else "Nothing is hit.",
    ]
    return "\n\n".join([*parts, "\n".join(notes)] if notes else parts)


def table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def print_files(paths: Sequence[Path]) -> None:
    print("\nWritten:")
    for path in paths:
        print(f"  {path}")


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"The folder {folder} cannot be made ({error.strerror}): choose another place.") from None


def write_png(picture: np.ndarray, path: Path) -> Path:
    from PIL import Image

    from pavas_core.video.atomic import replacing

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return path
