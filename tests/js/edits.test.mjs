import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as edits from "../../web/edits.mjs";

const { scene, cases } = JSON.parse(readFileSync(new URL("./edit_cases.json", import.meta.url), "utf8"));

function like(given, expected, where = "") {
  if (Array.isArray(expected)) {
    assert.equal(given.length, expected.length, where);
    expected.forEach((item, index) => like(given[index], item, `${where}[${index}]`));
  } else if (expected !== null && typeof expected === "object") {
    for (const key of Object.keys(expected)) like(given[key], expected[key], `${where}.${key}`);
  } else if (typeof expected === "number") {
    assert.ok(Math.abs(given - expected) <= 2e-4 * Math.abs(expected) + 1e-6, `${where}: ${given} is not ${expected}`);
  } else assert.equal(given, expected, where);
}

for (const { name, edits: wanted, after } of cases) {
  test(name, () => {
    const before = JSON.stringify(scene);
    like(edits.applyEdits(scene, edits.parseEdits(JSON.stringify(wanted))), after);
    assert.equal(JSON.stringify(scene), before);
  });
}

test("no edits are no text, and text comes back as it was", () => {
  assert.equal(edits.editsText({}), "");
  assert.equal(edits.editsText({ objects: { a: {} }, impacts: {}, add_impacts: [] }), "");
  for (const { edits: wanted } of cases) {
    const text = edits.editsText(wanted);
    assert.equal(edits.editsText(edits.parseEdits(text)), text);
  }
});

test("what is no edits is refused in a sentence", () => {
  for (const text of ["{", "[]", "3", '{"version": 2}']) assert.throws(() => edits.parseEdits(text), /\.$/);
});

test("a deleted impact comes back", () => {
  const { id } = scene.impacts[0];
  const gone = edits.withImpactEdit({}, scene, id, null);
  assert.ok(!edits.applyEdits(scene, gone).impacts.some((one) => one.id === id));
  assert.equal(edits.editsText(edits.withImpactEdit(gone, scene, id, undefined)), "");
});

test("points of the estimated curve keep the speeds at impacts", () => {
  const ball = scene.objects[0];
  const points = edits.curvePoints(ball, scene.impacts);
  assert.ok(points.length >= 2 && points.length <= 40);
  const redrawn = edits.applyEdits(scene, edits.withObjectEdit({}, ball.id, "speed_curve", points));
  for (const one of scene.impacts.filter((impact) => impact.object === ball.id)) {
    const [from, to] = [points[0][0], points[points.length - 1][0]];
    if (one.time_s <= from || one.time_s >= to) continue;
    like(redrawn.impacts.find((impact) => impact.id === one.id).pre_speed_mps, edits.rounded(one.pre_speed_mps));
  }
});

test("a stroke replaces the curve where it was drawn", () => {
  const drawn = edits.drawnCurve([[0, 1], [1, 1], [2, 1]], [[0.5, 3], [0.9, 4], [1.5, 3]]);
  assert.deepEqual(drawn, [[0, 1], [0.5, 3], [0.9, 4], [1.5, 3], [2, 1]]);
});

test("undo and redo go through the steps; a new step forgets the undone ones", () => {
  const history = new edits.History("");
  history.add("a");
  history.add("a");
  history.add("b");
  assert.equal(history.undo(), "a");
  assert.equal(history.undo(), "");
  assert.equal(history.undo(), "");
  assert.equal(history.redo(), "a");
  history.add("c");
  assert.equal(history.redo(), "c");
  assert.equal(history.undo(), "a");
});

test("the slider of masses runs from 0.1 g to 10 t", () => {
  assert.equal(edits.sliderToMass(0), 0.0001);
  assert.equal(edits.sliderToMass(1), 10000);
  for (const massKg of [0.0027, 0.6, 70]) like(edits.sliderToMass(edits.massToSlider(massKg)), massKg);
});

test("ten objects on eight seconds are edited well within a frame of patience", () => {
  const count = 240;
  const objects = Array.from({ length: 10 }, (_, index) => ({
    ...scene.objects[0], id: `ball-${index + 1}`, name: `ball ${index}`,
    times_s: Array.from({ length: count }, (_, place) => place / 30), speeds_mps: Array(count).fill(1 + index),
  }));
  const impacts = Array.from({ length: 200 }, (_, index) => ({ ...scene.impacts[0], id: `impact-${index + 1}`, partner: null, object: objects[index % 10].id, time_s: index / 25 }));
  const large = { ...scene, duration_s: 8, objects, impacts };
  const wanted = { objects: Object.fromEntries(objects.map((one) => [one.id, { mass_kg: 2, speed_scale: 2, speed_curve: edits.curvePoints(one, impacts) }])) };
  const after = edits.applyEdits(large, wanted);
  assert.equal(after.impacts.length, 200);
  assert.ok(edits.editsText(wanted).length < edits.MAX_EDITS_BYTES);
});
