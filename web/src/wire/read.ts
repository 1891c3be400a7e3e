/**
 * The wire, as the page reads it: the twin of `realtime/publish/events.py`.
 *
 * `readEvent` is the border. What passes it has the shape its type says; what doesn't becomes a `Rejected` with a reason,
 * never an exception. Fields we don't know are left out, as they may be added within version 1.
 */

export const VERSION = 1;

/** The chain, in the order it is written. */
export const SECTIONS = ["face", "context", "atmosphere", "voice", "coarse", "fine", "answer"] as const;
export type Section = (typeof SECTIONS)[number];

/** (x, y, w, h) in 0–1 of the frame. */
export type Box = readonly [number, number, number, number];
export type Distribution = Readonly<Record<string, number>>;

export interface FaceBox {
  readonly track: number;
  readonly box: Box;
  readonly score: number;
}

/** The grid that the vision tower sees: row by row `f` focal, `k` background kept, `-` background dropped. */
export interface Patches {
  /** What of the frame the grid covers; it may reach beyond the frame's edges. */
  readonly region: Box;
  readonly rows: number;
  readonly columns: number;
  readonly cells: string;
}

export interface Conflict {
  readonly face: Distribution;
  readonly voice: Distribution;
  /** Jensen–Shannon divergence in bits: 0 the same, 1 nothing in common. */
  readonly score: number;
}

export interface Answer {
  readonly label: string;
  readonly intensity: string;
  readonly confidence: number;
}

interface Common {
  readonly session: string;
  readonly seq: number;
  /** Media seconds. */
  readonly t: number;
}

export type WireEvent = Common &
  (
    | { readonly type: "session.opened"; readonly model: string; readonly engine: string; readonly labels: readonly string[] }
    | { readonly type: "session.closed"; readonly reason: string }
    | {
        readonly type: "frame";
        readonly faces: readonly FaceBox[];
        readonly focal: readonly Box[];
        readonly tokens: { readonly focal: number; readonly background: number; readonly dropped: number };
        readonly brightness: number;
        readonly saturation: number;
        readonly width: number;
        readonly height: number;
        readonly patches: Patches | null;
      }
    | { readonly type: "speech"; readonly state: "start" | "end"; readonly start: number; readonly end: number | null }
    | { readonly type: "cues"; readonly face: Distribution | null; readonly voice: Distribution | null; readonly relative: Distribution | null }
    | {
        readonly type: "window";
        readonly window: number;
        readonly start: number;
        readonly end: number;
        readonly frames: number;
        readonly speech_s: number;
        /** Tracks of whom this window's chain calls Person A, Person B, … */
        readonly people: readonly number[];
        /** The question asked; null is the model's own. */
        readonly query: string | null;
        /** The labels to choose from; empty where the event didn't say. */
        readonly labels: readonly string[];
      }
    | {
        readonly type: "label";
        readonly window: number;
        readonly label: string;
        readonly probabilities: Distribution;
        readonly source: "fast" | "chain";
        readonly conflict: Conflict | null;
      }
    | { readonly type: "reason.delta"; readonly window: number; readonly section: Section; readonly text: string }
    | {
        readonly type: "reason.done";
        readonly window: number;
        readonly sections: Readonly<Partial<Record<Section, string>>>;
        readonly answer: Answer;
        readonly timings_ms: Distribution;
      }
    | { readonly type: "lag"; readonly seconds: number; readonly skipped_frames: number; readonly skipped_windows: number }
    | { readonly type: "error"; readonly code: string; readonly message: string; readonly hint: string; readonly over: boolean }
  );

export type EventType = WireEvent["type"];

/** What came over the socket and is not an event we can read. */
export interface Rejected {
  readonly type: "rejected";
  readonly why: string;
}

class Malformed extends Error {}

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown, name: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed(`${name} is not an object`);
  return value as Fields;
}

function number(from: Fields, name: string): number {
  const value = from[name];
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Malformed(`${name} is not a number`);
  return value;
}

function string(from: Fields, name: string): string {
  const value = from[name];
  if (typeof value !== "string") throw new Malformed(`${name} is not a string`);
  return value;
}

function list(from: Fields, name: string): readonly unknown[] {
  const value = from[name];
  if (!Array.isArray(value)) throw new Malformed(`${name} is not a list`);
  return value;
}

function strings(values: readonly unknown[]): readonly string[] {
  return values.filter((value) => typeof value === "string");
}

function oneOf<T extends string>(from: Fields, name: string, allowed: readonly T[]): T {
  const value = string(from, name);
  const found = allowed.find((word) => word === value);
  if (found === undefined) throw new Malformed(`${name} is ${JSON.stringify(value)}`);
  return found;
}

function orNull<T>(from: Fields, name: string, read: (from: Fields, name: string) => T): T | null {
  return from[name] === null || from[name] === undefined ? null : read(from, name);
}

function numbers(from: Fields, name: string): Distribution {
  const part = fields(from[name], name);
  return Object.fromEntries(Object.keys(part).map((key) => [key, number(part, key)]));
}

