/** The bubble with what was said in the stretch of speech that the moment on show is about. */

import { shownAnalysis, wordsOf } from "../state/shown";
import type { View } from "../state/view";
import type { WordsEvent } from "../wire/generated";
import { el, setText, show } from "./dom";
import { clock, percent } from "./format";
import type { MakePart } from "./hands";

export const makeWords: MakePart = (_hands, words) => {
  const say = words.said;
  const list = el("div", { class: "bubbles" });
  const none = el("p", { class: "empty-note" }, say.none);
  // A stop of the Tab key: long words scroll inside.
  const root = el("section", { class: "said-words", id: "said-words", attrs: { "aria-labelledby": "said-heading", tabindex: "0" } }, el("h2", { id: "said-heading" }, say.heading), none, list);
  let drawn: readonly WordsEvent[] = [];
  return {
    root,
    draw: (view: View) => {
      show(root, view.session.words.length > 0);
      const found = wordsOf(view.session, shownAnalysis(view));
      show(none, found.length === 0);
      if (found.length === drawn.length && found.every((said, place) => said === drawn[place])) return;
      drawn = found;
      list.replaceChildren(...found.map((said) => bubble(said)));
    },
  };

  function bubble(said: WordsEvent): HTMLElement {
    const quote = el("blockquote", { attrs: { lang: said.language } });
    setText(quote, said.text);
    return el("figure", { class: "bubble" }, quote, el("figcaption", { class: "note" }, say.from(clock(said.start), clock(said.end), percent(said.confidence))));
  }
};
