// The Physics Editor on its node: a summary, a button, and the dialog, whose page is an iframe so that its keys and
// styles stay its own.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NODE = "PavasPhysicsEditor";

function editsWidget(node) {
  return node.widgets?.find((widget) => widget.name === "edits");
}

function tempUrl(shown, name) {
  const query = new URLSearchParams({ filename: name, subfolder: shown.subfolder, type: shown.type });
  return new URL(api.apiURL(`/view?${query}`), location.href).href;
}

function showSummary(node, lines) {
  const list = node.pavasSummary;
  list.replaceChildren(
    ...lines.map((line) => {
      const row = document.createElement("div");
      row.textContent = line;
      if (/\(edited|added|removed|changed/.test(line)) row.style.color = "#f0b84a";
      if (line.startsWith("No object")) row.style.color = "#ff8a7a";
      return row;
    }),
  );
}

/** Tell the workflow that it has changed, so that it is saved and can be undone. */
function commit(node, text) {
  const widget = editsWidget(node);
  if (widget.value === text) return;
  node.graph?.beforeChange?.();
  widget.value = text;
  widget.callback?.(text, app.canvas, node);
  node.graph?.afterChange?.();
  node.graph?.setDirtyCanvas?.(true, true);
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

async function openEditor(node) {
  const shown = node.pavasShown;
  if (!shown) {
    showSummary(node, ["Run the workflow once; then there is something to edit."]);
    return;
  }
  let view;
  try {
    const reply = await fetch(tempUrl(shown, shown.view));
    if (!reply.ok) throw new Error(reply.statusText);
    view = await reply.json();
  } catch {
    showSummary(node, ["The pictures are gone, as after a restart of the server: run the workflow once more."]);
    return;
  }
  const dialog = document.createElement("dialog");
  dialog.className = "pavas-editor";
  dialog.style.cssText =
    "width:min(1500px,96vw);height:min(940px,94vh);max-width:none;max-height:none;padding:0;border:1px solid #4a4a4a;" +
    "border-radius:10px;background:#1f1f1f;overflow:hidden;box-shadow:0 20px 80px #000a";
  const frame = document.createElement("iframe");
  frame.title = "Physics Editor";
  frame.style.cssText = "width:100%;height:100%;border:0;display:block";
  frame.src = new URL("./editor.html", import.meta.url).href;
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  frame.addEventListener("load", () =>
    frame.contentWindow.pavasOpen({
      view,
      sheets: view.film.sheets.map((name) => tempUrl(shown, name)),
      edits: editsWidget(node).value ?? "",
      apply: (text) => {
        commit(node, text);
        close();
      },
      cancel: close,
    }),
  );
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.append(frame);
  app.canvas.canvas.parentElement.append(dialog);
  dialog.showModal();
  frame.focus();
}

app.registerExtension({
  name: "pavas.physics_editor",
  nodeCreated(node) {
    if (node.comfyClass !== NODE || !editsWidget(node)) return;
    const button = node.addWidget("button", "Edit physics", null, () => openEditor(node), { serialize: false });
    button.serialize = false;
    const list = document.createElement("div");
    list.style.cssText =
      "box-sizing:border-box;width:100%;min-height:64px;overflow:auto;font:12px/1.45 sans-serif;color:#ddd;padding:4px 8px";
    node.pavasSummary = list;
    const summary = node.addDOMWidget("pavas_summary", "PAVAS_SUMMARY", list, {
      serialize: false,
      hideOnZoom: true,
      getMinHeight: () => 72,
      getValue: () => "",
      setValue: () => {},
    });
    summary.serialize = false;
    showSummary(node, ["Run once, then edit masses, speeds and impacts here."]);
    const before = node.onExecuted;
    node.onExecuted = function (message) {
      before?.apply(this, arguments);
      const shown = message?.pavas_editor?.[0];
      if (!shown) return;
      node.pavasShown = shown;
      showSummary(node, shown.summary);
    };
  },
});
