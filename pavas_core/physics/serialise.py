"""Physics in files: JSON that people can read, and large arrays in an npz beside it.

A file holds one value of a wire: a Scene, ObjectSet, TrackSet, MassSet or VelocitySet, in SI units with the field names
of ``pavas_core.physics.types``. Unknown numbers are ``null``. Tracks and masks are in ``<name>.npz``, found by its name
in the JSON; a scene without it still loads, without tracks.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
import logging
import math
import types
import typing
import zipfile
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics import types as wires
from pavas_core.physics.types import MassSet, ObjectSet, PackedMasks, Scene, Track, TrackSet, Velocity, VelocitySet
from pavas_core.physics.validate import check_mass, check_scene, check_velocity
from pavas_core.video.atomic import replacing

log = logging.getLogger("pavas")

FORMAT = "pavas-physics"
VERSION = 1
KINDS: dict[str, type] = {kind.__name__: kind for kind in (Scene, ObjectSet, TrackSet, MassSet, VelocitySet)}
MAX_JSON_BYTES = 200_000_000

Wire = TypeVar("Wire", Scene, ObjectSet, TrackSet, MassSet, VelocitySet)

_INLINE: dict[tuple[type, str], tuple[Any, tuple[int | None, ...]]] = {
    (Velocity, "times_s"): (np.float64, (None,)),
    (Velocity, "speed_mps"): (np.float32, (None,)),
    (Velocity, "vector_mps"): (np.float32, (None, 3)),
    (Velocity, "sigma_mps"): (np.float32, (None,)),
}
"""Arrays written into the JSON: type and shape (None = any length)."""
_BESIDE: dict[tuple[type, str], tuple[Any, tuple[int | None, ...]]] = {
    (TrackSet, "times_s"): (np.float64, (None,)),
    (TrackSet, "camera"): (np.float64, (None, 2, 3)),
    (Track, "visible"): (np.bool_, (None,)),
    (Track, "boxes"): (np.float32, (None, 4)),
    (Track, "centroids"): (np.float32, (None, 2)),
    (Track, "area_px"): (np.float32, (None,)),
    (Track, "truncated"): (np.bool_, (None,)),
    (Track, "flow_px_s"): (np.float32, (None, 2)),
    (Track, "stops"): (np.float32, (None, 3)),
}
"""Arrays written into the npz."""


def save_scene(scene: Scene, path: str | Path) -> Path:
    """Write ``scene`` to ``path`` (.json) and its arrays beside it; see :func:`save_physics`."""
    return save_physics(check_scene(scene), path)


def load_scene(path: str | Path) -> Scene:
    """Read a scene; without its npz it comes back without tracks. Raises PhysicsError; see :func:`load_physics`."""
    return load_physics(path, Scene)


def save_physics(value: Scene | ObjectSet | TrackSet | MassSet | VelocitySet, path: str | Path) -> Path:
    """Write a wire's value to ``path`` (.json), its tracks to the .npz of that name, and return ``path``.

    Each file appears whole or not at all. Raises PhysicsError for another ending, MediaError where the folder is
    missing or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise PhysicsError(f"{path.name} would hold JSON: end its name in .json.")
    arrays: dict[str, np.ndarray] = {}
    body = _encode(value, "", arrays)
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "kind": type(value).__name__, "units": "SI"}
    if arrays:
        packed = _npz(arrays)
        beside = path.with_suffix(".npz")
        document["arrays"] = {"file": beside.name, "sha256": hashlib.sha256(packed).hexdigest()}
        with replacing(beside) as temporary:
            temporary.write_bytes(packed)
    document["value"] = body
    text = _readable(document)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def load_physics(path: str | Path, kind: type[Wire]) -> Wire:
    """Read the ``kind`` of value that :func:`save_physics` wrote to ``path``.

    Raises PhysicsError for a missing, foreign, damaged or newer file, for another kind of value, for impossible values,
    and for tracks whose npz is missing or belongs to another file (a Scene or ObjectSet without its npz comes back
    without tracks, with a warning in the log).
    """
    path = Path(path)
    document = _document(path)
    found = document.get("kind")
    if found != kind.__name__:
        raise PhysicsError(f"{path.name} holds a {found} where a {kind.__name__} is needed: choose another file.")
    arrays = _arrays_beside(path, document.get("arrays"))
    body = document.get("value")
    if arrays is None:
        if kind is TrackSet:
            raise PhysicsError(
                f"{path.name} lacks the file of its arrays: put {_beside_name(path, document)} beside it."
            )
        log.warning(
            "%s is read without tracks and masks, since %s is missing.", path.name, _beside_name(path, document)
        )
        body = {**body, "tracks": None} if isinstance(body, dict) else body
    value = _decode(body, kind, kind.__name__, arrays or {}, path.name)
    _check(value, path.name)
    return value


