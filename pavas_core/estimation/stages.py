"""The paper's physics estimator in one piece, as the command line runs it: from model files on disk to a scene.

Every stage whose model is not named is made by its counterpart without weights, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pavas_core.errors import PavasError, WeightsError
from pavas_core.estimation.stage_cost import Cost, cost_of
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from pavas_core.estimation.language.vlm import Seen, Vlm
    from pavas_core.estimation.masks.segment_track import TimedPrompt
    from pavas_core.estimation.space.reconstruction import Reconstruction
    from pavas_core.physics.types import MassSet, ObjectSet, Scene, TrackSet, VelocitySet
    from pavas_core.video.clip import Clip


@dataclass(frozen=True)
class ModelFiles:
    """Where the models lie; None = the stage is made without weights."""

    vlm: Path | None = None
    florence: Path | None = None
    sam2: Path | None = None
    cut3r: Path | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class EstimateOptions:
    """What the user knows or wants."""

    objects: str = ""
    """What moves, as :func:`vlm_text.parse_objects` reads it, or names between commas; empty = found by the model."""
    masses: str = ""
    """Items as ``masses_from_text`` reads them; they beat the model's."""
    pictures: int = 12
    max_objects: int = 8
    scale: str = "auto"
    method: str = "robust"
    known_size_m: Mapping[str, float] = field(default_factory=dict)
    time_scale: float = 1.0


@dataclass(frozen=True)
class Estimated:
    """What every stage gave."""

    scene: Scene
    objects: ObjectSet
    tracks: TrackSet
    makers: Mapping[str, str]
    """What made each stage: ``masses`` -> ``Qwen3-VL-8B-Instruct``."""
    costs: tuple[Cost, ...]
    detected: Seen | None = None
    weighed: Seen | None = None
    starts: Mapping[str, TimedPrompt] = field(default_factory=dict)
    """What each object was first marked by."""


def estimate(
    clip: Clip,
    files: ModelFiles,
    options: EstimateOptions | None = None,
    *,
    watch: Callable[[Reconstruction, TrackSet], Reconstruction] = lambda made, _: made,
    runtime: Runtime | None = None,
) -> Estimated:
    """Objects, tracks, masses and velocities of ``clip`` and the scene they make.

    ``watch`` may look at the reconstruction on its way to the velocities. Raises PavasError where the named models
    cannot do the job together, WeightsError where one cannot be loaded, AnswerError for unusable answers.
    """
    from pavas_core.physics.combine import combine_physics

    options, runtime = options or EstimateOptions(), runtime or Runtime()
    costs: list[Cost] = []
    makers: dict[str, str] = {}
    if files.sam2 is None and (files.vlm is not None or options.objects):
        raise PavasError("Following objects that words name needs SAM 2: add --sam2 FILE_OR_FOLDER.")
    if files.florence is None and (files.vlm is not None or options.objects):
        raise PavasError("Finding where objects are that words name needs Florence-2: add --florence FOLDER.")
    _check_paths(files)

    vlm, detected = None, None
    if files.vlm is not None:
        from pavas_core.estimation.language.vlm import load_vlm

        with cost_of("loading the language model", runtime.device) as cost:
            vlm = load_vlm(files.vlm, precision=files.precision, runtime=runtime)
        costs.append(cost)
    with cost_of("detection", runtime.device) as cost:
        objects, detected, makers["objects"] = _objects(clip, vlm, options, runtime)
    costs.append(cost)
    with cost_of("segmentation and tracking", runtime.device) as cost:
        objects, tracks, starts, makers["tracks"] = _tracks(clip, objects, files, runtime)
    costs.append(cost)
    with cost_of("velocity", runtime.device) as cost:
        velocities, makers["velocities"] = _velocities(clip, objects, tracks, files, options, watch, runtime)
    costs.append(cost)
    with cost_of("masses", runtime.device) as cost:
        masses, weighed, makers["masses"] = _masses(clip, objects, velocities, vlm, options, runtime)
    costs.append(cost)
    scene = combine_physics(objects, tracks, masses, velocities)
    return Estimated(scene, objects, tracks, makers, tuple(costs), detected, weighed, starts)


def _check_paths(files: ModelFiles) -> None:
    for path in (files.vlm, files.florence, files.sam2, files.cut3r):
        if path is not None and not path.exists():
            raise WeightsError(f"There is no model at {path}: give the file or folder of one.")


