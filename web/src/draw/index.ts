/** Draws the page from a view. Nothing else touches the DOM. */

import type { Messages } from "../messages";
import { concluded, followed } from "../state/shown";
import type { Analysis, View } from "../state/view";
import { makeConsent } from "./consent";
import { el, setText, show } from "./dom";
import { labelName, sureness } from "./format";
import type { Hands } from "./hands";
import { makeHeader } from "./header";
import { makeLive } from "./live";
import { makeReady } from "./ready";
import { makeStarting } from "./starting";

export function makePage(root: HTMLElement, hands: Hands, words: Messages): (view: View, nowS: number) => void {
  const header = makeHeader(hands, words);
  const screens = {
    consent: makeConsent(hands, words),
    starting: makeStarting(hands, words),
    ready: makeReady(hands, words),
    live: makeLive(hands, words),
  };
  // A screen reader hears each finished answer once, not the words as they are written.
  const announced = el("p", { class: "unseen", attrs: { role: "status", "aria-live": "polite" } });
  const skip = el("a", { class: "skip", attrs: { href: "#chain" } }, words.skip);
  root.replaceChildren(skip, header.root, ...Object.values(screens).map((screen) => screen.root), announced);
  document.title = words.title;

  let phase = "";
  let told: Analysis | null = null;
  return (view, nowS) => {
    const name = view.phase.name === "ended" || view.phase.name === "replay" ? "live" : view.phase.name;
    header.draw(view, nowS);
    show(skip, name === "live");
    for (const [screen, part] of Object.entries(screens)) {
      show(part.root, screen === name);
      // A screen that was left is drawn once more, since it may still show what was deleted.
      if (screen === name || phase !== view.phase.name) part.draw(view, nowS);
    }
    if (phase !== "" && phase !== view.phase.name) moveFocus(view);
    phase = view.phase.name;
    const newest = followed(view.session);
    if (newest === null) setText(announced, "");
    if (newest !== told && newest?.answer) {
      told = newest;
      const conclusion = concluded(newest);
      setText(announced, [labelName(words, conclusion.label), sureness(conclusion)].filter(Boolean).join(", "));
    }
  };
}

/** Moves the focus to the new screen, since the old one takes it away when it is hidden. */
function moveFocus(view: View): void {
  const target = { consent: "agree", starting: "cancel", ready: "begin", live: "live", ended: "ended", replay: "ended" }[view.phase.name];
  document.getElementById(target)?.focus({ preventScroll: view.phase.name === "consent" });
  if (view.phase.name !== "consent") window.scrollTo(0, 0);
}
