"""``estimate``: mass and speed by the published models, each stage to look at; and how well masses are told."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pavas_core.commands.console import make_folder, print_files, progress, report, table, write_png
from pavas_core.errors import MediaError, PavasError, PhysicsError

if TYPE_CHECKING:
    import numpy as np

    from pavas_core.estimation.stages import Estimated, EstimateOptions
    from pavas_core.evaluation.mass_benchmark import MassScore
    from pavas_core.video.clip import Clip

DEPTHS = 12
"""How many pictures' depth is drawn."""


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    estimate = commands.add_parser(
        "estimate", help="mass and speed by language model, Florence-2, SAM 2 and CUT3R", allow_abbrev=False
    )
    estimate.add_argument("clip", type=Path, nargs="?", metavar="CLIP", help="video file; none with --benchmark")
    estimate.add_argument("--start-s", type=float, default=0.0, metavar="S", help="begin here")
    estimate.add_argument("--duration-s", type=float, metavar="S", help="and take this much; default: to the end")
    estimate.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="folder for JSON, CSV and pictures")
    models = estimate.add_argument_group("models", "a stage without one is made by its counterpart without weights")
    models.add_argument("--vlm", type=Path, metavar="FOLDER", help="vision-language model: what moves, how heavy")
    models.add_argument("--florence", type=Path, metavar="FOLDER", help="Florence-2: where it is")
    models.add_argument("--sam2", type=Path, metavar="FILE_OR_FOLDER", help="SAM 2: its mask in every picture")
    models.add_argument("--cut3r", type=Path, metavar="FILE", help="CUT3R: its speed in space")
    models.add_argument("--precision", default="auto", metavar="P", help="auto, fp32, bf16 or fp16")
    estimate.add_argument("--objects", default="", metavar="TEXT", help='what moves, as: "red ball, hammer"')
    estimate.add_argument("--mass", action="append", default=[], metavar="NAME=KG", help="as: ball=0.6 (repeatable)")
    estimate.add_argument(
        "--known-size", action="append", default=[], metavar="NAME=M", help="a diameter, as: ball=0.22 (repeatable)"
    )
    estimate.add_argument("--scale", default="auto", choices=("auto", "reconstruction", "gravity"))
    estimate.add_argument("--method", default="robust", choices=("robust", "equation 3"))
    estimate.add_argument("--time-scale", type=float, default=1.0, metavar="F", help="0.25 for four times slowed")
    estimate.add_argument("--pictures", type=int, default=12, metavar="N", help="how many the language model sees")
    estimate.add_argument("--max-objects", type=int, default=8, metavar="N")
    estimate.add_argument("--check", action="store_true", help="draw what each stage saw and found")
    estimate.add_argument("--benchmark", action="store_true", help="score masses over the table of everyday things")
    estimate.add_argument("--answers", type=Path, metavar="FILE", help="with --benchmark: a text that gives masses")
    estimate.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    if options.benchmark:
        if options.clip is not None:
            raise PavasError("--benchmark scores masses over a table and takes no clip: leave one of them out.")
        _benchmark(options)
    elif options.clip is None:
        raise PavasError("There is no clip: give a video file, or --benchmark.")
    elif options.answers is not None:
        raise PavasError("--answers belongs to --benchmark: add it, or leave the file out.")
    else:
        _estimate(options)


def _estimate(options: argparse.Namespace) -> None:
    from pavas_core.estimation.space.cut3r import DepthPreview
    from pavas_core.estimation.stage_pictures import PointWatch, sheet
    from pavas_core.estimation.stages import ModelFiles, estimate
    from pavas_core.physics.serialise import save_scene, write_impacts_csv, write_speeds_csv
    from pavas_core.video.clip import open_clip

    known = _known(options)
    folder, name = options.output or Path(f"{options.clip.stem}_estimate"), options.clip.stem
    clip = open_clip(options.clip, options.start_s, options.duration_s)
    points, depth = PointWatch(), DepthPreview(DEPTHS)
    with progress() as runtime:
        made = estimate(
            clip,
            ModelFiles(options.vlm, options.florence, options.sam2, options.cut3r, options.precision),
            known,
            watch=lambda found, tracks: depth.watch(points.watch(found, tracks)),
            runtime=runtime,
        )
        make_folder(folder)
        written = [
            save_scene(made.scene, folder / f"{name}.physics.json"),
            write_impacts_csv(made.scene, folder / f"{name}.impacts.csv"),
            write_speeds_csv(made.scene, folder / f"{name}.speeds.csv"),
        ]
        if options.check:
            written += _texts(made, folder)
            pictures = _pictures(clip, made)
            if options.cut3r is not None:
                pictures |= {"4_depth": sheet(list(depth.pictures()), [""] * len(depth.pictures()))}
                pictures |= {"4_points": points.picture()}
            written += [write_png(picture, folder / f"{stage}.png") for stage, picture in sorted(pictures.items())]
    print(report(made.scene))
    print()
    print(table([[stage, maker] for stage, maker in made.makers.items()]))
    print()
    for cost in made.costs:
        print(cost)
    print_files(written)


