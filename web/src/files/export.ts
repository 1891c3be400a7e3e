/**
 * Saves a session as a file for the person it is about: JSON, a table (CSV) or subtitles (VTT). Nothing is sent anywhere.
 *
 * The JSON holds the session twice: `windows` for people and their programs, and `events` as on the wire, from which
 * `saved.ts` opens the session again.
 */

import { percent } from "../draw/format";
import { letter, relettered } from "../state/evidence";
import { SECTIONS, VERSION, type PersonLabel, type Section } from "../wire/generated";
import { bestLabel, concluded, facesOf, labelsOf, sectionText, sharesOf, speakerOf, wordsOf } from "../state/shown";
import type { Analysis, Session } from "../state/view";

export const FORMAT_NAMES = ["json", "csv", "vtt"] as const;
export type Format = (typeof FORMAT_NAMES)[number];
/** How many people's labels a table has room for, as many as the server tells of. */
const MOST_PEOPLE = 5;
const MEDIA_TYPES = { json: "application/json", csv: "text/csv", vtt: "text/vtt" } satisfies Record<Format, string>;
/** How long a mark stands among the subtitles. */
const MARK_SHOWN_S = 1;
export const SAVED = "emothinker session";

export function exported(session: Session, format: Format): string {
  switch (format) {
    case "json":
      return toJson(session);
    case "csv":
      return toCsv(session);
    case "vtt":
      return toVtt(session);
  }
}

interface Told {
  readonly analysis: Analysis;
  readonly start: number;
  readonly end: number;
}

/** Windows that have a label and a place in time, oldest first. */
export function told(session: Session): readonly Told[] {
  return session.analyses.flatMap((analysis) =>
    analysis.span !== null && bestLabel(analysis) !== null ? [{ analysis, start: analysis.span.start, end: analysis.span.end }] : [],
  );
}

/** The words of a section with the letters that the page used. */
export function saidText(analysis: Analysis, section: Section): string {
  return relettered(sectionText(analysis, section), analysis.people);
}

function saidIn(session: Session, analysis: Analysis): string {
  return wordsOf(session, analysis).map(({ text }) => text).join(" ");
}

function quoted(text: string): string {
  return text === "" ? "" : `“${text}”`;
}

function toJson(session: Session): string {
  const windows = told(session).map(({ analysis, start, end }) => ({
    window: analysis.window,
    start,
    end,
    speech_s: analysis.span?.speechS ?? 0,
    query: analysis.query,
    read_as: analysis.readAs,
    labels: labelsOf(session, analysis),
    answer: concluded(analysis),
    fast: analysis.fast,
    chain: analysis.chain,
    sections: Object.fromEntries(SECTIONS.map((name) => [name, saidText(analysis, name)])),
    answered_from: analysis.answeredFrom,
    turned_by: analysis.turnedBy,
    words: wordsOf(session, analysis).map(({ text }) => text),
    timings_ms: analysis.timingsMs,
  }));
  const { model, engine, labels, speech, mediaS } = session;
  const marks = session.marks.map((mark) => ({ t: mark.t, name: mark.name, data: mark.data }));
  const summaries = session.summaries.map(({ start, end, source, text }) => ({ start, end, source, text }));
  const body = { format: SAVED, v: 2, model, engine, labels, ...startedFields(session), duration_s: mediaS, speech, marks, summaries, windows };
  // Indented for people, but for the events: there are many, and each is one line.
  const lines = events(session).map((event) => `    ${JSON.stringify(event)}`);
  return `${JSON.stringify(body, null, 2).slice(0, -2)},\n  "events": [\n${lines.join(",\n")}\n  ]\n}\n`;
}

function startedFields({ started }: Session): Plain {
  return { started_at: started?.at ?? null, started_at_error_ms: started?.errorMs ?? null };
}

type Plain = Readonly<Record<string, unknown>>;

