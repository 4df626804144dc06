// What nodes show of their files: pictures as pictures, and the pack's example clips, which lie in none of ComfyUI's
// folders.
import { app } from "../../scripts/app.js";

const EXAMPLE = "[example] ";
const FOLDER = new URL(".", import.meta.url).pathname.split("/").at(-2);

/** A player of the chosen example below the widgets, and ComfyUI's own preview for every other file. */
function showExamples(node) {
  const file = node.widgets?.find((widget) => widget.name === "file");
  if (!file) return;
  const player = document.createElement("video");
  Object.assign(player, { controls: true, loop: true, playsInline: true, preload: "metadata" });
  player.style.cssText = "width:100%;min-height:0;object-fit:contain;background:#000;border-radius:4px";
  const shown = () => String(file.value).startsWith(EXAMPLE);
  const widget = node.addDOMWidget("pavas_example", "PAVAS_EXAMPLE", player, {
    serialize: false,
    hideOnZoom: true,
    getMinHeight: () => (shown() ? 120 : 0),
    getMaxHeight: () => (shown() ? 1e4 : 0),
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  const update = () => {
    node.hideOutputImages = shown();
    player.style.display = shown() ? "block" : "none";
    const name = encodeURIComponent(String(file.value).slice(EXAMPLE.length));
    const address = new URL(`../../api/workflow_templates/${FOLDER}/clips/${name}`, import.meta.url).href;
    if (!shown()) player.removeAttribute("src");
    else if (player.src !== address) player.src = address;
  };
  const before = file.callback;
  file.callback = function () {
    update();
    return before?.apply(this, arguments);
  };
  const configured = node.onConfigure;
  node.onConfigure = function () {
    configured?.apply(this, arguments);
    update();
  };
  update();
}

app.registerExtension({
  name: "pavas.previews",
  nodeCreated(node) {
    // Where nobody says otherwise, Vue nodes take the pictures of a node with a VIDEO input for videos.
    if (node.comfyClass === "PavasPhysicsPreview") node.previewMediaType = "image";
    if (node.comfyClass === "PavasLoadVideo") showExamples(node);
  },
});
