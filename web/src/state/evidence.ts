/**
 * Statements of a chain, and what each rests on.
 *
 * A chain calls people A, B, … by their order in its window; the page by their track, which lasts. `relettered` turns one
 * into the other, so that Person B in the text is Person B in the picture.
 */

import type { Section } from "../wire/generated";
import type { Analysis, Evidence } from "./view";

export interface Statement {
  readonly text: string;
  readonly evidence: Evidence;
  /** What in it was measured otherwise: from the first character to the one after the last. */
  readonly unsupported: readonly (readonly [from: number, to: number])[];
}

/** As it is told in English and German, in Spanish, and in French. */
const PERSON = /\b(Person|Persona|Personne) ([A-Z])\b/g;
const OF_SOUND = /\b(voices?|pitch|sound(s|ed)?|loud(er|ness)?|quiet(er)?|tone|speech|spoken|rate|timbre|melody|heard)\b/i;
const OF_FACE = /\b(faces?|facial|express(ion|ions)|smil(e|es|ing)|brows?|lips?|mouth|eyes?|lids?|cheeks?|nose|jaw|person|people)\b/i;

/** 1 → A … 26 → Z, then A again: a person's place in the picture, not a name. */
export function letter(track: number): string {
  return String.fromCharCode(65 + ((((track - 1) % 26) + 26) % 26));
}

/** The text with the letters that the page uses. People whom the window doesn't name keep theirs. */
export function relettered(text: string, people: readonly number[]): string {
  return text.replace(PERSON, (said, word: string, own: string) => {
    const track = people[own.charCodeAt(0) - 65];
    return track === undefined ? said : `${word} ${letter(track)}`;
  });
}

/** One per sentence, with the spaces that follow it. A full stop inside a number or a word ends nothing. */
export function sentences(text: string): readonly string[] {
  return text.match(/\S.*?(?:[.!?…]+(?=\s|$)|$)\s*/gs) ?? [];
}

/** The statements of one section, in order. */
export function statements(section: Section, text: string, analysis: Analysis): readonly Statement[] {
  let spoken: readonly number[] = analysis.people;
  const untrue = analysis.unsupported.filter((said) => said.section === section);
  let end = text.length - text.trimStart().length;
  return sentences(text).map((sentence, place) => {
    const begin = end;
    end += sentence.length;
    // Letters of people change, and never the length of what calls them.
    const within = untrue.filter((said) => said.start >= begin && said.start < end);
    const named = [...sentence.matchAll(PERSON)].flatMap(([, , own = ""]) => analysis.people[own.charCodeAt(0) - 65] ?? []);
    // Whoever is named first is spoken of until someone else is.
    if (named.length > 0) spoken = named;
    return {
      text: relettered(sentence, analysis.people),
      evidence: { window: analysis.window, section, place, ...sensesOf(section, sentence, spoken) },
      unsupported: within.map((said) => [said.start - begin, Math.min(said.start - begin + said.text.length, sentence.length)]),
    };
  });
}

function sensesOf(section: Section, sentence: string, spoken: readonly number[]): Pick<Evidence, "tracks" | "picture" | "sound"> {
  switch (section) {
    case "face":
    case "context":
      return { tracks: spoken, picture: false, sound: false };
    case "atmosphere":
      return { tracks: [], picture: true, sound: false };
    case "voice":
      return { tracks: [], picture: false, sound: true };
    case "coarse":
    case "fine":
    case "answer": {
      const sound = OF_SOUND.test(sentence);
      const face = OF_FACE.test(sentence);
      // A conclusion that names neither rests on both.
      return { tracks: face || !sound ? spoken : [], picture: false, sound: sound || !face };
    }
  }
}

export function sameEvidence(a: Evidence | null, b: Evidence | null): boolean {
  return a === b || (a !== null && b !== null && a.window === b.window && a.section === b.section && a.place === b.place);
}
