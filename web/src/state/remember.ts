/** Consent and language are kept in this browser only, and consent only if the person asked for it. */

const CONSENT = "emothinker.consent";
const LANGUAGE = "emothinker.language";

// Private windows may refuse storage altogether; then nothing is remembered, which is what we promise anyway.
function quietly<T>(use: () => T, otherwise: T): T {
  try {
    return use();
  } catch {
    return otherwise;
  }
}

export function rememberedConsent(): boolean {
  return quietly(() => localStorage.getItem(CONSENT) !== null, false);
}

export function rememberConsent(wanted: boolean): void {
  quietly(() => (wanted ? localStorage.setItem(CONSENT, new Date().toISOString().slice(0, 10)) : localStorage.removeItem(CONSENT)), undefined);
}

export function rememberedLanguage(): string | null {
  return quietly(() => localStorage.getItem(LANGUAGE), null);
}

export function rememberLanguage(language: string): void {
  quietly(() => localStorage.setItem(LANGUAGE, language), undefined);
}
