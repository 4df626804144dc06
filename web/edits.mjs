// What hand-made corrections do to a scene, without any page: the browser's twin of pavas_core/physics/overrides.py.
// Both are run on the same cases, tests/js/edit_cases.json. Seconds, kilograms, metres per second, joules.

export const VERSION = 1;
export const MAX_EDITS_BYTES = 64000;
export const NEAR_S = 0.15;
const SPEED_REACH_S = 0.2;
const OBJECT_KEYS = ["mass_kg", "material", "speed_scale", "speed_curve", "mute", "solo", "name", "action"];

/** The edits that a text stands for; empty text = none. Throws an Error in a sentence for what is no such JSON. */
export function parseEdits(text) {
  if (!text.trim()) return {};
  let edits;
  try {
    edits = JSON.parse(text);
  } catch (error) {
    throw new Error(`The edits are no JSON (${error.message}): correct them or leave them empty.`);
  }
  if (edits === null || typeof edits !== "object" || Array.isArray(edits)) throw new Error("The edits must be a mapping of objects, impacts, add_impacts: write {...}.");
  if ((edits.version ?? VERSION) !== VERSION) throw new Error(`The edits have version ${edits.version}, this pack reads ${VERSION}: update the pack.`);
  return edits;
}

/** The text of edits: nothing where nothing is edited, else versioned JSON without empty parts. */
export function editsText(edits) {
  const kept = pruned(edits);
  return Object.keys(kept).length ? JSON.stringify({ version: VERSION, ...kept }) : "";
}

function pruned(edits) {
  const kept = {};
  const objects = Object.entries(edits.objects ?? {}).filter(([, changes]) => Object.keys(changes).length);
  if (objects.length) kept.objects = Object.fromEntries(objects);
  if (Object.keys(edits.impacts ?? {}).length) kept.impacts = edits.impacts;
  if (edits.add_impacts?.length) kept.add_impacts = edits.add_impacts;
  return kept;
}

/** Lower case with single hyphens: "Red ball" -> "red-ball". */
export function slug(name) {
  return String(name).toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
}

/** [objects a name means, how exactly]: by id 0, alias 1, name 2, any name for the only nameless object 3. */
export function findObjects(name, objects) {
  const wanted = slug(name);
  const keys = [(one) => [one.id], (one) => one.aliases ?? [], (one) => [one.name]];
  for (const [exactness, names] of keys.entries()) {
    const found = objects.filter((one) => wanted && names(one).map(slug).includes(wanted));
    if (found.length) return [found, exactness];
  }
  if (wanted && objects.length === 1 && slug(objects[0].name) === "object") return [objects, 3];
  return [[], 9];
}

/** The impact that an entry of the edits means, or undefined. */
export function findImpact(scene, key, changes) {
  if (changes === null || changes.was_s === undefined) return scene.impacts.find((one) => one.id === key);
  let near = scene.impacts.filter((one) => Math.abs(one.time_s - changes.was_s) <= NEAR_S);
  if (changes.object !== undefined) {
    const ids = new Set(findObjects(changes.object, scene.objects)[0].map((one) => one.id));
    near = near.filter((one) => ids.has(one.object) || ids.has(one.partner));
  }
  const apart = (one) => Math.abs(one.time_s - changes.was_s);
  near.sort((a, b) => apart(a) - apart(b) || (a.id < b.id ? -1 : 1));
  return near[0];
}

/** Of one object: the edit that counts for each key, the most exact name winning. */
export function editsOf(edits, objects) {
  const ranked = new Map(objects.map((one) => [one.id, {}]));
  for (const [name, changes] of Object.entries(edits.objects ?? {})) {
    const [found, rank] = name === "*" ? [objects, 9] : findObjects(name, objects);
    for (const one of found) {
      const own = ranked.get(one.id);
      for (const key of OBJECT_KEYS) if (key in changes && (!(key in own) || rank < own[key][0])) own[key] = [rank, changes[key]];
    }
  }
  return new Map([...ranked].map(([id, own]) => [id, Object.fromEntries(Object.entries(own).map(([key, [, value]]) => [key, value]))]));
}

