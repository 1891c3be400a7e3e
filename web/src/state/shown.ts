/** What the page shows of a view: everything here is worked out from it and kept nowhere. */

import type { EmotionAnswer, FrameEvent, ModalityConflict, PersonLabel, Section, WordsEvent } from "../wire/generated";
import type { Analysis, Keeping, Kept, Labelled, Notice, Session, View } from "./view";

/** What the server will keep: what the person agreed to, as far as the server keeps anything. */
export function keptOf(keeping: Keeping | null, agreed: Kept | null): Kept | null {
  if (keeping === null || agreed === null) return null;
  return keeping.most === "media" ? agreed : "events";
}

/** The words of one section so far. */
export function sectionText(analysis: Analysis, section: Section): string {
  return analysis.sections?.[section] ?? (analysis.pieces[section] ?? []).map((piece) => piece.text).join("");
}

/** The newest word on a window: the chain's label once it is there, the fast one before. */
export function bestLabel(analysis: Analysis): Labelled | null {
  return analysis.chain ?? analysis.fast;
}

/** The answer once there is one, else what the label says. */
export function concluded(analysis: Analysis): EmotionAnswer {
  const labelled = bestLabel(analysis);
  if (analysis.answer !== null) return analysis.answer;
  const shares = labelled?.probabilities ?? {};
  // Being unsure is no label: the likeliest one tells how near it came.
  const ofLabels = Object.entries(shares).flatMap(([label, share]) => (label === "unsure" ? [] : [share]));
  const confidence = (labelled?.label === "unsure" ? undefined : shares[labelled?.label ?? ""]) ?? Math.max(0, ...ofLabels);
  return { label: labelled?.label ?? "", intensity: "", confidence };
}

/** How face and voice differ, from whichever label said so last. */
export function conflictOf(analysis: Analysis): ModalityConflict | null {
  return analysis.chain?.conflict ?? analysis.fast?.conflict ?? null;
}

/** The only sense that an answer rests on; null where it rests on both, or that is not known. `unseen`: no frame was looked at. */
export function aloneOf(analysis: Analysis): "face" | "voice" | "unseen" | null {
  if (conflictOf(analysis) !== null || analysis.span === null) return null;
  const { frames, speechS } = analysis.span;
  const basis = bestLabel(analysis)?.valence?.basis ?? (frames === 0 ? "voice" : speechS === 0 ? "face" : "both");
  if (basis === "both") return null;
  return basis === "voice" && frames === 0 ? "unseen" : basis;
}

/** What each person's own face says, from whichever label said so last. */
export function facesOf(analysis: Analysis | null): readonly PersonLabel[] {
  return (analysis === null ? null : bestLabel(analysis))?.faces ?? [];
}

/** The person whose voice is heard in a window. */
export function speakerOf(analysis: Analysis | null): number | null {
  return (analysis === null ? null : bestLabel(analysis))?.speaker ?? null;
}

/** A window that was due because speech ended, ends with it. */
const SAME_END_S = 0.05;

/** Is this window about something that was just said, and not a look at a quiet moment? */
export function aboutSpeech(session: Session, analysis: Analysis): boolean {
  const end = analysis.span?.end;
  if (end === undefined) return false;
  // Stretches don't overlap, and this is asked of the newest windows at each event: look from the back.
  const stretch = session.speech.findLast((each) => each.start < end);
  return stretch?.end != null && Math.abs(stretch.end - end) < SAME_END_S;
}

/** What was said in the stretch of speech that a window is about; nothing for a look at a quiet moment. */
export function wordsOf(session: Session, analysis: Analysis | null): readonly WordsEvent[] {
  const end = analysis?.span?.end;
  if (analysis === null || end === undefined) return [];
  return session.words.filter((said) => (said.window === null ? Math.abs(said.end - end) < SAME_END_S : said.window === analysis.window));
}

/** The window that the page follows by itself. */
export function followed(session: Session): Analysis | null {
  return session.analyses.find((analysis) => analysis.window === session.following) ?? null;
}

