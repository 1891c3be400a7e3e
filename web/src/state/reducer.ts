/**
 * Applies events to the session value.
 *
 * The result does not depend on the order of arrival: a state (frame, lag) is replaced only by a newer one, words are kept in
 * the order of their numbers, and a repeated event changes nothing. So a replay after a dropped socket is harmless.
 */

import { follow } from "./following";
import type { CuesEvent, ErrorEvent, SessionOpenedEvent, WireEvent } from "../wire/generated";
import type { Rejected } from "../wire/read";
import type { Analysis, FaceMeasured, Notice, Piece, Session, Stretch, VoiceMeasured } from "./view";

/** Windows kept to read again: two hours with one every two seconds. */
export const KEPT_ANALYSES = 3_600;
export const KEPT_STRETCHES = 3_600;
/** Frames kept to look at again: over two hours at one a second. */
export const KEPT_LOOKS = 8_000;
/** Measurements of faces: the same for one person, less for more. */
export const KEPT_CUES = 10_000;
/** An hour with one a second. */
export const KEPT_MARKS = 3_600;
export const KEPT_NOTICES = 20;
export const KEPT_SUMMARIES = 100;
/** Words of a section that may still change places; a chain has fewer, and `reason.done` repeats it whole. */
export const KEPT_PIECES = 400;

export function assertNever(value: never): never {
  throw new Error(`unhandled case ${JSON.stringify(value)}`);
}

/** The session after `event`, which arrived at `nowS` on the page's clock. */
export function reduceEvent(session: Session, event: WireEvent | Rejected, nowS: number): Session {
  if (event.type === "rejected") return { ...session, nRejected: session.nRejected + 1 };
  // A late event of the session before this one.
  if (session.id !== "" && event.session !== session.id) return session;
  const next = applyEvent(
    {
      ...session,
      id: event.session,
      seq: Math.max(session.seq, event.seq),
      mediaS: Math.max(session.mediaS, event.t),
      zeroS: Math.min(session.zeroS ?? Infinity, nowS - event.t),
    },
    event,
  );
  const following = follow(next);
  return following === next.following ? next : { ...next, following };
}

function applyEvent(session: Session, event: WireEvent): Session {
  switch (event.type) {
    case "session.opened":
      return { ...session, model: event.model, engine: event.engine, labels: event.labels, stock: event.stock, labelModel: event.label_model, answerModel: event.answer_model, started: session.started ?? startedOf(event) };
    case "session.closed":
      return { ...session, closed: event.reason };
    case "frame":
      return { ...session, looks: inOrder(session.looks, event, KEPT_LOOKS) };
    case "speech":
      return { ...session, speech: withStretch(session.speech, { start: event.start, end: event.state === "end" ? event.end : null }) };
    case "words":
      return { ...session, words: inOrder(session.words, event, KEPT_STRETCHES) };
    case "cues":
      return withCues(session, event);
    case "window":
      return withAnalysis(session, event.window, (analysis) => ({
        ...analysis,
        span: { start: event.start, end: event.end, frames: event.frames, speechS: event.speech_s },
        people: event.people,
        query: event.query,
        readAs: event.read_as,
        labels: event.labels,
      }));
    case "label":
      return withAnalysis(session, event.window, (analysis) => {
        const labelled = { label: event.label, probabilities: event.probabilities, conflict: event.conflict, faces: event.faces, speaker: event.speaker, valence: event.valence, arousal: event.arousal, calibrated: event.calibrated };
        return event.source === "fast" ? { ...analysis, fast: labelled } : { ...analysis, chain: labelled };
      });
    case "reason.delta":
      return withAnalysis(session, event.window, (analysis) => {
        if (analysis.sections !== null) return analysis;
        const pieces = withPiece(analysis.pieces[event.section] ?? [], { seq: event.seq, text: event.text });
        return { ...analysis, pieces: { ...analysis.pieces, [event.section]: pieces } };
      });
    case "reason.done":
      return withAnalysis(session, event.window, (analysis) => ({
        ...analysis,
        pieces: {},
        sections: event.sections,
        answer: event.answer,
        contradictions: event.contradictions,
        rewritten: event.rewritten,
        wordsRead: event.words_read,
        unsupported: event.unsupported,
        answeredFrom: event.answered_from,
        turnedBy: event.turned_by,
        settledS: event.t,
        timingsMs: event.timings_ms,
      }));
    case "mark":
      return { ...session, marks: inOrder(session.marks, event, KEPT_MARKS) };
    case "clock":
      return { ...session, started: { at: event.started_at, errorMs: event.started_at_error_ms } };
    case "summary":
      return { ...session, summaries: inOrder(session.summaries, event, KEPT_SUMMARIES) };
    case "lag":
      if (event.seq <= session.lag.seq) return session;
      return {
        ...session,
        lag: {
          seq: event.seq,
          seconds: event.seconds,
          skippedFrames: event.skipped_frames,
          skippedWindows: event.skipped_windows,
          skippedCueFrames: event.skipped_cue_frames,
          reduced: event.reduced,
        },
      };
    case "error":
      return { ...session, notices: withNotice(session.notices, noticeOf(event)) };
    default:
      return assertNever(event);
  }
}

