"""Clip, tracks and CUT3R to velocities, from the stored results where the same was measured before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pavas_core import __version__
from pavas_core.estimation.masks.mask_tracks import key_of_pictures
from pavas_core.estimation.result_cache import ResultCache, hash_of_weights, key_of
from pavas_core.estimation.space.cut3r import DepthPreview, reconstruct
from pavas_core.estimation.space.world_velocity import observe, world_velocity
from pavas_core.physics.types import VelocitySet
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.models.cut3r_load import Cut3rModel
    from pavas_core.physics.types import ObjectSet, TrackSet
    from pavas_core.video.clip import Clip


def cut3r_velocity(
    clip: Clip,
    tracks: TrackSet,
    model: Cut3rModel,
    objects: ObjectSet | None = None,
    *,
    scale: str = "auto",
    known_size_m: Mapping[str, float] | None = None,
    time_scale: float = 1.0,
    method: str = "robust",
    previews: int = 8,
    cache: ResultCache | None = None,
    renew: bool = False,
    runtime: Runtime | None = None,
) -> tuple[VelocitySet, np.ndarray]:
    """What :func:`world_velocity` says of the clip as CUT3R sees it; depth of a few pictures, uint8 [N, h, w, 3].

    ``renew`` measures even where the result is stored. Raises what reconstruction and measurement raise.
    """
    runtime, sizes = runtime or Runtime(), dict(known_size_m or {})
    key = ""
    if cache is not None:
        names = [] if objects is None else [(one.id, one.name, one.aliases) for one in objects.objects]
        choices = json.dumps([__version__, scale, sorted(sizes.items()), time_scale, method, previews, names])
        weights = hash_of_weights([model.path]), str(model.network.dtype)
        key = key_of(choices, *weights, _key_of_tracks(tracks), key_of_pictures(clip, runtime))
        stored = None if renew else cache.physics(key, VelocitySet)
        pictures = None if stored is None else cache.pictures(key)
        if stored is not None and pictures is not None:
            return stored, pictures
    preview = DepthPreview(previews)
    made = preview.watch(reconstruct(clip, tracks.times_s, model, runtime=runtime))
    found = world_velocity(
        observe(made, tracks, runtime=runtime),
        tracks,
        objects,
        scale=scale,
        known_size_m=sizes or None,
        time_scale=time_scale,
        method=method,
        runtime=runtime,
    )
    depth = preview.pictures()
    if cache is not None:
        cache.put_physics(key, found, depth)
    return found, depth


def _key_of_tracks(tracks: TrackSet) -> str:
    parts: list[str | np.ndarray | None] = [tracks.times_s, tracks.camera]
    for track in tracks.tracks:
        parts += [track.object_id, track.visible, track.boxes, track.centroids, track.truncated, track.flow_px_s]
        if track.masks is not None:
            parts += [f"{track.masks.height} {track.masks.width}", *track.masks.runs]
    return key_of(*parts)
