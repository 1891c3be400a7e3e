/** What the server keeps of a session that has ended, and the button that deletes it there. */

import { el, setText, show } from "./dom";
import { day } from "./format";
import type { MakePart } from "./hands";

export const makeRecording: MakePart = (hands, words) => {
  const say = words.recording;
  const text = el("p", { attrs: { role: "status" } });
  const remove = el("button", { class: "quiet", id: "delete-kept", attrs: { type: "button" }, onClick: hands.deleteKept }, say.delete);
  const root = el("div", { class: "recorded", id: "recorded" }, text, remove);
  return {
    root,
    draw: ({ phase, recording }) => {
      show(root, phase.name === "ended" && recording.state !== "none");
      if (recording.state === "none") return;
      setText(text, recording.state === "kept" ? say.kept(words.consent.keeping.what[recording.what], day(recording.untilMs)) : say[recording.state]);
      show(remove, recording.state === "kept" || recording.state === "not deleted");
    },
  };
};
