/** What the viewer page and the overlay share: the session that their address names, followed and reduced to a view. */

import { EventFollower, readAddress, type SessionAddress } from "../client/index";
import { el, setText } from "./draw/dom";
import { LANGUAGES, asLanguage, preferredLanguage, type Messages } from "./messages";
import { reduce, type Action } from "./state/actions";
import { viewedAs, viewedSession } from "./state/address";
import { FIRST_VIEW, type Choice, type View } from "./state/view";
import { takeTicket, whyNoTicket } from "./wire/tickets";

export function nowS(): number {
  return performance.now() / 1000;
}

/** Builds a page in these words, and returns what draws it. `again` builds it anew, in the language chosen now. */
type Make = (words: Messages, send: (action: Action) => void, again: () => void) => (view: View, nowS: number) => void;

/** Shows what the address of this page names, or asks for the address of a session. */
export function startViewer(root: HTMLElement, make: Make): void {
  const given = viewedSession(window.location.hash, document.baseURI);
  if (given === null) ask(root, chosenWords(), "");
  else watch(given, root, make);
  // Another address of the same page loads nothing by itself.
  addEventListener("hashchange", () => window.location.reload());
}

/** In the language that the address names (`language=de`), else the one chosen before, else the browser's. */
function chosenWords(): Messages {
  const named = viewedAs(window.location.hash).language;
  const language = named === null ? preferredLanguage() : asLanguage(named);
  document.documentElement.lang = language;
  document.title = LANGUAGES[language].title;
  return LANGUAGES[language];
}

function watch(address: SessionAddress, root: HTMLElement, make: Make): void {
  let view: View = { ...FIRST_VIEW, phase: { name: "live", mediaUp: true }, mirrored: false };
  const send = (action: Action): void => {
    view = reduce(view, action);
  };
  const drawn = (): ReturnType<Make> =>
    make(chosenWords(), send, () => {
      draw = drawn();
    });
  let draw = drawn();
  const follower = new EventFollower({
    path: address.session,
    ticket: () => takeTicket(address.session, address.key),
    nowS,
    onEvent: (event) => {
      send({ do: "event", event, nowS: nowS() });
      // Whoever shares one of the two sends nothing of the other.
      if (event.type === "frame" || event.type === "speech") send({ do: "choose", choice: chosen(view) });
      if (event.type === "session.closed") send({ do: "end", why: "closed", detail: event.reason });
    },
    onLink: (link) => send({ do: "link", link }),
    onGone: (why) => {
      // The last event has told it already, and what was shown stays readable.
      if (view.session.closed !== null) return;
      if (view.session.seq === 0) void whyNoTicket(address.session, address.key).then((what) => askAgain(root, what));
      else send({ do: "end", why, detail: "" });
    },
  });
  addEventListener("pagehide", () => follower.close());
  const step = (): void => {
    if (view.session.seq > 0 || view.phase.name === "live") draw(view, nowS());
    requestAnimationFrame(step);
  };
  step();
}

function chosen({ session }: View): Choice {
  if (session.looks.length === 0) return "microphone";
  return session.speech.length === 0 ? "camera" : "both";
}

function askAgain(root: HTMLElement, what: keyof Messages["follow"]["noTicket"] | null): void {
  const words = chosenWords();
  ask(root, words, what === null ? words.follow.gone : words.follow.noTicket[what]);
}

function ask(root: HTMLElement, words: Messages, said: string): void {
  const say = words.follow;
  const field = el("input", { id: "session-address", attrs: { type: "text", autocomplete: "off", spellcheck: "false", placeholder: say.placeholder } });
  const status = el("p", { class: "note", id: "viewer-status", attrs: { role: "status" } }, said);
  const form = el("form", { class: "enter", attrs: { novalidate: true } }, el("label", { attrs: { for: field.id } }, say.enter), field, el("button", { class: "primary", attrs: { type: "submit" } }, say.open), status);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const read = readAddress(field.value, document.baseURI);
    // This page may talk to the server that it came from, and to no other.
    if (read === null || new URL(read.session).origin !== window.location.origin) setText(status, say.wrong);
    else window.location.hash = new URLSearchParams({ session: read.session, key: read.key }).toString();
  });
  root.replaceChildren(el("main", { class: "asking" }, el("h1", {}, words.title), form));
  field.focus();
}
