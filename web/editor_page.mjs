// The page of the Physics Editor. What edits mean is in edits.mjs; here they are only drawn and taken from the user.
import {
  History, applyEdits, curvePoints, drawnCurve, editsOf, editsText, findImpact, massToSlider, parseEdits, rounded,
  sliderToMass, speedAt, withImpactEdit, withObjectEdit, MAX_EDITS_BYTES,
} from "./edits.mjs";

const $ = (id) => document.getElementById(id);
const HINTS = {
  points: "Drag points or impact lines. Double-click adds a point, Alt-click removes one. Keys: [ ] up down Enter Del.",
  draw: "Draw the speed by hand.",
  scale: "Drag up for faster, down for slower.",
};
const BOX = { left: 52, right: 16, top: 14, bottom: 24 };

let scene; // the estimate
let edits = {};
let result; // the scene after the edits
let highest; // m/s
let history;
let close;
let start = "";
let chosen; // id of the object shown
let tool = "points";
let point = -1; // of the chosen object's curve: the one that keys move
let time = 0;
let playing = null;
let drag = null;
let held = null; // edits while something is dragged
let discard = false;
const sheets = [];

window.pavasOpen = ({ view, sheets: urls, edits: text, apply, cancel }) => {
  scene = view;
  close = { apply, cancel };
  try {
    edits = parseEdits(text);
  } catch (error) {
    $("orphans").textContent = `${error.message} Apply replaces them.`;
  }
  start = editsText(edits);
  history = new History(start);
  chosen = scene.objects[0]?.id;
  urls.forEach(readSheet);
  $("material").replaceChildren(...options(Object.keys(scene.materials)));
  $("scrub").max = scene.duration_s;
  chooseTool("points");
  refresh();
  document.body.dataset.ready = "yes";
};

/** Decode a sheet of pictures once: an image element may be decoded anew whenever it is drawn. */
async function readSheet(url, index) {
  const reply = await fetch(url);
  if (!reply.ok) return;
  sheets[index] = await createImageBitmap(await reply.blob());
  drawFilm();
}

function options(values) {
  return values.map((value) => new Option(value, value));
}

function estimateOf(id) {
  return scene.objects.find((one) => one.id === id);
}

function resultOf(id) {
  return result.objects.find((one) => one.id === id);
}

/** Take edits over: while dragging only to look at, else as a step that can be undone. */
function change(changed, step = true) {
  const text = editsText(changed);
  if (text.length > MAX_EDITS_BYTES) {
    $("hint").textContent = "These edits are longer than 64 kB: thin out the speed curves.";
    return;
  }
  edits = changed;
  if (step) history.add(text);
  discard = false;
  refresh();
}

function go(text) {
  edits = parseEdits(text);
  discard = false;
  refresh();
}

function refresh() {
  const began = performance.now();
  result = applyEdits(scene, edits);
  highest = topSpeed();
  drawState();
  drawObjects();
  drawDetails();
  if (!document.activeElement?.closest?.("#impacts")) drawImpacts();
  drawCurve();
  drawFilm();
  document.body.dataset.echoMs = (performance.now() - began).toFixed(1);
}

function drawState() {
  const changed = editsText(edits);
  $("state").textContent = discard ? "Press Esc again to discard the changes." : changed ? "edited" : "as estimated";
  $("undo").disabled = history.place === 0;
  $("redo").disabled = history.place === history.states.length - 1;
  $("reset").disabled = !changed;
  document.body.dataset.edits = changed;
  if (result.orphans.length) $("orphans").textContent = `Kept, but no object or impact fits: ${result.orphans.join("; ")}.`;
}

