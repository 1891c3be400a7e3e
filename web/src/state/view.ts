/**
 * The value that the page is drawn from, and its parts.
 *
 * Nothing here is ever changed in place: a part that is the same object as before has not changed, so drawing can skip it.
 */

import type { AffectValue, CuesEvent, EmotionAnswer, FrameEvent, MarkEvent, ModalityConflict, PersonLabel, ReasonDoneEvent, Reduced, Section, SummaryEvent, WordsEvent } from "../wire/generated";

/** A share of each label, or a measured value of each cue. */
export type Distribution = Readonly<Record<string, number>>;

/** What the person chose to share. */
export type Choice = "both" | "camera" | "microphone";

/** What a server may keep of a session: what is written, or picture and speech as well. */
export type Kept = "events" | "media";

/** What this server keeps at most where the person agrees, and for how long. */
export interface Keeping {
  readonly most: Kept;
  readonly days: number;
}

/** What became of the person's agreement. `untilMs`: since 1970, when the server deletes it by itself. */
export type Recording =
  | { readonly state: "none" }
  | { readonly state: "kept"; readonly what: Kept; readonly untilMs: number }
  | { readonly state: "deleting" }
  | { readonly state: "deleted" }
  /** The server gave no answer. */
  | { readonly state: "not deleted" };

/** A stretch of speech in media seconds; `end` is null while it is still going on. */
export interface Stretch {
  readonly start: number;
  readonly end: number | null;
}

/** Words of one section as they came. `seq` puts them in order and keeps repeats out. */
export interface Piece {
  readonly seq: number;
  readonly text: string;
}

export interface Labelled {
  readonly label: string;
  readonly probabilities: Distribution;
  readonly conflict: ModalityConflict | null;
  /** Of each person in view, from the face alone. */
  readonly faces: readonly PersonLabel[];
  /** Track of the person whose voice is heard. */
  readonly speaker: number | null;
  readonly valence: AffectValue | null;
  readonly arousal: AffectValue | null;
  /** Whether the probabilities were fitted for these labels; null where the server did not say. */
  readonly calibrated: boolean | null;
}

/** Everything said about one window. */
export interface Analysis {
  readonly window: number;
  /** Media seconds; null until the window's own event has come. */
  readonly span: { readonly start: number; readonly end: number; readonly frames: number; readonly speechS: number } | null;
  /** Tracks of whom the chain calls Person A, Person B, … */
  readonly people: readonly number[];
  /** The question it answers; null is the model's own. */
  readonly query: string | null;
  /** The question as a small model read it; null: in the person's own words. */
  readonly readAs: string | null;
  /** What it chooses from; empty until the window's own event has come. */
  readonly labels: readonly string[];
  readonly fast: Labelled | null;
  readonly chain: Labelled | null;
  readonly pieces: Readonly<Partial<Record<Section, readonly Piece[]>>>;
  /** The whole chain, settled; null while it is being written. */
  readonly sections: Readonly<Partial<Record<Section, string>>> | null;
  readonly answer: EmotionAnswer | null;
  /** What the chain's judgement contradicts; the answer is then unsure. */
  readonly contradictions: ReasonDoneEvent["contradictions"];
  /** Whether its argument was written again because the first one contradicted what it found. */
  readonly rewritten: ReasonDoneEvent["rewritten"];
  /** Whether its judgement read what was said. */
  readonly wordsRead: boolean;
  /** What it says and was measured otherwise. */
  readonly unsupported: ReasonDoneEvent["unsupported"];
  /** What its answer to a person's question is from; null where none was asked. */
  readonly answeredFrom: ReasonDoneEvent["answered_from"];
  /** What turned its answer from the fast label. */
  readonly turnedBy: ReasonDoneEvent["turned_by"];
  /** Media second at which the chain was complete. */
  readonly settledS: number | null;
  readonly timingsMs: Distribution;
}

/** Measured cues of one face in one frame, each 0–1 relative to that face's own neutral. */
export interface FaceMeasured {
  readonly seq: number;
  readonly atS: number;
  readonly track: number;
  readonly cues: Distribution;
  readonly pose: CuesEvent["pose"];
  readonly gaze: CuesEvent["gaze"];
}

export type Measures = Readonly<Record<string, number | null>>;

