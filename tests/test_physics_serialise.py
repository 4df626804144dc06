"""Physics in files: what comes back, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavas_core.errors import MediaError, PavasError, PhysicsError
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.serialise import (
    load_physics,
    load_scene,
    save_physics,
    save_scene,
    write_impacts_csv,
    write_speeds_csv,
)
from pavas_core.physics.types import MassSet, ObjectSet, Scene, TrackSet, VelocitySet
from tests.physics_scenes import make_impact, make_scene


def assert_same(one, other, where=""):
    """Equal to the last bit, arrays and NaN included."""
    assert type(one) is type(other), where
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)
    elif isinstance(one, (tuple, list)):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key}]")
    else:
        assert one == other or (one != one and other != other), where


def test_a_scene_comes_back_to_the_last_bit(tmp_path):
    scene = make_scene()
    path = save_scene(scene, tmp_path / "Größe \u97f3.physics.json")
    assert_same(load_scene(path), scene)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["Größe \u97f3.physics.json", "Größe \u97f3.physics.npz"]


def test_every_wire_comes_back(tmp_path):
    scene = make_scene()
    things = tuple(body.object for body in scene.bodies)
    wires = [
        ObjectSet(things, 64, 48, 2.0, scene.tracks),
        ObjectSet(things, 64, 48, 2.0),
        ObjectSet((), 64, 48, 2.0),
        scene.tracks,
        MassSet({body.object.id: body.mass for body in scene.bodies}, {"ball-1": "rubber"}),
        VelocitySet(tuple(body.velocity for body in scene.bodies), 0.25, ("ball-1: gravity",)),
        Scene(2.0, 64, 48, (), ()),
    ]
    for index, value in enumerate(wires):
        path = save_physics(value, tmp_path / f"{index}.json")
        assert_same(load_physics(path, type(value)), value)


@settings(max_examples=40, deadline=None)
@given(
    speeds=st.lists(st.floats(0, 343, width=32) | st.just(math.nan), min_size=1, max_size=9),
    sigma=st.floats(0, width=32) | st.just(math.nan),
    time_s=st.floats(0, 2.0),
    impulse=st.floats(0, 6e8),
    name=st.text(max_size=12),
)
def test_any_possible_number_and_name_comes_back(tmp_path_factory, speeds, sigma, time_s, impulse, name):
    scene = make_scene(tracks=False)
    body = scene.bodies[0]
    velocity = dataclasses.replace(
        body.velocity,
        times_s=np.cumsum(np.full(len(speeds), 1 / 3)),
        speed_mps=np.array(speeds, np.float32),
        vector_mps=None,
        sigma_mps=np.full(len(speeds), sigma, np.float32),
        scale_sigma=sigma,
    )
    body = dataclasses.replace(body, velocity=velocity, object=dataclasses.replace(body.object, name=name))
    impact = make_impact("hit", "ball-1", time_s=time_s, impulse_ns=impulse)
    scene = dataclasses.replace(scene, bodies=(body, *scene.bodies[1:]), impacts=(impact,))
    path = save_scene(scene, tmp_path_factory.mktemp("any") / "x.json")
    assert_same(load_scene(path), scene)


def test_the_json_is_strict_readable_and_in_si_units(tmp_path):
    path = save_scene(make_scene(), tmp_path / "x.json")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["units"] == "SI"
    ball = document["value"]["bodies"][0]
    assert ball["mass"]["mass_kg"] == 0.6
    assert ball["velocity"]["speed_mps"][0] == pytest.approx(0.1)
    assert document["value"]["impacts"][0]["energy_loss_j"] == pytest.approx(0.9)


def test_the_same_scene_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save_scene(make_scene(), tmp_path / folder / "x.json")
    for name in ("x.json", "x.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_its_npz_a_scene_keeps_all_but_its_tracks(tmp_path, caplog):
    scene = make_scene()
    path = save_scene(scene, tmp_path / "x.json")
    (tmp_path / "x.npz").unlink()
    assert_same(load_scene(path), dataclasses.replace(scene, tracks=None))
    assert "without tracks" in caplog.text
    tracks = save_physics(scene.tracks, tmp_path / "t.json")
    (tmp_path / "t.npz").unlink()
    with pytest.raises(PhysicsError, match=r"put t\.npz beside it"):
        load_physics(tracks, TrackSet)


def test_a_renamed_pair_stays_a_pair(tmp_path):
    scene = make_scene()
    save_scene(scene, tmp_path / "x.json")
    (tmp_path / "x.json").rename(tmp_path / "y.json")
    (tmp_path / "x.npz").rename(tmp_path / "y.npz")
    assert_same(load_scene(tmp_path / "y.json"), scene)


def test_the_npz_of_another_scene_is_refused(tmp_path):
    scene = make_scene()
    path = save_scene(scene, tmp_path / "x.json")
    moved = dataclasses.replace(scene.tracks, times_s=scene.tracks.times_s * 0.5)
    save_scene(dataclasses.replace(scene, tracks=moved), tmp_path / "y.json")
    (tmp_path / "y.npz").replace(tmp_path / "x.npz")
    with pytest.raises(PhysicsError, match="belongs to another file"):
        load_scene(path)


def test_an_npz_named_elsewhere_is_never_read(tmp_path):
    outside = tmp_path / "outside.npz"
    inside = tmp_path / "inside"
    inside.mkdir()
    path = save_scene(make_scene(), inside / "x.json")
    (inside / "x.npz").rename(outside)
    path.write_text(path.read_text(encoding="utf-8").replace('"x.npz"', '"../outside.npz"'), encoding="utf-8")
    assert load_scene(path).tracks is None


def edit(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "newer version"),
        (lambda d: d.update(version="1"), "no version"),
        (lambda d: d.update(format="other"), "no physics file of this pack"),
        (lambda d: d.update(kind="MassSet"), "holds a MassSet where a Scene is needed"),
        (lambda d: d["value"].pop("impacts"), "lacks Scene.impacts"),
        (lambda d: d["value"]["bodies"][0]["mass"].update(mass_kg=-1), "mass of ball-1 is -1 kg"),
        (lambda d: d["value"]["bodies"][0]["mass"].update(mass_kg=None), "mass of ball-1 is nan kg"),
        (lambda d: d["value"]["bodies"][0]["mass"].update(mass_kg="heavy"), r"\"heavy\" at Scene.bodies\[0\].mass"),
        (lambda d: d["value"]["bodies"][0]["mass"].update(mass_kg=True), "true at"),
        (lambda d: d["value"]["impacts"][0].update(object_id="cat-1"), "no object 'cat-1'"),
        (lambda d: d["value"]["impacts"][0].update(contact="kiss"), "one of bounce"),
        (lambda d: d["value"]["impacts"][0].update(pre_speed_mps=400), "faster than sound"),
        (lambda d: d["value"]["impacts"][0].update(impulse_ns=1e308), "is 1e[+]308 N s: give 0 to"),
        (lambda d: d["value"]["impacts"][0].update(energy_loss_j=-1), "is -1 J: give 0 to"),
        (lambda d: d["value"]["impacts"][0].update(normal=[0, 1]), "a list of 3"),
        (lambda d: d["value"]["impacts"][0].update(time_s=9), "time of the clip"),
        (lambda d: d["value"]["bodies"][0]["velocity"].update(speed_mps=["a"]), "no list of numbers"),
        (lambda d: d["value"]["bodies"][0]["velocity"].update(speed_mps=[1.0]), "give one for each"),
        (lambda d: d["value"].update(bodies={}), "a list is needed"),
        (lambda d: d["value"]["tracks"]["tracks"][0].update(boxes={"array": "nowhere"}), "npz does not hold"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, change, message):
    path = save_scene(make_scene(), tmp_path / "x.json")
    edit(path, change)
    with pytest.raises(PhysicsError, match=message) as refusal:
        load_scene(path)
    assert "\n" not in str(refusal.value)


def test_fields_of_a_later_minor_change_are_ignored(tmp_path):
    scene = make_scene()
    path = save_scene(scene, tmp_path / "x.json")
    edit(path, lambda d: d["value"]["impacts"][0].update(colour="red"))
    assert_same(load_scene(path), scene)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"[]", b"null", b"[" * 100_000, b'{"format": 1}'])
def test_broken_and_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(PhysicsError, match=r"x\.json is no"):
        load_scene(path)


def test_cut_files_never_load_and_never_crash(tmp_path):
    path = save_scene(make_scene(), tmp_path / "x.json")
    whole, packed = path.read_bytes(), (tmp_path / "x.npz").read_bytes()
    for keep in (1, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:keep])
        with pytest.raises(PhysicsError):
            load_scene(path)
    path.write_bytes(whole)
    (tmp_path / "x.npz").write_bytes(packed[:-5])
    with pytest.raises(PhysicsError, match="damaged"):
        load_scene(path)


def test_missing_files_folders_and_wrong_endings(tmp_path):
    with pytest.raises(PhysicsError, match="There is no file"):
        load_scene(tmp_path / "x.json")
    with pytest.raises(PhysicsError, match="cannot be read"):
        load_scene(tmp_path)
    with pytest.raises(PhysicsError, match=r"in \.json"):
        save_scene(make_scene(), tmp_path / "x.txt")
    with pytest.raises(MediaError, match="does not exist"):
        save_scene(make_scene(), tmp_path / "no" / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_impossible_scenes_are_not_written(tmp_path):
    scene = make_scene()
    broken = dataclasses.replace(scene.impacts[0], pre_speed_mps=math.nan)
    with pytest.raises(PavasError, match="impact"):
        save_scene(dataclasses.replace(scene, impacts=(broken,)), tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_masks_come_back(tmp_path):
    scene = make_scene()
    pictures = np.random.default_rng(3).random((len(scene.tracks.times_s), 20, 30)) > 0.7
    pictures[0] = False
    track = dataclasses.replace(scene.tracks.tracks[0], masks=pack_masks(pictures))
    scene = dataclasses.replace(scene, tracks=dataclasses.replace(scene.tracks, tracks=(track,)))
    assert_same(load_scene(save_scene(scene, tmp_path / "x.json")), scene)


def test_csv_rows_hold_the_scene(tmp_path):
    scene = make_scene()
    with write_impacts_csv(scene, tmp_path / "i.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [impact.id for impact in scene.impacts]
    assert float(rows[0]["energy_loss_j"]) == scene.impacts[0].energy_loss_j
    assert rows[0]["partner"] == ""
    with write_speeds_csv(scene, tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(body.velocity.times_s) for body in scene.bodies)
    seen = [row for row in rows if row["object_id"] == "ball-1" and row["speed_mps"]]
    for row in seen:
        assert float(row["kinetic_energy_j"]) == pytest.approx(0.3 * float(row["speed_mps"]) ** 2, rel=1e-6)
    assert len(seen) < len(scene.bodies[0].velocity.times_s), "an unknown speed is an empty cell"