/** The window on show: the pinned one, else the one being read, else the newest, or the one that is being replayed. */
export function shownAnalysis(view: View): Analysis | null {
  const wanted = view.pinned ?? view.held;
  const kept = wanted === null ? undefined : view.session.analyses.find((analysis) => analysis.window === wanted);
  if (kept !== undefined) return kept;
  if (view.phase.name === "replay") return analysisAt(view.session, view.playback.atS);
  const current = followed(view.session);
  // What was not finished at the end never will be: the last that was is more to read.
  const finished = view.phase.name === "ended" && current?.sections === null ? view.session.analyses.findLast((analysis) => analysis.sections !== null) : undefined;
  return finished ?? current;
}

/**
 * The window whose reasons are on show. A slow model writes longer than a moment lasts: until those of the window on show
 * begin, the newest that there are stay, or go on.
 */
export function shownReasons(view: View): Analysis | null {
  const shown = shownAnalysis(view);
  if (shown === null || view.phase.name !== "live" || view.pinned !== null || hasReasons(shown)) return shown;
  const earlier = view.session.analyses.filter((analysis) => analysis.window < shown.window && analysis.query === shown.query);
  return earlier.findLast(hasReasons) ?? shown;
}

function hasReasons(analysis: Analysis): boolean {
  return analysis.sections !== null || Object.keys(analysis.pieces).length > 0;
}

/** The newest window that had ended by then; before the first has, the first. */
export function analysisAt(session: Session, atS: number): Analysis | null {
  const before = session.analyses.findLast((analysis) => analysis.span !== null && analysis.span.end <= atS + SAME_END_S);
  return before ?? session.analyses.find((analysis) => analysis.span !== null) ?? null;
}

/** The frame on show: the newest, or the one that is being replayed. */
export function lookedNow(view: View): FrameEvent | null {
  if (view.phase.name !== "replay") return view.session.looks.at(-1) ?? null;
  return view.session.looks.findLast((look) => look.t <= view.playback.atS) ?? view.session.looks[0] ?? null;
}

/** What a window chooses from; old recordings don't say, and then it is what the session opened with. */
export function labelsOf(session: Session, analysis: Analysis | null): readonly string[] {
  return analysis === null || analysis.labels.length === 0 ? session.labels : analysis.labels;
}

/** The names that a window's shares have: its labels, and `unsure` where these leave out some of what the model knows. */
export function sharesOf(session: Session, analysis: Analysis | null): readonly string[] {
  const labels = labelsOf(session, analysis);
  return analysis !== null && "unsure" in (bestLabel(analysis)?.probabilities ?? {}) ? [...labels, "unsure"] : labels;
}

/** Is a window told in shares that were not fitted for its labels? Old recordings don't say, and know no other labels. */
export function uncalibrated(session: Session, analysis: Analysis): boolean {
  const fitted = bestLabel(analysis)?.calibrated ?? null;
  return fitted === null ? labelsOf(session, analysis).some((label) => !session.labels.includes(label)) : !fitted;
}

/** What has to be said beside these windows' labels: that no adapter is loaded, or that their shares were not fitted. */
export function cautionOf(session: Session, analyses: readonly Analysis[]): "stock" | "uncalibrated" | null {
  if (session.stock) return "stock";
  return analyses.some((analysis) => uncalibrated(session, analysis)) ? "uncalibrated" : null;
}

/** How long the page says that a problem is over, media seconds. */
const OVER_SHOWN_S = 5;
/** The same for a single event that is no lasting state. */
const HAPPENING_SHOWN_S = 20;
const STATES: ReadonlySet<string> = new Set(["no_video", "no_audio", "muted", "camera_frozen", "too_dark", "no_face", "no_voice"]);

/** What stands now, the newest last. */
export function standingNotices(session: Session): readonly Notice[] {
  return session.notices.filter((notice) => {
    const ageS = session.mediaS - notice.atS;
    if (notice.over) return ageS < OVER_SHOWN_S;
    return STATES.has(notice.code) || ageS < HAPPENING_SHOWN_S;
  });
}

export function speaking(session: Session): boolean {
  return session.speech.some((stretch) => stretch.end === null);
}
