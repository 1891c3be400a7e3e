/**
 * The reasoning as it is written, section by section. Sections appear as they open, so nothing above them ever moves.
 *
 * Pointing at a statement, or reaching it with the keyboard, lights up what it rests on. The whole chain is one stop of
 * the Tab key; the arrow keys go from statement to statement.
 */

import { statements, type Statement } from "../state/evidence";
import { SECTIONS, type Section } from "../wire/generated";
import { cautionOf, sectionText, shownAnalysis, shownReasons } from "../state/shown";
import type { Analysis, View } from "../state/view";
import { el, setAttr, setClass, setText, show } from "./dom";
import { clock } from "./format";
import type { Hands, MakePart } from "./hands";

/** The mark of a section says which sense it speaks of. */
export const SENSE: Readonly<Record<Section, "face" | "voice" | "both">> = {
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
  const hint = el("p", { class: "note hint" }, say.hint);
  const caution = el("p", { class: "caution" });
  const question = el("p", { class: "note asked" });
  const spoken = el("p", { class: "note spoken" }, say.wordsRead);
  const again = el("p", { class: "note again" }, say.rewritten);
  const otherwise = el("p", { class: "note otherwise" }, say.unsupported);
  const from = el("p", { class: "note from" });
  const sections = SECTIONS.map((name) => {
    const text = makeStatements(hands);
    const part = el("section", { class: "section", attrs: { "data-section": name, "data-evidence": SENSE[name] } }, el("h3", {}, say.sections[name]), text.root);
    show(part, false);
    return { name, root: part, text };
  });
  const root = el(
    "section",
    { class: "chain", id: "chain", attrs: { "aria-labelledby": "chain-heading", tabindex: "-1" } },
    bar,
    hint,
    question,
    caution,
    empty,
    ...sections.map((section) => section.root),
    from,
    otherwise,
    again,
    spoken,
  );

  // The moment that is being read stays until pointer and focus leave it.
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
  root.addEventListener("keydown", (event) => moveAmong(root, event));

  return {
    root,
    draw: (view: View) => {
      const analysis = shownReasons(view);
      const texts = sections.map((section) => (analysis === null ? "" : sectionText(analysis, section.name)));
      const open = analysis?.sections === null ? texts.findLastIndex((text) => text !== "") : -1;
      const none = texts.every((text) => text === "");
      show(empty, none);
      const newest = view.session.analyses.at(-1);
      setText(empty, analysis === null ? say.empty : analysis === newest && view.phase.name === "live" ? say.follows : say.skipped);
      const said = cautionOf(view.session, analysis === null ? [] : [analysis]);
      show(caution, said !== null);
      setText(caution, said === null ? "" : say[said]);
      show(question, analysis !== null && analysis.query !== null);
      setText(question, analysis?.query == null ? "" : say.asked(analysis.query, analysis.readAs, view.session.answerModel));
      const rule = analysis?.answeredFrom ?? "model";
      show(from, rule !== "model");
      setText(from, rule === "model" ? "" : say.answeredFrom[rule]);
      setAttr(from, "data-from", rule);
      show(again, analysis?.rewritten === "yes");
      show(spoken, analysis?.wordsRead === true);
      show(otherwise, (analysis?.unsupported.length ?? 0) > 0);
      sections.forEach((section, index) => {
        const text = texts[index] ?? "";
        show(section.root, text !== "");
        setClass(section.root, "open", index === open);
        section.text.draw(analysis, section.name, text, view);
      });
      keepOneTabStop(root);
      const earlier = view.pinned !== null && analysis?.window === view.pinned;
      const span = analysis?.span;
      const time = span ? clock(span.end) : "";
      const late = analysis?.window !== shownAnalysis(view)?.window;
      setText(status, earlier ? say.pinned(time) : view.held !== null && isBehind(view) ? say.held : late ? say.late(time) : "");
      show(back, earlier && view.phase.name !== "replay");
      setAttr(root, "data-window", analysis === null ? null : String(analysis.window));
      setClass(root, "done", analysis?.sections !== null && analysis !== null);
    },
  };
};

function makeStatements(hands: Hands) {
  // The model writes English whatever the page's language is.
  const root = el("p", { attrs: { lang: "en" } });
  const spans: HTMLElement[] = [];
  let told: readonly Statement[] = [];
  let drawn = "";

  function spanAt(place: number): HTMLElement {
    const found = spans[place];
    if (found !== undefined) return found;
    const span = el("span", { class: "statement", attrs: { role: "button", tabindex: "-1" } });
    const light = (on: boolean) => (): void => hands.send({ do: "light", evidence: on ? (told[place]?.evidence ?? null) : null });
    span.addEventListener("pointerenter", light(true));
    span.addEventListener("pointerleave", light(false));
    span.addEventListener("focus", light(true));
    span.addEventListener("blur", light(false));
    const read = (): void => hands.send({ do: "pin", window: told[place]?.evidence.window ?? null });
    span.addEventListener("click", read);
    span.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        read();
      }
    });
    spans.push(span);
    root.append(span);
    return span;
  }

  return {
    root,
    draw: (analysis: Analysis | null, section: Section, text: string, view: View): void => {
      const key = analysis === null ? "" : `${analysis.window} ${analysis.people.join()} ${analysis.unsupported.length} ${text}`;
      if (key !== drawn) {
        drawn = key;
        told = analysis === null ? [] : statements(section, text, analysis);
        told.forEach((statement, place) => {
          mark(spanAt(place), statement);
        });
        while (spans.length > told.length) spans.pop()?.remove();
      }
      const lit = view.lit !== null && view.lit.window === analysis?.window && view.lit.section === section ? view.lit.place : -1;
      spans.forEach((span, place) => setClass(span, "lit", place === lit));
    },
  };
}

/** The statement, with a line through what was measured otherwise. */
function mark(span: HTMLElement, { text, unsupported }: Statement): void {
  const parts: Node[] = [];
  let from = 0;
  for (const [begin, end] of unsupported) {
    parts.push(document.createTextNode(text.slice(from, begin)), el("s", {}, text.slice(begin, end)));
    from = end;
  }
  span.replaceChildren(...parts, document.createTextNode(text.slice(from)));
}

function allStatements(root: HTMLElement): HTMLElement[] {
  return [...root.querySelectorAll<HTMLElement>(".statement")];
}

function keepOneTabStop(root: HTMLElement): void {
  const all = allStatements(root);
  const focused = all.find((span) => span === document.activeElement);
  const stop = focused ?? all.find((span) => span.tabIndex === 0) ?? all[0];
  for (const span of all) if ((span.tabIndex === 0) !== (span === stop)) span.tabIndex = span === stop ? 0 : -1;
}

function moveAmong(root: HTMLElement, event: KeyboardEvent): void {
  const all = allStatements(root);
  const here = all.findIndex((span) => span === document.activeElement);
  const to = { ArrowDown: here + 1, ArrowRight: here + 1, ArrowUp: Math.max(0, here - 1), ArrowLeft: Math.max(0, here - 1), Home: 0, End: all.length - 1 }[event.key];
  const next = to === undefined ? undefined : all[Math.min(to, all.length - 1)];
  if (next === undefined) return;
  event.preventDefault();
  for (const span of all) span.tabIndex = span === next ? 0 : -1;
  next.focus();
}

function isBehind(view: View): boolean {
  return shownAnalysis(view)?.window !== shownAnalysis({ ...view, held: null })?.window;
}
