import { describe, expect, it } from "vitest";
import { reduce } from "../src/state/actions";
import { laneLabels, lanes, measuredRows, poseAt, usualWaits } from "../src/state/lanes";
import { reduceEvent } from "../src/state/reducer";
import { analysisNear, moments, runs, thinned } from "../src/state/timeline";
import { lookedNow, shownAnalysis } from "../src/state/shown";
import { FIRST_VIEW, NO_SESSION, type Session, type View } from "../src/state/view";
import { event, fixtureEvents } from "./fixture";

/** A session with a window every four seconds; each number is the share of happy, the rest is sad. */
function told(shares: readonly number[], labels: readonly string[] = ["happy", "sad"]): Session {
  const [one = "", other = ""] = labels;
  return shares.reduce<Session>((session, share, window) => {
    const span = { window, start: 4 * window, end: 4 * window + 4, labels };
    const label = event("label", { window, seq: 2 * window + 2, label: share >= 0.5 ? one : other, probabilities: { [one]: share, [other]: 1 - share } });
    return [event("window", { ...span, seq: 2 * window + 1 }), label].reduce((before, each) => reduceEvent(before, each, 0), session);
  }, NO_SESSION);
}

describe("what stands over time", () => {
  it("does not flicker with a single window, raw values do", () => {
    const all = moments(told([0.8, 0.8, 0.8, 0.42, 0.8, 0.8]));
    expect(all.map((moment) => moment.label)).toEqual(Array(6).fill("happy"));
    expect(all[3]?.said).toBe("sad");
    expect(all[3]?.raw["sad"]).toBeCloseTo(0.58);
  });

  it("stays through a coin's toss around the middle", () => {
    const all = moments(told([0.6, 0.48, 0.52, 0.47, 0.53, 0.48]));
    expect(new Set(all.map((moment) => moment.label))).toEqual(new Set(["happy"]));
  });

  it("gives way to what lasts", () => {
    const all = moments(told([0.8, 0.8, 0.2, 0.2, 0.2, 0.2]));
    expect(all.at(-1)?.label).toBe("sad");
    expect(runs(all).map((run) => run.label)).toEqual(["happy", "sad"]);
    const [first, second] = runs(all);
    expect([first?.fromS, first?.toS, second?.toS]).toEqual([0, second?.fromS, 24]);
  });

  it("leaves a gap where nothing was analysed", () => {
    const late = [event("window", { window: 9, seq: 90, start: 20, end: 24, labels: ["happy", "sad"] }), event("label", { window: 9, seq: 91, probabilities: { happy: 0.9, sad: 0.1 } })];
    const session = late.reduce((before, each) => reduceEvent(before, each, 0), told([0.9, 0.9]));
    expect(runs(moments(session))).toEqual([
      { label: "happy", fromS: 0, toS: 8 },
      { label: "happy", fromS: 20, toS: 24 },
    ]);
    const [happy] = lanes({ ...FIRST_VIEW, session }, 0, 24, true).curves;
    expect(happy?.atS).toEqual([4, 8, 8.001, 20, 24]);
    expect(happy?.values).toEqual([0.9, 0.9, null, 0.9, 0.9]);
  });

  it("keeps its shares a distribution", () => {
    for (const { smooth } of moments(told([0.9, 0.1, 0.5, 0.3]))) expect(Object.values(smooth).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1);
  });

  it("begins anew after a long silence and with other labels", () => {
    const late = [event("window", { window: 9, seq: 90, start: 90, end: 98, labels: ["happy", "sad"] }), event("label", { window: 9, seq: 91, probabilities: { happy: 0.1, sad: 0.9 } })];
    expect(moments(late.reduce((before, each) => reduceEvent(before, each, 0), told([0.9]))).at(-1)?.smooth["sad"]).toBeCloseTo(0.9);
    const own = [event("window", { window: 1, seq: 90, start: 4, end: 8, labels: ["awake", "tired"] }), event("label", { window: 1, seq: 91, label: "tired", probabilities: { awake: 0.2, tired: 0.8 } })];
    const asked = own.reduce((before, each) => reduceEvent(before, each, 0), told([0.9]));
    expect(moments(asked).at(-1)).toMatchObject({ label: "tired", labels: ["awake", "tired"], smooth: { tired: 0.8 } });
  });

  it("is found by pointing at it", () => {
    const session = told([0.8, 0.8, 0.8]);
    expect([0, 5, 8.1, 99].map((atS) => analysisNear(session, atS)?.window)).toEqual([0, 1, 2, 2]);
  });
});