def write_impacts_csv(scene: Scene, path: str | Path) -> Path:
    """One row an impact, SI units, vectors as x, y, z columns."""
    header = [
        "id", "time_s", "object_id", "partner", "surface", "contact", "pre_normal_mps", "post_normal_mps",
        "pre_speed_mps", "post_speed_mps", "impulse_ns", "energy_loss_j", "normal_x", "normal_y", "normal_z",
        "position_x", "position_y", "sigma_s", "confidence", "source",
    ]  # fmt: skip
    rows = []
    for impact in scene.impacts:
        values = [getattr(impact, name) for name in header[:12]]
        rows.append(
            [*values, *impact.normal, *impact.position, impact.sigma_s, impact.confidence, impact.source],
        )
    return _write_csv(Path(path), header, rows)


def write_speeds_csv(scene: Scene, path: str | Path) -> Path:
    """One row a time of each object: speed, its error and its vector in m/s; empty where unknown."""
    header = [
        "object_id",
        "time_s",
        "speed_mps",
        "sigma_mps",
        "vx_mps",
        "vy_mps",
        "vz_mps",
        "mass_kg",
        "kinetic_energy_j",
    ]
    rows = []
    for body in scene.bodies:
        one = body.velocity
        for index, time_s in enumerate(one.times_s):
            speed = float(one.speed_mps[index])
            sigma = None if one.sigma_mps is None else float(one.sigma_mps[index])
            vector = [None] * 3 if one.vector_mps is None else [float(v) for v in one.vector_mps[index]]
            energy = 0.5 * body.mass.mass_kg * speed**2
            rows.append([body.object.id, float(time_s), speed, sigma, *vector, body.mass.mass_kg, energy])
    return _write_csv(Path(path), header, rows)


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.9g}"
        return value

    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([plain(value) for value in row] for row in rows)
    return path


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    """The same arrays always give the same bytes: entries carry no time of writing."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy"), entry.getvalue(), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _encode(value: Any, where: str, arrays: dict[str, np.ndarray]) -> Any:
    """``value`` as JSON; large arrays go into ``arrays`` under their place, which stands in the JSON instead."""
    if isinstance(value, PackedMasks):
        arrays[f"{where}/runs"] = np.concatenate(value.runs).astype(np.uint32) if value.runs else np.zeros(0, np.uint32)
        arrays[f"{where}/lengths"] = np.array([len(runs) for runs in value.runs], np.uint32)
        return {"height": value.height, "width": value.width, "array": where}
    if dataclasses.is_dataclass(value):
        encoded = {}
        for field in dataclasses.fields(value):
            item, place = getattr(value, field.name), f"{where}/{field.name}" if where else field.name
            if isinstance(item, np.ndarray) and (type(value), field.name) in _BESIDE:
                arrays[place] = item.astype(_BESIDE[type(value), field.name][0])
                item = {"array": place}
            encoded[field.name] = _encode(item, place, arrays)
        return encoded
    if isinstance(value, dict):
        return {key: _encode(item, f"{where}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _numbers(value)
    if isinstance(value, (tuple, list)):
        return [_encode(item, f"{where}/{index}", arrays) for index, item in enumerate(value)]
    if isinstance(value, (float, np.floating)):
        return _number(float(value))
    return value.item() if isinstance(value, np.generic) else value


def _numbers(array: np.ndarray) -> Any:
    """Nested lists with the shortest decimals that give the same floats back."""
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [_number(float(str(number))) for number in array]


def _number(value: float) -> float | str | None:
    """JSON knows neither NaN, written as null, nor infinities, written as text."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _readable(value: Any, indent: int = 0) -> str:
    """Indented JSON with lists of plain values on one line."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_readable(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [_readable(item, indent + 1) for item in value]
        return "[\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise PhysicsError(f"{path.name} is far too large for a physics file: choose one that this pack wrote.")
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PhysicsError(f"There is no file {path}: check its name and folder.") from None
    except OSError as error:
        raise PhysicsError(f"{path} cannot be read ({error.strerror}): check that it is a readable file.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise PhysicsError(
            f"{path.name} is no readable JSON: it may be cut off or of another kind, save it anew."
        ) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise PhysicsError(f"{path.name} is no physics file of this pack: choose one that Save Physics wrote.")
    version = document.get("version")
    if not isinstance(version, int) or version < 1:
        raise PhysicsError(f"{path.name} states no version that can be read: save it anew.")
    if version > VERSION:
        raise PhysicsError(
            f"{path.name} was written by a newer version of this pack (format {version}, this one reads {VERSION}): "
            "update the pack."
        )
    return document


def _beside_name(path: Path, document: dict[str, Any]) -> str:
    entry = document.get("arrays")
    return (
        Path(str(entry["file"])).name if isinstance(entry, dict) and "file" in entry else path.with_suffix(".npz").name
    )


def _arrays_beside(path: Path, entry: Any) -> dict[str, np.ndarray] | None:
    """Arrays of the npz beside ``path``; {} where the value has none, None where the file is missing."""
    if entry is None:
        return {}
    if not isinstance(entry, dict):
        raise PhysicsError(f"{path.name} does not say where its arrays are: save it anew.")
    # only the name counts, so that a file cannot make us read elsewhere; a renamed pair is found by the JSON's name
    names = (Path(str(entry.get("file", ""))).name, path.with_suffix(".npz").name)
    beside = next((path.with_name(name) for name in names if name and path.with_name(name).is_file()), None)
    if beside is None:
        return None
    try:
        packed = beside.read_bytes()
        if hashlib.sha256(packed).hexdigest() != entry.get("sha256"):
            raise PhysicsError(f"{beside.name} is damaged or belongs to another file than {path.name}: save both anew.")
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        if isinstance(error, PhysicsError):
            raise
        raise PhysicsError(f"{beside.name} cannot be read ({error}): save {path.name} anew.") from None


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, vars(wires))


def _decode(value: Any, hint: Any, where: str, arrays: dict[str, np.ndarray], name: str) -> Any:
    """``value`` of the JSON as what ``hint`` declares. Raises PhysicsError naming the place that does not fit."""

    def wrong(needed: str) -> PhysicsError:
        shown = json.dumps(value, ensure_ascii=False)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        return PhysicsError(f"{name} has {shown} at {where} where {needed} is needed: correct it or save it anew.")

    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _decode(value, next(part for part in parts if part is not type(None)), where, arrays, name)
    if origin is Literal:
        if value not in parts:
            raise wrong(f"one of {', '.join(parts)}")
        return value
    if hint is PackedMasks:
        return _decode_masks(value, where, arrays, name)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise wrong("an object")
        return _decode_fields(value, typing.cast(type, hint), where, arrays, name)
    if origin is tuple:
        if not isinstance(value, list):
            raise wrong("a list")
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        if len(kinds) != len(value):
            raise wrong(f"a list of {len(kinds)}")
        return tuple(
            _decode(item, kind, f"{where}[{index}]", arrays, name)
            for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong("an object")
        return {key: _decode(item, parts[1], f"{where}.{key}", arrays, name) for key, item in value.items()}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and value in (None, "inf", "-inf"):
        return float("nan" if value is None else value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise wrong(
        {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(hint, "another value")
    )


def _decode_fields(value: dict[str, Any], kind: type, where: str, arrays: dict[str, np.ndarray], name: str) -> Any:
    """The dataclass ``kind``; fields that this version does not know are ignored, missing ones take their defaults."""
    decoded = {}
    for field in dataclasses.fields(kind):
        place = f"{where}.{field.name}"
        if field.name not in value:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise PhysicsError(f"{name} lacks {place}: add it or save the file anew.")
            continue
        item = value[field.name]
        if item is not None and (kind, field.name) in _BESIDE:
            dtype, shape = _BESIDE[kind, field.name]
            decoded[field.name] = _fitting(_stored(item, place, arrays, name), dtype, shape, place, name)
        elif item is not None and (kind, field.name) in _INLINE:
            dtype, shape = _INLINE[kind, field.name]
            decoded[field.name] = _fitting(_inline(item, dtype, shape, place, name), dtype, shape, place, name)
        else:
            decoded[field.name] = _decode(item, _hints(kind)[field.name], place, arrays, name)
    return kind(**decoded)


def _stored(entry: Any, where: str, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    key = entry.get("array") if isinstance(entry, dict) else None
    if key not in arrays:
        raise PhysicsError(f"{name} names an array at {where} that its npz does not hold: save both anew.")
    return arrays[key]


def _inline(value: Any, dtype: Any, shape: tuple, where: str, name: str) -> np.ndarray:
    try:
        array = np.array(value, dtype=object)
        array[array == None] = np.nan  # noqa: E711 (compares element by element)
        array = array.astype(dtype)
    except (ValueError, TypeError):
        raise PhysicsError(f"{name} has no list of numbers at {where}: correct it or save it anew.") from None
    return array.reshape((0, *shape[1:])) if array.size == 0 else array


def _fitting(array: np.ndarray, dtype: Any, shape: tuple, where: str, name: str) -> np.ndarray:
    """``array`` if it has the type and shape, read-only."""
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        raise PhysicsError(f"{name} holds an array of another shape at {where}: save it anew.")
    array.flags.writeable = False
    return array


def _decode_masks(entry: Any, where: str, arrays: dict[str, np.ndarray], name: str) -> PackedMasks:
    try:
        height, width, key = int(entry["height"]), int(entry["width"]), entry["array"]
        runs, lengths = arrays[f"{key}/runs"].astype(np.int64), arrays[f"{key}/lengths"].astype(np.int64)
    except (KeyError, TypeError, ValueError):
        raise PhysicsError(f"{name} lacks the masks at {where}: save it anew.") from None
    ends = np.cumsum(lengths)
    pieces = [runs[end - count : end] for end, count in zip(ends, lengths, strict=True)]
    if (ends.size and ends[-1] != runs.size) or any(one.size and one.sum() != height * width for one in pieces):
        raise PhysicsError(f"{name} holds masks at {where} that do not fit their size: save it anew.")
    return PackedMasks(height, width, tuple(one.astype(np.uint32) for one in pieces))


def _check(value: Any, name: str) -> None:
    """Raise PhysicsError where a value of the file ``name`` is impossible."""
    try:
        if isinstance(value, Scene):
            check_scene(value)
        elif isinstance(value, MassSet):
            for key, mass in value.masses.items():
                check_mass(mass, key)
        elif isinstance(value, VelocitySet):
            for velocity in value.velocities:
                check_velocity(velocity)
        tracks = value if isinstance(value, TrackSet) else getattr(value, "tracks", None)
        if tracks is not None:
            _check_tracks(tracks)
    except PhysicsError as error:
        raise PhysicsError(f"{name}: {error}") from None


def _check_tracks(tracks: TrackSet) -> None:
    count = len(tracks.times_s)
    if count and not (np.isfinite(tracks.times_s).all() and (np.diff(tracks.times_s) > 0).all()):
        raise PhysicsError("The times of its tracks do not rise: save it anew.")
    for track in tracks.tracks:
        lengths = {len(one) for one in (track.visible, track.boxes, track.centroids, track.area_px, track.truncated)}
        masks = {len(track.masks.runs)} if track.masks is not None else set()
        flow = {len(track.flow_px_s) + 1} if track.flow_px_s is not None and count else set()
        stops = {len(track.stops)} if track.stops is not None else set()
        if lengths | masks | flow | stops != {count}:
            raise PhysicsError(f"The track of {track.object_id} does not have one entry a frame: save it anew.")