function box(value: unknown): Box {
  if (!Array.isArray(value) || value.length !== 4 || !value.every((side) => typeof side === "number" && Number.isFinite(side))) {
    throw new Malformed("a box is not four numbers");
  }
  return value as unknown as Box;
}

function faceBox(value: unknown): FaceBox {
  const face = fields(value, "a face");
  return { track: number(face, "track"), box: box(face["box"]), score: number(face, "score") };
}

const CELLS = /^[fk-]*$/;

function patches(from: Fields, name: string): Patches {
  const part = fields(from[name], name);
  const found = { region: box(part["region"]), rows: number(part, "rows"), columns: number(part, "columns"), cells: string(part, "cells") };
  if (found.cells.length !== found.rows * found.columns || !CELLS.test(found.cells)) throw new Malformed("the cells do not fill the grid");
  return found;
}

function conflict(from: Fields, name: string): Conflict {
  const part = fields(from[name], name);
  return { face: numbers(part, "face"), voice: numbers(part, "voice"), score: number(part, "score") };
}

function answer(value: unknown): Answer {
  const part = fields(value, "answer");
  return { label: string(part, "label"), intensity: string(part, "intensity"), confidence: number(part, "confidence") };
}

function sections(from: Fields): Partial<Record<Section, string>> {
  const part = fields(from["sections"], "sections");
  return Object.fromEntries(SECTIONS.filter((name) => part[name] !== undefined).map((name) => [name, string(part, name)]));
}

type Readers = { readonly [T in EventType]: (from: Fields) => Omit<Extract<WireEvent, { type: T }>, keyof Common | "type"> };

const READERS: Readers = {
  "session.opened": (from) => ({
    model: string(from, "model"),
    engine: string(from, "engine"),
    labels: strings(list(from, "labels")),
  }),
  "session.closed": (from) => ({ reason: string(from, "reason") }),
  frame: (from) => {
    const tokens = fields(from["tokens"], "tokens");
    return {
      faces: list(from, "faces").map(faceBox),
      focal: (orNull(from, "focal", list) ?? []).map(box),
      tokens: { focal: number(tokens, "focal"), background: number(tokens, "background"), dropped: number(tokens, "dropped") },
      brightness: number(from, "brightness"),
      saturation: number(from, "saturation"),
      width: orNull(from, "width", number) ?? 0,
      height: orNull(from, "height", number) ?? 0,
      patches: orNull(from, "patches", patches),
    };
  },
  speech: (from) => ({
    state: oneOf(from, "state", ["start", "end"] as const),
    start: number(from, "start"),
    end: orNull(from, "end", number),
  }),
  cues: (from) => ({ face: orNull(from, "face", numbers), voice: orNull(from, "voice", numbers), relative: orNull(from, "relative", numbers) }),
  window: (from) => ({
    window: number(from, "window"),
    start: number(from, "start"),
    end: number(from, "end"),
    frames: number(from, "frames"),
    speech_s: number(from, "speech_s"),
    people: (orNull(from, "people", list) ?? []).filter((track) => typeof track === "number"),
    query: orNull(from, "query", string),
    labels: strings(orNull(from, "labels", list) ?? []),
  }),
  label: (from) => ({
    window: number(from, "window"),
    label: string(from, "label"),
    probabilities: numbers(from, "probabilities"),
    source: oneOf(from, "source", ["fast", "chain"] as const),
    conflict: orNull(from, "conflict", conflict),
  }),
  "reason.delta": (from) => ({
    window: number(from, "window"),
    section: oneOf(from, "section", SECTIONS),
    text: string(from, "text"),
  }),
  "reason.done": (from) => ({
    window: number(from, "window"),
    sections: sections(from),
    answer: answer(from["answer"]),
    timings_ms: orNull(from, "timings_ms", numbers) ?? {},
  }),
  lag: (from) => ({
    seconds: number(from, "seconds"),
    skipped_frames: number(from, "skipped_frames"),
    skipped_windows: number(from, "skipped_windows"),
  }),
  error: (from) => ({
    code: string(from, "code"),
    message: string(from, "message"),
    hint: string(from, "hint"),
    over: from["over"] === true,
  }),
};

function isEventType(type: string): type is EventType {
  return Object.hasOwn(READERS, type);
}

/** Read one parsed JSON value as an event. */
export function readEvent(value: unknown): WireEvent | Rejected {
  try {
    const from = fields(value, "the event");
    const version = number(from, "v");
    if (version !== VERSION) return { type: "rejected", why: `version ${version}` };
    const type = string(from, "type");
    if (!isEventType(type)) return { type: "rejected", why: `type ${type}` };
    const common = { session: string(from, "session"), seq: number(from, "seq"), t: number(from, "t") };
    return { ...common, type, ...READERS[type](from) } as WireEvent;
  } catch (error) {
    if (error instanceof Malformed) return { type: "rejected", why: error.message };
    throw error;
  }
}

/** Read one message of the socket. */
export function readMessage(text: string): WireEvent | Rejected {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { type: "rejected", why: "not JSON" };
  }
  return readEvent(value);
}
