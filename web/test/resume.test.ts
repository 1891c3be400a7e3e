import { describe, expect, it } from "vitest";
import { reduceEvent } from "../src/state/reducer";
import { baseOf, continued, interrupted } from "../src/state/resume";
import { speaking } from "../src/state/shown";
import { NO_SESSION, type Session } from "../src/state/view";
import { event, fixtureEvents } from "./fixture";

function reduced(events: ReturnType<typeof fixtureEvents>, from: Session = NO_SESSION, nowS = 0): Session {
  return events.reduce((session, each) => reduceEvent(session, each, nowS + each.t), from);
}

describe("a session that goes on from another", () => {
  const all = fixtureEvents();
  const first = reduced(all);

  it("keeps what was written and counts times, numbers and windows on", () => {
    const base = baseOf(first, first.mediaS + 10);
    const other = all.map((each) => ({ ...each, session: "another" }));
    const both = reduced(
      other.map((each) => continued(each, base)),
      interrupted(first),
    );
    expect(both.id).toBe(first.id);
    expect(both.seq).toBe(2 * first.seq);
    expect(both.analyses.slice(0, first.analyses.length)).toEqual(first.analyses);
    expect(both.analyses.map(({ window }) => window)).toEqual([...first.analyses, ...first.analyses].map(({ window }, index) => (index < first.analyses.length ? window : base.window + window)));
    expect(both.looks.at(-1)?.t).toBe(first.mediaS + 10 + (first.looks.at(-1)?.t ?? NaN));
    expect(both.speech).toHaveLength(2 * first.speech.length);
  });

  it("counts the time of a summary, and of the first second, from where the lost one began", () => {
    const base = { session: "lost", seq: 40, t: 60, window: 8 };
    const summary = continued(event("summary", { start: 1, end: 5 }), base);
    expect(summary).toMatchObject({ start: 61, end: 65 });
    const clock = continued(event("clock", { started_at: "2026-11-28T09:51:39.581Z" }), base);
    expect(clock).toMatchObject({ started_at: "2026-11-28T09:50:39.581Z" });
  });

  it("leaves nobody speaking and no trouble standing", () => {
    const speech = reduced([event("session.opened"), event("speech", { seq: 2, t: 3, state: "start", start: 3, end: null }), event("error", { seq: 3, over: false })]);
    expect(speaking(speech)).toBe(true);
    const over = interrupted(speech);
    expect(speaking(over)).toBe(false);
    expect(over.notices).toEqual([]);
  });

  it("goes on from nothing where nothing had come", () => {
    expect(baseOf(NO_SESSION, 5)).toEqual({ session: "", seq: 0, t: 0, window: 0 });
  });
});