function drawObjects() {
  const wanted = editsOf(edits, scene.objects);
  const anySolo = scene.objects.some((one) => wanted.get(one.id).solo);
  $("objects").replaceChildren(
    ...result.objects.map((one) => {
      const own = wanted.get(one.id);
      const row = document.createElement("div");
      row.className = `object${one.id === chosen ? " chosen" : ""}`;
      row.tabIndex = 0;
      row.role = "option";
      row.ariaSelected = one.id === chosen;
      row.dataset.id = one.id;
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = one.colour;
      const name = document.createElement("span");
      name.className = `name${Object.keys(own).length ? " edited" : ""}${own.mute || (anySolo && !own.solo) ? " off" : ""}`;
      name.textContent = one.name === one.id || one.id.startsWith(one.name) ? one.id : `${one.name} (${one.id})`;
      const mass = document.createElement("span");
      mass.textContent = amount(one.mass_kg);
      row.append(dot, name, mass, toggle("M", "Mute", own.mute, one.id, "mute"), toggle("S", "Solo", own.solo, one.id, "solo"));
      row.onclick = () => choose(one.id);
      row.onkeydown = (event) => {
        if (event.target !== row) return;
        if (event.key === "Enter" || event.key === " ") choose(one.id);
        const next = { ArrowDown: row.nextSibling, ArrowUp: row.previousSibling }[event.key];
        if (next) choose(next.dataset.id);
        if (next || event.key === " ") event.preventDefault();
        if (next || event.key === "Enter" || event.key === " ") $("objects").querySelector(".chosen").focus();
      };
      return row;
    }),
  );
}

function toggle(letter, title, on, id, key) {
  const button = document.createElement("button");
  button.textContent = letter;
  button.title = title;
  button.className = on ? "on" : "";
  button.ariaPressed = Boolean(on);
  button.dataset.key = key;
  button.onclick = (event) => {
    event.stopPropagation();
    change(withObjectEdit(edits, id, key, on ? undefined : true));
  };
  return button;
}

function choose(id) {
  chosen = id;
  point = -1;
  document.activeElement?.blur?.();
  refresh();
}

function amount(massKg) {
  return massKg < 1 ? `${Number((massKg * 1000).toPrecision(3))} g` : `${Number(massKg.toPrecision(3))} kg`;
}

function put(id, value) {
  if (document.activeElement !== $(id)) $(id).value = value;
}

function drawDetails() {
  $("details").hidden = !chosen;
  if (!chosen) return;
  const [one, old] = [resultOf(chosen), estimateOf(chosen)];
  const own = editsOf(edits, scene.objects).get(chosen);
  put("name", one.name);
  put("action", one.action);
  put("material", one.material);
  put("mass", Number(one.mass_kg.toPrecision(4)));
  $("massSlider").value = massToSlider(one.mass_kg);
  put("scale", own.speed_scale ?? 1);
  $("scaleSlider").value = Math.log2(own.speed_scale ?? 1);
  // A range input's handle is 16 px wide and its middle runs that much less than the whole width.
  const place = (massKg) => `calc(8px + (100% - 16px) * ${massToSlider(massKg)})`;
  $("tick").style.left = `calc(${place(old.mass_kg)} - 1px)`;
  $("range").style.left = place(old.low_kg);
  $("range").style.right = `calc(100% - ${place(old.high_kg)})`;
  $("massNote").textContent = `Estimate ${amount(old.mass_kg)}, ${amount(old.low_kg)} to ${amount(old.high_kg)} (${old.mass_source})`;
  $("forget").disabled = !Object.keys(edits.objects?.[chosen] ?? {}).length;
}

function number(value, title, step, onchange) {
  const input = document.createElement("input");
  Object.assign(input, { type: "number", value: Number(value.toFixed(3)), title, step, min: 0, ariaLabel: title });
  input.onchange = () => Number.isFinite(input.valueAsNumber) && onchange(input.valueAsNumber);
  return input;
}

function select(values, value, title, onchange) {
  const list = document.createElement("select");
  list.append(...options(values));
  Object.assign(list, { value, title, ariaLabel: title, onchange: () => onchange(list.value) });
  return list;
}

