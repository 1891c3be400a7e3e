/** What each person's own face says, where more than one is in view. */

import { letter } from "../state/evidence";
import type { PersonLabel } from "../wire/generated";
import { facesOf, shownAnalysis, speakerOf } from "../state/shown";
import type { View } from "../state/view";
import { el, show } from "./dom";
import { labelName, percent } from "./format";
import type { MakePart } from "./hands";

export const makePeople: MakePart = (_hands, words) => {
  const say = words.people;
  const list = el("ul", { class: "people-list", id: "people" });
  const root = el("section", { class: "people", attrs: { "aria-labelledby": "people-heading" } }, el("h2", { id: "people-heading" }, say.heading), list);
  let drawn: readonly PersonLabel[] = [];

  function row(face: PersonLabel, speaks: boolean): HTMLElement {
    const [name = "", share = 0] = Object.entries(face.probabilities).toSorted((a, b) => b[1] - a[1])[0] ?? [];
    const label = face.label === "unsure" && name !== "unsure" ? say.unsure(labelName(words, name)) : labelName(words, name);
    return el("li", { attrs: { "data-track": String(face.track) } }, el("span", { class: "who" }, words.live.person(letter(face.track))), el("span", { class: "what" }, speaks ? say.speaks(label) : label), el("span", { class: "value" }, percent(share)));
  }

  return {
    root,
    draw: (view: View) => {
      const analysis = shownAnalysis(view);
      const [faces, speaker] = [facesOf(analysis), speakerOf(analysis)];
      // One person's face alone is in the comparison with the voice.
      show(root, faces.length > 1);
      if (faces === drawn) return;
      drawn = faces;
      list.replaceChildren(...faces.toSorted((a, b) => a.track - b.track).map((face) => row(face, face.track === speaker)));
    },
  };
};