/** {objects, impacts, orphans} of a scene after the edits; the scene itself is left as it is. */
export function applyEdits(scene, edits) {
  const orphans = [];
  for (const name of Object.keys(edits.objects ?? {})) {
    if (name !== "*" && !findObjects(name, scene.objects)[0].length) orphans.push(`object ${name}`);
  }
  const wanted = editsOf(edits, scene.objects);
  const objects = scene.objects.map((one) => ({ ...one }));
  const byId = new Map(objects.map((one) => [one.id, one]));
  let impacts = scene.impacts.map((one) => ({ ...one }));

  for (const one of objects) {
    const own = wanted.get(one.id);
    if (own.name) one.name = own.name;
    if (own.action !== undefined) one.action = own.action;
    if (own.material !== undefined) one.material = own.material;
    if (own.mass_kg !== undefined) reweigh(one, own.mass_kg, impacts, byId);
  }
  rescale(objects, wanted, impacts, byId);
  for (const one of objects) if (wanted.get(one.id).speed_curve) redraw(one, wanted.get(one.id).speed_curve, impacts, byId);

  const targets = [];
  for (const [key, changes] of Object.entries(edits.impacts ?? {})) {
    const meant = findImpact(scene, key, changes);
    if (meant) targets.push([meant.id, changes]);
    else orphans.push(`impact ${key}`);
  }
  for (const [id, changes] of targets) {
    const impact = impacts.find((one) => one.id === id);
    if (changes === null || changes.delete) impacts = impacts.filter((one) => one !== impact);
    else alter(impact, changes);
  }
  for (const one of edits.add_impacts ?? []) {
    const lost = [one.object, ...(one.partner ? [one.partner] : [])].some((name) => !findObjects(name, scene.objects)[0].length);
    if (lost || one.time_s > scene.duration_s) orphans.push(`new impact of ${one.object} at ${one.time_s} s`);
    else impacts.push(created(scene, one, objects, impacts, byId));
  }
  const takesPart = (impact, ids) => ids.has(impact.object) || ids.has(impact.partner);
  const named = (key) => new Set(objects.filter((one) => wanted.get(one.id)[key]).map((one) => one.id));
  const [muted, soloed] = [named("mute"), named("solo")];
  impacts = impacts.filter((one) => !takesPart(one, muted) && (!soloed.size || takesPart(one, soloed)));
  impacts.sort((a, b) => a.time_s - b.time_s);
  return { objects, impacts, orphans };
}

function massInContact(impact, byId) {
  const own = byId.get(impact.object).mass_kg;
  if (!impact.partner) return own;
  const other = byId.get(impact.partner).mass_kg;
  return (own * other) / (own + other);
}

function energyLoss(impact, massKg, own, others) {
  if (own === others) return impact.energy_loss_j * own;
  const ownJ = (massKg / 2) * (impact.pre_speed_mps ** 2 - impact.post_speed_mps ** 2);
  const restJ = impact.energy_loss_j > 0 ? impact.energy_loss_j - ownJ : 0;
  return Math.max(0, own * ownJ + others * restJ);
}

function reweigh(object, massKg, impacts, byId) {
  const old = object.mass_kg;
  for (const one of impacts) {
    if (one.object !== object.id && one.partner !== object.id) continue;
    object.mass_kg = old;
    const before = massInContact(one, byId);
    const main = byId.get(one.object).mass_kg;
    object.mass_kg = massKg;
    one.impulse_ns *= massInContact(one, byId) / before;
    const own = one.object === object.id ? massKg / old : 1;
    const others = one.partner === null || one.partner === undefined || one.partner === object.id ? massKg / old : 1;
    one.energy_loss_j = energyLoss(one, main, own, one.partner ? others : 1);
  }
  object.mass_kg = massKg;
  object.low_kg = object.high_kg = massKg;
}

function scaleImpact(impact, factor) {
  for (const key of ["pre_normal_mps", "post_normal_mps", "pre_speed_mps", "post_speed_mps", "impulse_ns"]) impact[key] *= factor;
  impact.energy_loss_j *= factor ** 2;
}

function rescale(objects, wanted, impacts, byId) {
  const factor = (id) => wanted.get(id)?.speed_scale ?? 1;
  for (const one of objects) {
    const times = factor(one.id);
    if (times !== 1) one.speeds_mps = one.speeds_mps.map((speed) => (speed === null ? null : speed * times));
  }
  for (const one of impacts) {
    const own = factor(one.object);
    const others = one.partner ? factor(one.partner) : own;
    if (own === others) {
      scaleImpact(one, own);
      continue;
    }
    // What the partner brings along the normal is known in Python alone; the picture takes the object's own part.
    one.energy_loss_j = energyLoss(one, byId.get(one.object).mass_kg, own ** 2, others ** 2);
    for (const key of ["pre_normal_mps", "post_normal_mps", "pre_speed_mps", "post_speed_mps"]) one[key] *= own;
    one.impulse_ns = massInContact(one, byId) * (one.pre_normal_mps + one.post_normal_mps);
  }
}

