/** Opens a saved session: the JSON of this page, or the JSON lines that `realtime analyze` writes. */

import * as v from "valibot";
import { SAVED } from "./export";
import type { WireEvent } from "../wire/generated";
import { readEvent } from "../wire/read";
import { reduceEvent } from "../state/reducer";
import { NO_SESSION, type Session } from "../state/view";

/** Beyond this it is no session; two hours take about 15 MB. */
export const MAX_BYTES = 256_000_000;
/** Number of events that are read before the page may draw again. */
const AT_ONCE = 2_000;

const OLD_FRAME = v.looseObject({ type: v.literal("frame") });
/** The page takes 0 for a size that it does not know. */
const UNKNOWN_SIZE = { width: 0, height: 0 };

const SAVED_SESSION = v.object({ format: v.literal(SAVED), events: v.array(v.unknown()) });

export class NotSaved extends Error {
  constructor(readonly why: "large" | "none" | "broken") {
    super(why);
  }
}

/** Raises NotSaved for a file that holds no session. Lines that cannot be read are counted, not fatal. */
export async function openSaved(file: Blob): Promise<Session> {
  if (file.size > MAX_BYTES) throw new NotSaved("large");
  return fromValues(valuesIn(await file.text()));
}

function valuesIn(text: string): readonly unknown[] {
  const start = text.trimStart();
  if (start.startsWith("{") && !start.startsWith('{"v":')) {
    const body = parsed(text);
    if (body === null) throw new NotSaved("broken");
    if (!v.is(SAVED_SESSION, body)) throw new NotSaved("none");
    return body.events;
  }
  return text.split("\n").flatMap((line) => (line.trim() === "" ? [] : [parsed(line)]));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The event with what it lacks because it was saved by an older version; a live server always sends it. */
function completed(value: unknown): unknown {
  return v.is(OLD_FRAME, value) ? { ...UNKNOWN_SIZE, ...value } : value;
}

async function fromValues(values: readonly unknown[]): Promise<Session> {
  const read = values.map((value) => readEvent(completed(value)));
  const events = read.filter((event): event is WireEvent => event.type !== "rejected");
  const first = events[0];
  if (first === undefined) throw new NotSaved(values.length === 0 ? "none" : "broken");
  let session: Session = { ...NO_SESSION, nRejected: read.length - events.length };
  // Words that a finished chain repeats as a whole need not be put together one by one.
  const done = new Set(events.flatMap((event) => (event.type === "reason.done" ? [event.window] : [])));
  for (const [index, event] of events.entries()) {
    if (event.type === "reason.delta" && done.has(event.window)) continue;
    session = reduceEvent(session, event, event.t);
    if (index % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return session;
}
