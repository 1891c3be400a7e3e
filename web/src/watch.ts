/** The viewer page: a session that somebody else sends, drawn by the page's own panels. It opens no camera and asks for none. */

import "./style/page.css";
import "./style/viewer.css";

import { el, setAttr, setText } from "./draw/dom";
import { viewedEndWords } from "./draw/ended";
import type { Hands } from "./draw/hands";
import { lagWords, makeLanguage } from "./draw/header";
import { makeLive } from "./draw/live";
import { save } from "./files/export";
import { speaking } from "./state/address";
import { rememberLanguage } from "./state/remember";
import { NO_SESSION, type Session } from "./state/view";
import { startViewer } from "./viewer";

const root = document.getElementById("page") ?? document.body;
/** Removes the event listeners of the page when it is drawn anew in another language. */
let drawing = new AbortController();

startViewer(root, (words, send, again) => {
  drawing.abort();
  drawing = new AbortController();
  let session: Session = NO_SESSION;
  const nothing = (): void => undefined;
  const hands: Hands = {
    send,
    prepare: nothing,
    start: nothing,
    goOn: null,
    stop: nothing,
    withdraw: nothing,
    deleteKept: nothing,
    switchDevice: nothing,
    ask: nothing,
    share: nothing,
    unshare: nothing,
    openSaved: nothing,
    openVideo: nothing,
    setLanguage: (code) => {
      rememberLanguage(code);
      // What was chosen here wins over what the address names.
      history.replaceState(null, "", speaking(window.location.hash, code));
      again();
    },
    cancel: () => {
      window.location.hash = "";
    },
    deleteAll: () => {
      window.location.hash = "";
    },
    save: (format) => save(session, format),
    print: () => window.print(),
    stream: () => null,
    clip: () => null,
    level: () => 0,
    given: drawing.signal,
  };
  const live = makeLive(hands, words);
  const link = el("p", { class: "link", id: "link", attrs: { role: "status" } });
  const lag = el("p", { class: "lag", id: "lag" });
  const skip = el("a", { class: "skip", attrs: { href: "#chain" } }, words.skip);
  skip.addEventListener("click", (event) => {
    // The address names the session, so it stays.
    event.preventDefault();
    document.getElementById("chain")?.focus();
  });
  root.replaceChildren(skip, el("header", { class: "top" }, el("p", { class: "mark" }, words.title), link, lag, el("span", { class: "gap" }), makeLanguage(words, hands.setLanguage)), live.root);
  root.classList.add("viewer");
  return (view, now) => {
    session = view.session;
    const { link: state } = view;
    setText(link, view.phase.name === "ended" ? viewedEndWords(words, view.phase).title : state.state === "retrying" ? words.link.retrying(0) : words.link[state.state]);
    setAttr(link, "data-state", state.state);
    setText(lag, lagWords(view, words));
    live.draw(view, now);
  };
});
