import { describe, expect, it, vi } from "vitest";
import { reduce, type Action } from "../src/state/actions";
import { readConfig } from "../src/wire/config";
import { certainty, clock, percent, poseWords, quantile, reason, shortened, sureness } from "../src/draw/format";
import { affectWords, detailWords, sourceLine } from "../src/draw/conclusion";
import { endedWords, viewedEndWords } from "../src/draw/ended";
import { lagWords } from "../src/draw/header";
import { facesWords } from "../src/draw/strip";
import { degree } from "../src/draw/conflict";
import { waitS } from "../src/wire/socket";
import { de } from "../src/messages/de";
import { en } from "../src/messages/en";
import { letter } from "../src/state/evidence";
import { concluded, conflictOf, keptOf, shownAnalysis, shownReasons } from "../src/state/shown";
import { FIRST_VIEW, type Analysis, type Labelled, type View } from "../src/state/view";
import { refusal } from "../src/wire/whip";
import { event } from "./fixture";

function after(actions: readonly Action[], from: View = FIRST_VIEW): View {
  return actions.reduce(reduce, from);
}

function labelled(window: number, seq: number): Action {
  return { do: "event", event: event("label", { window, seq }), nowS: 0 };
}

describe("the view", () => {
  const live = after([{ do: "choose", choice: "both" }, { do: "ask permission" }, { do: "offer" }, { do: "go live", recording: { state: "none" } }, labelled(1, 1)]);

  // The viewer page did not say it.
  it("is late where the server says so, and only while it is live", () => {
    vi.stubGlobal("document", { documentElement: { lang: "en" } });
    const late = (seconds: number): Action => ({ do: "event", event: event("lag", { seq: 9, seconds }), nowS: 0 });
    expect(lagWords(after([late(7.5)], live), en)).toBe("7.5 s behind");
    expect(lagWords(after([late(0.1)], live), en)).toBe("");
    expect(lagWords(after([late(7.5), { do: "end", why: "closed", detail: "" }], live), en)).toBe("");
    vi.unstubAllGlobals();
  });

  it("follows the newest window", () => {
    expect(shownAnalysis(after([labelled(2, 2)], live))?.window).toBe(2);
  });

  it("holds the window that is being read, and lets go", () => {
    const held = after([{ do: "hold", on: true }, labelled(2, 2)], live);
    expect(shownAnalysis(held)?.window).toBe(1);
    expect(shownAnalysis(reduce(held, { do: "hold", on: false }))?.window).toBe(2);
  });

  it("goes on with the reasons of an earlier window until those of the newest begin", () => {
    const word = (window: number, seq: number): Action => ({ do: "event", event: event("reason.delta", { window, section: "voice", index: 0, text: "Louder", seq }), nowS: 0 });
    const written = after([word(1, 2), labelled(2, 3)], live);
    // As after speech, whose window is shown at once.
    const slow: View = { ...written, session: { ...written.session, following: 2 } };
    expect([shownAnalysis(slow)?.window, shownReasons(slow)?.window]).toEqual([2, 1]);
    const begun = reduce(slow, word(2, 4));
    expect(shownReasons({ ...begun, session: { ...begun.session, following: 2 } })?.window).toBe(2);
    expect(shownReasons(reduce(slow, { do: "pin", window: 2 }))?.window).toBe(2);
    expect(shownReasons(after([labelled(2, 2)], live))?.window).toBe(2);
  });

  it("shows an earlier window for as long as it is pinned", () => {
    const pinned = after([labelled(2, 2), { do: "pin", window: 1 }, { do: "hold", on: true }, { do: "hold", on: false }, labelled(3, 3)], live);
    expect(shownAnalysis(pinned)?.window).toBe(1);
    expect(shownAnalysis(reduce(pinned, { do: "pin", window: null }))?.window).toBe(3);
  });

  it("keeps what was written after the end, and forgets it when asked", () => {
    const ended = reduce(live, { do: "end", why: "withdrawn", detail: "" });
    expect(ended.session.analyses).toHaveLength(1);
    expect(reduce(ended, { do: "forget" })).toMatchObject({ phase: { name: "consent" }, session: { analyses: [] } });
  });

  it("goes on with what was written after it ended by itself", () => {
    const ended = after([{ do: "event", event: event("session.closed", { reason: "peer left", seq: 7 }), nowS: 9 }, { do: "end", why: "closed", detail: "peer left" }], live);
    const on = after([{ do: "interrupt" }, { do: "ask permission" }, { do: "offer" }, { do: "go on" }], ended);
    expect(on).toMatchObject({ phase: { name: "live" }, session: { closed: null }, link: { state: "connecting" } });
    expect(on.session.analyses).toEqual(ended.session.analyses);
  });

  it("says the word that the server tells for valence, which a mean near the middle would not", () => {
    vi.stubGlobal("document", { documentElement: { lang: "en" } });
    const valence = { value: -0.02, basis: "both", side: "high" } as const;
    expect(affectWords(en, { valence, arousal: null })).toBe("pleasant (−0.0, by face and voice)");
    expect(affectWords(en, { valence: { ...valence, side: null }, arousal: null })).toBe("(−0.0, by face and voice)");
    vi.unstubAllGlobals();
  });

  it("says what turned an answer from the first impression, and what that was", () => {
    const fast = event("label", { window: 1, seq: 3, source: "fast", label: "unsure", probabilities: { happy: 0.6, sad: 0.4 }, conflict: null });
    const line = (turned_by: readonly string[], words = en): string => {
      const done = event("reason.done", { window: 1, seq: 5, turned_by });
      const view = after([{ do: "event", event: fast, nowS: 0 }, { do: "event", event: done, nowS: 0 }], live);
      return sourceLine(words, shownAnalysis(view) as Analysis, view);
    };
    expect(line(["second_look"])).toMatch(/, at first happy, turned by a second look at the face$/);
    expect(line(["reasons", "words"])).toMatch(/, at first happy, turned by the reasons and what was said$/);
    expect(line(["second_look"], de)).toMatch(/, zuerst fröhlich, geändert durch einen zweiten Blick auf das Gesicht$/);
    expect(line([])).not.toContain("at first");
  });

  it("says what alone an answer is from, and calls nothing a missing face before it looked", () => {
    const shares = { happy: 0.9, sad: 0.1 };
    const window = (changes: object): Action => ({ do: "event", event: event("window", { window: 1, seq: 2, frames: 4, speech_s: 2, ...changes }), nowS: 0 });
    const label = (basis: string | null): Action => ({
      do: "event",
      event: event("label", { window: 1, seq: 3, source: "chain", probabilities: shares, conflict: null, valence: basis === null ? null : { value: 0.5, basis, side: "high" } }),
      nowS: 0,
    });
    const fresh = after([{ do: "choose", choice: "both" }, { do: "go live", recording: { state: "none" } }]);
    const line = (actions: readonly Action[]): string => {
      const view = after(actions, fresh);
      return sourceLine(en, shownAnalysis(view) as Analysis, view);
    };
    expect(line([window({ frames: 0 }), label("voice")])).toContain("from the voice alone; no picture was looked at");
    expect(line([window({}), label("voice")])).toMatch(/from the voice alone$/);
    expect(line([window({ speech_s: 0 }), label(null)])).toMatch(/from the face alone$/);
    expect(line([window({}), label("both")])).not.toContain("alone");
    expect(line([{ do: "choose", choice: "microphone" }, window({ frames: 0 }), label("voice")])).not.toContain("alone");
    expect(facesWords(en, fresh)).toBe("");
    const looked = after([{ do: "event", event: event("frame", { seq: 1, faces: [] }), nowS: 0 }], fresh);
    expect(facesWords(en, looked)).toBe("No face in view");
    expect(facesWords(en, after([{ do: "event", event: event("error", { seq: 2, code: "no_video", over: false }), nowS: 0 }], looked))).toBe("");
  });

  it("shows the conflict of the newest label that tells one", () => {
    const conflict = (score: number): object => ({ face: { happy: 1 }, voice: { sad: 1 }, score });
    const label = (seq: number, source: string, changes: object): Action => ({ do: "event", event: event("label", { window: 1, seq, source, ...changes }), nowS: 0 });
    const scoreOf = (actions: readonly Action[]): number | undefined => conflictOf(shownAnalysis(after(actions, live)) as Analysis)?.score;
    const fast = label(5, "fast", { conflict: conflict(0.25) });
    expect(scoreOf([fast])).toBe(0.25);
    expect(scoreOf([fast, label(6, "chain", { conflict: conflict(0.75) })])).toBe(0.75);
    expect(scoreOf([fast, label(6, "chain", { conflict: null })])).toBe(0.25);
  });

  it("shows the last finished moment once it is over", () => {
    const done: Action = { do: "event", event: event("reason.done", { window: 1, seq: 5 }), nowS: 0 };
    const begun = after([done, labelled(2, 6)], live);
    expect(shownAnalysis(reduce(begun, { do: "end", why: "withdrawn", detail: "" }))?.window).toBe(1);
    const unfinished = after([labelled(2, 6), { do: "end", why: "withdrawn", detail: "" }], live);
    expect(shownAnalysis(unfinished)?.window).toBe(2);
  });

  it("says that a session was deleted, and only then", () => {
    const ended = reduce(live, { do: "end", why: "withdrawn", detail: "" });
    expect(reduce(ended, { do: "forget" }).phase).toMatchObject({ deleted: true });
    expect(reduce({ ...ended, phase: { name: "replay", file: "a.json" } }, { do: "forget" }).phase).toMatchObject({ deleted: false });
    expect(reduce(FIRST_VIEW, { do: "forget" }).phase).toMatchObject({ deleted: false });
  });

  it("tells of the newest return of each kind", () => {
    const back = (kind: "link" | "camera", atS: number): Action => ({ do: "tell", happening: { kind, atS, nMoments: 0 } });
    expect(after([back("link", 1), back("camera", 2), back("link", 3)]).happened.map(({ kind, atS }) => [kind, atS])).toEqual([
      ["camera", 2],
      ["link", 3],
    ]);
  });

  it("agrees to a recording for one session alone, and to no more than there is", () => {
    const words = after([{ do: "offer words", writes: true }, { do: "agree to words", agreed: true }]);
    expect([words.writesWords, words.wordsAgreed]).toEqual([true, true]);
    const agreed = after([{ do: "keeping", keeping: { most: "events", days: 2 } }, { do: "agree", kept: "media" }]);
    expect(keptOf(agreed.keeping, agreed.agreed)).toBe("events");
    expect(keptOf(null, agreed.agreed)).toBeNull();
    expect(reduce(agreed, { do: "forget" }).agreed).toBeNull();
    expect(reduce(agreed, { do: "go live", recording: { state: "none" } }).agreed).toBeNull();
  });

  it("starts every session empty", () => {
    expect(reduce(live, { do: "go live", recording: { state: "none" } }).session.analyses).toEqual([]);
  });
});

