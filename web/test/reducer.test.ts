import { describe, expect, it } from "vitest";
import { SECTIONS, type WireEvent } from "../src/wire/generated";
import { KEPT_ANALYSES, KEPT_LOOKS, KEPT_PIECES, reduceEvent } from "../src/state/reducer";
import { followed, sectionText, standingNotices } from "../src/state/shown";
import { NO_SESSION, type Session } from "../src/state/view";
import { event, fixtureEvents, RAW, shuffled } from "./fixture";

declare const process: { cpuUsage(since?: { user: number; system: number }): { user: number; system: number } };

/** Of the processor's time. Ten times what a quiet machine needs; lists that are copied for each event take minutes. */
const BURST_MS = 5_000;

function after(events: readonly WireEvent[], from: Session = NO_SESSION): Session {
  return events.reduce((session, each) => reduceEvent(session, each, each.t + 100), from);
}

function lookAt(at: number): Session["looks"][number] {
  const look = after([event("frame", { seq: at + 1, t: at })]).looks[0];
  if (look === undefined) throw new Error("a frame is a look");
  return look;
}

describe("the session after the fixture", () => {
  const session = after(fixtureEvents());

  it("knows what runs, what was seen and that it is over", () => {
    expect(session).toMatchObject({ model: "nano", seq: RAW.length, mediaS: 61.5, zeroS: 100, closed: "The page was closed." });
    expect(session.looks.at(-1)?.faces.map((face) => face.track)).toEqual([1, 2]);
    expect(session.speech).toEqual([{ start: 1.2, end: 3.84 }]);
    expect(session.marks.map(({ t, name }) => [t, name])).toEqual([[20.4, "trial"]]);
    expect(session.started, "the sender's clock told it better").toEqual({ at: "2026-11-28T09:50:39.581Z", errorMs: 42 });
    expect(session.lag).toMatchObject({ seconds: 1.25, skippedFrames: 1 });
    expect(session.notices.map((notice) => [notice.code, notice.over])).toEqual([["no_face", true]]);
  });

  it("keeps both labels and the whole chain of the window", () => {
    expect(session.analyses).toHaveLength(1);
    const analysis = session.analyses[0];
    expect(analysis?.fast?.probabilities["happy"]).toBe(0.61);
    expect(analysis?.chain?.probabilities["happy"]).toBe(0.68);
    expect(analysis?.answer).toEqual({ label: "happy", intensity: "moderate", confidence: 0.68 });
    expect(SECTIONS.every((name) => analysis !== undefined && sectionText(analysis, name) !== "")).toBe(true);
  });

  it.each([1, 2, 3, 4, 5])("is the same whatever the order of arrival (shuffle %i)", (seed) => {
    expect({ ...after(shuffled(fixtureEvents(), seed)) }).toEqual(session);
  });

  it("is the same when everything comes twice", () => {
    expect(after(fixtureEvents(), session)).toEqual(session);
  });

  it("counts what cannot be read and changes nothing else", () => {
    expect(reduceEvent(session, { type: "rejected", why: "type weather" }, 0)).toEqual({ ...session, nRejected: 1 });
  });

  it("ignores what belongs to another session", () => {
    expect(reduceEvent(session, event("lag", { session: "other", seq: 99, seconds: 9 }), 0)).toBe(session);
  });
});

describe("a chain that is being written", () => {
  const words = SECTIONS.flatMap((section, place) =>
    ["One ", "two ", "three."].map((text, index) => event("reason.delta", { section, text, window: 3, seq: 20 + 3 * place + index })),
  );

  it("reads in order however its words arrive", () => {
    const analysis = after([...shuffled(words, 7), ...words]).analyses[0];
    expect(SECTIONS.map((section) => analysis && sectionText(analysis, section))).toEqual(SECTIONS.map(() => "One two three."));
  });

  it("takes more words than a chain ever has, without copying them all for each", () => {
    const many = Array.from({ length: 3 * KEPT_PIECES }, (_, index) => event("reason.delta", { window: 3, seq: 20 + index, text: `w${index} ` }));
    const analysis = after([...many, ...many]).analyses[0];
    expect(analysis?.pieces.face?.length).toBeLessThanOrEqual(KEPT_PIECES);
    expect(analysis && sectionText(analysis, "face")).toBe(many.map((each) => each.text).join(""));
  });

  it("is settled by reason.done, and late words do not reopen it", () => {
    const analysis = after([...words, event("reason.done", { window: 3, seq: 90 }), ...words]).analyses[0];
    expect(analysis?.pieces).toEqual({});
    expect(analysis && sectionText(analysis, "face")).toBe("Person A: Lip corners clearly pulled up. Person B: Features at rest.");
  });

  it("keeps the last one on the page until there is something new to read", () => {
    const session = after([event("label", { window: 4 }), event("window", { window: 5, seq: 40 })]);
    expect(followed(session)?.window).toBe(4);
  });
});

