/** What lies over the picture: a box with a letter for each face, the focal area, and the patches read and left out. */

import { letter } from "../state/evidence";
import type { Box, FrameEvent } from "../wire/generated";
import { facesOf, lookedNow, shownAnalysis } from "../state/shown";
import type { View } from "../state/view";
import { labelName } from "./format";
import { el, setAttr, setClass, setText, show, svg } from "./dom";
import type { MakePart } from "./hands";
import { makePatches } from "./patches";

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
  const patches = makePatches();
  const root = el("div", { class: "overlay" }, patches.root);
  root.append(focal);
  const frames = new Map<number, Frame>();

  function frameOf(track: number): Frame {
    const found = frames.get(track);
    if (found !== undefined) return found;
    const name = el("span", { class: "face-name" });
    const made = { root: el("div", { class: "face", attrs: { "data-track": String(track) } }, el("div", { class: "corners" }), name), name };
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

  let drawn: FrameEvent | null = null;
  let drawnMirrored = false;
  return {
    root,
    draw: (view: View, nowS: number) => {
      const looked = lookedNow(view);
      const fresh = looked !== null && ageS(view, looked, nowS) < STALE_S;
      const faces = fresh ? looked.faces : [];
      const labels = new Map(facesOf(shownAnalysis(view)).map(({ track, label }) => [track, label]));
      setClass(root, "lit-picture", view.lit?.picture === true);
      setClass(root, "with-focal", view.focalShown && !view.patchesShown && fresh && looked.focal.length > 0);
      show(patches.root, view.patchesShown && fresh && looked.patches !== null);
      for (const [track, frame] of frames) {
        show(frame.root, faces.some((face) => face.track === track));
        setClass(frame.root, "lit", view.lit?.tracks.includes(track) === true);
        const said = labels.get(track);
        setText(frame.name, said === undefined ? words.live.person(letter(track)) : words.live.personLabel(letter(track), said === "unsure" ? words.conclusion.unsure : labelName(words, said)));
      }
      if (!fresh || (drawn === looked && drawnMirrored === view.mirrored)) return;
      drawn = looked;
      drawnMirrored = view.mirrored;
      drawFocal(looked.focal, view.mirrored);
      if (looked.patches !== null) patches.draw(looked.patches, view.mirrored);
      for (const face of faces) {
        const { root: frame } = frameOf(face.track);
        show(frame, true);
        frame.style.left = `${100 * left(face.box, view.mirrored)}%`;
        frame.style.top = `${100 * face.box[1]}%`;
        frame.style.width = `${100 * face.box[2]}%`;
        frame.style.height = `${100 * face.box[3]}%`;
      }
    },
  };
};

function ageS(view: View, looked: FrameEvent, nowS: number): number {
  if (view.phase.name === "replay") return view.playback.atS - looked.t;
  return nowS - (view.session.zeroS ?? nowS) - looked.t - view.session.lag.seconds;
}

function left(box: Box, mirrored: boolean): number {
  return mirrored ? 1 - box[0] - box[2] : box[0];
}