/** The session as events, numbered anew in the order of their times. */
function events(session: Session): readonly Plain[] {
  const { model, engine, labels, stock, labelModel, answerModel } = session;
  const timed: { t: number; body: Plain }[] = [{ t: 0, body: { type: "session.opened", model, engine, labels, ...startedFields(session), stock, label_model: labelModel, answer_model: answerModel } }];
  const add = (t: number, type: string, body: Plain): number => timed.push({ t, body: { type, ...body } });
  for (const { seq, session: _session, t, type, ...look } of session.looks) add(t, type, look);
  for (const { atS, track, cues, pose, gaze } of session.faceCues) add(atS, "cues", { face: { track, ...cues }, pose, gaze, voice: null, relative: null });
  for (const { atS, values, relative } of session.voiceCues) add(atS, "cues", { face: null, pose: null, gaze: null, voice: values, relative });
  for (const { start, end } of session.speech) {
    add(start, "speech", { state: "start", start, end: null });
    if (end !== null) add(end, "speech", { state: "end", start, end });
  }
  for (const analysis of session.analyses) addAnalysis(analysis, add);
  for (const { seq, session: _session, t, type, ...said } of session.words) add(t, type, said);
  for (const { t, name, data } of session.marks) add(t, "mark", { name, data });
  for (const { seq, session: _session, t, type, ...summed } of session.summaries) add(t, type, summed);
  for (const { atS, code, message, hint, over } of session.notices) add(atS, "error", { code, message, hint, over });
  const { seconds, skippedFrames, skippedWindows, skippedCueFrames, reduced } = session.lag;
  add(session.mediaS, "lag", { seconds, skipped_frames: skippedFrames, skipped_windows: skippedWindows, reduced, skipped_cue_frames: skippedCueFrames });
  add(session.mediaS, "session.closed", { reason: session.closed ?? "The session was saved." });
  const name = session.id === "" ? "saved" : session.id;
  return timed.toSorted((a, b) => a.t - b.t).map(({ t, body }, index) => ({ v: VERSION, session: name, seq: index + 1, t, ...body }));
}

function addAnalysis(analysis: Analysis, add: (t: number, type: string, body: Plain) => void): void {
  const { window, span, people, query, readAs, labels } = analysis;
  if (span === null) return;
  const { start, end, frames, speechS } = span;
  add(end, "window", { window, start, end, frames, speech_s: speechS, people, query, read_as: readAs, labels });
  for (const source of ["fast", "chain"] as const) {
    const labelled = analysis[source];
    if (labelled !== null) add(source === "fast" ? end : (analysis.settledS ?? end), "label", { window, source, ...labelled });
  }
  // A chain that was cut off is saved with as much of it as there was.
  const sections = Object.fromEntries(SECTIONS.map((name) => [name, sectionText(analysis, name)]).filter(([, text]) => text !== ""));
  if (Object.keys(sections).length === 0) return;
  add(analysis.settledS ?? end, "reason.done", { window, sections, answer: concluded(analysis), timings_ms: analysis.timingsMs, contradictions: analysis.contradictions, rewritten: analysis.rewritten, words_read: analysis.wordsRead, unsupported: analysis.unsupported, answered_from: analysis.answeredFrom, turned_by: analysis.turnedBy });
}