/** Speeds of a curve [[s, m/s], ...] just before and just after a time within it. */
export function curveAt(curve, timeS) {
  const here = curve.filter((point) => point[0] === timeS);
  if (here.length) return [here[0][1], here[here.length - 1][1]];
  const next = curve.findIndex((point) => point[0] > timeS);
  const [t0, v0] = curve[next - 1];
  const [t1, v1] = curve[next];
  const speed = v0 + ((timeS - t0) / (t1 - t0)) * (v1 - v0);
  return [speed, speed];
}

function redraw(object, curve, impacts, byId) {
  const [from, to] = [curve[0][0], curve[curve.length - 1][0]];
  object.speeds_mps = object.speeds_mps.map((speed, index) => {
    const timeS = object.times_s[index];
    if (timeS < from || timeS > to) return speed;
    const [before, after] = curveAt(curve, timeS);
    return (before + after) / 2;
  });
  const turned = (normal, speed, changed) => (speed > 0 ? changed * Math.min(1, normal / speed) : changed);
  for (const one of impacts) {
    if (one.object !== object.id || one.time_s < from || one.time_s > to) continue;
    const [before, after] = curveAt(curve, one.time_s);
    const ownJ = (object.mass_kg / 2) * (one.pre_speed_mps ** 2 - one.post_speed_mps ** 2);
    const restJ = one.energy_loss_j > 0 ? one.energy_loss_j - ownJ : 0;
    one.pre_normal_mps = turned(one.pre_normal_mps, one.pre_speed_mps, before);
    one.post_normal_mps = turned(one.post_normal_mps, one.post_speed_mps, after);
    [one.pre_speed_mps, one.post_speed_mps] = [before, after];
    one.impulse_ns = massInContact(one, byId) * (one.pre_normal_mps + one.post_normal_mps);
    one.energy_loss_j = Math.max(0, (object.mass_kg / 2) * (before ** 2 - after ** 2) + restJ);
  }
}

function alter(impact, changes) {
  impact.source = "edit";
  if (changes.time_s !== undefined) impact.time_s = changes.time_s;
  if (changes.speed_mps !== undefined && impact.pre_normal_mps > 0) scaleImpact(impact, changes.speed_mps / impact.pre_normal_mps);
  if (changes.surface !== undefined) impact.surface = changes.surface;
  if (changes.contact !== undefined) impact.contact = changes.contact;
}

/** The last speed at most 0.2 s before a time, or the first one as soon after it; null where there is none. */
export function speedAt(object, timeS) {
  const known = object.times_s.map((_, index) => index)
    .filter((index) => object.speeds_mps[index] !== null && Math.abs(object.times_s[index] - timeS) <= SPEED_REACH_S);
  if (!known.length) return null;
  const before = known.filter((index) => object.times_s[index] <= timeS);
  return object.speeds_mps[before.length ? before[before.length - 1] : known[0]];
}

function created(scene, wanted, objects, impacts, byId) {
  const object = findObjects(wanted.object, scene.objects)[0][0];
  const partner = wanted.partner ? findObjects(wanted.partner, scene.objects)[0][0].id : null;
  const contact = wanted.contact ?? "bounce";
  const surface = wanted.surface ?? "unknown";
  const speed = wanted.speed_mps ?? speedAt(byId.get(object.id), wanted.time_s) ?? 0;
  const keys = [byId.get(object.id).material, partner ? byId.get(partner).material : surface].filter((key) => key !== "unknown" && key in scene.materials);
  const typical = keys.length ? Math.min(...keys.map((key) => scene.materials[key])) : scene.materials.unknown;
  const restitution = wanted.restitution ?? (contact === "bounce" || contact === "collision" ? typical : 0);
  const taken = new Set(impacts.map((one) => one.id));
  let number = 1;
  while (taken.has(`edit-${number}`)) number += 1;
  const after = speed * restitution;
  const impact = {
    id: `edit-${number}`, time_s: wanted.time_s, object: object.id, partner, surface, contact,
    pre_normal_mps: speed, post_normal_mps: after, pre_speed_mps: speed, post_speed_mps: after, source: "edit",
  };
  const massKg = massInContact(impact, byId);
  impact.impulse_ns = massKg * (speed + after);
  impact.energy_loss_j = (massKg / 2) * (speed ** 2 - after ** 2);
  return impact;
}

