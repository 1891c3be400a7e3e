/** The panel that compares face and voice: what each alone would say, back to back, and how far apart they are. */

import type { ModalityConflict } from "../wire/generated";
import { sameList } from "../state/timeline";
import { conflictOf, sharesOf, shownAnalysis } from "../state/shown";
import type { View } from "../state/view";
import { el, setAttr, setClass, setShare, setText, show } from "./dom";
import { decimal, labelName, percent } from "./format";
import type { MakePart } from "./hands";

/** Bits of divergence from which face and voice are said to differ, and to disagree. */
const DIFFER = 0.15;
const DISAGREE = 0.4;

export function degree(score: number): "low" | "middle" | "high" {
  if (score >= DISAGREE) return "high";
  return score >= DIFFER ? "middle" : "low";
}

export const makeConflict: MakePart = (_hands, words) => {
  const say = words.conflict;
  const summary = el("p", { class: "summary", id: "conflict" });
  const score = el("p", { class: "note" });
  const list = el("ul", { class: "butterfly", attrs: { "aria-label": say.heading } });
  const chart = el("div", { class: "pair" }, el("div", { class: "pair-heads", attrs: { "aria-hidden": "true" } }, el("span", {}, say.face), el("span", {}, say.voice)), list);
  const root = el(
    "section",
    { class: "conflict", attrs: { "aria-labelledby": "conflict-heading" } },
    el("div", { class: "conflict-words" }, el("h2", { id: "conflict-heading" }, say.heading), summary, score),
    chart,
  );
  const rows = new Map<string, HTMLElement>();
  let labels: readonly string[] = [];

  function makeRows(names: readonly string[]): void {
    rows.clear();
    list.replaceChildren();
    for (const name of names) {
      const side = (kind: string): HTMLElement => el("span", { class: kind, attrs: { "aria-hidden": "true" } }, el("i"));
      const row = el("li", {}, side("of-face"), el("span", { class: "name", attrs: { "aria-hidden": "true" } }, labelName(words, name)), side("of-voice"), el("span", { class: "unseen" }));
      rows.set(name, row);
      list.append(row);
    }
  }

  function drawRows(conflict: ModalityConflict | null): void {
    for (const [name, row] of rows) {
      const face = conflict?.face[name] ?? 0;
      const voice = conflict?.voice[name] ?? 0;
      setShare(row, "--face-share", face);
      setShare(row, "--voice-share", voice);
      setClass(row, "top", conflict !== null && (isTop(conflict.face, face) || isTop(conflict.voice, voice)));
      const unseen = row.lastElementChild;
      // Empty bars are no shares of 0: nothing was compared.
      if (unseen !== null) setText(unseen, conflict === null ? "" : say.row(labelName(words, name), percent(face), percent(voice)));
    }
  }

  return {
    root,
    draw: (view: View) => {
      show(root, view.choice === "both");
      const analysis = shownAnalysis(view);
      const wanted = sharesOf(view.session, analysis);
      if (!sameList(wanted, labels)) {
        labels = wanted;
        makeRows(wanted);
      }
      const conflict = analysis === null ? null : conflictOf(analysis);
      setClass(root, "empty", conflict === null);
      setAttr(list, "aria-hidden", conflict === null ? "true" : null);
      setAttr(root, "data-degree", conflict === null ? "none" : degree(conflict.score));
      setText(summary, conflict === null ? say.none : say.score[degree(conflict.score)]);
      setText(score, conflict === null ? "" : say.scoreNote(decimal(conflict.score, 2)));
      drawRows(conflict);
    },
  };
};

function isTop(distribution: Readonly<Record<string, number>>, value: number): boolean {
  return value > 0 && value === Math.max(...Object.values(distribution));
}
