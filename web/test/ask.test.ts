import { describe, expect, it } from "vitest";
import { MAX_QUERY, queryLength, statusWords } from "../src/draw/ask";
import { detailWords } from "../src/draw/conclusion";
import { reduce } from "../src/state/actions";
import { cautionOf, concluded, sharesOf, uncalibrated } from "../src/state/shown";
import { moments } from "../src/state/timeline";
import { FIRST_VIEW, type Analysis, type Asking, type Labelled, type View } from "../src/state/view";
import { de } from "../src/messages/de";
import { en } from "../src/messages/en";
import { refusal } from "../src/wire/whip";
import type { WireEvent } from "../src/wire/generated";
import { event } from "./fixture";

const OPENED = event("session.opened", { seq: 1 });

function told(...events: readonly WireEvent[]): View {
  return [OPENED, ...events].reduce<View>((view, each) => reduce(view, { do: "event", event: each, nowS: 0 }), FIRST_VIEW);
}

/** A window that was asked for labels of one's own, and what was told of it. */
function asked(probabilities: Record<string, number>, changes: Record<string, unknown> = {}): readonly [View, Analysis] {
  const labels = Object.keys(probabilities).filter((label) => label !== "unsure");
  const view = told(event("window", { window: 1, seq: 2, labels }), event("label", { window: 1, seq: 3, label: "unsure", probabilities, conflict: null, ...changes }));
  return [view, view.session.analyses[0] as Analysis];
}

function refused(changes: Partial<Extract<Asking, { state: "refused" }>>): View {
  return reduce(told(), { do: "ask", asking: { state: "refused", code: "", labels: [], detail: "", hint: "", ...changes } });
}

describe("a summary", () => {
  const query = "Summarise the last two minutes";

  it("is awaited until it comes, and the question stays as it was", () => {
    const asking: Asking = { state: "accepted", query: null, labels: ["happy", "sad"], summary: query };
    const waiting = reduce(told(), { do: "ask", asking });
    expect(statusWords(waiting, en)).toBe(en.ask.summary.coming);
    const summary = event("summary", { query, seq: 2 });
    const come = reduce(waiting, { do: "event", event: summary, nowS: 0 });
    expect(statusWords(come, en)).toBe("");
    expect(come.session.summaries).toEqual([summary]);
    expect(come.asking).toBe(asking);
  });

  it("says who wrote it", () => {
    for (const words of [en, de]) {
      expect(words.ask.summary.by.measured("small")).not.toContain("small");
      expect(words.ask.summary.by.model("small")).toContain("small");
    }
  });
});

describe("a question that the server does not take", () => {
  it("about somebody's person is declined in the language of the page", () => {
    for (const words of [en, de]) expect(statusWords(refused({ code: "not_judged", detail: "EmoThinker does not judge health." }), words)).toBe(words.ask.notJudged);
    expect(de.ask.notJudged).toContain("nicht beurteilt");
  });

  it("with labels that the model does not know names these, and those it knows", () => {
    const view = refused({ code: "unknown_labels", labels: ["stressed", "yes"] });
    expect(statusWords(view, en)).toContain("“stressed”, “yes”");
    expect(statusWords(view, de)).toContain("„stressed“, „yes“");
    expect(statusWords(view, de)).toContain("fröhlich, traurig");
  });

  it("for another reason is told in the server's words", () => {
    expect(statusWords(refused({ code: "bad_ask", detail: "There is 1 label.", hint: "Give 2 to 12." }), de)).toBe("There is 1 label. Give 2 to 12.");
    expect(statusWords(refused({}), en)).toBe(en.ask.failed);
  });

  it("brings its code and its labels with it", async () => {
    const body = JSON.stringify({ detail: "“yes” is no emotion.", code: "unknown_labels", labels: ["yes"] });
    expect(await refusal(new Response(body, { status: 422 }), () => 0)).toMatchObject({ code: "unknown_labels", labels: ["yes"] });
  });
});

describe("the length of a question", () => {
  it("is counted as the server counts it", () => {
    expect(queryLength("  is  it\n so? ")).toBe(9);
    expect(queryLength("🙂".repeat(MAX_QUERY))).toBe(MAX_QUERY);
    expect(queryLength("e\u0301")).toBe(1);
  });
});

describe("labels of one's own", () => {
  it("show what none of them is for as a row of its own", () => {
    const [view, analysis] = asked({ joy: 0.3, rage: 0.1, unsure: 0.6 });
    expect(sharesOf(view.session, analysis)).toEqual(["joy", "rage", "unsure"]);
    expect(moments(view.session).at(-1)).toMatchObject({ label: "unsure", smooth: { unsure: 0.6 } });
    const [other, all] = asked({ joy: 0.3, other: 0.7 });
    expect(sharesOf(other.session, all)).toEqual(["joy", "other"]);
  });

  it("are said to fit not at all where most is left to none of them, and are never as sure as that", () => {
    const [, analysis] = asked({ joy: 0.02, rage: 0.01, unsure: 0.97 });
    expect(detailWords(en, analysis, analysis.fast as Labelled)).toBe("none of these labels fits, 97\u00a0%");
    expect(detailWords(de, analysis, analysis.fast as Labelled)).toContain("keine dieser Antworten passt");
    expect(concluded(analysis)).toMatchObject({ label: "unsure", confidence: 0.02 });
    const [, between] = asked({ joy: 0.38, rage: 0.36, unsure: 0.26 });
    expect(detailWords(en, between, between.fast as Labelled)).toContain("between joy and rage");
  });

  it("are cautioned about where their shares are not calibrated, or an old recording does not say", () => {
    const caution = (changes: Record<string, unknown>): boolean => {
      const [view, analysis] = asked({ joy: 0.5, rage: 0.5 }, changes);
      return uncalibrated(view.session, analysis);
    };
    expect(caution({ calibrated: true })).toBe(false);
    expect(caution({ calibrated: false })).toBe(true);
    expect(caution({ calibrated: null })).toBe(true);
    const plain = told(event("label", { window: 1, seq: 3, calibrated: null }));
    expect(uncalibrated(plain.session, plain.session.analyses[0] as Analysis)).toBe(false);
  });

  it("are all cautioned about where no adapter is loaded, from the first moment on", () => {
    const stock = reduce(FIRST_VIEW, { do: "event", event: event("session.opened", { seq: 1, stock: true }), nowS: 0 });
    expect(cautionOf(stock.session, [])).toBe("stock");
    expect(cautionOf(told().session, [])).toBeNull();
    const [view, analysis] = asked({ calm: 0.6, tense: 0.4 }, { calibrated: false });
    expect(cautionOf(view.session, [analysis])).toBe("uncalibrated");
    for (const words of [en, de]) expect(words.chain.stock).toContain("dapter");
  });
});

describe("the examples", () => {
  it("are the same questions in every language, each short enough", () => {
    expect(de.ask.presets.map(({ query }) => query)).toEqual(en.ask.presets.map(({ query }) => query));
    for (const { query } of en.ask.presets) expect(queryLength(query ?? "")).toBeLessThanOrEqual(MAX_QUERY);
  });
});
