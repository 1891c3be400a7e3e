import { describe, expect, it } from "vitest";
import { exported } from "../src/files/export";
import { de } from "../src/messages/de";
import { en } from "../src/messages/en";
import { reduceEvent } from "../src/state/reducer";
import { openSaved } from "../src/files/saved";
import { NO_SESSION, type Session } from "../src/state/view";
import { event, fixtureEvents, RAW } from "./fixture";

const session = fixtureEvents().reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION);

describe("what a person takes with them", () => {
  it("is the whole of what was said, as JSON", () => {
    const read = JSON.parse(exported(session, "json")) as { windows: { answer: unknown; sections: Record<string, string> }[]; labels: string[] };
    expect(read).toMatchObject({ v: 2, model: "nano", duration_s: 61.5, speech: [{ start: 1.2, end: 3.84 }], started_at: "2026-11-28T09:50:39.581Z" });
    expect(read).toMatchObject({ marks: [{ t: 20.4, name: "trial", data: { number: 3, condition: "A", practice: false, response: null } }] });
    expect(read.windows).toHaveLength(1);
    expect(read.windows[0]?.answer).toEqual({ label: "happy", intensity: "moderate", confidence: 0.68 });
    expect(read.windows[0]).toMatchObject({ words: ["That is just what I needed today."] });
    expect(read.windows[0]?.sections["voice"]).toBe("Higher and louder than before.");
  });

  it("says still that no adapter was loaded when it is opened again", async () => {
    const stock = reduceEvent(session, event("session.opened", { seq: 1, stock: true }), 0);
    expect((await openSaved(new Blob([exported(stock, "json")]))).stock).toBe(true);
    expect((await openSaved(new Blob([exported(session, "json")]))).stock).toBe(false);
  });

  it("names still the model that gave the labels, and the page does", async () => {
    const two = reduceEvent(session, event("session.opened", { seq: 1, model: "small", engine: "torch", label_model: "nano", answer_model: "nano" }), 0);
    const again = await openSaved(new Blob([exported(two, "json")]));
    expect([again.model, again.labelModel, again.answerModel]).toEqual(["small", "nano", "nano"]);
    expect(en.chain.asked("Why?", null, again.answerModel)).toBe("Asked: “Why?” (nano answers)");
    expect(de.chain.asked("Warum?", null, null)).toBe("Gefragt: „Warum?“");
  });

  it("says still how a question was read when it is opened again", async () => {
    const query = "Is she smiling?";
    const asked = event("window", { seq: 1, window: 1, query, read_as: "Do you see lip corners pulled up?" });
    const again = (await openSaved(new Blob([exported(reduceEvent(session, asked, 0), "json")]))).analyses.at(-1);
    expect([again?.query, again?.readAs]).toEqual([query, "Do you see lip corners pulled up?"]);
    expect(en.chain.asked(query, again?.readAs ?? null, null)).toBe("Asked: “Is she smiling?”, read as: “Do you see lip corners pulled up?”");
  });

  it("names still what runs a session of two models", async () => {
    const two = reduceEvent(session, event("session.opened", { seq: 1, model: "small", engine: "torch", label_model: "nano", answer_model: "nano" }), 0);
    const again = await openSaved(new Blob([exported(two, "json")]));
    expect(en.live.running(again.model, again.engine, again.labelModel)).toBe("small on torch; labels by nano");
    expect(de.live.running("small", "torch", null)).toBe("small auf torch");
  });

  it("says still that an argument was written again when it is opened again", async () => {
    for (const rewritten of ["yes", "in vain", "no"] as const) {
      const told = reduceEvent(session, event("reason.done", { seq: 99, rewritten }), 0);
      expect((await openSaved(new Blob([exported(told, "json")]))).analyses[0]?.rewritten).toBe(rewritten);
    }
  });

  it("says still what was measured otherwise when it is opened again", async () => {
    const unsupported = [{ section: "face", start: 3, text: "Jaw open" }];
    const told = reduceEvent(session, event("reason.done", { seq: 99, unsupported }), 0);
    expect((await openSaved(new Blob([exported(told, "json")]))).analyses[0]?.unsupported).toEqual(unsupported);
  });

  it("says still what an answer is from when it is opened again", async () => {
    for (const answered_from of ["measurements", "model", null] as const) {
      const told = reduceEvent(session, event("reason.done", { seq: 99, answered_from }), 0);
      expect((await openSaved(new Blob([exported(told, "json")]))).analyses[0]?.answeredFrom).toBe(answered_from);
    }
    expect(en.chain.answeredFrom.measurements).toContain("No language model wrote that");
    expect(de.chain.answeredFrom.measurements).toContain("kein Sprachmodell");
  });

  it("says still what turned an answer when it is opened again", async () => {
    const told = reduceEvent(session, event("reason.done", { seq: 99, turned_by: ["reasons"] }), 0);
    expect((await openSaved(new Blob([exported(told, "json")]))).analyses[0]?.turnedBy).toEqual(["reasons"]);
  });

  it("says still that words were read when it is opened again", async () => {
    for (const words_read of [true, false]) {
      const told = reduceEvent(session, event("reason.done", { seq: 99, words_read }), 0);
      expect((await openSaved(new Blob([exported(told, "json")]))).analyses[0]?.wordsRead).toBe(words_read);
    }
  });

  it("is a table with one row for each window and each mark", () => {
    const [head, row, mark, end] = exported(session, "csv").split("\r\n");
    expect(head?.split(",").slice(0, 10)).toEqual(["start_s", "end_s", "speech_s", "question", "label", "intensity", "confidence", "conflict", "p_happy", "p_sad"]);
    expect(row).toMatch(/^0,3\.84,2\.64,,happy,moderate,0\.68,0\.24,0\.68,/);
    expect(row).toContain('"One person, turned a little to the left."');
    expect(head?.split(",").slice(-3)).toEqual(["start_utc", "mark", "mark_data"]);
    expect(row).toMatch(/,2026-11-28T09:50:39\.581Z,,$/);
    expect(mark).toMatch(/^20\.4,20\.4,,+2026-11-28T09:50:59\.981Z,trial,"\{""number"":3,""condition"":""A"",""practice"":false,""response"":null\}"$/);
    expect(mark?.split(",").length).toBeGreaterThan(20);
    expect(end).toBe("");
  });

  it("has each person's own label, in the table and in the subtitles", () => {
    const faces = [{ track: 2, label: "unsure", probabilities: { happy: 0.3, sad: 0.3, fear: 0.4 } }, { track: 1, label: "sad", probabilities: { happy: 0.2, sad: 0.8 } }];
    const told = [event("window", { window: 7 }), event("label", { window: 7, faces })].reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION);
    const [head = "", row = ""] = exported(told, "csv").split("\r\n");
    const first = head.split(",").indexOf("person_1");
    expect(head.split(",").slice(first, first + 6)).toEqual(["person_1", "person_1_label", "person_1_p", "person_2", "person_2_label", "person_2_p"]);
    expect(row).toContain(",-0.12,voice,A,B,unsure,0.4,A,sad,0.8,,,,");
    expect(exported(told, "vtt")).toContain("\nPerson B: unsure, Person A (speaks): sad\n");
  });

  it("has what was said beside the moment that is about it, and nowhere else", () => {
    const said = event("words", { seq: 40, window: 1, start: 5, end: 9, text: "=1+1 <b>" });
    const later = [event("window", { window: 1, seq: 38, start: 1, end: 9 }), event("label", { window: 1, seq: 39 }), said, event("window", { window: 2, seq: 41, start: 5, end: 13 }), event("label", { window: 2, seq: 42 })];
    const told = later.reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION);
    const [head = "", first = "", second = ""] = exported(told, "csv").split("\r\n");
    expect(head.split(",").slice(-4)).toEqual(["words", "start_utc", "mark", "mark_data"]);
    expect(first).toContain(",'=1+1 <b>,");
    expect(second).not.toContain("1+1");
    expect(exported(told, "vtt")).toContain("\n“=1+1 &lt;b&gt;”\n");
  });

  it("is no formula, whatever the model writes", () => {
    const done = event("reason.done", { window: 7, sections: { face: '=HYPERLINK("x")' } });
    const risky = [event("window", { window: 7 }), event("label", { window: 7 }), done].reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION);
    expect(exported(risky, "csv")).toContain(`"'=HYPERLINK(""x"")"`);
  });

  it("is subtitles that follow each other without a gap or an overlap", () => {
    const more = [event("window", { window: 1, seq: 30, start: 1, end: 3661.5 }), event("label", { window: 1, seq: 31, label: "sad" })];
    const vtt = exported(more.reduce((before, each) => reduceEvent(before, each, 0), session), "vtt");
    expect(vtt).toMatch(/^WEBVTT\n\nNOTE 00:00:00\.000 is 2026-11-28T09:50:39\.581Z, give or take 42 ms\n\n00:00:00\.000 --> 00:00:03\.840\nhappy \(68 %\)\n/);
    expect(vtt).toContain("00:00:03.840 --> 01:01:01.500\nsad (");
    const sure = [event("window", { window: 1 }), event("label", { window: 1, label: "sad", probabilities: { happy: 0.0004, sad: 0.9996 } })];
    // Never a certainty that nobody has.
    expect(exported(sure.reduce<Session>((before, each) => reduceEvent(before, each, 0), NO_SESSION), "vtt")).toContain("\nsad (&gt; 99 %)\n");
    expect(vtt).toContain('00:00:20.400 --> 00:00:21.400\n# trial {"number":3,');
  });
});

