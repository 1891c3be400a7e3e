/** The rows of the timeline, and their values over a stretch of time: one row per label, then speech and what was measured. */

import { analysisAt, sharesOf, shownAnalysis } from "./shown";
import type { FaceMeasured, Session, View } from "./view";
import { GAP_S, moments, runs, thinned, type Moment, type Run } from "./timeline";

/** Points per row; more than a screen has pixels for would be drawn over each other. */
const POINTS = 600;

/** Face cues with a row of their own: the ones people ask about. */
export const FACE_ROWS = ["lip_corner_pull", "brow_lower", "jaw_drop"] as const;
export const VOICE_ROWS = ["pitch_hz", "loudness_db"] as const;
export type MeasuredRow = (typeof FACE_ROWS)[number] | (typeof VOICE_ROWS)[number];

/** One frame a second is measured; every other one while the server is slow. */
const POSE_LASTS_S = 2.5;

/** Spreads from the voice's own mean that fill a row from bottom to top. */
const SPREADS = 6;

export interface Curve {
  readonly atS: readonly number[];
  /** 0–1; null is a gap. */
  readonly values: readonly (number | null)[];
}

export interface Lanes {
  readonly labels: readonly string[];
  readonly measured: readonly MeasuredRow[];
  /** In the order of `labels`, then of `measured`. */
  readonly curves: readonly Curve[];
  readonly runs: readonly Run[];
  readonly moments: readonly Moment[];
}

/** The timeline of `view`, from `fromS` to `toS`, smoothed or raw. */
export function lanes(view: View, fromS: number, toS: number, raw: boolean): Lanes {
  const { session } = view;
  const labels = laneLabels(view);
  const all = moments(session);
  const near = around(all, fromS, toS);
  const drawn = thinned(near, POINTS);
  const ofLabels = labels.map((label) => labelCurve(near, drawn, (moment) => (raw ? moment.raw : moment.smooth)[label] ?? null));
  const measured = measuredRows(view);
  const ofMeasured = measured.map((row) => (isVoice(row) ? voiceCurve(session, row, fromS, toS) : faceCurve(view, row, fromS, toS)));
  return { labels, measured, curves: [...ofLabels, ...ofMeasured], runs: runs(near), moments: near };
}

/** The probability of one label: a value where each window ends, and a gap where none looked. */
function labelCurve(near: readonly Moment[], drawn: readonly Moment[], valueOf: (moment: Moment) => number | null): Curve {
  const atS: number[] = [];
  const values: (number | null)[] = [];
  const kept = new Set(drawn);
  near.forEach((moment, index) => {
    const before = near[index - 1];
    const value = valueOf(moment);
    if (before !== undefined && moment.startS - before.atS >= GAP_S) {
      atS.push(before.atS + 0.001, moment.startS);
      values.push(null, value);
    }
    if (!kept.has(moment)) return;
    atS.push(moment.atS);
    values.push(value);
  });
  return { atS, values };
}

/** The labels that have a row: those of the window on show. Labels of earlier questions have none. */
export function laneLabels(view: View): readonly string[] {
  return sharesOf(view.session, shownAnalysis(view) ?? view.session.analyses.at(-1) ?? null);
}

export function measuredRows(view: View): readonly MeasuredRow[] {
  return [...(view.choice === "microphone" ? [] : FACE_ROWS), ...(view.choice === "camera" ? [] : VOICE_ROWS)];
}

/** Whether the rows of the voice wait: they show how it differs from its usual, which the server knows only after some speech. */
export function usualWaits(view: View): boolean {
  return view.choice !== "camera" && view.session.voiceCues.every(({ relative }) => VOICE_ROWS.every((row) => relative[row] == null));
}

function isVoice(row: MeasuredRow): row is (typeof VOICE_ROWS)[number] {
  return (VOICE_ROWS as readonly string[]).includes(row);
}

/** The items within the time, and one on either side, so that lines run to the edges. */
function around<T extends { readonly atS: number }>(items: readonly T[], fromS: number, toS: number): readonly T[] {
  const first = items.findIndex((item) => item.atS >= fromS);
  if (first < 0) return items.slice(-1);
  const last = items.findLastIndex((item) => item.atS <= toS);
  return items.slice(Math.max(0, first - 1), last + 2);
}

/** The track whose face is shown: the person whom the window on show names first, else whoever was measured last. */
function shownTrack(view: View): number | undefined {
  return shownAnalysis(view)?.people[0] ?? view.session.faceCues.at(-1)?.track;
}

/** How that person held their head at `atS`; null where it was not measured shortly before. */
export function poseAt(view: View, atS: number): FaceMeasured["pose"] {
  const track = shownTrack(view);
  const measured = view.session.faceCues.findLast((each) => each.track === track && each.atS <= atS);
  return measured === undefined || atS - measured.atS > POSE_LASTS_S ? null : measured.pose;
}

function faceCurve(view: View, row: (typeof FACE_ROWS)[number], fromS: number, toS: number): Curve {
  const track = shownTrack(view);
  const own = around(view.session.faceCues, fromS, toS).filter((measured) => measured.track === track);
  const drawn = thinned(own, POINTS);
  return { atS: drawn.map((measured) => measured.atS), values: drawn.map((measured) => measured.cues[row] ?? null) };
}

/** A measured value of the voice: flat over each stretch of speech, with gaps between. */
function voiceCurve(session: Session, row: (typeof VOICE_ROWS)[number], fromS: number, toS: number): Curve {
  const atS: number[] = [];
  const values: (number | null)[] = [];
  // Both lists are in the order of time, so one walk over each is enough.
  let place = 0;
  for (const measured of thinned(around(session.voiceCues, fromS, toS), POINTS)) {
    while (place < session.speech.length && (session.speech[place]?.end ?? Infinity) < measured.atS - 0.05) place += 1;
    const stretch = session.speech[place];
    const relative = measured.relative[row];
    if (stretch?.end == null || stretch.end > measured.atS + 0.05 || relative == null) continue;
    const value = Math.max(0.04, Math.min(1, 0.5 + relative / SPREADS));
    atS.push(stretch.start, stretch.end, stretch.end + 0.001);
    values.push(value, value, null);
  }
  return { atS, values };
}

/** The window that ended last before `atS`, to tell what stands under the pointer. */
export function momentAt(all: readonly Moment[], session: Session, atS: number): Moment | null {
  const window = analysisAt(session, atS)?.window;
  return all.find((moment) => moment.window === window) ?? null;
}
