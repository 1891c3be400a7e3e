/** The bubble with what was said in the stretch of speech that the moment on show is about. */

import { shownAnalysis, wordsOf } from "../state/shown";
import type { View } from "../state/view";
import type { WordsEvent } from "../wire/generated";
import { degree } from "./conflict";
import { el, setText, show } from "./dom";
import { clock, labelName, percent } from "./format";
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
    const from = say.from(clock(said.start), clock(said.end), percent(said.confidence));
    const caption = el("figcaption", { class: "note" }, from, el("br"), [alone(said), apart(said)].filter(Boolean).join(" "));
    return el("figure", { class: "bubble" }, quote, caption);
  }

  /** What the words alone say. */
  function alone(said: WordsEvent): string {
    const [best] = Object.entries(said.probabilities ?? {}).toSorted((a, b) => b[1] - a[1]);
    return best === undefined ? "" : say.alone(labelName(words, best[0]), percent(best[1]));
  }

  /** Whom they disagree with: said as of face and voice, from the same divergences on. */
  function apart(said: WordsEvent): string {
    const { face, voice } = say.against;
    return [said.against_face === null ? "" : face[degree(said.against_face)], said.against_voice === null ? "" : voice[degree(said.against_voice)]].filter(Boolean).join(" ");
  }
};
