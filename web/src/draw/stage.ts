/** The picture as the camera gives it, untouched by how fast we think, and what lies over it. */

import { standingNotices, type View } from "../view";
import { el, setAttr, setClass, setText, show } from "./dom";
import type { Messages } from "../messages";
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
  focal.title = words.live.focalNote;
  const tokens = el("p", { class: "tokens" });
  const devices = makeDevices(hands, words);
  const frame = el("div", { class: "frame" }, picture, onlyVoice, tokens, notices);
  const root = el(
    "section",
    { class: "stage", attrs: { "aria-label": words.live.picture } },
    frame,
    el("div", { class: "stage-bar" }, focal, mirror, devices.root),
  );
  video.addEventListener("resize", () => {
    picture.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
  });
  let drawnNotices = "";

  return {
    root,
    draw: (view: View, nowS: number) => {
      const stream = hands.stream();
      if (video.srcObject !== stream) {
        video.srcObject = stream;
        // Refused only where the tab is gone already.
        void video.play().catch(() => undefined);
      }
      const seen = view.choice !== "microphone";
      show(picture, seen);
      show(onlyVoice, !seen);
      setClass(frame, "voice-only", !seen);
      for (const control of [mirror, focal]) show(control, seen);
      show(tokens, seen && view.focalShown && view.session.looked !== null);
      setClass(picture, "mirrored", view.mirrored);
      setAttr(mirror, "aria-pressed", String(view.mirrored));
      setAttr(focal, "aria-pressed", String(view.focalShown));
      const split = view.session.looked?.tokens;
      setText(tokens, split === undefined ? "" : words.live.tokens(split.focal, split.background, split.dropped));
      overlay.draw(view, nowS);
      devices.draw(view);
      drawnNotices = drawNotices(notices, view, words, drawnNotices);
    },
  };
};

function toggle(text: string, onClick: () => void): HTMLButtonElement {
  return el("button", { class: "toggle", attrs: { type: "button", "aria-pressed": "false" }, onClick }, text);
}

type Known = keyof Omit<Messages["notices"], "over">;

function drawNotices(list: HTMLElement, view: View, words: Messages, drawn: string): string {
  // What the person chose to leave out is no trouble.
  const chosen = view.choice === "camera" ? "no_audio" : view.choice === "microphone" ? "no_video" : "";
  const blind = view.choice === "microphone" ? "no_face" : "";
  const standing = standingNotices(view.session).filter((notice) => notice.code !== chosen && notice.code !== blind);
  const key = standing.map((notice) => `${notice.seq}${notice.over}`).join();
  if (key === drawn) return key;
  list.replaceChildren(
    ...standing.map((notice) => {
      if (notice.over) return el("li", { class: "over", attrs: { "data-code": notice.code } }, el("b", {}, words.notices.over[notice.code] ?? notice.message));
      const known = notice.code in words.notices && notice.code !== "over" ? words.notices[notice.code as Known] : null;
      const said = known ?? { title: notice.message, text: notice.hint };
      return el("li", { attrs: { "data-code": notice.code } }, el("b", {}, said.title), " ", said.text);
    }),
  );
  return key;
}

function makeDevices(hands: Hands, words: Messages) {
  const pick = (kind: "camera" | "microphone") => {
    const select = el("select", { attrs: { "aria-label": words.live[kind], title: words.live[kind] } });
    select.addEventListener("change", () => hands.switchDevice(kind, select.value));
    return select;
  };
  const camera = pick("camera");
  const microphone = pick("microphone");
  const root = el("div", { class: "devices" }, camera, microphone);
  let drawn: unknown = null;
  return {
    root,
    draw: ({ devices, choice }: View) => {
      show(camera, choice !== "microphone" && devices.cameras.length > 1);
      show(microphone, choice !== "camera" && devices.microphones.length > 1);
      if (devices === drawn) return;
      drawn = devices;
      fill(camera, devices.cameras, devices.camera);
      fill(microphone, devices.microphones, devices.microphone);
    },
  };
}

function fill(select: HTMLSelectElement, devices: readonly { id: string; name: string }[], chosen: string): void {
  select.replaceChildren(...devices.map((device) => el("option", { attrs: { value: device.id } }, device.name || device.id)));
  select.value = chosen;
}
