/** What drawing may ask for: an action on the view, or something that reaches outside the page. */

import type { Action } from "../actions";
import type { Format } from "../export";
import type { Messages } from "../messages";
import type { View } from "../view";

export interface Hands {
  readonly send: (action: Action) => void;
  readonly start: (remember: boolean) => void;
  readonly cancel: () => void;
  readonly withdraw: () => void;
  readonly switchDevice: (kind: "camera" | "microphone", id: string) => void;
  /** Write what was said to a file of the person's own. */
  readonly save: (format: Format) => void;
  readonly setLanguage: (code: string) => void;
  /** The picture as the camera gives it; null without one. */
  readonly stream: () => MediaStream | null;
  /** Loudness now, 0–1. */
  readonly level: () => number;
}

/** One part of the page: made once, then drawn from each new view. */
export interface Part {
  readonly root: HTMLElement;
  readonly draw: (view: View, nowS: number) => void;
}

export type MakePart = (hands: Hands, words: Messages) => Part;
