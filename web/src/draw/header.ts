/** The bar on top: how the connection is, in words, and the one click that ends it. */

import { LANGUAGES } from "../messages";
import type { Messages } from "../messages";
import type { View } from "../state/view";
import { el, setAttr, setClass, setText, show } from "./dom";
import { decimal } from "./format";
import type { MakePart } from "./hands";

/** Less than this is no delay that anyone notices. */
const LAG_SAID_S = 0.5;

export const makeHeader: MakePart = (hands, words) => {
  const link = el("p", { class: "link", id: "link", attrs: { role: "status" } });
  const lag = el("p", { class: "lag", id: "lag" });
  const withdraw = el("button", { class: "withdraw", id: "withdraw", attrs: { type: "button" }, onClick: hands.withdraw }, words.live.withdraw);
  const stop = el("button", { class: "quiet", id: "stop", attrs: { type: "button" }, onClick: hands.stop }, words.live.stop);
  const recording = el("p", { class: "recording", id: "recording" });
  const language = makeLanguage(words, hands.setLanguage);
  const root = el("header", { class: "top" }, el("p", { class: "mark" }, words.title), link, lag, recording, el("span", { class: "gap" }), language, stop, withdraw);

  return {
    root,
    draw: (view: View, nowS: number) => {
      const live = view.phase.name === "live";
      const open = live || view.phase.name === "ready";
      show(withdraw, open);
      setClass(root, "during", open);
      // Where nothing is kept, stopping and withdrawing are the same.
      const kept = live && view.recording.state === "kept" ? view.recording.what : null;
      show(stop, kept !== null);
      const failed = view.session.notices.some(({ code }) => code === "record_failed");
      setClass(recording, "failed", failed);
      setText(recording, kept === null ? "" : failed ? words.live.recordingFailed : words.live.recording[kept]);
      show(link, live || view.phase.name === "ended");
      setText(lag, lagWords(view, words));
      setText(link, linkWords(view, words, nowS));
      setAttr(link, "data-state", view.phase.name === "live" && !view.phase.mediaUp ? "media" : view.link.state);
    },
  };
};

/** A choice of the page's languages. */
export function makeLanguage(words: Messages, choose: (code: string) => void): HTMLSelectElement {
  const language = el(
    "select",
    { class: "language", attrs: { "aria-label": words.languageLabel } },
    ...Object.entries(LANGUAGES).map(([code, messages]) => el("option", { attrs: { value: code, lang: code } }, messages.language)),
  );
  language.value = document.documentElement.lang;
  language.addEventListener("change", () => choose(language.value));
  return language;
}

/** How far a live session is behind; empty where nobody notices. */
export function lagWords(view: View, words: Messages): string {
  const behind = view.phase.name === "live" && view.session.lag.seconds >= LAG_SAID_S;
  return behind ? words.link.behind(decimal(view.session.lag.seconds, 1)) : "";
}

function linkWords(view: View, words: Messages, nowS: number): string {
  if (view.phase.name === "ended") return words.link.over;
  if (view.phase.name === "live" && !view.phase.mediaUp) return words.link.media;
  if (view.link.state !== "retrying") return words.link[view.link.state];
  const seconds = Math.max(0, Math.ceil(view.link.atS - nowS));
  // A pause too short to read about is not counted down.
  const counted = seconds > 1 ? seconds : 0;
  return view.link.serverSeen ? words.link.retrying(counted) : words.link.retryingServer(counted);
}
