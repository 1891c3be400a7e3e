/** Choice of language: what the person picked, else what the browser asks for, else English. */

import { rememberedLanguage } from "../state/remember";
import { de } from "./de";
import { en, type Messages } from "./en";

export type { Messages };

export const LANGUAGES = { en, de } as const satisfies Record<string, Messages>;
export type Language = keyof typeof LANGUAGES;

function isLanguage(code: string): code is Language {
  return Object.hasOwn(LANGUAGES, code);
}

export function asLanguage(code: string): Language {
  return isLanguage(code) ? code : "en";
}

export function preferredLanguage(): Language {
  const codes = [rememberedLanguage() ?? "", ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return codes.find(isLanguage) ?? "en";
}
