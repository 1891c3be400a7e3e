/**
 * The JavaScript client: follow a live session, or open one with a camera and a microphone.
 *
 *     import { follow } from "emothinker-client";
 *     for await (const event of follow("https://HOST/sessions/ID#KEY")) {
 *       if (event.type === "label") console.log(event.t, event.label);
 *     }
 *
 * It is made of the page's own modules, and the page uses it. Events have the types of the wire.
 */

import { loadConfig } from "../src/wire/config";
import type { WireEvent } from "../src/wire/generated";
import { EventFollower } from "../src/wire/socket";
import { takeTicket } from "../src/wire/tickets";
import { WhipFailure, WhipSession } from "../src/wire/whip";
import { readAddress, type SessionAddress } from "../src/state/address";
import type { Kept, Link } from "../src/state/view";

export type * from "../src/wire/generated";
export { loadConfig, readAddress, EventFollower, WhipFailure, WhipSession };
export type { Link, SessionAddress, WireEvent };

/** Events that may wait for a program that is slower than they come. Then `follow` ends with an error, and nothing is left out in silence. */
const WAITING = 20_000;

export interface FollowOptions {
  /** Only events after this number, such as the `seq` of the last one seen before. */
  readonly after?: number;
  /** Ends it. */
  readonly signal?: AbortSignal;
  /** Told when the connection is lost and found again. */
  readonly onLink?: (link: Link) => void;
}

/** Why a session cannot be followed (any more). */
export class FollowFailure extends Error {
  constructor(
    readonly why: "address" | "closed" | "gone" | "slow",
    message: string,
  ) {
    super(message);
  }
}

/**
 * The events of a session, each once and in order, across lost connections, until its last. Raises FollowFailure when the address is none
 * (`address`), opens nothing or was revoked (`closed`), when the server stays away (`gone`), and when too many events wait (`slow`).
 *
 * `address` is `https://HOST/sessions/ID#KEY`. The key is a lasting ticket, the session's secret, or the operator token.
 */
export async function* follow(address: string, options: FollowOptions = {}): AsyncGenerator<WireEvent, void, undefined> {
  const read = readAddress(address);
  if (read === null) throw new FollowFailure("address", "This is no address of a session. It looks like https://HOST/sessions/ID#KEY.");
  const waiting: WireEvent[] = [];
  let failure: FollowFailure | null = null;
  let over = false;
  let wake = (): void => undefined;
  const told = (): void => wake();
  const follower = new EventFollower({
    path: read.session,
    ticket: () => takeTicket(read.session, read.key),
    nowS: () => performance.now() / 1000,
    after: options.after ?? 0,
    onLink: (link) => options.onLink?.(link),
    onEvent: (event) => {
      // A type that is newer than this client.
      if (event.type === "rejected") return;
      waiting.push(event);
      if (waiting.length > WAITING) {
        failure = new FollowFailure("slow", `More than ${WAITING} events wait to be read. Come back with \`after\`, the seq of the last one.`);
        // Whatever came now would wait as well.
        follower.close();
      }
      told();
    },
    onGone: (why) => {
      failure = why === "closed" ? new FollowFailure("closed", "The address opens nothing: it was revoked, or the session has ended.") : new FollowFailure("gone", "The server does not answer.");
      told();
    },
  });
  const abort = (): void => {
    over = true;
    told();
  };
  options.signal?.addEventListener("abort", abort);
  if (options.signal?.aborted === true) over = true;
  try {
    while (!isSet(over)) {
      const event = waiting.shift();
      if (event !== undefined) {
        yield event;
        if (event.type === "session.closed") return;
      } else {
        const failed = ended(failure);
        if (failed !== null) throw failed;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    options.signal?.removeEventListener("abort", abort);
    follower.close();
  }
}

/** Both are set by callbacks, which the compiler does not see. */
function isSet(flag: boolean): boolean {
  return flag;
}

function ended(failure: FollowFailure | null): FollowFailure | null {
  return failure;
}

export interface CameraOptions {
  /** Address of the server, such as `https://HOST/`. Pages of other sites have to be listed in its `server.allow_origins`. */
  readonly server: string;
  readonly token?: string;
  /** What the session is called beside its id. */
  readonly name?: string;
  /** Which of the two to send; both unless one is false. */
  readonly camera?: boolean;
  readonly microphone?: boolean;
  /** What the server may keep of the session, if it keeps anything. Ask the person first. */
  readonly record?: Kept;
  /** Whether what is said may be written down, if the server does that. Ask the person first. */
  readonly words?: boolean;
}

/** A session of this browser's camera and microphone. */
export interface CameraSession {
  /** `https://HOST/sessions/ID`, without a key. */
  readonly address: string;
  readonly stream: MediaStream;
  /** Its events, as of `follow`. */
  readonly events: (options?: FollowOptions) => AsyncGenerator<WireEvent, void, undefined>;
  /** An address by which another program may follow it, until it is revoked; null when the server gives none. */
  readonly share: () => Promise<{ readonly address: string; readonly revoke: () => Promise<boolean> } | null>;
  readonly ask: WhipSession["ask"];
  /** Stop sending, close the camera, and end the session. */
  readonly end: () => Promise<void>;
}

/**
 * Open the camera and the microphone, and send them. The browser asks the person; you have to tell them what it is for before.
 *
 * Raises what `getUserMedia` raises, and WhipFailure when the server takes no session.
 */
export async function openCamera(options: CameraOptions): Promise<CameraSession> {
  const { server, token = "", camera = true, microphone = true } = options;
  const stream = await navigator.mediaDevices.getUserMedia({ video: camera && { frameRate: 30 }, audio: microphone });
  const close = (): void => stream.getTracks().forEach((track) => track.stop());
  try {
    const { iceServers } = await loadConfig(token, server);
    const named = options.name === undefined ? {} : { name: options.name };
    const whip = await WhipSession.open(stream, { token, server, iceServers, record: options.record ?? null, words: options.words ?? false, onMedia: () => undefined, nowS: () => performance.now() / 1000, ...named });
    return {
      address: whip.path,
      stream,
      events: (following) => follow(whip.address, following),
      share: async () => {
        const lasting = await whip.lastingTicket();
        return lasting && { address: `${whip.path}#${lasting.ticket}`, revoke: () => whip.revoke(lasting.id) };
      },
      ask: (query, labels) => whip.ask(query, labels),
      end: async () => {
        close();
        await whip.end();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}