function drawImpacts() {
  const mine = (one) => one.object === chosen || one.partner === chosen;
  const head = document.createElement("div");
  head.className = "impact head";
  for (const text of ["time, s", "m/s", "onto", "contact", ""]) head.append(Object.assign(document.createElement("span"), { textContent: text }));
  const rows = result.impacts.filter(mine).map((one) => {
    const row = document.createElement("div");
    row.className = "impact";
    row.dataset.id = one.id;
    const onto = one.partner
      ? Object.assign(document.createElement("span"), { className: "name", textContent: one.object === chosen ? one.partner : one.object })
      : select(Object.keys(scene.materials), one.surface, "Surface", (surface) => alter(one.id, { surface }));
    const bin = Object.assign(document.createElement("button"), { textContent: "✕", title: "Delete this impact", onclick: () => remove(one.id) });
    bin.className = "bin";
    row.append(
      number(one.time_s, "Time in seconds", 0.01, (time_s) => alter(one.id, { time_s: Math.min(time_s, scene.duration_s) })),
      number(one.pre_normal_mps, "Approach speed in m/s", 0.1, (speed_mps) => alter(one.id, { speed_mps })),
      onto,
      select(scene.contacts, one.contact, "Contact", (contact) => alter(one.id, { contact })),
      bin,
    );
    row.onclick = (event) => event.target === row && seek(one.time_s);
    return row;
  });
  const gone = scene.impacts.filter((one) => mine(one) && deleted(one.id)).map((one) => {
    const row = document.createElement("div");
    row.className = "impact gone";
    const back = Object.assign(document.createElement("button"), { textContent: "Restore", onclick: () => change(withImpactEdit(edits, scene, one.id, undefined)) });
    row.append(Object.assign(document.createElement("span"), { textContent: `${one.time_s.toFixed(2)} s ${one.contact}` }), back);
    return row;
  });
  $("impacts").replaceChildren(...(rows.length + gone.length ? [head, ...rows, ...gone] : [Object.assign(document.createElement("span"), { textContent: "None.", className: "head" })]));
}

function deleted(id) {
  return Object.entries(edits.impacts ?? {}).some(([key, one]) => (one === null || one.delete) && findImpact(scene, key, one)?.id === id);
}

/** Which of add_impacts an impact of the result is; -1 for one of the estimate. */
function addedPlace(id) {
  const impact = result.impacts.find((one) => one.id === id);
  if (scene.impacts.some((one) => one.id === id)) return -1;
  return (edits.add_impacts ?? []).findIndex((one) => one.time_s === impact.time_s && (one.speed_mps === undefined || one.speed_mps === impact.pre_normal_mps));
}

function altered(base, id, changes) {
  const place = addedPlace(id);
  if (place < 0) return withImpactEdit(base, scene, id, changes);
  const added = [...base.add_impacts];
  if (changes === null) added.splice(place, 1);
  else added[place] = { ...added[place], ...changes };
  return { ...base, add_impacts: added };
}

function alter(id, changes) {
  document.activeElement?.blur?.();
  change(altered(edits, id, changes));
}

function remove(id) {
  document.activeElement?.blur?.();
  change(altered(edits, id, null));
}

function addImpact() {
  if (!chosen) return;
  const one = resultOf(chosen);
  const speed = rounded(Math.max(speedAt(one, time) ?? 0, 0.5));
  const time_s = rounded(Math.min(time, scene.duration_s));
  change({ ...edits, add_impacts: [...(edits.add_impacts ?? []), { object: chosen, time_s, speed_mps: speed }] });
}

// --- the film

function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const draw = canvas.getContext("2d");
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  return [draw, width, height];
}

function pictureAt(timeS) {
  const times = scene.film.times_s;
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= timeS + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}