def _objects(
    clip: Clip, vlm: Vlm | None, options: EstimateOptions, runtime: Runtime
) -> tuple[ObjectSet, Seen | None, str]:
    if options.objects:
        return _told_objects(clip, options), None, "your words"
    if vlm is not None:
        from pavas_core.estimation.language.vlm import detect_vlm

        objects, seen = detect_vlm(
            clip, vlm, pictures=options.pictures, max_objects=options.max_objects, runtime=runtime
        )
        return objects, seen, vlm.name
    from pavas_core.estimation.tracking.motion import detect_motion

    return detect_motion(clip, max_objects=options.max_objects, runtime=runtime), None, "motion, no weights"


def _told_objects(clip: Clip, options: EstimateOptions) -> ObjectSet:
    import json

    from pavas_core.estimation.language import vlm_text

    text = options.objects
    if not any(mark in text for mark in "[{\n"):
        text = json.dumps([name.strip() for name in text.split(",") if name.strip()])
    try:
        return vlm_text.parse_objects(
            text, clip.width, clip.height, clip.duration_s, max_objects=options.max_objects, source="text"
        )
    except vlm_text.AnswerError as error:
        raise PavasError(f'The objects cannot be read ({str(error).rstrip(".")}): write "red ball, hammer".') from None


def _tracks(
    clip: Clip, objects: ObjectSet, files: ModelFiles, runtime: Runtime
) -> tuple[ObjectSet, TrackSet, Mapping[str, TimedPrompt], str]:
    if files.sam2 is None:
        from pavas_core.estimation.tracking.motion import track_motion

        return objects, track_motion(clip, objects, runtime=runtime), {}, "motion, no weights"
    from pavas_core.estimation.masks.grounding import load_grounder
    from pavas_core.estimation.masks.sam2 import load_segmenter
    from pavas_core.estimation.masks.segment_track import segment_track

    segmenter = load_segmenter(files.sam2, precision=files.precision, runtime=runtime)
    grounder, maker = None, segmenter.name
    if files.florence is not None and any(thing.box is None for thing in objects.objects):
        grounder = load_grounder(files.florence, precision=files.precision, runtime=runtime)
        maker = f"{grounder.name} and {segmenter.name}"
    found = segment_track(clip, objects, segmenter, grounder=grounder, runtime=runtime)
    return found.objects, found.tracks, found.starts, maker


def _velocities(
    clip: Clip,
    objects: ObjectSet,
    tracks: TrackSet,
    files: ModelFiles,
    options: EstimateOptions,
    watch: Callable[[Reconstruction, TrackSet], Reconstruction],
    runtime: Runtime,
) -> tuple[VelocitySet, str]:
    if files.cut3r is None:
        from pavas_core.estimation.planar.velocity import planar_velocity

        if options.scale == "reconstruction" or options.method != "robust":
            raise PavasError("That scale or method is of velocity in space: add --cut3r FILE.")
        sizes = dict(options.known_size_m) or None
        planar = planar_velocity(tracks, objects, known_size_m=sizes, time_scale=options.time_scale, runtime=runtime)
        return planar, "the picture plane, no weights"
    from pavas_core.estimation.space.cut3r import reconstruct
    from pavas_core.estimation.space.world_velocity import observe, world_velocity
    from pavas_core.models.cut3r_load import load_cut3r

    model = load_cut3r(files.cut3r, precision=files.precision, runtime=runtime)
    made = watch(reconstruct(clip, tracks.times_s, model, runtime=runtime), tracks)
    found = world_velocity(
        observe(made, tracks, runtime=runtime),
        tracks,
        objects,
        scale=options.scale,
        known_size_m=dict(options.known_size_m) or None,
        time_scale=options.time_scale,
        method=options.method,
        runtime=runtime,
    )
    return found, model.name


def _masses(
    clip: Clip,
    objects: ObjectSet,
    velocities: VelocitySet,
    vlm: Vlm | None,
    options: EstimateOptions,
    runtime: Runtime,
) -> tuple[MassSet, Seen | None, str]:
    from pavas_core.estimation.masses import masses_from_text
    from pavas_core.physics.types import MassSet

    given = masses_from_text(options.masses, objects, velocities)
    if vlm is None:
        return given, None, "the table of everyday things, or yours"
    from pavas_core.estimation.language.vlm import estimate_masses_vlm

    masses, seen = estimate_masses_vlm(clip, objects, vlm, pictures=options.pictures, runtime=runtime)
    own = {name: mass for name, mass in given.masses.items() if mass.source == "manual"}
    materials = {name: given.materials[name] for name in own if name in given.materials}
    return MassSet(masses.masses | own, masses.materials | materials), seen, vlm.name