describe("the rows of the timeline", () => {
  const live: View = { ...FIRST_VIEW, phase: { name: "live", mediaUp: true }, session: fixtureEvents().reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION) };

  it("are the labels, then what was measured, on the times they belong to", () => {
    const drawn = lanes(live, 0, 60, false);
    expect(drawn.labels).toHaveLength(7);
    expect(drawn.curves).toHaveLength(7 + drawn.measured.length);
    expect(drawn.curves[0]).toEqual({ atS: [3.84], values: [0.68] });
    const pitch = drawn.curves[7 + drawn.measured.indexOf("pitch_hz")];
    expect(pitch?.atS.slice(0, 2)).toEqual([1.2, 3.84]);
    expect(pitch?.values[2]).toBeNull();
  });

  it("say why those of the voice are empty until its usual is known", () => {
    const heard = (relative: Record<string, number> | null): View => ({ ...live, session: reduceEvent(NO_SESSION, event("cues", { seq: 1, t: 3, face: null, pose: null, voice: { pitch_hz: 140, loudness_db: -30 }, relative }), 0) });
    expect([{ ...live, session: NO_SESSION }, heard(null), heard({ pitch_hz: 0.4 })].map(usualWaits)).toEqual([true, true, false]);
    expect(usualWaits({ ...heard(null), choice: "camera" })).toBe(false);
  });

  it("know how the person named first held their head, for as long as that was measured", () => {
    const { session } = live;
    const turned = { ...live, session: reduceEvent(session, event("cues", { seq: 99, t: 3, face: { track: 2, jaw_drop: 0.1 } }), 0) };
    expect([2.9, 3, 5.5, 5.6].map((atS) => poseAt(turned, atS)?.yaw)).toEqual([undefined, -6.5, -6.5, undefined]);
  });

  it("follow the labels of what is read, and leave out the sense that was not shared", () => {
    expect(laneLabels({ ...live, session: told([0.5], ["awake", "tired"]) })).toEqual(["awake", "tired"]);
    expect(measuredRows({ ...live, choice: "camera" })).not.toContain("pitch_hz");
    expect(measuredRows({ ...live, choice: "microphone" })).toEqual(["pitch_hz", "loudness_db"]);
  });

  it("hold no more points than a screen can show", () => {
    const items = Array.from({ length: 7_201 }, (_, at) => at);
    expect(thinned(items, 600).length).toBeLessThanOrEqual(600);
    expect(thinned(items, 600).at(-1)).toBe(7_200);
  });
});

describe("a replay", () => {
  const session = told([0.8, 0.7, 0.3]);
  const opened = reduce(FIRST_VIEW, { do: "open", file: "x.json", session: { ...session, mediaS: 12, looks: [] } });

  it("shows the moment that had been said by then", () => {
    const at = (atS: number): number | undefined => shownAnalysis(reduce(opened, { do: "seek", atS }))?.window;
    expect([0, 4, 7.9, 8, 50].map(at)).toEqual([0, 0, 0, 1, 2]);
  });

  it("runs on to its end and not beyond it, and reads what is pinned", () => {
    const ran = reduce(opened, { do: "run to", atS: 99 });
    expect(ran.playback.atS).toBe(12);
    expect(shownAnalysis(reduce(ran, { do: "pin", window: 0 }))?.window).toBe(0);
    expect(shownAnalysis(reduce(reduce(ran, { do: "pin", window: 0 }), { do: "play", playing: true }))?.window).toBe(2);
  });

  it("has the picture of its time", () => {
    const looks = [1, 2, 3].map((at) => event("frame", { seq: at, t: at })).reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION);
    const view = reduce(reduce(FIRST_VIEW, { do: "open", file: "x", session: looks }), { do: "seek", atS: 2.5 });
    expect(lookedNow(view)?.t).toBe(2);
    expect(view.choice).toBe("camera");
  });
});
