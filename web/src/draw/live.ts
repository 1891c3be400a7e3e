/** The screen of a session: picture and sound on one side, the analysis on the other. It stays readable after the end. */

import type { View } from "../state/view";
import { makeAsk } from "./ask";
import { makeChain } from "./chain";
import { makeConflict } from "./conflict";
import { el, setText, show } from "./dom";
import { endedWords, viewedEndWords } from "./ended";
import { makeFollow } from "./follow";
import { makeHistory } from "./history";
import { makeLatency } from "./latency";
import { makePeople } from "./people";
import { makePlayback } from "./playback";
import { makeRecording } from "./recording";
import { makeReport } from "./report";
import { makeStage } from "./stage";
import { makeStrip } from "./strip";
import { makeTimeline } from "./timeline";
import { makeConclusion } from "./conclusion";
import { makeWords } from "./words";
import type { MakePart } from "./hands";

export const makeLive: MakePart = (hands, words) => {
  const [stage, strip, playback] = [makeStage(hands, words), makeStrip(hands, words), makePlayback(hands, words)];
  const watching = [stage, strip, playback];
  const [people, conflict, ask] = [makePeople(hands, words), makeConflict(hands, words), makeAsk(hands, words)];
  const [conclusion, said, chain] = [makeConclusion(hands, words), makeWords(hands, words), makeChain(hands, words)];
  const [timeline, history, latency] = [makeTimeline(hands, words), makeHistory(hands, words), makeLatency(hands, words)];
  const follow = makeFollow(hands, words);
  const reading = [conclusion, said, chain, people, conflict, ask, follow, history, latency];
  const report = makeReport(hands, words);
  const title = el("h1");
  const text = el("p");
  const kept = el("p", { class: "note" });
  const goOn = el("button", { class: "primary", id: "go-on", attrs: { type: "button" }, onClick: () => hands.goOn?.() }, words.ended.goOn);
  const failed = el("p", { class: "note", id: "go-on-failure", attrs: { role: "alert" } });
  const again = el("button", { class: "primary", id: "again", attrs: { type: "button" }, onClick: hands.cancel });
  const print = el("button", { class: "quiet", id: "print", attrs: { type: "button" }, onClick: hands.print }, words.ended.print);
  const forget = el("button", { class: "quiet", id: "forget", attrs: { type: "button" }, onClick: hands.deleteAll }, words.ended.forget);
  const recording = makeRecording(hands, words);
  const ended = el("section", { class: "ended", id: "ended", attrs: { tabindex: "-1" } }, title, text, failed, recording.root, kept, el("div", { class: "go" }, goOn, again, print, forget));
  const watch = el("div", { class: "watch" }, ...watching.map((part) => part.root));
  const heading = el("h1", { class: "unseen" }, words.title);
  const root = el(
    "main",
    { class: "live", id: "live", attrs: { tabindex: "-1" } },
    heading,
    el("div", { class: "left" }, ended, watch, people.root, ask.root, follow.root, conflict.root),
    el("div", { class: "right" }, conclusion.root, said.root, chain.root),
    timeline.root,
    el("div", { class: "below" }, history.root, latency.root),
    report.root,
  );

  /** Whether this page sends the session, rather than somebody else. */
  const mine = hands.goOn !== null;
  let drawn: View | null = null;
  // Filled only when it is to be printed.
  addEventListener("beforeprint", () => drawn !== null && report.draw(drawn, 0), { signal: hands.given });
  return {
    root,
    draw: (view: View, nowS: number) => {
      const over = view.phase.name === "ended" ? view.phase : null;
      const replay = view.phase.name === "replay";
      const byItself = mine && over !== null && (over.why === "closed" || over.why === "gone");
      const onServer = view.recording.state === "kept" || view.recording.state === "not deleted";
      // Picture and sound move by themselves; what is read changes with the view alone.
      if (view.phase.name === "live" || view !== drawn) for (const part of watching) part.draw(view, nowS);
      // Not each event moves the timeline at once, so it is asked again.
      timeline.draw(view, nowS);
      if (view === drawn) return;
      drawn = view;
      // The report goes when the session is deleted.
      if (view.session.analyses.length === 0) report.draw(view, nowS);
      show(ended, over !== null || replay);
      show(watch, over === null);
      show(strip.root, !replay);
      show(heading, over === null && !replay);
      for (const part of reading) part.draw(view, nowS);
      if (view.phase.name === "replay") {
        setText(title, words.replay.title);
        setText(text, [view.phase.file, words.live.running(view.session.model, view.session.engine, view.session.labelModel)].join(" · "));
        setText(kept, words.replay.kept);
        setText(again, words.replay.close);
      }
      recording.draw(view, nowS);
      if (over !== null) {
        const end = mine ? endedWords(words, over, onServer) : viewedEndWords(words, over);
        setText(title, end.title);
        setText(text, end.text);
        setText(kept, end.kept);
        setText(again, end.again);
      }
      const failure = over?.failure ?? null;
      const why = failure === null ? null : words.failure(failure, 0);
      show(failed, why !== null);
      setText(failed, why === null ? "" : `${why.title}. ${why.text}`);
      show(goOn, byItself);
      again.className = byItself ? "quiet" : "primary";
      show(kept, view.session.analyses.length > 0);
      for (const button of [forget, print]) show(button, view.session.analyses.length > 0);
      if (replay || !mine) show(forget, false);
    },
  };
};
