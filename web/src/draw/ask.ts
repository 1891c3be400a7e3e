/** The form to ask another question, with other labels, about the next windows. */

import type { View } from "../state/view";
import { el, setAttr, setText, show } from "./dom";
import type { MakePart } from "./hands";

export const makeAsk: MakePart = (hands, words) => {
  const say = words.ask;
  const query = el("input", { id: "ask-query", attrs: { type: "text", maxlength: "200", autocomplete: "off", placeholder: say.placeholder } });
  const labels = el("input", { id: "ask-labels", attrs: { type: "text", maxlength: "320", autocomplete: "off", placeholder: say.labelsPlaceholder } });
  const send = el("button", { attrs: { type: "submit" } }, say.send);
  const status = el("p", { class: "note", id: "ask-status", attrs: { role: "status" } });
  const caution = el("p", { class: "caution" }, say.caution);
  const presets = say.presets.map((preset) =>
    el(
      "button",
      {
        class: "quiet",
        attrs: { type: "button" },
        onClick: () => {
          query.value = preset.query ?? "";
          labels.value = (preset.labels ?? []).join(", ");
          form.requestSubmit();
        },
      },
      preset.name,
    ),
  );
  const form = el(
    "form",
    { attrs: { novalidate: true } },
    el("label", { attrs: { for: "ask-query" } }, say.query),
    query,
    el("label", { attrs: { for: "ask-labels" } }, say.labels),
    labels,
    el("div", { class: "ask-go" }, send, el("div", { class: "presets", attrs: { role: "group", "aria-label": say.presetsLabel } }, ...presets)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = labels.value.split(",").map((label) => label.trim()).filter(Boolean);
    hands.ask(query.value.trim() || null, given.length > 0 ? given : null);
  });
  const root = el("details", { class: "ask", id: "ask" }, el("summary", {}, say.heading), el("p", { class: "note" }, say.lead), form, status, caution);

  return {
    root,
    draw: (view: View) => {
      show(root, view.phase.name === "live");
      const { asking } = view;
      setAttr(root, "data-state", asking.state);
      setText(status, statusWords(view, words.ask));
      // Own labels are cautioned about beside each answer that uses them.
      show(caution, asking.state === "accepted" && asking.query !== null);
    },
  };
};

function statusWords(view: View, say: Parameters<MakePart>[1]["ask"]): string {
  const { asking } = view;
  switch (asking.state) {
    case "idle":
      return "";
    case "sending":
      return say.sending;
    case "refused":
      return [asking.detail || say.failed, asking.hint].filter(Boolean).join(" ");
    case "accepted": {
      const newest = view.session.analyses.findLast((analysis) => analysis.labels.length > 0);
      const answered = newest !== undefined && newest.query === asking.query && newest.labels.join() === asking.labels.join();
      return answered ? say.answered(asking.query ?? say.default) : say.accepted(asking.query ?? say.default);
    }
  }
}