/** The speeds of an object as points to drag: few where it is straight, two at each of its impacts. */
export function curvePoints(object, impacts, most = 40) {
  const points = [];
  const known = object.times_s.map((timeS, index) => [timeS, object.speeds_mps[index]]).filter((point) => point[1] !== null);
  if (known.length < 2) return known;
  const hits = impacts.filter((one) => one.object === object.id && one.time_s > known[0][0] && one.time_s < known[known.length - 1][0]);
  let rest = known;
  for (const hit of hits) {
    const part = rest.filter((point) => point[0] < hit.time_s);
    rest = rest.filter((point) => point[0] > hit.time_s);
    points.push([...part, [hit.time_s, hit.pre_speed_mps]]);
    rest.unshift([hit.time_s, hit.post_speed_mps]);
  }
  points.push(rest);
  const top = Math.max(...known.map((point) => point[1]), 1e-6);
  for (let tolerance = 0.01; ; tolerance *= 1.5) {
    const thin = points.flatMap((part) => simplified(part, tolerance * top));
    if (thin.length <= Math.max(most, 2 * points.length)) return thin.map(([timeS, speed]) => [rounded(timeS), rounded(speed)]);
  }
}

/** A polyline with fewer points, nowhere further than the tolerance from the old one in height. */
export function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points[points.length - 1]];
  let worst = 0;
  let place = 0;
  for (let index = 1; index < points.length - 1; index += 1) {
    const straight = first[1] + ((points[index][0] - first[0]) / (last[0] - first[0] || 1)) * (last[1] - first[1]);
    const off = Math.abs(points[index][1] - straight);
    if (off > worst) [worst, place] = [off, index];
  }
  if (worst <= tolerance) return [first, last];
  return [...simplified(points.slice(0, place + 1), tolerance).slice(0, -1), ...simplified(points.slice(place), tolerance)];
}

/** A curve with what was drawn in place of its points in that span of time. */
export function drawnCurve(curve, stroke) {
  const drawn = [...stroke].sort((a, b) => a[0] - b[0]).filter((point, index, all) => !index || point[0] > all[index - 1][0]);
  if (drawn.length < 2) return curve;
  const [from, to] = [drawn[0][0], drawn[drawn.length - 1][0]];
  const thin = simplified(drawn, 0.01 * Math.max(...drawn.map((point) => point[1]), 1e-6));
  return [...curve.filter((point) => point[0] < from), ...thin, ...curve.filter((point) => point[0] > to)]
    .map(([timeS, speed]) => [rounded(timeS), rounded(Math.max(0, speed))]);
}

/** Four decimals of a second or a metre per second are more than anyone hears. */
export function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}

/** Edits with one object's key set, or removed where the value is undefined. */
export function withObjectEdit(edits, id, key, value) {
  const own = { ...(edits.objects?.[id] ?? {}) };
  if (value === undefined) delete own[key];
  else own[key] = value;
  return { ...edits, objects: { ...edits.objects, [id]: own } };
}

/** Edits with changes to an impact of the estimate; null deletes it, undefined forgets its edits. Anchored in time. */
export function withImpactEdit(edits, scene, id, changes) {
  const impact = scene.impacts.find((one) => one.id === id);
  const impacts = { ...edits.impacts };
  const old = Object.keys(impacts).find((key) => findImpact(scene, key, impacts[key])?.id === id);
  const before = old === undefined || impacts[old] === null || impacts[old].delete ? {} : impacts[old];
  if (old !== undefined) delete impacts[old];
  const anchor = { object: impact.object, was_s: rounded(impact.time_s) };
  if (changes === null) impacts[id] = { delete: true, ...anchor };
  else if (changes !== undefined) impacts[id] = { ...before, ...changes, ...anchor };
  return { ...edits, impacts };
}

/** Steps to undo and redo; every state is a text. */
export class History {
  constructor(text) {
    this.states = [text];
    this.place = 0;
  }

  get now() {
    return this.states[this.place];
  }

  add(text) {
    if (text === this.now) return;
    this.states = [...this.states.slice(0, this.place + 1), text].slice(-500);
    this.place = this.states.length - 1;
  }

  undo() {
    if (this.place > 0) this.place -= 1;
    return this.now;
  }

  redo() {
    if (this.place < this.states.length - 1) this.place += 1;
    return this.now;
  }
}

/** Where a mass lies on a slider from 0 to 1 that runs from 0.1 g to 10 t, and back. */
export const massToSlider = (massKg) => Math.min(1, Math.max(0, (Math.log10(massKg) + 4) / 8));
export const sliderToMass = (place) => Number((10 ** (place * 8 - 4)).toPrecision(3));
