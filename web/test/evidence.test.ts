import { describe, expect, it } from "vitest";
import { relettered, sentences, statements } from "../src/state/evidence";
import { reduceEvent } from "../src/state/reducer";
import { NO_SESSION, type Analysis } from "../src/state/view";
import { event } from "./fixture";

/** Person A of the window is on track 2, Person B on track 1. */
const analysis = reduceEvent(NO_SESSION, event("window", { people: [2, 1] }), 0).analyses[0] as Analysis;

describe("a chain's letters", () => {
  it("become those of the page, by track", () => {
    expect(relettered("Person A: Calm. Person B: Person A smiles.", [2, 1])).toBe("Person B: Calm. Person A: Person B smiles.");
  });

  it("do so in the other languages of answers", () => {
    expect(relettered("Persona A, a la izquierda; Personne B, à droite; Person A, links.", [2, 1])).toBe("Persona B, a la izquierda; Personne A, à droite; Person B, links.");
  });

  it("stay where the window names nobody", () => {
    expect(relettered("Person C is gone. Personal A. Person AB.", [2, 1])).toBe("Person C is gone. Personal A. Person AB.");
  });
});

describe("statements", () => {
  it("are sentences, whole and in order, also while they are being written", () => {
    const text = "Pitch 2.4 st higher than before. It rises … Is it joy? Perhaps";
    expect(sentences(text).join("")).toBe(text);
    expect(sentences(text)).toEqual(["Pitch 2.4 st higher than before. ", "It rises … ", "Is it joy? ", "Perhaps"]);
    expect(sentences("")).toEqual([]);
  });

  it("about faces rest on the one they name, until another is named", () => {
    const found = statements("face", "Person A: Lip corners up. The expression is happy. Person B: At rest.", analysis);
    expect(found.map((statement) => statement.evidence.tracks)).toEqual([[2], [2], [1]]);
    expect(found[0]?.text).toBe("Person B: Lip corners up. ");
  });

  it("know which of their words were measured otherwise", () => {
    const text = "Person A: Lip corners up. Person B: Jaw open, lip corners up.";
    const wrong = [10, 36, 46].map((start) => ({ section: "face" as const, start, text: start === 36 ? "Jaw open" : "Lip corners up" }));
    const found = statements("face", text, { ...analysis, unsupported: [...wrong, { section: "voice" as const, start: 0, text: "Louder" }] });
    expect(found.map((statement) => statement.unsupported.map(([from, to]) => statement.text.slice(from, to)))).toEqual([["Lip corners up"], ["Jaw open", "lip corners up"]]);
    expect(statements("face", text, analysis).every((statement) => statement.unsupported.length === 0)).toBe(true);
  });

  it("that name nobody rest on everyone in the window", () => {
    expect(statements("context", "Two people sit close.", analysis)[0]?.evidence.tracks).toEqual([2, 1]);
  });

  it.each([
    ["voice", "Higher than before.", { tracks: [], sound: true, picture: false }],
    ["atmosphere", "Evenly lit.", { tracks: [], sound: false, picture: true }],
    ["coarse", "The voice is the more reliable here.", { tracks: [], sound: true, picture: false }],
    ["fine", "The smile outweighs it.", { tracks: [2, 1], sound: false, picture: false }],
    ["fine", "The face contradicts the voice.", { tracks: [2, 1], sound: true, picture: false }],
    ["answer", "happy, moderate", { tracks: [2, 1], sound: true, picture: false }],
  ] as const)("of %s (%s) rest on what they speak of", (section, text, senses) => {
    expect(statements(section, text, analysis)[0]?.evidence).toMatchObject(senses);
  });
});
