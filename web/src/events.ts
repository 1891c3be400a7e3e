/**
 * The event socket of one session: picks up after the last event it saw, and backs off between attempts.
 *
 * A closed socket says nothing about why, so the session's own address is asked before each new attempt.
 */

import { readMessage, type Rejected, type WireEvent } from "./protocol";
import type { Link } from "./view";

const FIRST_WAIT_S = 0.25;
const LONGEST_WAIT_S = 8;
/** Longer without an answer, and the server has long freed the session. */
const GIVE_UP_S = 60;

/** Seconds before attempt `n` (0 is the first repeat): doubles, up to a limit, with jitter so that many pages don't come back as one. */
export function waitS(n: number, random: number): number {
  return Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** n) * (0.75 + random / 2);
}

export interface FollowOptions {
  /** `/sessions/{id}` */
  readonly path: string;
  readonly onEvent: (event: WireEvent | Rejected) => void;
  readonly onLink: (link: Link) => void;
  /** The session is over on the server, or the server has been away too long. */
  readonly onGone: (why: "closed" | "gone") => void;
  /** Does the server still know the session? `null` when it does not answer. */
  readonly known: () => Promise<boolean | null>;
  readonly nowS: () => number;
}

export class EventFollower {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private seq = 0;
  private nTries = 0;
  private downSinceS: number | null = null;
  private over = false;

  constructor(private readonly options: FollowOptions) {
    this.connect();
    addEventListener("online", this.retryNow);
    document.addEventListener("visibilitychange", this.retryNow);
  }

  close(): void {
    this.over = true;
    clearTimeout(this.timer);
    removeEventListener("online", this.retryNow);
    document.removeEventListener("visibilitychange", this.retryNow);
    this.socket?.close();
  }

  private connect(): void {
    const address = new URL(`${this.options.path}/events?after=${this.seq}`, window.location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.nTries = 0;
      this.downSinceS = null;
      this.options.onLink({ state: "open" });
    });
    socket.addEventListener("message", (message) => {
      if (this.over) return;
      const event = readMessage(String(message.data));
      if (event.type !== "rejected") this.seq = Math.max(this.seq, event.seq);
      this.options.onEvent(event);
    });
    socket.addEventListener("close", () => void this.dropped(socket));
  }

  private async dropped(socket: WebSocket): Promise<void> {
    if (this.over || socket !== this.socket) return;
    this.socket = null;
    const nowS = this.options.nowS();
    this.downSinceS ??= nowS;
    const known = await this.options.known();
    if (this.over) return;
    if (known === false) return this.gone("closed");
    if (known === null && nowS - this.downSinceS > GIVE_UP_S) return this.gone("gone");
    const pauseS = waitS(this.nTries, Math.random());
    this.nTries += 1;
    this.options.onLink({ state: "retrying", atS: nowS + pauseS, serverSeen: known === true });
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.connect();
    }, pauseS * 1000);
  }

  /** A tab that comes to the front, or a network that comes back, does not sit out the pause. */
  private readonly retryNow = (): void => {
    if (this.socket !== null || this.over || document.hidden || this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.connect();
  };

  private gone(why: "closed" | "gone"): void {
    this.close();
    this.options.onGone(why);
  }
}
