// Compose Prompt on its node: a button that puts the composed words into the text field, where they can be edited.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "pavas.compose_prompt",
  nodeCreated(node) {
    if (node.comfyClass !== "PavasComposePrompt") return;
    const text = node.widgets?.find((widget) => widget.name === "text");
    if (!text) return;
    const button = node.addWidget(
      "button",
      "Edit this prompt",
      null,
      () => {
        if (!node.pavasPrompt || text.value === node.pavasPrompt) return;
        node.graph?.beforeChange?.();
        text.value = node.pavasPrompt;
        text.callback?.(text.value, app.canvas, node);
        node.graph?.afterChange?.();
        node.graph?.setDirtyCanvas?.(true, true);
      },
      { serialize: false },
    );
    button.serialize = false;
    const before = node.onExecuted;
    node.onExecuted = function (message) {
      before?.apply(this, arguments);
      node.pavasPrompt = message?.pavas_prompt?.[0] ?? node.pavasPrompt;
    };
  },
});
