/** The camera's picture with its overlays and notices, at the camera's own pace however slow the analysis is; or the video of a replay. */

import { lookedNow, standingNotices } from "../state/shown";
import type { View } from "../state/view";
import type { Messages } from "../messages";
import { makeDevices } from "./devices";
import { el, setAttr, setClass, setText, show } from "./dom";
import { percent } from "./format";
import type { Hands, MakePart } from "./hands";
import { makeOverlay } from "./overlay";

export const makeStage: MakePart = (hands, words) => {
  const video = el("video", { attrs: { autoplay: true, muted: true, playsinline: true, "aria-label": words.live.picture } });
  // The attribute alone does not mute an element made by script.
  video.muted = true;
  const overlay = makeOverlay(hands, words);
  const picture = el("div", { class: "picture" }, video, overlay.root);
  const onlyVoice = el("p", { class: "only-voice" }, words.live.onlyVoice);
  const notices = el("ul", { class: "notices", id: "notices", attrs: { "aria-live": "polite" } });
  const mirror = toggle(words.live.mirror, () => hands.send({ do: "mirror" }));
  const focal = toggle(words.live.focal, () => hands.send({ do: "show focal" }));
  const patches = toggle(words.live.patches, () => hands.send({ do: "show patches" }));
  patches.id = "patches";
  const tokens = el("p", { class: "tokens" });
  const devices = makeDevices(hands, words);
  const frame = el("div", { class: "frame" }, picture, onlyVoice, tokens, notices);
  const bar = el("div", { class: "stage-bar" }, focal, patches, mirror, devices.root);
  const root = el("section", { class: "stage", attrs: { "aria-label": words.live.picture } }, frame, bar);
  const clip = makeClip(hands, video);
  let ratio = "";
  const note = el("p", { class: "note stage-note" });
  root.append(note);
  let drawnNotices = "";

  function shape(view: View): void {
    const looked = lookedNow(view);
    const [width, height] = video.videoWidth > 0 ? [video.videoWidth, video.videoHeight] : [looked?.width ?? 0, looked?.height ?? 0];
    const wanted = width > 0 && height > 0 ? `${width} / ${height}` : "";
    if (wanted === ratio) return;
    ratio = wanted;
    picture.style.aspectRatio = wanted;
  }

  return {
    root,
    draw: (view: View, nowS: number) => {
      const stream = hands.stream();
      if (video.srcObject !== stream) {
        video.srcObject = stream;
        // Refused only where the tab is gone already.
        if (stream !== null) void video.play().catch(() => undefined);
      }
      clip(view);
      shape(view);
      const seen = view.choice !== "microphone";
      const replay = view.phase.name === "replay";
      show(picture, seen);
      show(onlyVoice, !seen);
      setClass(frame, "voice-only", !seen);
      setClass(picture, "without-video", replay && view.playback.video === null);
      for (const control of [mirror, focal, patches]) show(control, seen);
      const looked = lookedNow(view);
      show(tokens, seen && (view.focalShown || view.patchesShown) && looked !== null);
      setClass(picture, "mirrored", view.mirrored);
      setAttr(mirror, "aria-pressed", String(view.mirrored));
      setAttr(focal, "aria-pressed", String(view.focalShown));
      setAttr(patches, "aria-pressed", String(view.patchesShown));
      const split = looked?.tokens;
      setText(tokens, split === undefined ? "" : words.live.tokens(split.focal, split.background, split.dropped));
      setClass(note, "of-focal", !view.patchesShown);
      const scene = looked === null ? "" : words.live.scene(percent(looked.brightness), percent(looked.saturation));
      setText(note, !seen ? "" : view.patchesShown ? [words.live.patchesNote, scene].join(" ") : view.focalShown ? words.live.focalNote : "");
      overlay.draw(view, nowS);
      devices.draw(view, nowS);
      drawnNotices = drawNotices(notices, view, words, drawnNotices, nowS);
    },
  };
};

