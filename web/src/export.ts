/** What was said in a session, as files for the person it is about: JSON, a table, subtitles. Nothing is sent anywhere. */

import { SECTIONS } from "./protocol";
import { bestLabel, concluded, sectionText, type Analysis, type Session } from "./view";

export const FORMATS = { json: "application/json", csv: "text/csv", vtt: "text/vtt" } as const;
export type Format = keyof typeof FORMATS;

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

/** Windows that have a label and a place in time, oldest first. */
function told(session: Session): { analysis: Analysis; start: number; end: number }[] {
  return session.analyses.flatMap((analysis) =>
    analysis.span !== null && bestLabel(analysis) !== null ? [{ analysis, start: analysis.span.start, end: analysis.span.end }] : [],
  );
}

function toJson(session: Session): string {
  const windows = told(session).map(({ analysis, start, end }) => ({
    window: analysis.window,
    start,
    end,
    speech_s: analysis.span?.speechS ?? 0,
    answer: concluded(analysis),
    fast: analysis.fast,
    chain: analysis.chain,
    sections: Object.fromEntries(SECTIONS.map((name) => [name, sectionText(analysis, name)])),
    timings_ms: analysis.timingsMs,
  }));
  const { model, engine, labels, speech, mediaS } = session;
  return JSON.stringify({ format: "emothinker session", v: 1, model, engine, labels, duration_s: mediaS, speech, windows }, null, 2);
}

function toCsv(session: Session): string {
  const head = ["start_s", "end_s", "speech_s", "label", "intensity", "confidence", ...session.labels.map((label) => `p_${label}`), ...SECTIONS];
  const rows = told(session).map(({ analysis, start, end }) => {
    const { label, intensity, confidence } = concluded(analysis);
    const shares = session.labels.map((name) => bestLabel(analysis)?.probabilities[name] ?? "");
    return [start, end, analysis.span?.speechS ?? 0, label, intensity, confidence, ...shares, ...SECTIONS.map((name) => sectionText(analysis, name))];
  });
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
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
    const words = [`${label} (${Math.round(confidence * 100)} %)`, sectionText(analysis, "fine")].filter(Boolean);
    return [`${stamp(begin)} --> ${stamp(end)}\n${words.map(asCueText).join("\n")}\n`];
  });
  return ["WEBVTT\n", ...cues].join("\n");
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
  const address = URL.createObjectURL(new Blob([exported(session, format)], { type: FORMATS[format] }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `emothinker.${format}`;
  link.click();
  // The download has taken its own hold by the next task.
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
