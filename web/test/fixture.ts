/** One example of each event, shared with the Python side. */

import raw from "../../tests/fixtures/events.json";
import type { WireEvent } from "../src/wire/generated";
import { readEvent } from "../src/wire/read";

export const RAW: readonly Record<string, unknown>[] = raw;

export function event<T extends WireEvent["type"]>(type: T, changes: Record<string, unknown> = {}): Extract<WireEvent, { type: T }> {
  const found = RAW.find((candidate) => candidate["type"] === type);
  const read = readEvent({ ...found, ...changes });
  if (read.type !== type) throw new Error(`the fixture has no readable ${type}: ${JSON.stringify(read)}`);
  return read as Extract<WireEvent, { type: T }>;
}

export function fixtureEvents(): WireEvent[] {
  return RAW.map((value) => {
    const read = readEvent(value);
    if (read.type === "rejected") throw new Error(read.why);
    return read;
  });
}

/** A small generator with a seed, so that a failing shuffle can be run again. */
export function shuffled<T>(values: readonly T[], seed: number): T[] {
  const result = [...values];
  let state = seed;
  for (let index = result.length - 1; index > 0; index -= 1) {
    state = (state * 1664525 + 1013904223) % 4294967296;
    const other = Math.floor((state / 4294967296) * (index + 1));
    [result[index], result[other]] = [result[other] as T, result[index] as T];
  }
  return result;
}
