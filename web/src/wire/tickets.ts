/** Tickets of a session: one for each socket, and lasting ones that whoever opened the session may hand on and take back. */

import * as v from "valibot";
import { bearer } from "./config";

const TICKET = v.object({ ticket: v.string() });
const LASTING = v.object({ ticket: v.string(), id: v.string() });

export interface LastingTicket {
  /** Takes the place of the secret for a program that only reads. */
  readonly ticket: string;
  /** What it is revoked by. */
  readonly id: string;
}

/** A ticket for one event socket; `false` when the server refuses or no longer knows the session, `null` when it gives no answer. */
export async function takeTicket(session: string, key: string): Promise<string | false | null> {
  try {
    const answer = await fetch(`${session}/tickets`, { method: "POST", headers: bearer(key) });
    if (answer.ok) return v.parse(TICKET, await answer.json()).ticket;
    return answer.status < 500 && answer.status !== 429 ? false : null;
  } catch {
    return null;
  }
}

/** Why the server gives no ticket: it does not know the `session`, or does not take the `key`; null when it gives no answer. */
export async function whyNoTicket(session: string, key: string): Promise<"session" | "key" | null> {
  try {
    const { status } = await fetch(`${session}/tickets`, { method: "POST", headers: bearer(key) });
    return status === 404 ? "session" : status === 401 ? "key" : null;
  } catch {
    return null;
  }
}

/** A lasting ticket; `null` when the server gives none. */
export async function takeLastingTicket(session: string, secret: string): Promise<LastingTicket | null> {
  try {
    const answer = await fetch(`${session}/tickets?lasting=true`, { method: "POST", headers: bearer(secret) });
    return answer.ok ? v.parse(LASTING, await answer.json()) : null;
  } catch {
    return null;
  }
}

/** Make a lasting ticket worthless; whether it is. Its sockets are closed. */
export async function revokeTicket(session: string, secret: string, id: string): Promise<boolean> {
  try {
    const answer = await fetch(`${session}/tickets/${id}`, { method: "DELETE", headers: bearer(secret) });
    return answer.ok || answer.status === 404;
  } catch {
    return false;
  }
}
