import { describe, expect, it } from "vitest";
import { READERS, SECTIONS } from "../src/wire/generated";
import { readEvent, readMessage } from "../src/wire/read";
import { event, RAW } from "./fixture";

describe("the border", () => {
  it.each(RAW.map((value, index) => [index, value] as const))("reads fixture event %i as it stands", (_index, value) => {
    expect(readEvent(value)).toMatchObject({ type: value["type"], seq: value["seq"], t: value["t"] });
  });

  it("has an example of every type to read", () => {
    expect(new Set(RAW.map((value) => value["type"]))).toEqual(new Set(Object.keys(READERS)));
  });

  it("keeps every section of a finished chain, in order", () => {
    expect(Object.keys(event("reason.done").sections)).toEqual([...SECTIONS]);
  });

  it("skips fields it does not know", () => {
    expect(event("lag", { weather: "fine" })).not.toHaveProperty("weather");
  });

  it.each([
    ["not JSON", "{"],
    ["another version", JSON.stringify({ ...RAW[0], v: 2 })],
    ["an unknown type", JSON.stringify({ ...RAW[0], type: "weather" })],
    ["a type that every object has", JSON.stringify({ ...RAW[0], type: "constructor" })],
    ["a list", "[]"],
    ["null", "null"],
    ["a missing field", JSON.stringify({ v: 1, session: "s", seq: 1, t: 0, type: "lag" })],
    ["a field of the wrong kind", JSON.stringify({ ...RAW[0], labels: "happy" })],
    ["a map of patches that does not fill its grid", JSON.stringify({ ...RAW[1], patches: { region: [0, 0, 1, 1], rows: 2, columns: 2, cells: "fk-" } })],
    ["a map of patches with a letter that means nothing", JSON.stringify({ ...RAW[1], patches: { region: [0, 0, 1, 1], rows: 1, columns: 2, cells: "fx" } })],
    ["a box of three numbers", JSON.stringify({ ...RAW[1], faces: [{ track: 1, box: [0, 0, 1], score: 1 }] })],
  ])("turns away %s with a reason", (_name, text) => {
    expect(readMessage(text)).toMatchObject({ type: "rejected", why: expect.stringMatching(/./) as string });
  });
});
