/** Numbers in words. */

import type { Messages } from "../messages";

/** 75.4 → "1:15" */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Rounded to whole percent, and never to a certainty that nobody has. */
export function percent(share: number): string {
  return `${Math.min(99, Math.max(share > 0 ? 1 : 0, Math.round(share * 100)))} %`;
}

export function labelName(words: Messages, label: string): string {
  return words.labels[label] ?? label;
}

/** How sure the words may sound. */
export function certainty(confidence: number): "high" | "middle" | "low" {
  if (confidence >= 0.85) return "high";
  return confidence >= 0.5 ? "middle" : "low";
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
