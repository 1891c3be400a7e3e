/**
 * The event socket of one session. It reconnects after the last event it saw, with growing pauses between attempts.
 *
 * Each socket takes a ticket of its own. Asking for it also tells why a socket was closed, which the socket itself does not.
 */

import type { WireEvent } from "./generated";
import { readMessage, type Rejected } from "./read";
import type { Link } from "../state/view";

const FIRST_WAIT_S = 0.25;
const LONGEST_WAIT_S = 8;
/** After this long without an answer the server has freed the session. */
export const GIVE_UP_S = 60;

/** Seconds before attempt `n` (0 is the first repeat): doubles, up to a limit, with jitter so that many pages don't come back as one. */
export function waitS(n: number, random: number): number {
  return Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** n) * (0.75 + random / 2);
}

export interface FollowOptions {
  /** Address of the session: `https://…/sessions/{id}` */
  readonly path: string;
  readonly onEvent: (event: WireEvent | Rejected) => void;
  readonly onLink: (link: Link) => void;
  /** The server does not know the session (any more), or has been away too long. */
  readonly onGone: (why: "closed" | "gone") => void;
  /** A ticket for one socket; `false` when the server no longer knows the session, `null` when it does not answer. */
  readonly ticket: () => Promise<string | false | null>;
  readonly nowS: () => number;
  /** Only events after this number. */
  readonly after?: number;
}

/** A program may run where there is no page, as in Node. */
const IN_PAGE = typeof document !== "undefined";

export class EventFollower {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private seq: number;
  private nTries = 0;
  private downSinceS: number | null = null;
  private over = false;

  constructor(private readonly options: FollowOptions) {
    this.seq = options.after ?? 0;
    void this.connect();
    if (IN_PAGE) {
      addEventListener("online", this.retryNow);
      document.addEventListener("visibilitychange", this.retryNow);
    }
  }

  close(): void {
    this.over = true;
    clearTimeout(this.timer);
    if (IN_PAGE) {
      removeEventListener("online", this.retryNow);
      document.removeEventListener("visibilitychange", this.retryNow);
    }
    this.socket?.close();
  }

  private async connect(): Promise<void> {
    const ticket = await this.options.ticket();
    if (this.over) return;
    if (ticket === false) return this.gone("closed");
    if (ticket === null) return this.retry(false);
    const address = new URL(`${this.options.path}/events?ticket=${ticket}&after=${this.seq}`);
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
    socket.addEventListener("close", () => {
      if (this.over || socket !== this.socket) return;
      this.socket = null;
      this.retry(true);
    });
  }

  private retry(serverSeen: boolean): void {
    const nowS = this.options.nowS();
    this.downSinceS ??= nowS;
    if (!serverSeen && nowS - this.downSinceS > GIVE_UP_S) return this.gone("gone");
    const pauseS = waitS(this.nTries, Math.random());
    this.nTries += 1;
    this.options.onLink({ state: "retrying", atS: nowS + pauseS, serverSeen });
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.connect();
    }, pauseS * 1000);
  }

  /** Retries at once when the tab comes to the front or the network comes back. */
  private readonly retryNow = (): void => {
    if (this.socket !== null || this.over || document.hidden || this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    void this.connect();
  };

  private gone(why: "closed" | "gone"): void {
    this.close();
    this.options.onGone(why);
  }
}
