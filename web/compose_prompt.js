// Compose Prompt on its node: the words of the last run, and a button that puts them into the text field to be edited.
import { app } from "../../scripts/app.js";

const BEFORE_THE_FIRST_RUN = "Run once; then the prompt is shown here.";
const EMPTY = "The prompt is empty: nothing moves in this clip.";

function edit(node, text) {
  if (!node.pavasPrompt || text.value === node.pavasPrompt) return;
  node.graph?.beforeChange?.();
  text.value = node.pavasPrompt;
  text.callback?.(text.value, app.canvas, node);
  node.graph?.afterChange?.();
  node.graph?.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "pavas.compose_prompt",
  nodeCreated(node) {
    const text = node.widgets?.find((widget) => widget.name === "text");
    if (node.comfyClass !== "PavasComposePrompt" || !text) return;
    const button = node.addWidget("button", "Edit this prompt", null, () => edit(node, text), { serialize: false });
    button.serialize = false;
    const words = document.createElement("div");
    words.style.cssText =
      "box-sizing:border-box;width:100%;overflow:auto;font:12px/1.45 sans-serif;color:#ddd;padding:4px 8px";
    words.textContent = BEFORE_THE_FIRST_RUN;
    const shown = node.addDOMWidget("pavas_prompt", "PAVAS_PROMPT", words, {
      serialize: false,
      hideOnZoom: true,
      getMinHeight: () => 44,
      getValue: () => "",
      setValue: () => {},
    });
    shown.serialize = false;
    const before = node.onExecuted;
    // Sent for results from the cache too, so that a page loaded anew shows them.
    node.onExecuted = function (message) {
      before?.apply(this, arguments);
      if (!message?.pavas_prompt) return;
      node.pavasPrompt = message.pavas_prompt[0];
      words.textContent = node.pavasPrompt || EMPTY;
    };
  },
});
