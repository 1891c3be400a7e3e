/** The controls of a saved session: play, a slider for the time, and a button to add its video. */

import { el, setAttr, setText, show } from "./dom";
import { clock } from "./format";
import type { MakePart } from "./hands";

export const makePlayback: MakePart = (hands, words) => {
  const say = words.replay;
  const play = el("button", { id: "play", attrs: { type: "button" } });
  let playing = false;
  play.addEventListener("click", () => hands.send({ do: "play", playing: !playing }));
  const place = el("input", { id: "place", attrs: { type: "range", min: "0", step: "0.1", "aria-label": say.place } });
  place.addEventListener("input", () => hands.send({ do: "seek", atS: Number(place.value) }));
  const time = el("span", { class: "time" });
  const file = el("input", { id: "video-file", class: "unseen", attrs: { type: "file", accept: "video/*,audio/*", tabindex: "-1", "aria-label": say.addVideo } });
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (chosen !== undefined) hands.openVideo(chosen);
  });
  const add = el("button", { class: "quiet", attrs: { type: "button" }, onClick: () => file.click() }, say.addVideo);
  const note = el("span", { class: "note" });
  const root = el("div", { class: "playback" }, play, place, time, el("p", { class: "playback-file" }, add, note, file));
  return {
    root,
    draw: (view) => {
      const replay = view.phase.name === "replay";
      show(root, replay);
      if (!replay) return;
      playing = view.playback.playing;
      setText(play, playing ? say.pause : say.play);
      setAttr(place, "max", view.session.mediaS.toFixed(1));
      const at = view.playback.atS.toFixed(1);
      if (place.value !== at) place.value = at;
      setAttr(place, "aria-valuetext", clock(view.playback.atS));
      setText(time, `${clock(view.playback.atS)} / ${clock(view.session.mediaS)}`);
      setText(note, view.playback.video ?? say.noVideo);
    },
  };
};
