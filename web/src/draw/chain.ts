/** The reasoning as it is written, section by section. Sections appear as they open, so nothing above them ever moves. */

import { SECTIONS, type Section } from "../protocol";
import { sectionText, shownAnalysis, type View } from "../view";
import { el, setAttr, setClass, setText, show } from "./dom";
import { clock } from "./format";
import type { MakePart } from "./hands";

/** What a section speaks of, and so what lights up with it. */
export const EVIDENCE: Readonly<Record<Section, "face" | "voice" | "both">> = {
  face: "face",
  context: "face",
  atmosphere: "face",
  voice: "voice",
  coarse: "both",
  fine: "both",
  answer: "both",
};

export const makeChain: MakePart = (hands, words) => {
  const say = words.chain;
  const empty = el("p", { class: "empty-note" });
  const status = el("span");
  const back = el("button", { class: "quiet", attrs: { type: "button" }, onClick: () => hands.send({ do: "pin", window: null }) }, say.back);
  const bar = el("div", { class: "chain-bar" }, el("h2", { id: "chain-heading" }, say.heading), status, back);
  const sections = SECTIONS.map((name) => ({ name, ...makeSection(name) }));
  const root = el(
    "section",
    { class: "chain", id: "chain", attrs: { "aria-labelledby": "chain-heading", tabindex: "-1" } },
    bar,
    empty,
    ...sections.map((section) => section.root),
  );

  function makeSection(name: Section) {
    const note = name === "face" ? say.notes.face : name === "voice" ? say.notes.voice : "";
    const heading = el("button", { attrs: { type: "button", ...(note === "" ? {} : { title: note }) } }, say.sections[name]);
    // The model writes English whatever the page's language is.
    const text = el("p", { attrs: { lang: "en" } });
    const part = el("section", { class: "section", attrs: { "data-section": name, "data-evidence": EVIDENCE[name] } }, el("h3", {}, heading), text);
    show(part, false);
    const light = (on: boolean) => (): void => hands.send({ do: "light", section: on ? name : null });
    part.addEventListener("pointerenter", light(true));
    part.addEventListener("pointerleave", light(false));
    heading.addEventListener("focus", light(true));
    heading.addEventListener("blur", light(false));
    return { root: part, text };
  }

  // Whoever reads a moment keeps it until they look away; the next one waits.
  root.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") hands.send({ do: "hold", on: true });
  });
  root.addEventListener("pointerleave", () => {
    if (!root.contains(document.activeElement)) hands.send({ do: "hold", on: false });
  });
  root.addEventListener("focusin", () => hands.send({ do: "hold", on: true }));
  root.addEventListener("focusout", (event) => {
    if (!(event.relatedTarget instanceof Node && root.contains(event.relatedTarget))) hands.send({ do: "hold", on: false });
  });

  return {
    root,
    draw: (view: View) => {
      const analysis = shownAnalysis(view);
      const texts = sections.map((section) => (analysis === null ? "" : sectionText(analysis, section.name)));
      const open = analysis?.sections === null ? texts.findLastIndex((text) => text !== "") : -1;
      show(empty, texts.every((text) => text === ""));
      const newest = view.session.analyses.at(-1);
      setText(empty, analysis === null ? say.empty : analysis === newest ? say.follows : say.skipped);
      sections.forEach((section, index) => {
        const text = texts[index] ?? "";
        show(section.root, text !== "");
        setText(section.text, text);
        setClass(section.root, "open", index === open);
        setClass(section.root, "lit", view.lit === section.name);
      });
      const earlier = view.pinned !== null && analysis?.window === view.pinned;
      const span = analysis?.span;
      setText(status, earlier ? say.pinned(span ? clock(span.end) : "") : view.held !== null && isBehind(view) ? say.held : "");
      show(back, earlier);
      setAttr(root, "data-window", analysis === null ? null : String(analysis.window));
      setClass(root, "done", analysis?.sections !== null && analysis !== null);
    },
  };
};

function isBehind(view: View): boolean {
  return shownAnalysis(view)?.window !== shownAnalysis({ ...view, held: null })?.window;
}
