/** The screen between consent and the first picture. */

import { el, setText } from "./dom";
import type { MakePart } from "./hands";

export const makeStarting: MakePart = (hands, words) => {
  const title = el("h1");
  const text = el("p");
  const cancel = el("button", { class: "quiet", id: "cancel", attrs: { type: "button" }, onClick: hands.cancel }, words.starting.cancel);
  return {
    root: el("main", { class: "starting", id: "starting" }, el("div", { class: "pulse", attrs: { "aria-hidden": "true" } }), title, text, cancel),
    draw: (view) => {
      if (view.phase.name !== "starting") return;
      const said = words.starting[view.phase.step];
      setText(title, said.title);
      setText(text, said.text);
    },
  };
};
