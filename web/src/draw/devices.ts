/** Which camera and microphone: pickers, shown where there is a choice. */

import type { Messages } from "../messages";
import type { Device, View } from "../state/view";
import { el, show } from "./dom";
import type { Hands, Part } from "./hands";

/** `always` shows a picker for a single device too, so that its name can be read. What it picks is written where there is room. */
export function makeDevices(hands: Hands, words: Messages, always = false): Part {
  const pick = (kind: "camera" | "microphone") => {
    const select = el("select", { attrs: { "aria-label": words.live[kind], title: words.live[kind], "data-kind": kind } });
    select.addEventListener("change", () => hands.switchDevice(kind, select.value));
    return select;
  };
  const camera = pick("camera");
  const microphone = pick("microphone");
  const labelled = (name: string, select: HTMLSelectElement): HTMLElement => el("label", {}, el("span", {}, name), select);
  const ofCamera = labelled(words.live.camera, camera);
  const ofMicrophone = labelled(words.live.microphone, microphone);
  const root = el("div", { class: "devices" }, ofCamera, ofMicrophone);
  const least = always ? 0 : 1;
  let drawn: unknown = null;
  return {
    root,
    draw: ({ devices, choice, phase }: View) => {
      const open = phase.name === "live" || phase.name === "ready";
      show(ofCamera, open && choice !== "microphone" && devices.cameras.length > least);
      show(ofMicrophone, open && choice !== "camera" && devices.microphones.length > least);
      if (devices === drawn) return;
      drawn = devices;
      fill(camera, devices.cameras, devices.camera);
      fill(microphone, devices.microphones, devices.microphone);
    },
  };
}

function fill(select: HTMLSelectElement, devices: readonly Device[], chosen: string): void {
  select.replaceChildren(...devices.map((device) => el("option", { attrs: { value: device.id } }, device.name || device.id)));
  select.value = chosen;
}