function drawFilm() {
  if (!result) return;
  const [draw, width, height] = fit($("film"));
  draw.clearRect(0, 0, width, height);
  const film = scene.film;
  const index = pictureAt(time);
  const each = film.columns * film.rows;
  const sheet = sheets[Math.floor(index / each)];
  const scale = Math.min(width / film.width, height / film.height);
  const [w, h] = [film.width * scale, film.height * scale];
  const [x, y] = [(width - w) / 2, (height - h) / 2];
  if (sheet) {
    const [column, row] = [index % film.columns, Math.floor((index % each) / film.columns)];
    draw.drawImage(sheet, column * film.width, row * film.height, film.width, film.height, x, y, w, h);
  }
  for (const one of result.impacts) {
    if (!one.position || Math.abs(one.time_s - time) > 0.08) continue;
    const [cx, cy] = [x + one.position[0] * w, y + one.position[1] * h];
    for (const radius of [10, 18]) {
      draw.beginPath();
      draw.arc(cx, cy, radius, 0, 7);
      draw.strokeStyle = "#ff4d4d";
      draw.lineWidth = 2.5;
      draw.stroke();
    }
  }
  $("scrub").value = time;
  $("clock").textContent = `${time.toFixed(2)} s`;
}

function seek(timeS) {
  time = Math.min(Math.max(timeS, 0), scene.duration_s);
  drawFilm();
  placeHead();
}

/** The playhead is an element over the curve, so that scrubbing does not draw the curve anew. */
function placeHead() {
  $("head").style.transform = `translateX(${axes().x(time)}px)`;
}

function play() {
  if (playing) {
    cancelAnimationFrame(playing.frame);
    playing = null;
    $("play").textContent = "▶";
    return;
  }
  playing = { from: time >= scene.duration_s - 0.02 ? 0 : time, began: performance.now() };
  $("play").textContent = "❚❚";
  const step = () => {
    if (!playing) return;
    seek(playing.from + (performance.now() - playing.began) / 1000);
    if (time >= scene.duration_s) play();
    else playing.frame = requestAnimationFrame(step);
  };
  playing.frame = requestAnimationFrame(step);
}

// --- the curve

/** The speed at the top of the curve's axis, m/s. */
function topSpeed() {
  const speeds = [scene.objects, result.objects].flatMap((all) => all.flatMap((one) => one.speeds_mps));
  const hits = result.impacts.map((one) => one.pre_speed_mps);
  return 1.15 * [...speeds, ...hits].reduce((most, speed) => Math.max(most, speed ?? 0), 0.5);
}

function axes() {
  const canvas = $("curve");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const top = drag?.top ?? highest;
  const span = [width - BOX.left - BOX.right, height - BOX.top - BOX.bottom];
  return {
    width, height, top,
    x: (timeS) => BOX.left + (timeS / scene.duration_s) * span[0],
    y: (speed) => BOX.top + (1 - Math.min(speed / top, 1.2)) * span[1],
    time: (x) => Math.min(Math.max(((x - BOX.left) / span[0]) * scene.duration_s, 0), scene.duration_s),
    speed: (y) => Math.max(0, (1 - (y - BOX.top) / span[1]) * top),
  };
}

function ownCurve() {
  return editsOf(edits, scene.objects).get(chosen)?.speed_curve;
}

function shownPoints() {
  return ownCurve() ?? curvePoints(resultOf(chosen), result.impacts);
}

function line(draw, at, times, speeds) {
  draw.beginPath();
  let down = false;
  times.forEach((timeS, index) => {
    if (speeds[index] === null) down = false;
    else {
      if (down) draw.lineTo(at.x(timeS), at.y(speeds[index]));
      else draw.moveTo(at.x(timeS), at.y(speeds[index]));
      down = true;
    }
  });
  draw.stroke();
}

function lighter(colour) {
  const parts = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return `rgb(${parts.map((part) => Math.round(part + (255 - part) * 0.35)).join(",")})`;
}