describe("a chain that contradicts itself", () => {
  it("says in words in what, in every language", () => {
    const done = event("reason.done", { window: 1, seq: 5, contradictions: ["face", "answer"] });
    const analysis = after([labelled(1, 1), { do: "event", event: { ...done, answer: { ...done.answer, label: "unsure" } }, nowS: 0 }]).session.analyses[0] as Analysis;
    for (const words of [en, de]) {
      const detail = detailWords(words, analysis, analysis.fast as Labelled);
      expect(detail).toContain(words.conclusion.contradicts.face);
      expect(detail).toContain(words.conclusion.contradicts.answer);
      expect(detail).not.toContain(words.conclusion.contradicts.voice);
      expect(detailWords(words, { ...analysis, contradictions: [] }, analysis.fast as Labelled)).not.toContain(".");
    }
  });
});

describe("an unsure conclusion", () => {
  const probabilities = { happy: 0.39, sad: 0.22 };
  const unsure = labelled(4, 9);
  if (unsure.do !== "event" || unsure.event.type !== "label") throw new Error("a label");
  const { session } = reduce(FIRST_VIEW, { ...unsure, event: { ...unsure.event, label: "unsure", probabilities } });
  const conclusion = concluded(session.analyses[0] as Analysis);

  it("is as near to a label as its likeliest one, and has no percentage of its own", () => {
    expect(conclusion).toMatchObject({ label: "unsure", confidence: 0.39 });
    expect(sureness(conclusion)).toBe("");
    expect(sureness({ ...conclusion, label: "happy" })).toBe("39\u00a0%");
  });
});

