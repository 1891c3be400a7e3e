/** The form to ask another question, with other labels, about the next windows, or for a summary of the last minutes. */

import type { View } from "../state/view";
import { el, setAttr, setClass, setText, show } from "./dom";
import { clock, labelName } from "./format";
import type { MakePart } from "./hands";

/** Characters of a question; the server refuses more. */
export const MAX_QUERY = 200;
/** From here on the page counts along. */
const COUNTED_FROM = 160;

export const makeAsk: MakePart = (hands, words) => {
  const say = words.ask;
  const query = el("input", { id: "ask-query", attrs: { type: "text", autocomplete: "off", placeholder: say.placeholder, "aria-describedby": "ask-count" } });
  const labels = el("input", { id: "ask-labels", attrs: { type: "text", autocomplete: "off", placeholder: say.labelsPlaceholder } });
  // A question that is too long is counted and said, never cut.
  const count = el("p", { class: "note", id: "ask-count", attrs: { role: "status" } });
  function counted(): boolean {
    const n = queryLength(query.value);
    const over = n > MAX_QUERY;
    show(count, n >= COUNTED_FROM);
    setClass(count, "over", over);
    setText(count, over ? say.tooLong(n, MAX_QUERY) : say.count(n, MAX_QUERY));
    setAttr(query, "aria-invalid", over ? "true" : null);
    return !over;
  }
  query.addEventListener("input", counted);
  const send = el("button", { attrs: { type: "submit" } }, say.send);
  const status = el("p", { class: "note", id: "ask-status", attrs: { role: "status" } });
  const summed = makeSummary(words);
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
          counted();
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
    count,
    el("label", { attrs: { for: "ask-labels" } }, say.labels),
    labels,
    el("div", { class: "ask-go" }, send, el("div", { class: "presets", attrs: { role: "group", "aria-label": say.presetsLabel } }, ...presets)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!counted()) return query.focus();
    const given = labels.value.split(",").map((label) => label.trim()).filter(Boolean);
    hands.ask(query.value.trim() || null, given.length > 0 ? given : null);
  });
  counted();
  const root = el("details", { class: "ask", id: "ask" }, el("summary", {}, say.heading), el("p", { class: "note" }, say.lead), caution, form, status, summed.root);

  return {
    root,
    draw: (view: View) => {
      show(root, view.phase.name === "live");
      const { asking } = view;
      setAttr(root, "data-state", asking.state);
      setText(status, statusWords(view, words));
      summed.draw(view);
    },
  };
};

/** The newest summary, and who wrote it. */
function makeSummary(words: Parameters<MakePart>[1]) {
  const say = words.ask.summary;
  const heading = el("h3");
  // It is told in English whatever the page's language is.
  const text = el("p", { id: "summary-text", attrs: { lang: "en" } });
  const by = el("p", { class: "note", id: "summary-by" });
  // Where a model wrote, what it wrote from.
  const list = el("ul", { attrs: { lang: "en" } });
  const rests = el("div", {}, el("p", { class: "note" }, say.rests), list);
  let drawn = 0;
  const root = el("section", { class: "summary", id: "summary", attrs: { "aria-live": "polite" } }, heading, text, by, rests);
  return {
    root,
    draw: (view: View): void => {
      const newest = view.session.summaries.at(-1);
      show(root, newest !== undefined);
      if (newest === undefined) return;
      setText(heading, say.heading(clock(newest.start), clock(newest.end)));
      setText(text, newest.text);
      setText(by, say.by[newest.source](view.session.model));
      setAttr(root, "data-source", newest.source);
      show(rests, newest.source === "model");
      if (newest.seq === drawn) return;
      drawn = newest.seq;
      list.replaceChildren(...newest.statements.map((statement) => el("li", {}, statement)));
    },
  };
}

/** Characters as the server counts them. */
export function queryLength(text: string): number {
  return Array.from(text.trim().replaceAll(/\s+/g, " ").normalize("NFC")).length;
}

/** What became of the last question. */
export function statusWords(view: View, words: Parameters<MakePart>[1]): string {
  const { asking } = view;
  const say = words.ask;
  switch (asking.state) {
    case "idle":
      return "";
    case "sending":
      return say.sending;
    case "refused":
      if (asking.code === "not_judged") return say.notJudged;
      if (asking.code === "unknown_labels") return say.unknownLabels(asking.labels, view.session.labels.map((label) => labelName(words, label)));
      return [asking.detail || say.failed, asking.hint].filter(Boolean).join(" ");
    case "accepted": {
      if (asking.summary !== null) return view.session.summaries.at(-1)?.query === asking.summary ? "" : say.summary.coming;
      const newest = view.session.analyses.findLast((analysis) => analysis.labels.length > 0);
      const answered = newest !== undefined && newest.query === asking.query && newest.labels.join() === asking.labels.join();
      return answered ? say.answered(asking.query ?? say.default) : say.accepted(asking.query ?? say.default);
    }
  }
}
