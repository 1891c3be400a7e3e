import { afterEach, describe, expect, it, vi } from "vitest";
import { follow, FollowFailure } from "../client/index";
import { readAddress, speaking, viewedAs, viewedSession, viewerAddress } from "../src/state/address";
import { RAW } from "./fixture";

const KEY = "a-lasting-ticket";
const SESSION = "http://localhost:8080/emo/sessions/study-7";

describe("the address of a session", () => {
  it.each([`${SESSION}#${KEY}`, ` ${SESSION}/#${KEY}\n`, `ws://localhost:8080/emo/sessions/study-7/events#${KEY}`])("is read from %s", (text) => {
    expect(readAddress(text)).toEqual({ session: SESSION, key: KEY });
  });

  it.each(["", "study-7", SESSION, `${SESSION}#`, `ftp://localhost/sessions/1#${KEY}`, `http://localhost/watch#${KEY}`, `javascript:/sessions/1#${KEY}`])("is not %s", (text) => {
    expect(readAddress(text)).toBeNull();
  });

  it("becomes that of a viewer, which names the session and its key again, after the # alone", () => {
    const viewer = new URL(viewerAddress("watch", `${SESSION}#${KEY}`, "http://localhost:8080/emo/"));
    expect(`${viewer.origin}${viewer.pathname}${viewer.search}`).toBe("http://localhost:8080/emo/watch");
    expect(viewedSession(viewer.hash, viewer.href)).toEqual({ session: SESSION, key: KEY });
    expect(viewedSession(`#session=study-7&key=${KEY}`, viewer.href)).toEqual({ session: SESSION, key: KEY });
    expect(viewedSession("", viewer.href)).toBeNull();
  });

  it("says how the session is shown: in which language, and with the notice or without", () => {
    const hash = `#session=study-7&key=${KEY}&language=de&notice=off`;
    expect(viewedAs(hash)).toEqual({ language: "de", notice: false });
    expect(viewedAs(`#session=study-7&key=${KEY}`)).toEqual({ language: null, notice: true });
    expect(viewedSession(hash, "http://localhost:8080/overlay")).toEqual({ session: "http://localhost:8080/sessions/study-7", key: KEY });
    expect(viewedAs(speaking(hash, "en")).language).toBe("en");
    // Nobody who chooses a language for himself hands it on with the address.
    expect(viewedAs(speaking(`#session=study-7&key=${KEY}`, "en")).language).toBeNull();
  });
});

/** Stands in for the browser's WebSocket; each is dropped after three events. */
class Dropping extends EventTarget {
  static readonly asked: string[] = [];

  constructor(address: URL) {
    super();
    Dropping.asked.push(String(address));
    const after = Number(address.searchParams.get("after"));
    queueMicrotask(() => {
      this.dispatchEvent(new Event("open"));
      for (const event of RAW.slice(after, after + 3)) this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(event) }));
      this.dispatchEvent(new Event("close"));
    });
  }

  close(): void {
    this.dispatchEvent(new Event("close"));
  }
}

/** Stands in for the browser's WebSocket; brings more events at once than a program takes. */
class Flooding extends EventTarget {
  static nSent = 0;
  private open = true;

  constructor() {
    super();
    queueMicrotask(() => {
      this.dispatchEvent(new Event("open"));
      while (this.open && Flooding.nSent < 30_000) {
        Flooding.nSent += 1;
        const mark = { v: 1, type: "mark", session: "1", seq: Flooding.nSent, t: 0, name: "go", data: {} };
        this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(mark) }));
      }
    });
  }

  close(): void {
    this.open = false;
  }
}

describe("following", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  /** Stands in for the server's answer to a request for a ticket. */
  function answering(status: number): string {
    const session = "https://lab.example/sessions/1";
    vi.stubGlobal("fetch", (address: string, { headers }: { headers: Record<string, string> }) => {
      const right = headers["Authorization"] === `Bearer ${KEY}` && address === `${session}/tickets`;
      return Promise.resolve(Response.json({ ticket: "once", expires_in_s: 30 }, { status: right ? status : 401 }));
    });
    return session;
  }

  it("gives every event once and in order across lost connections, and ends with the session", async () => {
    vi.stubGlobal("WebSocket", Dropping);
    const seqs: number[] = [];
    for await (const event of follow(`${answering(201)}#${KEY}`)) seqs.push(event.seq);
    expect(seqs).toEqual(RAW.map((event) => event["seq"]));
    expect(Dropping.asked.length).toBeGreaterThan(3);
    expect(Dropping.asked.every((address) => address.includes("ticket=once") && !address.includes(KEY))).toBe(true);
  });

  it("ends when a program is too slow, after the events that waited, none of them left out", async () => {
    vi.stubGlobal("WebSocket", Flooding);
    const seqs: number[] = [];
    const reading = (async () => {
      for await (const event of follow(`${answering(201)}#${KEY}`)) seqs.push(event.seq);
    })();
    await expect(reading).rejects.toMatchObject({ why: "slow" });
    expect(seqs).toEqual(Array.from({ length: 20_001 }, (_, index) => index + 1));
    // The socket is closed: nothing more is kept for a program that does not take it.
    expect(Flooding.nSent).toBe(20_001);
  });

  it("says that an address opens nothing", async () => {
    const revoked = follow(`${answering(201)}#another`);
    await expect(revoked.next()).rejects.toMatchObject({ why: "closed" });
    await expect(follow("http://localhost/").next()).rejects.toBeInstanceOf(FollowFailure);
  });

  it("stops when it is told to", async () => {
    const stopping = new AbortController();
    const events = follow(`${answering(503)}#${KEY}`, { signal: stopping.signal });
    const next = events.next();
    stopping.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});
