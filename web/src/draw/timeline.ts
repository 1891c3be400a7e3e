/** The timeline panel: smoothed probabilities, speech and measured cues over time. It zooms, and a click opens an earlier moment. */

import { lanes, laneLabels, measuredRows, momentAt, poseAt, usualWaits, VOICE_ROWS, type Lanes } from "../state/lanes";
import { analysisNear, moments, sameList } from "../state/timeline";
import { shownAnalysis, speaking } from "../state/shown";
import type { View } from "../state/view";
import { el, setAttr, setText, show } from "./dom";
import { clock, labelName, percent, poseWords } from "./format";
import type { MakePart } from "./hands";
import { lastRows, makePlot, plotHeight, type Place, type Plot, type Row } from "./plot";

/** Redrawn at most this often while it runs by itself. */
const STEP_S = 0.25;
const SPANS_S = [60, 300, 1800] as const;
const LEAST_S = 4;
/** Heading, readout and edges of the timeline, around its chart. */
const BAR_PX = 88;

type Range = { readonly mode: "follow"; readonly spanS: number } | { readonly mode: "fixed"; readonly fromS: number; readonly toS: number };

export const makeTimeline: MakePart = (hands, words) => {
  const say = words.timeline;
  const chart = el("div", { class: "chart", id: "timeline-chart", attrs: { tabindex: "0", role: "group", "aria-label": say.label, "aria-describedby": "timeline-readout" } });
  const readout = el("p", { class: "readout", id: "timeline-readout" });
  const raw = el("button", { class: "toggle", id: "raw", attrs: { type: "button", "aria-pressed": "false", title: say.rawNote } }, say.raw);
  const spans = SPANS_S.map((spanS) => el("button", { class: "quiet", attrs: { type: "button" }, onClick: () => setRange({ mode: "follow", spanS }) }, say.span(spanS / 60)));
  const whole = el("button", { class: "quiet", attrs: { type: "button" }, onClick: () => setRange({ mode: "follow", spanS: Infinity }) }, say.whole);
  const zoomIn = el("button", { class: "quiet", attrs: { type: "button", "aria-label": say.zoomIn, title: say.zoomIn }, onClick: () => zoom(0.5) }, "+");
  const zoomOut = el("button", { class: "quiet", attrs: { type: "button", "aria-label": say.zoomOut, title: say.zoomOut }, onClick: () => zoom(2) }, "−");
  const bar = el("div", { class: "timeline-bar" }, el("h2", { id: "timeline-heading" }, say.heading), el("p", { class: "note timeline-legend" }, say.legend), raw, el("div", { class: "zoom", attrs: { role: "group", "aria-label": say.zoom } }, ...spans, whole, zoomOut, zoomIn));
  const empty = el("p", { class: "empty-note" }, say.empty);
  const waits = el("p", { class: "lane-note", id: "usual-waits" }, say.usualWaits);
  chart.append(waits);
  const root = el("section", { class: "timeline", id: "timeline", attrs: { "aria-labelledby": "timeline-heading" } }, bar, empty, chart, readout);

  let view: View | null = null;
  let range: Range = { mode: "follow", spanS: SPANS_S[0] };
  let isRaw = false;
  let plot: Plot | null = null;
  let names: readonly string[] = [];
  let drawn: Lanes | null = null;
  let drawnOf: readonly unknown[] = [];
  let litOf: readonly unknown[] = [];
  let drawnAtS = -Infinity;
  let pointedS: number | null = null;

  raw.addEventListener("click", () => {
    isRaw = !isRaw;
    setAttr(raw, "aria-pressed", String(isRaw));
    drawnOf = [];
  });
  chart.addEventListener("keydown", (event) => {
    const act = { ArrowLeft: () => stepBy(-1), ArrowRight: () => stepBy(1), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), Escape: () => hands.send({ do: "pin", window: null }) }[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  });
  new ResizeObserver(() => plot?.resize(chart.clientWidth)).observe(chart);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot?.repaint(), { signal: hands.given });

  function setRange(to: Range): void {
    range = to;
    drawnOf = [];
  }

  function bounds(): readonly [number, number] {
    const endS = Math.max(view?.session.mediaS ?? 0, LEAST_S);
    if (range.mode === "fixed") return [range.fromS, range.toS];
    // Whole seconds: a range that moved with each event would never stand still.
    if (range.spanS === Infinity || view?.phase.name !== "live") return [Math.max(0, endS - range.spanS), Math.ceil(endS)];
    const to = Math.max(Math.ceil(endS), range.spanS);
    return [to - range.spanS, to];
  }

  function zoom(factor: number): void {
    const [fromS, toS] = bounds();
    const middle = focusS(fromS, toS);
    const half = Math.max(LEAST_S, (toS - fromS) * factor) / 2;
    const lastS = Math.max(view?.session.mediaS ?? 0, LEAST_S);
    if (2 * half >= lastS) setRange({ mode: "follow", spanS: Infinity });
    else setRange({ mode: "fixed", fromS: Math.max(0, middle - half), toS: Math.max(0, middle - half) + 2 * half });
  }

  function focusS(fromS: number, toS: number): number {
    const end = view === null ? undefined : shownAnalysis(view)?.span?.end;
    return end !== undefined && end >= fromS && end <= toS ? end : (fromS + toS) / 2;
  }

  function stepBy(by: number): void {
    if (view === null) return;
    const all = moments(view.session);
    const here = all.findIndex((moment) => view !== null && moment.window === shownAnalysis(view)?.window);
    const next = all[Math.max(0, Math.min(all.length - 1, (here < 0 ? all.length : here) + by))];
    if (next === undefined) return;
    read(next.atS);
    const [fromS, toS] = bounds();
    if (next.atS < fromS || next.atS > toS) setRange({ mode: "fixed", fromS: Math.max(0, next.atS - (toS - fromS) / 2), toS: Math.max(0, next.atS - (toS - fromS) / 2) + toS - fromS });
  }

  function read(atS: number): void {
    if (view === null) return;
    if (view.phase.name === "replay") hands.send({ do: "seek", atS });
    hands.send({ do: "pin", window: analysisNear(view.session, atS)?.window ?? null });
  }

  function rowsOf(of: View): readonly Row[] {
    const measured = measuredRows(of).map((row): Row => ({ name: say.measured[row], ink: row.endsWith("_hz") || row.endsWith("_db") ? "voice" : "face" }));
    return [...laneLabels(of).map((label): Row => ({ name: labelName(words, label), ink: "ink-3" })), { name: say.speech, ink: "voice" }, ...measured];
  }

  function build(of: View): void {
    const rows = rowsOf(of);
    const wanted = rows.map((row) => row.name);
    if (plot !== null && sameList(names, wanted)) return;
    if (chart.clientWidth === 0) return;
    plot?.destroy();
    names = wanted;
    chart.style.height = `${plotHeight(rows.length)}px`;
    // Over the rows that are empty, and out of the flow, so that nothing moves when it goes.
    const over = lastRows(VOICE_ROWS.length, chart.clientWidth);
    Object.assign(waits.style, { left: `${over.left}px`, bottom: `${over.bottom}px`, height: `${over.height}px` });
    plot = makePlot(chart, rows, chart.clientWidth, clock, {
      onRange: (fromS, toS) => setRange({ mode: "fixed", fromS: Math.max(0, fromS), toS: Math.max(fromS + LEAST_S, toS) }),
      onPick: read,
      onPoint: (atS) => {
        pointedS = atS;
        if (view !== null) tell(view);
      },
      paint,
    });
    drawnOf = [];
  }

  /** Under the curves: the moment on show, where each label stood, and the stretches of speech. */
  function paint(pen: CanvasRenderingContext2D, place: Place, colour: (name: string) => string): void {
    if (view === null || drawn === null) return;
    const clip = (atS: number): number => Math.max(place.left, Math.min(place.left + place.width, place.x(atS)));
    const span = shownAnalysis(view)?.span;
    pen.save();
    if (span) {
      pen.fillStyle = colour(view.lit === null ? "wash" : view.lit.sound && view.lit.tracks.length === 0 ? "voice-wash" : "face-wash");
      pen.fillRect(clip(span.start), place.top, Math.max(2, clip(span.end) - clip(span.start)), place.height);
    }
    pen.fillStyle = colour("ink");
    for (const run of drawn.runs) {
      const row = drawn.labels.indexOf(run.label);
      if (row >= 0) pen.fillRect(clip(run.fromS), place.y(row, 0) - 3 * devicePixelRatio, clip(run.toS) - clip(run.fromS), 3 * devicePixelRatio);
    }
    const row = drawn.labels.length;
    for (const stretch of view.session.speech) {
      const inside = span !== undefined && span !== null && stretch.start < span.end && (stretch.end ?? Infinity) > span.start;
      const lit = view.lit?.sound === true && inside;
      const from = clip(stretch.start);
      const to = clip(stretch.end ?? view.session.mediaS);
      if (to <= from) continue;
      pen.fillStyle = colour("voice");
      pen.globalAlpha = lit || view.lit?.sound !== true ? 1 : 0.35;
      const high = place.y(row, lit ? 1 : 0.62);
      pen.fillRect(from, high, Math.max(1, to - from), place.y(row, 0) - high);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = colour("ink-2");
    for (const mark of view.session.marks) {
      const x = place.x(mark.t);
      if (x >= place.left && x <= place.left + place.width) pen.fillRect(x, place.top, devicePixelRatio, place.height);
    }
    if (view.phase.name === "replay") {
      pen.fillStyle = colour("alarm");
      pen.fillRect(clip(view.playback.atS) - devicePixelRatio, place.top, 2 * devicePixelRatio, place.height);
    }
    pen.restore();
  }

  function tell(of: View): void {
    const all = drawn?.moments ?? [];
    const atS = pointedS ?? shownAnalysis(of)?.span?.end ?? null;
    const moment = atS === null ? null : momentAt(all, of.session, atS);
    if (moment === null) return setText(readout, say.hint);
    const share = (isRaw ? moment.raw : moment.smooth)[moment.label] ?? 0;
    const pose = of.choice === "microphone" ? null : poseAt(of, pointedS ?? moment.atS);
    const said = say.readout(clock(moment.atS), labelName(words, moment.label), percent(share), labelName(words, moment.said));
    // Named with the moment whose stretch of time it lies in.
    const before = all[all.indexOf(moment) - 1]?.atS ?? -Infinity;
    const marks = of.session.marks.filter((mark) => mark.t > before && mark.t <= moment.atS).map((mark) => mark.name);
    setText(readout, [said, pose === null ? "" : poseWords(words, pose), marks.length === 0 ? "" : say.marks(marks.join(", "))].filter(Boolean).join(" "));
  }

  return {
    root,
    draw: (now: View, nowS: number) => {
      view = now;
      const { session } = now;
      const some = session.analyses.some((analysis) => analysis.span !== null);
      show(empty, !some);
      // The chart's place is kept from the start, so that nothing below it moves when it comes.
      root.style.minHeight = some ? "" : `${plotHeight(rowsOf(now).length || 1) + BAR_PX}px`;
      show(chart, some);
      show(readout, some);
      show(waits, usualWaits(now));
      show(spans[2] ?? whole, session.mediaS > SPANS_S[1]);
      if (!some) {
        // A hidden chart would still hold what was deleted.
        plot?.destroy();
        plot = null;
        drawn = null;
        drawnOf = [];
        setText(readout, "");
        return;
      }
      build(now);
      if (plot === null) return;
      const [fromS, toS] = bounds();
      spans.forEach((span, index) => setAttr(span, "aria-pressed", String(range.mode === "follow" && range.spanS === SPANS_S[index])));
      setAttr(whole, "aria-pressed", String(range.mode === "follow" && range.spanS === Infinity));
      const of = [session.analyses, session.voiceCues, session.faceCues, session.speech, session.marks, fromS, toS, isRaw, now.choice];
      const litBy = [now.lit, shownAnalysis(now)?.window, now.playback.atS, speaking(session) ? session.mediaS : 0];
      if (!sameList(of, drawnOf) && (nowS - drawnAtS > STEP_S || drawnOf.length === 0)) {
        drawnOf = of;
        litOf = litBy;
        drawnAtS = nowS;
        drawn = lanes(now, fromS, toS, isRaw);
        const nLabels = drawn.labels.length;
        plot.draw([...drawn.curves.slice(0, nLabels), null, ...drawn.curves.slice(nLabels)], fromS, toS);
        tell(now);
      } else if (!sameList(litBy, litOf)) {
        litOf = litBy;
        plot.repaint();
        tell(now);
      }
    },
  };
};