function toCsv(session: Session): string {
  const names = [...new Set(told(session).flatMap(({ analysis }) => sharesOf(session, analysis)))];
  const places = Array.from({ length: MOST_PEOPLE }, (_, place) => place);
  const people = places.flatMap((place) => [`person_${place + 1}`, `person_${place + 1}_label`, `person_${place + 1}_p`]);
  const head = ["start_s", "end_s", "speech_s", "question", "label", "intensity", "confidence", "conflict", ...names.map((label) => `p_${label}`), ...SECTIONS, "valence", "valence_basis", "arousal", "arousal_basis", "speaker", ...people, "calibrated", "words", "start_utc", "mark", "mark_data"];
  const ofWindows = told(session).map(({ analysis, start, end }) => {
    const { label, intensity, confidence } = concluded(analysis);
    const conflict = analysis.chain?.conflict ?? analysis.fast?.conflict ?? null;
    const shares = names.map((name) => bestLabel(analysis)?.probabilities[name] ?? "");
    const texts = SECTIONS.map((name) => saidText(analysis, name));
    const { valence = null, arousal = null } = bestLabel(analysis) ?? {};
    const [faces, speaker] = [facesOf(analysis), speakerOf(analysis)];
    const ofPeople = places.flatMap((place) => personCells(faces[place]));
    return [start, end, analysis.span?.speechS ?? 0, analysis.query ?? "", label, intensity, confidence, conflict?.score ?? "", ...shares, ...texts, valence?.value ?? "", valence?.basis ?? "", arousal?.value ?? "", arousal?.basis ?? "", speaker === null ? "" : letter(speaker), ...ofPeople, String(bestLabel(analysis)?.calibrated ?? ""), saidIn(session, analysis), utc(session, start), "", ""];
  });
  // A mark is a row of its own, with nothing in between.
  const between = head.slice(2, -3).map(() => "");
  const ofMarks = session.marks.map(({ t, name, data }) => [t, t, ...between, utc(session, t), name, Object.keys(data).length === 0 ? "" : JSON.stringify(data)]);
  const rows = [...ofWindows, ...ofMarks].toSorted((a, b) => Number(a[0]) - Number(b[0]));
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Letter, label and the share of the likeliest one; empty where there is nobody. */
function personCells(face: PersonLabel | undefined): readonly (string | number)[] {
  return face === undefined ? ["", "", ""] : [letter(face.track), face.label, Math.max(...Object.values(face.probabilities))];
}

/** Wall-clock time of a media second; empty where nobody knows it. */
function utc({ started }: Session, atS: number): string {
  return started === null ? "" : new Date(Date.parse(started.at) + 1000 * atS).toISOString();
}

/** RFC 4180 quoting. A leading =, +, - or @ would be run as a formula by a spreadsheet, so words never begin with one. */
function cell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function toVtt(session: Session): string {
  let fromS = 0;
  const cues = told(session).flatMap(({ analysis, start, end }) => {
    // Windows overlap; a subtitle stands from where the one before ended.
    const begin = Math.max(start, fromS);
    if (end <= begin) return [];
    fromS = end;
    const { label, confidence } = concluded(analysis);
    const faces = facesOf(analysis);
    const people = faces.length < 2 ? "" : faces.map(({ track, label: own }) => `Person ${letter(track)}${track === speakerOf(analysis) ? " (speaks)" : ""}: ${own}`).join(", ");
    const words = [label === "unsure" ? label : `${label} (${percent(confidence)})`, people, quoted(saidIn(session, analysis)), saidText(analysis, "fine")].filter(Boolean);
    return [`${stamp(begin)} --> ${stamp(end)}\n${words.map(asCueText).join("\n")}\n`];
  });
  const marks = session.marks.map(({ t, name, data }) => {
    const added = Object.keys(data).length === 0 ? "" : ` ${JSON.stringify(data)}`;
    return `${stamp(t)} --> ${stamp(t + MARK_SHOWN_S)}\n# ${asCueText(name + added)}\n`;
  });
  const { started } = session;
  const note = started === null ? [] : [`NOTE 00:00:00.000 is ${started.at}, give or take ${Math.round(started.errorMs)} ms\n`];
  return ["WEBVTT\n", ...note, ...[...cues, ...marks].toSorted(byBegin)].join("\n");
}

/** Subtitles of an hour or more have as many digits as the others: their text sorts as their times do. */
function byBegin(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function asCueText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(/\s+/g, " ");
}

function stamp(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const part = (value: number, digits: number): string => String(Math.floor(value)).padStart(digits, "0");
  return `${part(ms / 3_600_000, 2)}:${part((ms / 60_000) % 60, 2)}:${part((ms / 1000) % 60, 2)}.${part(ms % 1000, 3)}`;
}

/** Hand a file to the person through the browser's own download. */
export function save(session: Session, format: Format): void {
  const address = URL.createObjectURL(new Blob([exported(session, format)], { type: MEDIA_TYPES[format] }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `emothinker.${format}`;
  link.click();
  // The download has taken its own hold by the next task.
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