function drawCurve() {
  const [draw, width, height] = fit($("curve"));
  const at = axes();
  draw.fillStyle = "#191919";
  draw.fillRect(0, 0, width, height);
  draw.font = "11px system-ui, sans-serif";
  draw.textBaseline = "middle";
  const step = niceStep(at.top / 4);
  for (let speed = 0; speed <= at.top; speed += step) {
    draw.fillStyle = "#2a2a2a";
    draw.fillRect(BOX.left, at.y(speed), width - BOX.left - BOX.right, 1);
    draw.fillStyle = "#9a9a9a";
    draw.textAlign = "right";
    draw.fillText(`${Number(speed.toFixed(2))}`, BOX.left - 6, at.y(speed));
  }
  draw.textAlign = "left";
  draw.fillText("m/s", 6, BOX.top);
  draw.textAlign = "center";
  const every = niceStep(scene.duration_s / 10);
  for (let timeS = 0; timeS <= scene.duration_s; timeS += every) draw.fillText(`${Number(timeS.toFixed(2))} s`, at.x(timeS), height - 11);
  for (const one of result.objects) {
    if (one.id === chosen) continue;
    draw.strokeStyle = `${one.colour}66`;
    draw.lineWidth = 1;
    line(draw, at, one.times_s, one.speeds_mps);
  }
  for (const one of result.impacts) {
    const mine = one.object === chosen || one.partner === chosen;
    const colour = lighter(resultOf(one.object).colour);
    draw.globalAlpha = mine ? 1 : 0.3;
    draw.strokeStyle = draw.fillStyle = one.source === "edit" ? "#f0b84a" : colour;
    draw.lineWidth = 1.5;
    draw.beginPath();
    draw.moveTo(at.x(one.time_s), BOX.top);
    draw.lineTo(at.x(one.time_s), height - BOX.bottom);
    draw.stroke();
    draw.beginPath();
    draw.moveTo(at.x(one.time_s) - 6, 2);
    draw.lineTo(at.x(one.time_s) + 6, 2);
    draw.lineTo(at.x(one.time_s), BOX.top);
    draw.fill();
    draw.globalAlpha = 1;
  }
  if (chosen) {
    const [one, old] = [resultOf(chosen), estimateOf(chosen)];
    draw.strokeStyle = "#b5b5b5";
    draw.setLineDash([5, 4]);
    draw.lineWidth = 1.3;
    line(draw, at, old.times_s, old.speeds_mps);
    draw.setLineDash([]);
    draw.strokeStyle = lighter(one.colour);
    draw.lineWidth = 2.5;
    const curve = ownCurve();
    line(draw, at, one.times_s, one.speeds_mps);
    if (curve) line(draw, at, curve.map((point) => point[0]), curve.map((point) => point[1]));
    if (tool === "points") {
      for (const [index, [timeS, speed]] of shownPoints().entries()) {
        draw.beginPath();
        draw.arc(at.x(timeS), at.y(speed), index === point ? 7 : 4, 0, 7);
        draw.fillStyle = index === point ? "#fff" : curve ? "#f0b84a" : "#e4e4e4";
        draw.fill();
      }
    }
    if (drag?.stroke) {
      draw.strokeStyle = "#f0b84a";
      line(draw, at, drag.stroke.map((point) => point[0]), drag.stroke.map((point) => point[1]));
    }
  }
  placeHead();
}

function niceStep(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value);
}

function nearPoint(event, at) {
  const points = shownPoints();
  const place = points.findIndex(([timeS, speed]) => Math.hypot(at.x(timeS) - event.offsetX, at.y(speed) - event.offsetY) < 9);
  return [points, place];
}

function pointerdown(event) {
  if (!chosen || event.button !== 0) return;
  $("curve").focus();
  $("curve").setPointerCapture(event.pointerId);
  const at = axes();
  held = edits;
  const impact = result.impacts.find((one) => (one.object === chosen || one.partner === chosen) && Math.abs(at.x(one.time_s) - event.offsetX) < 6);
  if (tool === "points") {
    const [points, place] = nearPoint(event, at);
    if (place >= 0 && event.altKey && points.length > 2) {
      change(withObjectEdit(edits, chosen, "speed_curve", points.filter((_, index) => index !== place)));
    } else if (place >= 0) drag = { points, place, top: at.top };
    else if (impact) drag = { impact: impact.id, added: addedPlace(impact.id), top: at.top };
    else drag = { seek: true, top: at.top };
    if (drag?.seek) seek(at.time(event.offsetX));
  } else if (tool === "draw") drag = { stroke: [[at.time(event.offsetX), at.speed(event.offsetY)]], top: at.top };
  else drag = { scaleFrom: event.offsetY, factor: editsOf(edits, scene.objects).get(chosen).speed_scale ?? 1, top: at.top };
}

