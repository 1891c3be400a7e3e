/**
 * Probabilities over time that a person can read: smoothed, and with a label that does not flicker.
 *
 * Windows overlap and come every few seconds, so the raw probabilities jump. Each smoothed probability follows
 * the raw one with a time constant, and the label changes only to one that leads by a margin.
 */

import { bestLabel, concluded, sharesOf } from "./shown";
import type { Analysis, Distribution, Session } from "./view";

/** Seconds in which a share comes two thirds of the way to a new value. */
export const SMOOTH_S = 6;
/** What another label has to lead by, smoothed, to take over. */
export const MARGIN = 0.1;
/** After a longer gap nothing of before is carried over. */
const FORGET_S = 30;

/** Media seconds between two windows from which on there is a gap: nothing of that time was analysed. */
export const GAP_S = 1;

export interface Moment {
  readonly window: number;
  readonly atS: number;
  readonly startS: number;
  readonly labels: readonly string[];
  readonly raw: Distribution;
  readonly smooth: Distribution;
  /** The label that stands, by the smoothed shares. */
  readonly label: string;
  /** What was said about this window alone, `unsure` included. */
  readonly said: string;
}

/** Windows with a label and a place in time, oldest first. */
export function moments(session: Session): readonly Moment[] {
  const placed = session.analyses.flatMap((analysis) => (analysis.span === null || bestLabel(analysis) === null ? [] : [{ analysis, span: analysis.span }]));
  const found: Moment[] = [];
  for (const { analysis, span } of placed.toSorted((a, b) => a.span.end - b.span.end)) {
    const labels = sharesOf(session, analysis);
    const raw = bestLabel(analysis)?.probabilities ?? {};
    const before = found.at(-1);
    const passedS = span.end - (before?.atS ?? -Infinity);
    const carries = before !== undefined && passedS < FORGET_S && sameList(before.labels, labels);
    const follow = carries ? 1 - Math.exp(-Math.max(passedS, 0) / SMOOTH_S) : 1;
    const smooth = Object.fromEntries(
      labels.map((label) => {
        const was = carries ? (before.smooth[label] ?? 0) : 0;
        return [label, was + follow * ((raw[label] ?? 0) - was)];
      }),
    );
    found.push({
      window: analysis.window,
      atS: span.end,
      startS: span.start,
      labels,
      raw,
      smooth,
      label: standing(smooth, carries ? before.label : null),
      said: concluded(analysis).label,
    });
  }
  return found;
}

function standing(smooth: Distribution, before: string | null): string {
  const [best, share] = Object.entries(smooth).reduce((top, each) => (each[1] > top[1] ? each : top), ["", -1]);
  if (before === null || before === best) return best;
  return share - (smooth[before] ?? 0) >= MARGIN ? best : before;
}

export function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a === b || (a.length === b.length && a.every((each, index) => each === b[index]));
}

/** A stretch of time in which one label stood. */
export interface Run {
  readonly label: string;
  readonly fromS: number;
  readonly toS: number;
}

export function runs(told: readonly Moment[]): readonly Run[] {
  const found: { label: string; fromS: number; toS: number }[] = [];
  for (const moment of told) {
    const last = found.at(-1);
    const joins = last !== undefined && moment.startS - last.toS < GAP_S;
    if (joins) last.toS = moment.atS;
    if (!joins || last.label !== moment.label) found.push({ label: moment.label, fromS: joins ? moment.atS : moment.startS, toS: moment.atS });
  }
  return found.filter((run) => run.toS > run.fromS);
}

/** The window to read when someone points at a time: the first that ends there or later, else the last. */
export function analysisNear(session: Session, atS: number): Analysis | null {
  const placed = session.analyses.filter((analysis) => analysis.span !== null && bestLabel(analysis) !== null);
  return placed.find((analysis) => (analysis.span?.end ?? 0) >= atS) ?? placed.at(-1) ?? null;
}

/** At most `limit` of the items, evenly, always with the last. */
export function thinned<T>(items: readonly T[], limit: number): readonly T[] {
  if (items.length <= limit) return items;
  const step = Math.ceil(items.length / limit);
  return items.filter((_, index) => (items.length - 1 - index) % step === 0);
}