/** Keeps the video of a replay and the time in the session in step: a running video sets the time, and a jump moves the video. */
function makeClip(hands: Hands, video: HTMLVideoElement): (view: View) => void {
  let address: string | null = null;
  let seeks = 0;
  let told = -1;
  return (view) => {
    const wanted = view.phase.name === "replay" ? hands.clip() : null;
    if (wanted !== address) {
      address = wanted;
      video.muted = wanted === null;
      if (wanted === null) video.removeAttribute("src");
      else video.src = wanted;
      seeks = -1;
    }
    if (wanted === null) return;
    if (seeks !== view.playback.seeks) {
      seeks = view.playback.seeks;
      video.currentTime = told = view.playback.atS;
    }
    if (view.playback.playing && video.paused && !video.ended) void video.play().catch(() => undefined);
    if (!view.playback.playing && !video.paused) video.pause();
    if (view.playback.playing && video.ended) hands.send({ do: "play", playing: false });
    if (!video.paused && Math.abs(video.currentTime - told) > 0.05) {
      told = video.currentTime;
      hands.send({ do: "run to", atS: told });
    }
  };
}

function toggle(text: string, onClick: () => void): HTMLButtonElement {
  return el("button", { class: "toggle", attrs: { type: "button", "aria-pressed": "false" }, onClick }, text);
}

/** How long the page tells of what has come back; on the page's own clock. */
const BACK_SHOWN_S = 10;

/** Steps of the analysis, as their errors name them. */
const STEP = /^(see|glimpse|hear|hear_ahead|fast|reason)_failed$/;

type Known = keyof Omit<Messages["notices"], "over">;

function drawNotices(list: HTMLElement, view: View, words: Messages, drawn: string, nowS: number): string {
  // What the person chose to leave out is no trouble.
  const chosen = view.choice === "camera" ? "no_audio" : view.choice === "microphone" ? "no_video" : "";
  const blind = view.choice === "microphone" ? "no_face" : "";
  const standing = view.phase.name === "live" ? standingNotices(view.session).filter((notice) => notice.code !== chosen && notice.code !== blind) : [];
  const back = view.phase.name === "live" ? view.happened.filter(({ atS }) => nowS - atS < BACK_SHOWN_S) : [];
  const reduced = view.phase.name === "live" ? view.session.lag.reduced : "nothing";
  const key = [reduced, ...back.map(({ kind, atS }) => `${kind}${atS}`), ...view.unplugged, ...standing.map((notice) => `${notice.seq}${notice.over}`)].join();
  if (key === drawn) return key;
  list.replaceChildren(
    ...(reduced === "nothing" ? [] : [el("li", { attrs: { "data-code": "slow" } }, el("b", {}, words.slow.title), " ", words.slow[reduced])]),
    ...back.map(({ kind, nMoments }) => {
      const said = words.happened[kind](nMoments);
      return el("li", { class: "over", attrs: { "data-code": `${kind}_back` } }, el("b", {}, said.title), " ", said.text);
    }),
    ...view.unplugged.map((kind) => el("li", { attrs: { "data-code": `${kind}_unplugged` } }, el("b", {}, words.unplugged[kind].title), " ", words.unplugged[kind].text)),
    ...standing.map((notice) => {
      const code = STEP.test(notice.code) ? "step_failed" : notice.code;
      if (notice.over) return el("li", { class: "over", attrs: { "data-code": notice.code } }, el("b", {}, words.notices.over[code] ?? notice.message));
      const said = isKnown(words, code) ? words.notices[code] : { title: notice.message, text: notice.hint };
      return el("li", { attrs: { "data-code": notice.code } }, el("b", {}, said.title), " ", said.text);
    }),
  );
  return key;
}

function isKnown(words: Messages, code: string): code is Known {
  return code !== "over" && Object.hasOwn(words.notices, code);
}
