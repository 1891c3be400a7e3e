/**
 * Which window the page follows by itself.
 *
 * A window about speech is shown at once. Quiet moments come every few seconds, faster than anyone reads: the next one is
 * shown when the one on the page is written and read. Those in between are only in the list of earlier moments.
 */

import { aboutSpeech } from "./shown";
import type { Analysis, Session } from "./view";

/** Time to read a finished chain, media seconds. */
const READ_SPOKEN_S = 12;
const READ_QUIET_S = 6;
/** A chain that has not gone on for this long after its window will not be finished. */
const WRITTEN_WITHIN_S = 20;
/** No older window is still of interest. */
const RECENT_WINDOWS = 6;

export function follow(session: Session): number | null {
  const recent = session.analyses.slice(-RECENT_WINDOWS);
  const readable = recent.filter((analysis) => analysis.fast !== null || analysis.sections !== null);
  const current = recent.find((analysis) => analysis.window === session.following);
  const newest = readable.at(-1) ?? recent.at(-1);
  const spoken = readable.findLast((analysis) => aboutSpeech(session, analysis));
  if (current === undefined) return newest?.window ?? null;
  if (spoken !== undefined && spoken.window > current.window) return spoken.window;
  return stays(session, current) ? current.window : (newest?.window ?? null);
}

/** Being written, or finished so short a time ago that it is still being read. */
function stays(session: Session, analysis: Analysis): boolean {
  const readS = aboutSpeech(session, analysis) ? READ_SPOKEN_S : READ_QUIET_S;
  if (analysis.settledS !== null) return session.mediaS - analysis.settledS < readS;
  const begun = Object.keys(analysis.pieces).length > 0;
  return begun && session.mediaS - (analysis.span?.end ?? 0) < WRITTEN_WITHIN_S;
}
