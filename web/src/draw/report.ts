/** The session on one printed page: what ran, the timeline, the moments that stand out, and what all this is not. */

import { cautionOf, conflictOf, concluded } from "../state/shown";
import type { Analysis, Session, View } from "../state/view";
import { saidText } from "../files/export";
import { moments, runs, thinned, type Moment } from "../state/timeline";
import { degree } from "./conflict";
import { el, setText, svg } from "./dom";
import { clock, labelName, shortened, sureness } from "./format";
import type { MakePart, Part } from "./hands";

const N_MOMENTS = 6;
/** With these the report stays on one page whatever was said. */
const REASON_LETTERS = 220;
const QUESTION_LETTERS = 300;
const WIDTH = 1000;
const ROW = 34;
const NAMES = 130;

export const makeReport: MakePart = (_hands, words) => {
  const say = words.report;
  const root = el("section", { class: "report", id: "report" });
  let drawn: Session | null = null;

  function fill(view: View): void {
    const { session } = view;
    drawn = session;
    const all = moments(session);
    const labels = mostUsed(all);
    const questions = [...new Set(session.analyses.map((analysis) => analysis.query ?? words.ask.default))];
    const caution = cautionOf(session, session.analyses);
    const facts = [
      [say.model, words.live.running(session.model, withoutReason(session.engine), session.labelModel)],
      [say.length, clock(session.mediaS)],
      [say.speech, clock(session.speech.reduce((sum, { start, end }) => sum + (end ?? start) - start, 0))],
      [say.moments, String(all.length)],
      [say.question, shortened(questions.map((query) => `“${query}”`).join(", "), QUESTION_LETTERS)],
    ] as const;
    root.replaceChildren(
      el("h1", {}, say.heading),
      el("p", { class: "when" }, say.printed(printedAt())),
      el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      el("h2", {}, words.timeline.heading),
      chart(session, all, labels),
      el("h2", {}, say.standing),
      table(standOut(session)),
      el("p", { class: "not" }, words.consent.not.text, " ", words.consent.notice.text, caution === null ? "" : ` ${words.chain[caution]}`),
    );
  }

  function chart(session: Session, all: readonly Moment[], labels: readonly string[]): Element {
    const lastS = Math.max(session.mediaS, 1);
    const x = (atS: number): number => NAMES + ((WIDTH - NAMES) * atS) / lastS;
    const rows = labels.map((label, row) => {
      const floor = (row + 1) * ROW - 4;
      const points = thinned(all.filter((moment) => label in moment.smooth), 300).map((moment) => `${x(moment.atS).toFixed(1)},${(floor - 26 * (moment.smooth[label] ?? 0)).toFixed(1)}`);
      const [first = "", last = ""] = [points[0]?.split(",")[0], points.at(-1)?.split(",")[0]];
      const area = svg("polygon", { points: `${first},${floor} ${points.join(" ")} ${last},${floor}`, class: "area" });
      const bars = runs(all).filter((run) => run.label === label).map((run) => svg("rect", { x: x(run.fromS).toFixed(1), y: String(floor - 3), width: Math.max(1, x(run.toS) - x(run.fromS)).toFixed(1), height: "3" }));
      return svg("g", {}, caption(labelName(words, label), 0, floor - 6), svg("line", { x1: String(NAMES), x2: String(WIDTH), y1: String(floor), y2: String(floor), class: "floor" }), ...(points.length > 1 ? [area] : []), ...bars);
    });
    const floor = (labels.length + 1) * ROW - 4;
    const spoken = session.speech.map(({ start, end }) => svg("rect", { x: x(start).toFixed(1), y: String(floor - 12), width: Math.max(1, x(end ?? lastS) - x(start)).toFixed(1), height: "12", class: "spoken" }));
    const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => caption(clock(share * lastS), x(share * lastS), floor + 20, share === 1 ? "end" : share === 0 ? "start" : "middle"));
    return svg("svg", { viewBox: `0 0 ${WIDTH} ${floor + 26}`, class: "report-chart" }, ...rows, caption(words.timeline.speech, 0, floor - 3), ...spoken, ...marks);
  }

  function caption(text: string, x: number, y: number, anchor = "start"): SVGTextElement {
    const node = svg("text", { x: x.toFixed(1), y: String(y), "text-anchor": anchor });
    setText(node, text);
    return node;
  }

  function table(chosen: readonly Analysis[]): HTMLElement {
    const head = [say.time, say.answer, say.conflict, say.reason].map((name) => el("th", { attrs: { scope: "col" } }, name));
    const rows = chosen.map((analysis) => {
      const conclusion = concluded(analysis);
      const conflict = conflictOf(analysis);
      return el(
        "tr",
        {},
        el("td", {}, clock(analysis.span?.end ?? 0)),
        el("td", {}, [labelName(words, conclusion.label), sureness(conclusion)].filter(Boolean).join(", ")),
        el("td", {}, conflict === null ? "–" : words.conflict.score[degree(conflict.score)]),
        el("td", { attrs: { lang: "en" } }, shortened(saidText(analysis, "fine") || saidText(analysis, "face"), REASON_LETTERS) || "–"),
      );
    });
    return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  }

  const part: Part = {
    root,
    draw: (view) => {
      if (view.session === drawn) return;
      if (view.session.analyses.length > 0) fill(view);
      else root.replaceChildren();
    },
  };
  return part;
};

/** The labels that most moments chose from: a question asked in between has no rows of its own. */
function mostUsed(all: readonly Moment[]): readonly string[] {
  const times = new Map<string, number>();
  for (const { labels } of all) times.set(labels.join(), (times.get(labels.join()) ?? 0) + 1);
  const most = [...times].toSorted((a, b) => b[1] - a[1])[0]?.[0];
  return all.find(({ labels }) => labels.join() === most)?.labels ?? [];
}

/** Where face and voice differ most, then where it was surest; in the order of time. */
export function standOut(session: Session): readonly Analysis[] {
  const placed = session.analyses.filter((analysis) => analysis.span !== null && analysis.answer !== null);
  const byConflict = placed.toSorted((a, b) => (conflictOf(b)?.score ?? 0) - (conflictOf(a)?.score ?? 0));
  const bySureness = placed.toSorted((a, b) => concluded(b).confidence - concluded(a).confidence);
  const chosen = [...new Set([...byConflict.slice(0, N_MOMENTS / 2), ...bySureness])].slice(0, N_MOMENTS);
  return placed.filter((analysis) => chosen.includes(analysis));
}

/** Now, with the month in words: day and month stand in either order among readers of English. */
function printedAt(): string {
  return new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "short" }).format();
}

/** `torch (cpu, float32; why not another one)`: the why is for whoever runs the server. */
function withoutReason(engine: string): string {
  return engine.replace(/;[^)]*/, "");
}