def _known(options: argparse.Namespace) -> EstimateOptions:
    from pavas_core.estimation.planar.scale import read_known_sizes
    from pavas_core.estimation.stages import EstimateOptions
    from pavas_core.physics.validate import check_factor

    if options.max_objects < 1:
        raise PhysicsError(f"--max-objects is {options.max_objects}: give 1 or more.")
    return EstimateOptions(
        objects=options.objects,
        masses="\n".join(options.mass),
        pictures=options.pictures,
        max_objects=options.max_objects,
        scale=options.scale,
        method=options.method,
        known_size_m=read_known_sizes(options.known_size),
        time_scale=check_factor(options.time_scale, "--time-scale"),
    )


def _pictures(clip: Clip, made: Estimated) -> dict[str, np.ndarray]:
    """Pictures by file name of what every stage saw or found."""
    from pavas_core.estimation.stage_pictures import mask_sheet, shown_pictures, start_pictures
    from pavas_core.plots import plot_scene

    found = {"3_masks": mask_sheet(clip, made.tracks), "5_speeds": plot_scene(made.scene)}
    seen = made.detected or made.weighed
    if seen is not None:
        found["1_shown"] = shown_pictures(seen.frames)
    if made.starts:
        found["2_boxes"] = start_pictures(clip, made.objects, made.starts)
    return found


def _texts(made: Estimated, folder: Path) -> list[Path]:
    """The language model's words."""
    written = []
    for name, seen in (("1_objects", made.detected), ("1_masses", made.weighed)):
        if seen is not None:
            written.append(folder / f"{name}.txt")
            written[-1].write_text(seen.text + "\n", encoding="utf-8")
    return written


def _benchmark(options: argparse.Namespace) -> None:
    from pavas_core.evaluation import mass_benchmark as benchmark

    entries = benchmark.cited_objects()
    rows = [["masses", "min-ratio error", "mean |ln ratio|", "within x2", "true mass in range", "answered"]]
    rows.append(["table, by size alone", *_figures(benchmark.score(benchmark.table_by_size(entries), entries))])
    if options.answers is not None:
        found = benchmark.answers_of_text(_read(options.answers), entries, options.answers.name)
        rows.append([options.answers.name, *_figures(benchmark.score(found, entries))])
    if options.vlm is not None:
        from pavas_core.estimation.language.vlm import load_vlm

        with progress() as runtime:
            vlm = load_vlm(options.vlm, precision=options.precision, runtime=runtime)
            found = benchmark.answers_of_model(vlm, entries, runtime=runtime)
        rows.append([vlm.name, *_figures(benchmark.score(found, entries))])
    print(table(rows))
    print(f"\nOver {len(entries)} everyday things whose mass a publication says; 1 is perfect, no answer counts 0.")
    print("By name the table gives itself, so it is scored by size alone, its own row left out.")
    if options.answers is None and options.vlm is None:
        names = ", ".join(entry.name for entry in entries)
        print(f"To score a model, add --vlm FOLDER, or --answers FILE with a text on the masses of: {names}.")


def _figures(score: MassScore) -> list[str]:
    ratio = score.min_ratio
    return [
        f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})",
        f"{score.log_error:.2f}",
        f"{100 * score.within_twice:.0f} %",
        f"{100 * score.covered:.0f} %",
        f"{score.answered} of {score.total}",
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MediaError(f"The answers {path} cannot be read ({error.strerror}): give a text file.") from None
