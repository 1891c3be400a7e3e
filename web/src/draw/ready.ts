/** The screen before a session begins: camera and microphone are open, nothing is sent, and the person checks both. */

import { el, setAttr, setClass, setShare, setText, show } from "./dom";
import { makeDevices } from "./devices";
import { keptOf } from "../state/shown";
import type { MakePart } from "./hands";

/** Louder than this is someone speaking rather than a room. */
const HEARD = 0.45;

export const makeReady: MakePart = (hands, words) => {
  const say = words.ready;
  const video = el("video", { attrs: { autoplay: true, muted: true, playsinline: true, "aria-label": words.live.picture } });
  video.muted = true;
  const picture = el("div", { class: "preview" }, video);
  const meter = el("div", { class: "meter", id: "meter", attrs: { role: "meter", "aria-label": say.level, "aria-valuemin": "0", "aria-valuemax": "100" } }, el("i"));
  const heard = el("p", { class: "note", id: "heard" });
  const gone = el("p", { class: "missing", attrs: { role: "alert" } });
  const devices = makeDevices(hands, words, true);
  const kept = el("p", { class: "note", id: "will-keep" });
  const begin = el("button", { class: "primary", id: "begin", attrs: { type: "button" }, onClick: hands.start }, say.begin);
  const back = el("button", { class: "quiet", id: "back", attrs: { type: "button" }, onClick: hands.cancel }, say.back);
  const sound = el("div", { class: "sound" }, meter, heard);
  const root = el(
    "main",
    { class: "ready", id: "ready" },
    el("h1", {}, say.heading),
    el("p", { class: "lead" }, say.lead),
    picture,
    sound,
    gone,
    devices.root,
    kept,
    el("div", { class: "go" }, begin, back),
  );
  let hasSpoken = false;

  return {
    root,
    draw: (view, nowS) => {
      const open = view.phase.name === "ready";
      const stream = open ? hands.stream() : null;
      if (video.srcObject !== stream) {
        video.srcObject = stream;
        if (stream !== null) void video.play().catch(() => undefined);
      }
      if (!open) {
        hasSpoken = false;
        return;
      }
      show(picture, view.choice !== "microphone");
      show(sound, view.choice !== "camera");
      const level = hands.level();
      hasSpoken ||= level > HEARD;
      setShare(meter, "--level", level);
      setAttr(meter, "aria-valuenow", String(Math.round(level * 10) * 10));
      setClass(sound, "heard", hasSpoken);
      setText(heard, hasSpoken ? say.heard : say.speak);
      const keep = keptOf(view.keeping, view.agreed);
      setText(kept, keep === null ? "" : say.keeps(words.consent.keeping.what[keep]));
      const missing = view.unplugged[0];
      setText(gone, missing === undefined ? "" : words.unplugged[missing].title);
      devices.draw(view, nowS);
    },
  };
};
