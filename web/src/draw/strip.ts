/** The last half minute of sound, with what was taken for speech and the moment being read. */

import type { Messages } from "../messages";
import { shownAnalysis, standingNotices } from "../state/shown";
import type { Analysis, Stretch, View } from "../state/view";
import { el, setAttr, setClass, setText } from "./dom";
import type { MakePart } from "./hands";

const SPAN_S = 30;
/** Loudness is noted this often; finer than a pixel would be waste. */
const LEVEL_STEP_S = 1 / 15;
const SPEECH_PX = 5;

interface Loudness {
  readonly atS: number;
  readonly level: number;
}

export const makeStrip: MakePart = (hands, words) => {
  const canvas = el("canvas", { attrs: { role: "img", "aria-label": words.live.strip(SPAN_S) } });
  const state = el("span", { class: "speech-state", id: "speech-state" });
  const faces = el("span", { class: "faces-state", id: "faces-state" });
  const root = el("div", { class: "strip" }, el("p", { class: "states" }, state, faces), canvas);
  const heard: Loudness[] = [];

  function note(nowS: number): boolean {
    const last = heard.at(-1);
    if (last !== undefined && nowS - last.atS < LEVEL_STEP_S) return false;
    heard.push({ atS: nowS, level: hands.level() });
    if (heard.length > SPAN_S / LEVEL_STEP_S + 2) heard.shift();
    return true;
  }

  return {
    root,
    draw: (view: View, nowS: number) => {
      const { session } = view;
      if (view.phase.name !== "live") heard.length = 0;
      const speaks = session.speech.some((stretch) => stretch.end === null);
      setClass(root, "speaking", speaks);
      setAttr(root, "data-speech", view.choice === "camera" ? "off" : speaks ? "on" : "quiet");
      setText(state, view.choice === "camera" ? words.live.listeningOff : speaks ? words.live.speaking : words.live.quiet);
      setText(faces, facesWords(words, view));
      if (note(nowS)) paint(canvas, heard, view, nowS);
    },
  };
};

/** Nothing before a frame was looked at, nor while none arrives: the last one is then no news. */
export function facesWords(words: Messages, { choice, session }: View): string {
  const look = session.looks.at(-1);
  const blind = standingNotices(session).some((notice) => notice.code === "no_video" && !notice.over);
  return choice === "microphone" || look === undefined || blind ? "" : words.live.faces(look.faces.length);
}

function paint(canvas: HTMLCanvasElement, heard: readonly Loudness[], view: View, nowS: number): void {
  const ratio = window.devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0) return;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const style = getComputedStyle(canvas);
  const colour = (name: string): string => style.getPropertyValue(name);
  const x = (atS: number): number => width * (1 - (nowS - atS) / SPAN_S);
  const zeroS = view.session.zeroS ?? nowS;
  const shown = shownAnalysis(view);

  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (shown?.span) {
    pen.fillStyle = colour("--wash");
    const from = x(zeroS + shown.span.start);
    pen.fillRect(from, 0, x(zeroS + shown.span.end) - from, height);
  }
  paintLoudness(pen, heard, x, height - SPEECH_PX - 4, colour("--ink-3"));
  for (const stretch of view.session.speech) {
    const from = x(zeroS + stretch.start);
    const to = stretch.end === null ? width : x(zeroS + stretch.end);
    if (to < 0) continue;
    const sound = view.lit?.sound === true;
    const lit = sound && within(stretch, shown);
    pen.fillStyle = colour("--voice");
    pen.globalAlpha = lit || !sound ? 1 : 0.35;
    const tall = lit ? height : SPEECH_PX;
    pen.globalAlpha *= lit ? 0.85 : 1;
    pen.beginPath();
    pen.roundRect(from, height - tall, Math.max(2, to - from), tall, 2.5);
    pen.fill();
    pen.globalAlpha = 1;
    if (lit) paintLoudness(pen, heard.filter((loud) => x(loud.atS) >= from && x(loud.atS) <= to), x, height - SPEECH_PX - 4, colour("--panel"));
  }
}

function paintLoudness(pen: CanvasRenderingContext2D, heard: readonly Loudness[], x: (atS: number) => number, height: number, colour: string): void {
  pen.fillStyle = colour;
  for (const { atS, level } of heard) {
    const tall = Math.max(1, level * height);
    pen.fillRect(x(atS), (height - tall) / 2 + 1, 1.5, tall);
  }
}

function within(stretch: Stretch, analysis: Analysis | null): boolean {
  if (!analysis?.span) return false;
  return stretch.start < analysis.span.end && (stretch.end ?? Infinity) > analysis.span.start;
}
