/** The working screen: picture and sound on one side, what is read in them on the other. Stays readable after the end. */

import type { View } from "../view";
import { makeChain } from "./chain";
import { makeConflict } from "./conflict";
import { el, setText, show } from "./dom";
import { makeHistory } from "./history";
import { makeLatency } from "./latency";
import { makeStage } from "./stage";
import { makeStrip } from "./strip";
import { makeVerdict } from "./verdict";
import type { MakePart } from "./hands";

export const makeLive: MakePart = (hands, words) => {
  const watching = [makeStage(hands, words), makeStrip(hands, words)];
  const reading = [makeVerdict(hands, words), makeChain(hands, words)];
  const beside = [makeConflict(hands, words), makeHistory(hands, words), makeLatency(hands, words)];
  const title = el("h1");
  const text = el("p");
  const kept = el("p", { class: "note" }, words.ended.kept);
  const again = el("button", { class: "primary", id: "again", attrs: { type: "button" }, onClick: () => hands.send({ do: "forget" }) }, words.ended.again);
  const forget = el("button", { class: "quiet", id: "forget", attrs: { type: "button" }, onClick: () => hands.send({ do: "forget" }) }, words.ended.forget);
  const ended = el("section", { class: "ended", id: "ended", attrs: { tabindex: "-1" } }, title, text, kept, el("div", { class: "go" }, again, forget));
  const watch = el("div", { class: "watch" }, ...watching.map((part) => part.root));
  const heading = el("h1", { class: "unseen" }, words.title);
  const root = el(
    "main",
    { class: "live", id: "live", attrs: { tabindex: "-1" } },
    heading,
    el("div", { class: "left" }, ended, watch, ...beside.map((part) => part.root)),
    el("div", { class: "right" }, ...reading.map((part) => part.root)),
  );

  let drawn: View | null = null;
  return {
    root,
    draw: (view: View, nowS: number) => {
      // Picture and sound move by themselves; what is read changes with the view alone.
      if (view.phase.name === "live" || view !== drawn) for (const part of watching) part.draw(view, nowS);
      if (view === drawn) return;
      drawn = view;
      const over = view.phase.name === "ended" ? view.phase : null;
      show(ended, over !== null);
      show(watch, over === null);
      show(heading, over === null);
      for (const part of [...reading, ...beside]) part.draw(view, nowS);
      if (over === null) return;
      setText(title, words.ended[over.why].title);
      setText(text, [words.ended.reasons[over.detail] ?? over.detail, words.ended[over.why].text].filter(Boolean).join(" "));
      show(kept, view.session.analyses.length > 0);
      show(forget, view.session.analyses.length > 0);
    },
  };
};