function pointermove(event) {
  if (!drag) return;
  const at = axes();
  if (drag.points) {
    const points = drag.points.map((point) => [...point]);
    const [before, after] = [points[drag.place - 1], points[drag.place + 1]];
    const jump = before?.[0] === points[drag.place][0] || after?.[0] === points[drag.place][0];
    const timeS = jump ? points[drag.place][0] : Math.min(Math.max(at.time(event.offsetX), (before?.[0] ?? -0.002) + 0.002), (after?.[0] ?? scene.duration_s + 0.002) - 0.002);
    points[drag.place] = [rounded(timeS), rounded(at.speed(event.offsetY))];
    change(withObjectEdit(held, chosen, "speed_curve", points), false);
  } else if (drag.impact) {
    const time_s = rounded(at.time(event.offsetX));
    if (drag.added >= 0) {
      const added = [...held.add_impacts];
      added[drag.added] = { ...added[drag.added], time_s };
      change({ ...held, add_impacts: added }, false);
    } else change(withImpactEdit(held, scene, drag.impact, { time_s }), false);
  } else if (drag.stroke) {
    drag.stroke.push([at.time(event.offsetX), at.speed(event.offsetY)]);
    drawCurve();
  } else if (drag.scaleFrom !== undefined) {
    const factor = drag.factor * 2 ** ((drag.scaleFrom - event.offsetY) / 60);
    change(withObjectEdit(held, chosen, "speed_scale", Number(Math.min(100, Math.max(0.01, factor)).toFixed(3))), false);
  } else seek(at.time(event.offsetX));
}

function pointerup() {
  if (!drag) return;
  const done = drag;
  drag = null;
  if (done.stroke) change(withObjectEdit(held, chosen, "speed_curve", drawnCurve(shownPoints(), done.stroke)));
  else if (!done.seek && edits !== held) change(edits);
}

function doubleclick(event) {
  if (tool !== "points" || !chosen) return;
  const at = axes();
  const point = [rounded(at.time(event.offsetX)), rounded(at.speed(event.offsetY))];
  const [points, place] = nearPoint(event, at);
  if (place >= 0 || points.some((one) => one[0] === point[0])) return;
  change(withObjectEdit(edits, chosen, "speed_curve", [...points, point].sort((a, b) => a[0] - b[0])));
}

/** What a key does to the curve that has the focus; false where it does nothing. */
function curveKey(key, fine) {
  if (!chosen || (tool !== "points" && tool !== "scale")) return false;
  const up = { arrowup: 1, arrowdown: -1 }[key];
  if (tool === "scale") {
    if (!up) return false;
    const factor = (editsOf(edits, scene.objects).get(chosen).speed_scale ?? 1) * 2 ** (up / (fine ? 48 : 12));
    change(withObjectEdit(edits, chosen, "speed_scale", Number(Math.min(100, Math.max(0.01, factor)).toFixed(3))));
    return true;
  }
  const points = shownPoints();
  const current = points[point];
  if (key === "[" || key === "]") {
    point = Math.min(Math.max(point + (key === "]" ? 1 : -1), 0), points.length - 1);
    if (points[point]) seek(points[point][0]);
  } else if (up && current) {
    const speed = Math.max(0, current[1] + up * axes().top * (fine ? 0.002 : 0.02));
    change(withObjectEdit(edits, chosen, "speed_curve", points.with(point, [current[0], rounded(speed)])));
  } else if ((key === "delete" || key === "backspace") && current && points.length > 2) {
    change(withObjectEdit(edits, chosen, "speed_curve", points.toSpliced(point, 1)));
    point = Math.min(point, points.length - 2);
    drawCurve();
  } else if (key === "enter" && points.every((one) => one[0] !== rounded(time))) {
    const added = [rounded(time), rounded(speedAt(resultOf(chosen), time) ?? 0)];
    const all = [...points, added].sort((a, b) => a[0] - b[0]);
    change(withObjectEdit(edits, chosen, "speed_curve", all));
    point = all.indexOf(added);
    drawCurve();
  } else return false;
  return true;
}