describe("a text that is too long for its place", () => {
  it("keeps whole sentences, or the beginning of the first", () => {
    expect(shortened("One. Two.", 20)).toBe("One. Two.");
    expect(shortened("One is here. Two is there. Three.", 26)).toBe("One is here. Two is there.");
    expect(shortened("One goes on and on.", 8)).toBe("One goe…");
  });
});

describe("words", () => {
  it("are all there in both languages", () => {
    const paths = (value: object, prefix = ""): string[] =>
      Object.entries(value).flatMap(([key, part]: [string, unknown]) =>
        typeof part === "object" && part !== null ? paths(part, `${prefix}${key}.`) : [`${prefix}${key}`],
      );
    expect(paths(de)).toEqual(paths(en));
  });

  it("name minutes, percent, people and certainty", () => {
    expect(clock(75.4)).toBe("1:15");
    expect([percent(0), percent(0.004), percent(0.009), percent(0.01), percent(0.614), percent(0.99), percent(0.991), percent(1)].map((text) => text.replaceAll("\u00a0", " "))).toEqual(["< 1 %", "< 1 %", "< 1 %", "1 %", "61 %", "99 %", "> 99 %", "> 99 %"]);
    expect([letter(1), letter(2), letter(27)]).toEqual(["A", "B", "A"]);
    expect([certainty(0.4), certainty(0.6), certainty(0.9)]).toEqual(["low", "middle", "high"]);
    expect([degree(0.05), degree(0.24), degree(0.6)]).toEqual(["low", "middle", "high"]);
  });

  it("say how a head is held", () => {
    expect(poseWords(en, { yaw: -3, pitch: 9.9, roll: 0 })).toBe("Head straight.");
    expect(poseWords(en, { yaw: 20.4, pitch: -12, roll: 4 })).toBe("Head turned to the person’s left by 20°, lowered by 12°.");
    expect(poseWords(de, { roll: -15 })).toBe("Kopf um 15° nach rechts geneigt (von der Person aus).");
  });

  it("say why the server ended a session, its seconds in minutes", () => {
    expect(reason(de, "The server was stopped.")).toBe("Der Betreiber hat den Server angehalten.");
    expect(reason(en, "A session lasts 14400 s at most.")).toBe("A session lasts 240 minutes at most.");
    expect(reason(en, "An rtsp:// address ended.")).toBe("An rtsp:// address ended.");
    // The number of the server's setting, in seconds.
    expect(reason(en, "peer lost: nothing came for 6 s")).toContain("came in for 6 s,");
    expect(reason(de, "peer lost: nothing came for 2.5 s")).toContain("2.5 s lang");
    for (const said of ["peer left", "peer lost", "peer lost: its network path stopped answering"]) expect(reason(en, said)).toMatch(/^[A-Z].*\.$/);
  });

  it("name the middle and the slow end of the latencies", () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([quantile(values, 0.5), quantile(values, 0.95), quantile([], 0.5)]).toEqual([51, 96, 0]);
  });
});