/** A session that goes on after a break keeps the time of its first part, from which its seconds are counted. */
function startedOf(event: SessionOpenedEvent): Session["started"] {
  return event.started_at === null ? null : { at: event.started_at, errorMs: event.started_at_error_ms ?? 0 };
}

function withCues(session: Session, event: CuesEvent): Session {
  const { seq, t } = event;
  if (event.face !== null) {
    const { track = 0, ...cues } = event.face;
    const measured: FaceMeasured = { seq, atS: t, track, cues, pose: event.pose, gaze: event.gaze };
    return { ...session, faceCues: inOrder(session.faceCues, measured, KEPT_CUES) };
  }
  if (event.voice === null) return session;
  const measured: VoiceMeasured = { seq, atS: t, values: event.voice, relative: event.relative ?? {} };
  return { ...session, voiceCues: inOrder(session.voiceCues, measured, KEPT_STRETCHES) };
}

/** Inserts `item` by its `seq`. An item that is there already, or older than all that are kept, changes nothing. */
function inOrder<T extends { readonly seq: number }>(items: readonly T[], item: T, kept: number): readonly T[] {
  const index = items.findLastIndex((earlier) => earlier.seq <= item.seq);
  if (items[index]?.seq === item.seq) return items;
  if (items.length < kept) return items.toSpliced(index + 1, 0, item);
  if (index < 0) return items;
  // The oldest gives up its place; copied once, since in a burst this happens thousands of times a second.
  const next = items.slice(1);
  next.splice(index, 0, item);
  return next;
}

function noticeOf(event: ErrorEvent): Notice {
  return { seq: event.seq, atS: event.t, code: event.code, message: event.message, hint: event.hint, over: event.over };
}

function withAnalysis(session: Session, window: number, change: (analysis: Analysis) => Analysis): Session {
  const { analyses } = session;
  // Nearly always the last one, so look from there.
  const index = analyses.findLastIndex((analysis) => analysis.window <= window);
  const found = analyses[index];
  if (found?.window === window) return { ...session, analyses: analyses.with(index, change(found)) };
  const fresh: Analysis = {
    window,
    span: null,
    people: [],
    query: null,
    readAs: null,
    labels: [],
    fast: null,
    chain: null,
    pieces: {},
    sections: null,
    answer: null,
    contradictions: [],
    rewritten: "no",
    wordsRead: false,
    unsupported: [],
    answeredFrom: null,
    turnedBy: [],
    settledS: null,
    timingsMs: {},
  };
  return { ...session, analyses: analyses.toSpliced(index + 1, 0, change(fresh)).slice(-KEPT_ANALYSES) };
}

function withPiece(pieces: readonly Piece[], piece: Piece): readonly Piece[] {
  const [first, second] = pieces;
  if (pieces.length < KEPT_PIECES || first === undefined || second === undefined) return inOrder(pieces, piece, Infinity);
  // The oldest two become one, and whatever belongs between them has been there.
  const next = pieces.slice(1);
  next[0] = { seq: second.seq, text: first.text + second.text };
  return piece.seq <= second.seq ? pieces : inOrder(next, piece, Infinity);
}

function withStretch(stretches: readonly Stretch[], stretch: Stretch): readonly Stretch[] {
  const index = stretches.findLastIndex((earlier) => earlier.start <= stretch.start);
  const found = stretches[index];
  if (found?.start !== stretch.start) return stretches.toSpliced(index + 1, 0, stretch).slice(-KEPT_STRETCHES);
  // The start of a stretch whose end is known adds nothing.
  return stretch.end === null ? stretches : stretches.with(index, stretch);
}

/** The newest notice of a code stands for it. */
function withNotice(notices: readonly Notice[], notice: Notice): readonly Notice[] {
  if (notices.some((earlier) => earlier.code === notice.code && earlier.seq >= notice.seq)) return notices;
  return [...notices.filter((earlier) => earlier.code !== notice.code), notice].slice(-KEPT_NOTICES);
}
