/** What the drawn page can ask main.ts to do: change the view, or do something outside the page. */

import type { Action } from "../state/actions";
import type { Format } from "../files/export";
import type { Messages } from "../messages";
import type { View } from "../state/view";

export interface Hands {
  readonly send: (action: Action) => void;
  /** Consent was given: open camera and microphone, on this page only. */
  readonly prepare: (remember: boolean) => void;
  /** Begin the session with what is open. */
  readonly start: () => void;
  /** The session has ended by itself: open what was open, and go on with it in another. Null where others send it. */
  readonly goOn: (() => void) | null;
  readonly cancel: () => void;
  /** End the session; what the server was allowed to keep stays there. */
  readonly stop: () => void;
  /** End the session and take back what was agreed to, the recording too. */
  readonly withdraw: () => void;
  /** Have the server delete its recording of the session that has ended. */
  readonly deleteKept: () => void;
  /** Delete what is on the page, and what the server kept. */
  readonly deleteAll: () => void;
  readonly switchDevice: (kind: "camera" | "microphone", id: string) => void;
  /** Another question for the next windows; null stands for the model's own. */
  readonly ask: (query: string | null, labels: readonly string[] | null) => void;
  /** Let programs follow this session, by an address of its own; and take that back. */
  readonly share: () => void;
  readonly unshare: () => void;
  /** Write what was said to a file of the person's own. */
  readonly save: (format: Format) => void;
  readonly print: () => void;
  /** Open a file that was saved before, or the video that belongs to the session on show. */
  readonly openSaved: (file: File) => void;
  readonly openVideo: (file: File) => void;
  readonly setLanguage: (code: string) => void;
  /** The picture as the camera gives it; null without one. */
  readonly stream: () => MediaStream | null;
  /** Address of the opened video; null without one. */
  readonly clip: () => string | null;
  /** Loudness now, 0–1. */
  readonly level: () => number;
  /** Aborted when this page gives way to one in another language. */
  readonly given: AbortSignal;
}

/** One part of the page: made once, then drawn from each new view. */
export interface Part {
  readonly root: HTMLElement;
  readonly draw: (view: View, nowS: number) => void;
}

export type MakePart = (hands: Hands, words: Messages) => Part;
