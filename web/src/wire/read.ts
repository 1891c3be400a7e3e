/**
 * The border of the page: a message of the socket or a line of a file becomes a `WireEvent`, or a `Rejected` with a reason.
 *
 * Nothing here throws. Types and readers are generated from the server's event classes; fields that they do not name are
 * skipped, since fields may be added within version 1.
 */

import * as v from "valibot";
import { READERS, VERSION, type Patches, type WireEvent } from "./generated";

/** What came and is not an event that we can read. */
export interface Rejected {
  readonly type: "rejected";
  readonly why: string;
}

const HEAD = v.object({ v: v.number(), type: v.string() });

/** Read one parsed JSON value as an event. */
export function readEvent(value: unknown): WireEvent | Rejected {
  const head = v.safeParse(HEAD, value);
  if (!head.success) return rejected(reason(head.issues));
  if (head.output.v !== VERSION) return rejected(`version ${head.output.v}`);
  const { type } = head.output;
  if (!isEventType(type)) return rejected(`type ${type}`);
  const reader: v.GenericSchema<unknown, WireEvent> = READERS[type];
  const read = v.safeParse(reader, value, { abortEarly: true });
  if (!read.success) return rejected(reason(read.issues));
  if (read.output.type === "frame" && !isFilled(read.output.patches)) return rejected("patches: the cells do not fill the grid");
  return read.output;
}

/** Read one message of the socket. */
export function readMessage(text: string): WireEvent | Rejected {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return rejected("not JSON");
  }
  return readEvent(value);
}

function isEventType(type: string): type is WireEvent["type"] {
  return Object.hasOwn(READERS, type);
}

function isFilled(patches: Patches | null): boolean {
  return patches === null || patches.cells.length === patches.rows * patches.columns;
}

function rejected(why: string): Rejected {
  return { type: "rejected", why };
}

function reason([issue]: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): string {
  return `${v.getDotPath(issue) ?? "event"}: ${issue.message}`;
}