function chooseTool(name) {
  tool = name;
  $("hint").textContent = HINTS[name];
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.className = button.dataset.tool === name ? "on" : "";
    button.ariaPressed = button.dataset.tool === name;
  }
  if (result) drawCurve();
}

// --- wiring

for (const key of ["name", "action"]) {
  $(key).onchange = () => {
    const value = $(key).value.trim();
    const same = value === estimateOf(chosen)[key] || (key === "name" && !value);
    change(withObjectEdit(edits, chosen, key, same ? undefined : value));
  };
}
$("material").onchange = () => change(withObjectEdit(edits, chosen, "material", $("material").value === estimateOf(chosen).material ? undefined : $("material").value));
$("mass").onchange = () => {
  const value = $("mass").valueAsNumber;
  if (value > 0 && value <= 1e6) change(withObjectEdit(edits, chosen, "mass_kg", value));
};
$("massSlider").oninput = () => change(withObjectEdit(edits, chosen, "mass_kg", sliderToMass($("massSlider").valueAsNumber)), false);
$("massSlider").onchange = () => change(edits);
$("scale").onchange = () => {
  const value = $("scale").valueAsNumber;
  if (value >= 0.01 && value <= 100) change(withObjectEdit(edits, chosen, "speed_scale", value === 1 ? undefined : value));
};
$("scaleSlider").oninput = () => {
  const factor = Number((2 ** $("scaleSlider").valueAsNumber).toFixed(3));
  change(withObjectEdit(edits, chosen, "speed_scale", factor === 1 ? undefined : factor), false);
};
$("scaleSlider").onchange = () => change(edits);
$("forget").onclick = () => {
  const objects = { ...edits.objects };
  delete objects[chosen];
  change({ ...edits, objects });
};
$("add").onclick = addImpact;
$("undo").onclick = () => go(history.undo());
$("redo").onclick = () => go(history.redo());
$("reset").onclick = () => change({});
$("cancel").onclick = () => close.cancel();
$("apply").onclick = () => close.apply(editsText(edits));
$("play").onclick = play;
$("scrub").oninput = () => seek($("scrub").valueAsNumber);
for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => chooseTool(button.dataset.tool);
$("curve").onpointerdown = pointerdown;
$("curve").onpointermove = pointermove;
$("curve").onpointerup = $("curve").onpointercancel = pointerup;
$("curve").ondblclick = doubleclick;
new ResizeObserver(() => result && (drawFilm(), drawCurve())).observe(document.body);

document.addEventListener("keydown", (event) => {
  const typing = /^(text|number)$/.test(event.target.type) || event.target.tagName === "SELECT";
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  const actions = {
    Escape: () => {
      if (discard || editsText(edits) === start) close.cancel();
      else {
        discard = true;
        drawState();
      }
    },
  };
  if (event.key === "Escape") actions.Escape();
  else if (command && key === "enter") {
    document.activeElement?.blur?.();
    close.apply(editsText(edits));
  } else if (typing) return;
  else if (command && key === "z") go(event.shiftKey ? history.redo() : history.undo());
  else if (command && key === "y") go(history.redo());
  else if (command || event.altKey) return;
  else if (event.target === $("curve") && curveKey(key, event.shiftKey)) {
    // done
  } else if (key === " " && !["BUTTON"].includes(event.target.tagName) && !event.target.closest?.(".object")) play();
  else if (key === "i") addImpact();
  else if ("123".includes(key)) chooseTool(["points", "draw", "scale"][Number(key) - 1]);
  else if ((key === "arrowleft" || key === "arrowright") && event.target.type !== "range") {
    const count = (key === "arrowleft" ? -1 : 1) * (event.shiftKey ? 10 : 1);
    const times = scene.film.times_s;
    seek(times[Math.min(Math.max(pictureAt(time) + count, 0), times.length - 1)]);
  } else return;
  event.preventDefault();
});
