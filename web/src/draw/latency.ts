/** How long each stage takes, as the server measured it: last, median, 95th percentile. */

import type { Analysis, View } from "../state/view";
import { el, setShare, setText, show } from "./dom";
import { decimal, quantile } from "./format";
import type { MakePart } from "./hands";

/** Percentiles are over this many windows, so that they follow a machine that slows down. */
const RECENT_WINDOWS = 200;
/** In the order they happen. The server sends more stages than these; the others are for programs. */
const STAGES = ["faces", "vision", "cues", "append", "see", "hear", "fast", "label", "first_word", "reason", "total"] as const;

export const makeLatency: MakePart = (_hands, words) => {
  const say = words.latency;
  const running = el("p", { class: "note", id: "running" });
  const skipped = el("p", { class: "note" });
  const about = el("p", { class: "note" }, say.about);
  const speed = el("p", { class: "note", id: "speed" });
  const empty = el("p", { class: "empty-note" }, say.empty);
  const body = el("tbody");
  const head = [say.stage, `${say.last}, ${say.unit}`, say.median, say.p95].map((text) => el("th", { attrs: { scope: "col" } }, text));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head)), body);
  const root = el("details", { class: "latency" }, el("summary", {}, say.heading), running, empty, table, speed, skipped, about);
  const rows = new Map<string, { row: HTMLElement; cells: readonly HTMLElement[] }>();
  let drawn: Analysis | null = null;

  function rowOf(stage: (typeof STAGES)[number]) {
    const found = rows.get(stage);
    if (found !== undefined) return found;
    const cells = [el("td"), el("td"), el("td")];
    const made = { row: el("tr", {}, el("th", { attrs: { scope: "row" } }, say.stages[stage]), ...cells), cells };
    rows.set(stage, made);
    body.append(...STAGES.flatMap((each) => rows.get(each)?.row ?? []));
    return made;
  }

  return {
    root,
    draw: (view: View) => {
      const { session } = view;
      setText(running, session.model === "" ? "" : words.live.running(session.model, session.engine, session.labelModel));
      setText(skipped, [words.link.behind(decimal(session.lag.seconds, 1)) + ".", words.live.skipped(session.lag.skippedFrames, session.lag.skippedWindows), session.nRejected > 0 ? words.live.unread(session.nRejected) : ""].filter(Boolean).join(" "));
      if (session.analyses.length === 0 && rows.size > 0) {
        drawn = null;
        rows.clear();
        body.replaceChildren();
      }
      show(table, rows.size > 0);
      show(empty, rows.size === 0);
      const newest = session.analyses.findLast((analysis) => Object.keys(analysis.timingsMs).length > 0) ?? null;
      if (newest === null || newest === drawn || (drawn !== null && !root.open)) return;
      drawn = newest;
      const recent = session.analyses.slice(-RECENT_WINDOWS).map((analysis) => analysis.timingsMs);
      const past = (stage: string): readonly number[] => recent.map((timings) => timings[stage]).filter((ms) => ms !== undefined);
      const longest = Math.max(...STAGES.map((stage) => past(stage).at(-1) ?? 0));
      for (const stage of STAGES) {
        const times = past(stage);
        const last = times.at(-1);
        if (last === undefined) continue;
        const { row, cells } = rowOf(stage);
        [last, quantile(times, 0.5), quantile(times, 0.95)].forEach((ms, index) => {
          const cell = cells[index];
          if (cell !== undefined) setText(cell, decimal(ms, ms < 10 ? 1 : 0));
        });
        setShare(row, "--share", last / longest);
      }
      const rates = recent.map((timings) => (timings["chain_tokens"] ?? 0) / ((timings["chain"] ?? 0) / 1000)).filter((rate) => rate > 0 && Number.isFinite(rate));
      setText(speed, rates.length === 0 ? "" : say.speed(decimal(quantile(rates, 0.5), 0)));
      show(table, true);
      show(empty, false);
    },
  };
};