/** Measured prosody of the stretch of speech that ended at `atS`. */
export interface VoiceMeasured {
  readonly seq: number;
  readonly atS: number;
  /** Null where it could not be measured, as the pitch of a whisper. */
  readonly values: Measures;
  /** The same as z-scores against this voice's own baseline; empty for what is no voice. */
  readonly relative: Measures;
}

export interface Notice {
  readonly seq: number;
  readonly atS: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** The problem is over. */
  readonly over: boolean;
}

export interface Lag {
  readonly seq: number;
  readonly seconds: number;
  readonly skippedFrames: number;
  readonly skippedWindows: number;
  readonly skippedCueFrames: number;
  readonly reduced: Reduced;
}

/** One session, reduced from its events. */
export interface Session {
  readonly id: string;
  readonly model: string;
  readonly engine: string;
  readonly labels: readonly string[];
  /** Whether the model is as it was published, with no adapter. */
  readonly stock: boolean;
  /** The model that gives the labels, where another writes the chains; else null. */
  readonly labelModel: string | null;
  /** Who answers a question of one's own, where the model leaves it to another. */
  readonly answerModel: string | null;
  /** Number of the newest event seen; a new socket goes on after it. */
  readonly seq: number;
  /** Newest media second an event told of. */
  readonly mediaS: number;
  /** Time of media second 0 on the page's clock (s), estimated from the events; null before the first. */
  readonly zeroS: number | null;
  /** Every frame looked at, oldest first, up to a bound. */
  readonly looks: readonly FrameEvent[];
  readonly faceCues: readonly FaceMeasured[];
  readonly voiceCues: readonly VoiceMeasured[];
  readonly speech: readonly Stretch[];
  /** What was said, where the person agreed that it is written down. */
  readonly words: readonly WordsEvent[];
  readonly analyses: readonly Analysis[];
  /** Moments that a program named. */
  readonly marks: readonly MarkEvent[];
  /** Summaries that were asked for. */
  readonly summaries: readonly SummaryEvent[];
  /** The server's wall clock at media second 0, and how far it may be off; null where it is not known. */
  readonly started: { readonly at: string; readonly errorMs: number } | null;
  /** The window that the page follows by itself; `following.ts` chooses it. */
  readonly following: number | null;
  readonly lag: Lag;
  readonly notices: readonly Notice[];
  readonly closed: string | null;
  /** Messages that could not be read: unknown type or version, or malformed. */
  readonly nRejected: number;
}

/** How the events reach us. */
export type Link =
  | { readonly state: "connecting" }
  | { readonly state: "open" }
  | { readonly state: "retrying"; readonly atS: number; readonly serverSeen: boolean }
  | { readonly state: "over" };

/** Why we are not live, in terms of what the person can do about it. */
export type Failure =
  | { readonly kind: "insecure" | "unsupported" | "no-camera" | "no-microphone" | "refused" | "in-use" | "server-gone" | "no-path" | "token" }
  | { readonly kind: "not-saved"; readonly why: "large" | "none" | "broken" }
  | { readonly kind: "full"; readonly retryAtS: number }
  | { readonly kind: "problem"; readonly detail: string; readonly hint: string; readonly code: string; readonly labels: readonly string[] };

export type Phase =
  /** `deleted`: a session was on the page, and nothing of it is left. */
  | { readonly name: "consent"; readonly failure: Failure | null; readonly deleted: boolean }
  | { readonly name: "starting"; readonly step: "permission" | "server" | "file" }
  /** Camera and microphone are open, on this page only. */
  | { readonly name: "ready" }
  | { readonly name: "live"; readonly mediaUp: boolean }
  /** A saved session is open; `file` is its name. */
  | { readonly name: "replay"; readonly file: string }
  | { readonly name: "ended"; readonly why: "withdrawn" | "stopped" | "closed" | "gone"; readonly detail: string; /** Why it could not be begun again. */ readonly failure: Failure | null };

/** Something that was wrong and is well again. The page says so for a while. */
export interface Happening {
  readonly kind: "camera" | "microphone" | "link" | "background" | "session";
  /** On the page's clock. */
  readonly atS: number;
  /** Moments that were analysed meanwhile. */
  readonly nMoments: number;
}

export interface Device {
  readonly id: string;
  readonly name: string;
}

export interface Devices {
  readonly cameras: readonly Device[];
  readonly microphones: readonly Device[];
  readonly camera: string;
  readonly microphone: string;
}