describe("the window to follow", () => {
  const word = (window: number, seq: number, t: number): WireEvent => event("reason.delta", { window, seq, t });
  const begun = (window: number, seq: number, end: number): WireEvent[] => [
    event("window", { window, seq, t: end, end }),
    event("label", { window, seq: seq + 1, t: end }),
    word(window, seq + 2, end),
  ];
  const speech = event("speech", { seq: 29, state: "end", start: 2, end: 5, t: 5 });
  const said = after([speech, ...begun(4, 30, 5)]);
  const done = (window: number, seq: number, t: number): WireEvent => event("reason.done", { window, seq, t });

  it("is what was said until it is written and read, though quiet moments have begun", () => {
    const quiet = after(begun(5, 40, 9), said);
    expect(followed(quiet)?.window).toBe(4);
    const written = after([done(4, 50, 10)], quiet);
    expect(followed(written)?.window).toBe(4);
    expect(followed(after([event("lag", { seq: 51, t: 23 })], written))?.window).toBe(5);
  });

  it("is what is said next, at once", () => {
    const next = event("speech", { seq: 59, state: "end", start: 7, end: 8, t: 8 });
    expect(followed(after([done(4, 50, 7), next, ...begun(5, 60, 8)], said))?.window).toBe(5);
  });

  it("is not one whose chain was skipped, for long", () => {
    const skipped = after([speech, event("window", { window: 4, seq: 30, end: 5 }), event("label", { window: 4, seq: 31 })]);
    expect(followed(skipped)?.window).toBe(4);
    expect(followed(after(begun(5, 40, 9), skipped))?.window).toBe(5);
  });

  it("is a quiet moment until it is read, too, and then the newest", () => {
    const first = after([...begun(6, 40, 20), done(6, 50, 22), ...begun(7, 60, 24), done(7, 65, 26)]);
    expect(followed(first)?.window).toBe(6);
    expect(followed(after([...begun(8, 70, 27), event("lag", { seq: 80, t: 29 })], first))?.window).toBe(8);
  });
});

describe("states of the input", () => {
  it("stand until they are over, and good news passes", () => {
    const gone = event("error", { seq: 50, t: 20 });
    const back = event("error", { seq: 51, t: 90, message: "A face is back in view.", hint: "", over: true });
    const later = event("lag", { seq: 52, t: 120 });
    expect(standingNotices(after([gone, later])).map((notice) => notice.over)).toEqual([false]);
    expect(standingNotices(after([gone, back])).map((notice) => notice.over)).toEqual([true]);
    expect(standingNotices(after([back, gone, later]))).toEqual([]);
  });

  it("that are one happening pass by themselves", () => {
    const lost = event("error", { seq: 50, t: 20, code: "events_lost" });
    expect(standingNotices(after([lost]))).toHaveLength(1);
    expect(standingNotices(after([lost, event("lag", { seq: 52, t: 60 })]))).toEqual([]);
  });
});

describe("what is measured", () => {
  it("is kept by its time, however it arrives, and once", () => {
    const looks = [3, 1, 2, 3, 1].map((at) => event("frame", { seq: at, t: at }));
    expect(after(looks).looks.map((look) => look.t)).toEqual([1, 2, 3]);
    const cues = [9, 8].map((at) => event("cues", { seq: at, t: at }));
    expect(after(cues).faceCues.map((measured) => [measured.atS, measured.track, measured.cues["lip_corner_pull"]])).toEqual([[8, 1, 0.64], [9, 1, 0.64]]);
  });

  it("names the people, the question and the labels of its window", () => {
    const analysis = after([event("window")]).analyses[0];
    expect(analysis).toMatchObject({ people: [2, 1], query: null });
    expect(analysis?.labels).toContain("fear");
  });
});

describe("a long session", () => {
  it("keeps a bounded number of frames, the newest, and is not thrown by one that is older than all", () => {
    const full = { ...NO_SESSION, looks: Array.from({ length: KEPT_LOOKS }, (_, at) => lookAt(at + 10)) };
    expect(after([event("frame", { seq: 3, t: 3 })], full).looks).toBe(full.looks);
    const looks = after([event("frame", { seq: 99_999, t: 99_999 })], full).looks;
    expect([looks.length, looks[0]?.t, looks.at(-1)?.t]).toEqual([KEPT_LOOKS, 11, 99_999]);
  });

  it("takes half an hour of frames at once", () => {
    const full = { ...NO_SESSION, looks: Array.from({ length: KEPT_LOOKS - 1 }, (_, at) => lookAt(at)) };
    const burst = Array.from({ length: 1_800 }, (_, at) => event("frame", { seq: KEPT_LOOKS + at, t: KEPT_LOOKS + at }));
    const before = process.cpuUsage();
    expect(after(burst, full).looks).toHaveLength(KEPT_LOOKS);
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(BURST_MS);
  });

  it("keeps a bounded number of windows, the newest", () => {
    const many = Array.from({ length: KEPT_ANALYSES + 50 }, (_, window) => event("window", { window, seq: window + 1 }));
    const { analyses } = after(many);
    expect(analyses).toHaveLength(KEPT_ANALYSES);
    expect(analyses.at(-1)?.window).toBe(KEPT_ANALYSES + 49);
  });

  it("takes ten thousand words at once", () => {
    const full = after(Array.from({ length: KEPT_ANALYSES }, (_, window) => event("window", { window, seq: window + 1 })));
    const burst = Array.from({ length: 10_000 }, (_, index) =>
      event("reason.delta", { seq: 3_000 + index, window: KEPT_ANALYSES - 1 - (index % 20), text: "word " }),
    );
    const before = process.cpuUsage();
    after(burst, full);
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(BURST_MS);
  });
});