describe("a session that is over", () => {
  const over = { name: "ended", why: "closed", detail: "", failure: null } as const;

  it("has its camera off and its own deletion where this page sent it", () => {
    const said = endedWords(en, { ...over, detail: "peer left" }, false);
    expect(said.text).toBe("The sending browser closed its connection to the server. Camera and microphone are off.");
    expect(said.again).toBe("Delete and start a new session");
    expect(said.kept).toContain("only here");
  });

  // A viewer whose ticket was revoked was told that the session had ended, with camera and microphone off. Both ran on.
  it("says nothing of a camera, an end or a deletion that a viewer knows nothing of", () => {
    const cut = viewedEndWords(en, over);
    const gone = viewedEndWords(en, { ...over, why: "gone" });
    for (const said of [cut, gone]) expect(Object.values(said).join(" ")).not.toMatch(/camera|delete|^the session has ended|only here/i);
    expect(cut.text).toBe(en.follow.gone);
    expect(gone.title).toContain("server");
    const ended = viewedEndWords(en, { ...over, detail: "The server was stopped." });
    expect([ended.title, ended.text]).toEqual(["The session has ended.", "Whoever runs the server has stopped it."]);
  });
});

describe("a refusal of the server", () => {
  it("tells when a place may be free", async () => {
    const full = new Response("", { status: 503, headers: { "Retry-After": "7" } });
    expect(await refusal(full, () => 100)).toEqual({ kind: "full", retryAtS: 107 });
  });

  it("passes on the words of a problem body", async () => {
    const body = JSON.stringify({ title: "Bad Request", detail: "The offer has no media.", hint: "Allow a camera.", code: "no_media" });
    expect(await refusal(new Response(body, { status: 400 }), () => 0)).toEqual({
      kind: "problem",
      detail: "The offer has no media.",
      hint: "Allow a camera.",
      code: "no_media",
      labels: [],
    });
  });

  it("does with a status alone where a proxy answered in its own way", async () => {
    expect(await refusal(new Response("<html>", { status: 502 }), () => 0)).toEqual({ kind: "problem", detail: "HTTP 502", hint: "", code: "", labels: [] });
  });
});

describe("attempts to reconnect", () => {
  it("come sooner at first and never more than ten seconds apart", () => {
    const waits = Array.from({ length: 12 }, (_, n) => waitS(n, 0.5));
    expect(waits[0]).toBeCloseTo(0.25);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waitS(50, 1)).toBeLessThanOrEqual(10);
  });
});

describe("what the server tells the page", () => {
  it("may be missing", () => {
    expect(readConfig(null)).toEqual({ model: "", iceServers: [], keeping: null, words: false });
    const told = { model: "nano", ice_servers: [{ urls: "stun:x" }, "nonsense"], record: "events", record_days: 30, words: true };
    expect(readConfig(told)).toEqual({ model: "nano", iceServers: [{ urls: "stun:x" }], keeping: { most: "events", days: 30 }, words: true });
  });
});
