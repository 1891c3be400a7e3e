/**
 * Continues a session that the server has lost, after a restart or a long break, with a new one.
 *
 * Times, event numbers and windows of the new one begin at zero on the server. To the person it is the same session, so they
 * are counted on from where the lost one ended.
 */

import type { WireEvent } from "../wire/generated";
import type { Session } from "./view";

/** What is added to a session's own counts. */
export interface Base {
  readonly session: string;
  readonly seq: number;
  readonly t: number;
  readonly window: number;
}

/** Where a session that begins at `nowS` on the page's clock goes on from. */
export function baseOf(session: Session, nowS: number): Base {
  const passedS = session.zeroS === null ? 0 : nowS - session.zeroS;
  return {
    session: session.id,
    seq: session.seq,
    t: Math.max(session.mediaS, passedS),
    window: (session.analyses.at(-1)?.window ?? -1) + 1,
  };
}

/** Ends what was under way: no event will come for the end of speech or of a problem. */
export function interrupted(session: Session): Session {
  return {
    ...session,
    speech: session.speech.map((stretch) => (stretch.end === null ? { ...stretch, end: session.mediaS } : stretch)),
    notices: [],
    lag: { ...session.lag, seq: session.seq, seconds: 0 },
  };
}

export function continued(event: WireEvent, base: Base): WireEvent {
  const common = { session: base.session, seq: base.seq + event.seq, t: base.t + event.t };
  switch (event.type) {
    case "speech":
      return { ...event, ...common, start: base.t + event.start, end: event.end === null ? null : base.t + event.end };
    case "words":
      return { ...event, ...common, window: event.window === null ? null : base.window + event.window, start: base.t + event.start, end: base.t + event.end };
    case "window":
      return { ...event, ...common, window: base.window + event.window, start: base.t + event.start, end: base.t + event.end };
    case "summary":
      return { ...event, ...common, start: base.t + event.start, end: base.t + event.end };
    case "clock":
      // Of the moment from which the seconds are counted, which is the lost session's.
      return { ...event, ...common, started_at: new Date(Date.parse(event.started_at) - 1000 * base.t).toISOString() };
    case "label":
    case "reason.delta":
    case "reason.done":
      return { ...event, ...common, window: base.window + event.window };
    default:
      return { ...event, ...common };
  }
}
