/** Earlier moments, newest first; a click shows what was said about one. */

import type { Messages } from "../messages";
import { bestLabel, concluded, shownAnalysis } from "../state/shown";
import type { Analysis, View } from "../state/view";
import { FORMAT_NAMES } from "../files/export";
import { el, setAttr, setClass, setText, show } from "./dom";
import { clock, labelName, sureness } from "./format";
import type { Hands, MakePart } from "./hands";

/** Rows on the page at first, and how many more a click brings. */
const PAGE_ROWS = 12;

interface Row {
  readonly root: HTMLElement;
  readonly draw: (analysis: Analysis, shown: boolean) => void;
}

export const makeHistory: MakePart = (hands, words) => {
  const say = words.history;
  const list = el("ol", { class: "moments", id: "history" });
  const empty = el("p", { class: "empty-note" }, say.empty);
  const saves = FORMAT_NAMES.map((format) =>
    el("button", { class: "quiet", attrs: { type: "button", "aria-label": say.save(say.formats[format]) }, onClick: () => hands.save(format) }, say.formats[format]),
  );
  const saving = el("p", { class: "saving" }, el("span", { attrs: { "aria-hidden": "true" } }, say.saveAs), ...saves, el("button", { class: "quiet", id: "report-button", attrs: { type: "button" }, onClick: hands.print }, say.print));
  const more = el("button", { class: "quiet", attrs: { type: "button" } });
  const root = el("section", { class: "history", attrs: { "aria-labelledby": "history-heading" } }, el("div", { class: "history-bar" }, el("h2", { id: "history-heading" }, say.heading), saving), empty, list, more);
  const rows: Row[] = [];
  let nWanted = PAGE_ROWS;
  let last: View | null = null;

  function draw(view: View): void {
    last = view;
    const moments = view.session.analyses.filter((analysis) => bestLabel(analysis) !== null).toReversed();
    const shown = shownAnalysis(view);
    while (rows.length < Math.min(nWanted, moments.length)) {
      const row = makeRow(hands, words);
      rows.push(row);
      list.append(row.root);
    }
    while (rows.length > moments.length) rows.pop()?.root.remove();
    rows.forEach((row, index) => {
      const moment = moments[index];
      if (moment !== undefined) row.draw(moment, moment === shown);
    });
    show(empty, moments.length === 0);
    show(saving, moments.length > 0);
    const nMore = Math.min(PAGE_ROWS, moments.length - rows.length);
    show(more, nMore > 0);
    setText(more, say.more(nMore));
  }

  more.addEventListener("click", () => {
    nWanted += PAGE_ROWS;
    if (last !== null) draw(last);
  });
  return { root, draw };
};

/** One row of the list. Rows stay in place and are given other moments, so the list never scrolls under the pointer. */
function makeRow(hands: Hands, words: Messages): Row {
  const time = el("span", { class: "time" });
  const name = el("span", { class: "name" });
  const kind = el("span", { class: "kind", attrs: { "aria-hidden": "true" } });
  const value = el("span", { class: "value" });
  let window = -1;
  const button = el("button", { attrs: { type: "button" }, onClick: () => hands.send({ do: "pin", window }) }, time, kind, name, value);
  return {
    root: el("li", {}, button),
    draw: (analysis, shown) => {
      window = analysis.window;
      const conclusion = concluded(analysis);
      setText(time, analysis.span === null ? "" : clock(analysis.span.end));
      setText(name, labelName(words, conclusion.label));
      setText(value, sureness(conclusion));
      setClass(button, "spoken", (analysis.span?.speechS ?? 0) > 0);
      setClass(button, "writing", analysis.sections === null);
      setAttr(button, "aria-current", shown ? "true" : null);
    },
  };
}
