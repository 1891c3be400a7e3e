/** One WHIP session (RFC 9725): offer, answer, and the DELETE that ends it. */

import * as v from "valibot";
import { bearer } from "./config";
import { revokeTicket, takeLastingTicket, takeTicket, type LastingTicket } from "./tickets";
import type { Failure, Kept } from "../state/view";

/** Gathering is given up after this; loopback and host candidates are there long before. */
const GATHER_MS = 1_500;
const DEFAULT_RETRY_S = 10;
/** How long the server may take to end a session before the connection is closed all the same. */
const END_MS = 3_000;

const ASKED = v.object({ query: v.nullable(v.string()), labels: v.array(v.string()), summary_s: v.optional(v.number()) });
/** RFC 9457, as far as the page reads it. A proxy may have answered instead, with something else. */
const PROBLEM = v.fallback(
  v.object({
    detail: v.fallback(v.string(), ""),
    title: v.fallback(v.string(), ""),
    hint: v.fallback(v.string(), ""),
    code: v.fallback(v.string(), ""),
    labels: v.fallback(v.array(v.string()), []),
  }),
  { detail: "", title: "", hint: "", code: "", labels: [] },
);

export class WhipFailure extends Error {
  constructor(readonly failure: Failure) {
    super(failure.kind);
  }
}

export interface WhipOptions {
  readonly token: string;
  /** Address of the server; left out: the one that this page came from. */
  readonly server?: string;
  /** What the session is called beside its id. */
  readonly name?: string;
  readonly iceServers: readonly RTCIceServer[];
  /** What the person lets the server keep. */
  readonly record: Kept | null;
  /** Whether they agree that what is said is written down. */
  readonly words: boolean;
  /** Called when media begins to flow, stops, or has failed for good. */
  readonly onMedia: (state: "up" | "down" | "failed") => void;
  readonly nowS: () => number;
}

export class WhipSession {
  private constructor(
    /** Address of the session, as the server named it. */
    readonly path: string,
    private readonly peer: RTCPeerConnection,
    /** Carries the secret of the session, which only its owner has. */
    private readonly headers: Readonly<Record<string, string>>,
    private readonly secret: string,
    private readonly nowS: () => number,
  ) {}

  /** Send `stream` to the server. Raises WhipFailure; nothing is left open then. */
  static async open(stream: MediaStream, options: WhipOptions): Promise<WhipSession> {
    const peer = new RTCPeerConnection({ iceServers: [...options.iceServers] });
    try {
      for (const track of stream.getTracks()) peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
      await peer.setLocalDescription();
      await gathered(peer);
      const answer = await post(peer.localDescription?.sdp ?? "", options);
      await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      const session = new WhipSession(answer.path, peer, bearer(answer.secret), answer.secret, options.nowS);
      session.watch(options.onMedia);
      return session;
    } catch (error) {
      peer.close();
      throw error;
    }
  }

  /** The session's address with its secret, for whoever opened it alone. */
  get address(): string {
    return `${this.path}#${this.secret}`;
  }

  private watch(onMedia: WhipOptions["onMedia"]): void {
    this.peer.addEventListener("connectionstatechange", () => {
      if (this.peer.connectionState === "connected") onMedia("up");
      if (this.peer.connectionState === "disconnected") onMedia("down");
      if (this.peer.connectionState === "failed") onMedia("failed");
    });
  }

  /** Send another camera or microphone from now on; the session stays. */
  async replace(track: MediaStreamTrack): Promise<void> {
    const sender = this.peer.getSenders().find((candidate) => candidate.track?.kind === track.kind);
    await sender?.replaceTrack(track);
  }

  /** A ticket for one event socket; `false` when the server no longer knows the session, `null` when it gives no answer. */
  ticket(): Promise<string | false | null> {
    return takeTicket(this.path, this.secret);
  }

  /** A ticket with which a program may follow the session until it is revoked; `null` when the server gives none. */
  lastingTicket(): Promise<LastingTicket | null> {
    return takeLastingTicket(this.path, this.secret);
  }

