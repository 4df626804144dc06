// Pick Take on its node: a player and a waveform for every take; a click on a take's button chooses it.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

function waveform(peaks) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: peaks.length * 2, height: 40 });
  canvas.style.cssText = "flex:1;min-width:60px;height:32px";
  const draw = canvas.getContext("2d");
  draw.fillStyle = "#6cb0f5";
  const top = Math.max(0.01, ...peaks);
  peaks.forEach((peak, index) => {
    const half = Math.max(0.5, (peak / top) * 20);
    draw.fillRect(2 * index, 20 - half, 1.5, 2 * half);
  });
  return canvas;
}

function choose(node, widget, number) {
  if (widget.value === number) return;
  node.graph?.beforeChange?.();
  widget.value = number;
  widget.callback?.(number, app.canvas, node);
  node.graph?.afterChange?.();
  node.graph?.setDirtyCanvas?.(true, true);
}

function row(node, widget, take, number, mark) {
  const query = new URLSearchParams({ filename: take.filename, subfolder: take.subfolder, type: take.type });
  const line = document.createElement("div");
  line.style.cssText = "display:flex;align-items:center;gap:6px;margin-bottom:4px";
  line.title = take.label;
  const button = document.createElement("button");
  button.textContent = `Take ${number}`;
  button.style.cssText = "padding:4px 8px;border-radius:5px;border:1px solid #555;color:#eee;cursor:pointer;flex:none";
  button.onclick = () => {
    choose(node, widget, number);
    mark();
  };
  const player = document.createElement("audio");
  Object.assign(player, { controls: true, preload: "none", src: api.apiURL(`/view?${query}`) });
  player.style.cssText = "width:150px;height:30px;flex:none";
  line.append(button, waveform(take.peaks), player);
  return line;
}

app.registerExtension({
  name: "pavas.pick_take",
  nodeCreated(node) {
    const widget = node.widgets?.find((one) => one.name === "take");
    if (node.comfyClass !== "PavasPickTake" || !widget) return;
    const list = document.createElement("div");
    list.style.cssText = "box-sizing:border-box;width:100%;min-height:40px;overflow:auto;font:12px sans-serif;color:#ddd;padding:4px";
    list.textContent = "Run once; then every take is shown here.";
    const shown = node.addDOMWidget("pavas_takes", "PAVAS_TAKES", list, {
      serialize: false,
      hideOnZoom: true,
      getMinHeight: () => 90,
      getValue: () => "",
      setValue: () => {},
    });
    shown.serialize = false;
    const mark = () =>
      list.querySelectorAll("button").forEach((button, index) => {
        button.style.background = index + 1 === Number(widget.value) ? "#2f7fd6" : "#333";
        button.ariaPressed = index + 1 === Number(widget.value);
      });
    const changed = widget.callback;
    widget.callback = function () {
      const result = changed?.apply(this, arguments);
      mark();
      return result;
    };
    const before = node.onExecuted;
    node.onExecuted = function (message) {
      before?.apply(this, arguments);
      const takes = message?.pavas_takes;
      if (!takes) return;
      list.replaceChildren(...takes.map((take, index) => row(node, widget, take, index + 1, mark)));
      mark();
    };
  },
});