/** State of a question that was sent to the server, until a window answers it. */
export type Asking =
  | { readonly state: "idle" }
  | { readonly state: "sending" }
  /** `summary`: what was asked in place of a question; the question stays as it was. */
  | { readonly state: "accepted"; readonly query: string | null; readonly labels: readonly string[]; readonly summary: string | null }
  /** `code` names the reason where the server gave one, and `labels` those that it is about. */
  | { readonly state: "refused"; readonly code: string; readonly labels: readonly string[]; readonly detail: string; readonly hint: string };

/** What became of the wish to follow this session from a program. */
export type Sharing =
  | { readonly state: "off" }
  | { readonly state: "making" }
  /** `address` is the session's, with a lasting ticket after its #. */
  | { readonly state: "on"; readonly address: string; readonly id: string }
  | { readonly state: "revoked" }
  /** The server gave no answer. */
  | { readonly state: "failed" };

/** Where a saved session is being looked at. */
export interface Playback {
  readonly atS: number;
  readonly playing: boolean;
  /** Jumps so far, so that a video knows to follow. */
  readonly seeks: number;
  /** Name of the video that belongs to it, once the person gave it. */
  readonly video: string | null;
}

export const AT_START: Playback = { atS: 0, playing: false, seeks: 0, video: null };

/** What lights up with a statement. */
export interface Evidence {
  readonly window: number;
  readonly section: Section;
  /** Which statement of the section. */
  readonly place: number;
  /** Tracks of the faces it speaks of. */
  readonly tracks: readonly number[];
  /** It speaks of the whole picture. */
  readonly picture: boolean;
  /** It speaks of the sound. */
  readonly sound: boolean;
}

export interface View {
  readonly phase: Phase;
  readonly choice: Choice;
  /** What the server would keep if the person agreed; null: it keeps nothing, and the page does not ask. */
  readonly keeping: Keeping | null;
  /** What they agreed to, for the next session only; never remembered. */
  readonly agreed: Kept | null;
  /** Whether the server writes down what is said of those who agree; else the page does not ask. */
  readonly writesWords: boolean;
  /** Whether they agreed to that, for the next session only; never remembered. */
  readonly wordsAgreed: boolean;
  readonly recording: Recording;
  readonly session: Session;
  readonly link: Link;
  readonly devices: Devices;
  /** The window opened from the history; null follows the newest. */
  readonly pinned: number | null;
  /** The window that stays in place while it is being read (pointer or focus on it); null follows the newest. */
  readonly held: number | null;
  /** What the statement under the pointer or the focus rests on. */
  readonly lit: Evidence | null;
  readonly asking: Asking;
  readonly sharing: Sharing;
  readonly playback: Playback;
  /** What was unplugged and has not come back. */
  readonly unplugged: readonly ("camera" | "microphone")[];
  /** What has come back, the newest last. */
  readonly happened: readonly Happening[];
  readonly mirrored: boolean;
  readonly focalShown: boolean;
  readonly patchesShown: boolean;
}

export const NO_SESSION: Session = {
  id: "",
  model: "",
  engine: "",
  labels: [],
  stock: false,
  labelModel: null,
  answerModel: null,
  seq: 0,
  mediaS: 0,
  zeroS: null,
  looks: [],
  faceCues: [],
  voiceCues: [],
  speech: [],
  words: [],
  analyses: [],
  marks: [],
  summaries: [],
  started: null,
  following: null,
  lag: { seq: 0, seconds: 0, skippedFrames: 0, skippedWindows: 0, skippedCueFrames: 0, reduced: "nothing" },
  notices: [],
  closed: null,
  nRejected: 0,
};

export const FIRST_VIEW: View = {
  phase: { name: "consent", failure: null, deleted: false },
  choice: "both",
  keeping: null,
  agreed: null,
  writesWords: false,
  wordsAgreed: false,
  recording: { state: "none" },
  session: NO_SESSION,
  link: { state: "connecting" },
  devices: { cameras: [], microphones: [], camera: "", microphone: "" },
  pinned: null,
  held: null,
  lit: null,
  asking: { state: "idle" },
  sharing: { state: "off" },
  playback: AT_START,
  unplugged: [],
  happened: [],
  mirrored: false,
  focalShown: true,
  patchesShown: false,
};
