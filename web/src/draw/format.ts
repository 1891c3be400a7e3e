/** Numbers in words. */

import { sentences } from "../state/evidence";
import type { Messages } from "../messages";
import type { CuesEvent, EmotionAnswer } from "../wire/generated";

/** 75.4 → "1:15" */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Rounded to whole percent, and never to a certainty that nobody has: neither 0 nor 100. */
export function percent(share: number): string {
  // A number and its sign stay on one line.
  if (share < 0.01) return "<\u00a01\u00a0%";
  return share > 0.99 ? ">\u00a099\u00a0%" : `${Math.round(share * 100)}\u00a0%`;
}

/** How sure an answer is; being unsure has no percentage of its own. */
export function sureness(answer: EmotionAnswer): string {
  return answer.label === "unsure" ? "" : percent(answer.confidence);
}

/** A number with its decimals as the page's language writes them. */
export function decimal(value: number, digits: number): string {
  const point = document.documentElement.lang === "de" ? "," : ".";
  return value.toFixed(digits).replace(".", point);
}

/** A date as the page's language writes it; `ms` since 1970. */
export function day(ms: number): string {
  return new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long" }).format(ms);
}

export function labelName(words: Messages, label: string): string {
  return words.labels[label] ?? label;
}

/** A head that is turned by less is as good as straight, degrees. */
const STRAIGHT_DEG = 10;

/** How a head is held, in words. On the wire, turned and tilted to the viewer's right are positive: the person's own left. */
export function poseWords(words: Messages, pose: NonNullable<CuesEvent["pose"]>): string {
  const say = words.timeline.pose;
  const { yaw = 0, pitch = 0, roll = 0 } = pose;
  const turns = [
    { degrees: yaw, word: yaw > 0 ? say.left : say.right },
    { degrees: pitch, word: pitch > 0 ? say.up : say.down },
    { degrees: roll, word: roll > 0 ? say.tiltLeft : say.tiltRight },
  ];
  const parts = turns.filter(({ degrees }) => Math.abs(degrees) >= STRAIGHT_DEG).map(({ degrees, word }) => word(`${Math.round(Math.abs(degrees))}°`));
  return parts.length === 0 ? say.straight : say.turned(parts);
}

/** Why the server ended a session, in the page's words; what they don't know is shown as it came. */
export function reason(words: Messages, detail: string): string {
  const seconds = /\d+(\.\d+)?/.exec(detail)?.[0];
  if (seconds === undefined) return words.ended.reasons[detail] ?? detail;
  const said = words.ended.reasons[detail.replace(seconds, "#")];
  return said?.replace("# s", `${seconds} s`).replace("#", String(Math.ceil(Number(seconds) / 60))) ?? detail;
}

/** Which word for its certainty an answer gets. */
export function certainty(confidence: number): "high" | "middle" | "low" {
  if (confidence >= 0.85) return "high";
  return confidence >= 0.5 ? "middle" : "low";
}

/** As many whole sentences as fit into `limit` letters; the beginning of the first one if it alone is too long. */
export function shortened(text: string, limit: number): string {
  if (text.length <= limit) return text;
  let kept = "";
  for (const sentence of sentences(text)) {
    if (kept.length + sentence.trimEnd().length > limit) break;
    kept += sentence;
  }
  return kept === "" ? `${text.slice(0, limit - 1).trimEnd()}…` : kept.trimEnd();
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
