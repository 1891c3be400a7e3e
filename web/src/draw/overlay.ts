/** What lies over the picture: a box with a letter for each face, and the focal area. */

import type { Box } from "../protocol";
import type { View } from "../view";
import { el, setAttr, setClass, setText, show, svg } from "./dom";
import { letter } from "./format";
import type { MakePart } from "./hands";

/** A box that was seen longer ago no longer tells where the face is. */
const STALE_S = 3;

interface Frame {
  readonly root: HTMLElement;
  readonly name: HTMLElement;
}

export const makeOverlay: MakePart = (_hands, words) => {
  const holes = svg("g", { fill: "black" });
  const outlines = svg("g", { class: "outlines" });
  const dim = svg("rect", { class: "dim", width: "100", height: "100", mask: "url(#focal-mask)" });
  const mask = svg("mask", { id: "focal-mask" }, svg("rect", { width: "100", height: "100", fill: "white" }), holes);
  const focal = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", class: "focal", "aria-hidden": "true" }, svg("defs", {}, mask), dim, outlines);
  const root = el("div", { class: "overlay" });
  root.append(focal);
  const frames = new Map<number, Frame>();

  function frameOf(track: number): Frame {
    const found = frames.get(track);
    if (found !== undefined) return found;
    const name = el("span", { class: "face-name" });
    const made = { root: el("div", { class: "face", attrs: { "data-track": String(track) } }, el("div", { class: "corners" }), name), name };
    setText(name, words.live.person(letter(track)));
    frames.set(track, made);
    root.append(made.root);
    return made;
  }

  function drawFocal(boxes: readonly Box[], mirrored: boolean): void {
    for (const group of [holes, outlines]) {
      while (group.childElementCount > boxes.length) group.lastElementChild?.remove();
      while (group.childElementCount < boxes.length) group.append(svg("rect"));
      boxes.forEach((box, index) => {
        const rect = group.children[index];
        if (rect === undefined) return;
        setAttr(rect, "x", String(100 * left(box, mirrored)));
        setAttr(rect, "y", String(100 * box[1]));
        setAttr(rect, "width", String(100 * box[2]));
        setAttr(rect, "height", String(100 * box[3]));
      });
    }
  }

  let drawn: unknown = null;
  let drawnMirrored = false;
  return {
    root,
    draw: (view: View, nowS: number) => {
      const { looked, zeroS } = view.session;
      const fresh = looked !== null && zeroS !== null && nowS - zeroS - looked.atS < STALE_S + view.session.lag.seconds;
      const faces = fresh ? looked.faces : [];
      setClass(root, "lit", view.lit === "face" || view.lit === "context");
      setClass(root, "with-focal", view.focalShown && fresh && looked.focal.length > 0);
      for (const [track, frame] of frames) show(frame.root, faces.some((face) => face.track === track));
      if (!fresh || (drawn === looked && drawnMirrored === view.mirrored)) return;
      drawn = looked;
      drawnMirrored = view.mirrored;
      drawFocal(looked.focal, view.mirrored);
      for (const face of faces) {
        const { style } = frameOf(face.track).root;
        style.left = `${100 * left(face.box, view.mirrored)}%`;
        style.top = `${100 * face.box[1]}%`;
        style.width = `${100 * face.box[2]}%`;
        style.height = `${100 * face.box[3]}%`;
      }
    },
  };
};

function left(box: Box, mirrored: boolean): number {
  return mirrored ? 1 - box[0] - box[2] : box[0];
}