  /** Take a lasting ticket back; whether it is gone. */
  revoke(id: string): Promise<boolean> {
    return revokeTicket(this.path, this.secret, id);
  }

  /** Ask something else of the next windows. Returns what the server asks from now on. Raises WhipFailure with its reason. */
  async ask(query: string | null, labels: readonly string[] | null): Promise<Asked> {
    let answer: Response;
    try {
      const body = JSON.stringify({ query, labels });
      answer = await fetch(`${this.path}/ask`, { method: "PUT", headers: { ...this.headers, "Content-Type": "application/json" }, body });
    } catch {
      throw new WhipFailure({ kind: "server-gone" });
    }
    if (!answer.ok) throw new WhipFailure(await refusal(answer, this.nowS));
    return v.parse(ASKED, await answer.json());
  }

  /** Have the server delete what it kept, also after the end; `false` when it gives no answer. */
  async forget(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.path}/record`, { method: "DELETE", headers: this.headers });
      return answer.ok || answer.status === 404;
    } catch {
      return false;
    }
  }

  /** Stop sending at once. */
  close(): void {
    this.peer.close();
  }

  /**
   * Stop sending and have the server end the session. Works while the page is being closed, too. The connection is closed after
   * the server has answered: one that closes before looks like a sender that went away.
   */
  async end(): Promise<void> {
    const silent = this.peer.getSenders().map((sender) => sender.replaceTrack(null));
    try {
      await fetch(this.path, { method: "DELETE", headers: this.headers, keepalive: true, signal: AbortSignal.timeout(END_MS) });
    } catch {
      // The server is gone, and the session with it.
    }
    this.close();
    // A connection that was closed meanwhile sends nothing anyway.
    await Promise.allSettled(silent);
  }
}

export interface Asked {
  readonly query: string | null;
  readonly labels: readonly string[];
  /** Only where a summary was asked for: of how many seconds. */
  readonly summary_s?: number | undefined;
}

async function gathered(peer: RTCPeerConnection): Promise<void> {
  if (peer.iceGatheringState === "complete") return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}

interface Opened {
  readonly sdp: string;
  readonly path: string;
  /** Bearer token of all requests about this session. */
  readonly secret: string;
}

async function post(sdp: string, { token, record, words, name, server, nowS }: WhipOptions): Promise<Opened> {
  const base = new URL("./", server ?? document.baseURI);
  const whip = new URL("whip", base);
  if (record !== null) whip.searchParams.set("record", record);
  if (words) whip.searchParams.set("words", "true");
  if (name !== undefined) whip.searchParams.set("name", name);
  let answer: Response;
  try {
    answer = await fetch(whip, { method: "POST", headers: { ...bearer(token), "Content-Type": "application/sdp" }, body: sdp });
  } catch {
    throw new WhipFailure({ kind: "server-gone" });
  }
  if (answer.status !== 201) throw new WhipFailure(await refusal(answer, nowS));
  const location = new URL(answer.headers.get("Location") ?? "", whip);
  if (location.origin !== base.origin) {
    throw new WhipFailure({ kind: "problem", detail: `The server named a session elsewhere (${location.origin}).`, hint: "", code: "", labels: [] });
  }
  // Under a path of a proxy, a server that was not told of it names its own path.
  const session = location.pathname.startsWith("/sessions/") ? new URL(`.${location.pathname}`, base) : location;
  return { sdp: await answer.text(), path: session.href, secret: answer.headers.get("Session-Secret") ?? "" };
}

/** The server's own words (problem+json, RFC 9457) wherever it gave some. */
export async function refusal(answer: Response, nowS: () => number): Promise<Failure> {
  if (answer.status === 401) return { kind: "token" };
  if (answer.status === 503) {
    const seconds = Number(answer.headers.get("Retry-After"));
    return { kind: "full", retryAtS: nowS() + (seconds > 0 ? seconds : DEFAULT_RETRY_S) };
  }
  const { detail, title, hint, code, labels } = v.parse(PROBLEM, await answer.json().catch(() => null));
  return { kind: "problem", detail: detail || title || `HTTP ${answer.status}`, hint, code, labels };
}