describe("a saved session", () => {
  const opened = (text: string): Promise<Session> => openSaved(new Blob([text]));
  /** What numbers and clocks say of the way events came is not part of a session. */
  const lasting = ({ seq: _seq, zeroS: _zeroS, following: _following, lag: _lag, looks, faceCues, voiceCues, notices, marks, summaries, words, ...rest }: Session) => ({
    ...rest,
    looks: looks.map(({ seq: _, ...look }) => look),
    faceCues: faceCues.map(({ seq: _, ...cues }) => cues),
    voiceCues: voiceCues.map(({ seq: _, ...cues }) => cues),
    marks: marks.map(({ seq: _, ...mark }) => mark),
    words: words.map(({ seq: _, ...said }) => said),
    summaries: summaries.map(({ seq: _, ...summed }) => summed),
    notices: notices.map(({ seq: _, ...notice }) => notice),
  });

  it("opens as it was", async () => {
    expect(lasting(await opened(exported(session, "json")))).toEqual(lasting(session));
  });

  it("opens from the events of an analysis, line by line", async () => {
    const lines = RAW.map((value) => JSON.stringify(value)).join("\n") + "\n";
    expect(lasting(await opened(lines))).toEqual(lasting(session));
  });

  it("opens with its frames where it is older than their width and height", async () => {
    const older = RAW.map((value) => JSON.stringify(value["type"] === "frame" ? { ...value, width: undefined, height: undefined } : value));
    const read = await opened(older.join("\n"));
    expect(read.nRejected).toBe(0);
    expect(read.looks).toEqual(session.looks.map((look) => ({ ...look, width: 0, height: 0 })));
  });

  it("opens where it was cut off or has lines that nobody can read, and counts them", async () => {
    const lines = RAW.map((value) => JSON.stringify(value));
    const cut = await opened([...lines.slice(0, 8), '{"v":1,"type":"weather"', '{"v":9}'].join("\n"));
    expect(cut.analyses).toHaveLength(1);
    expect(cut.nRejected).toBe(2);
  });

  it.each([
    ["nothing", "", "none"],
    ["a picture", "\u0089PNG\r\n\u001a", "broken"],
    ["another JSON", '{"name": "x"}', "none"],
    ["half of a session", '{\n  "format": "emothinker session", "ev', "broken"],
  ])("is not %s", async (_name, text, why) => {
    await expect(opened(text)).rejects.toMatchObject({ why } );
  });
});
