/** What `GET /api/config` tells the page. Every part has a default, so that an older server still works. */

import * as v from "valibot";
import type { Keeping } from "../state/view";

export interface Config {
  readonly model: string;
  readonly iceServers: readonly RTCIceServer[];
  /** Whether the server keeps sessions of those who agree. */
  readonly keeping: Keeping | null;
  /** Whether the server writes down what is said of those who agree. */
  readonly words: boolean;
}

/** Relay credentials come only with the token, and hold for an hour: ask again when they are needed. */
export async function loadConfig(token = "", server?: string): Promise<Config> {
  try {
    const answer = await fetch(new URL("api/config", server ?? document.baseURI), { headers: bearer(token) });
    const body: unknown = answer.ok ? await answer.json() : {};
    return readConfig(body);
  } catch {
    return readConfig({});
  }
}

export function bearer(token: string): Record<string, string> {
  return token === "" ? {} : { Authorization: `Bearer ${token}` };
}

const BODY = v.fallback(
  v.object({
    model: v.fallback(v.string(), ""),
    ice_servers: v.fallback(v.array(v.unknown()), []),
    record: v.fallback(v.nullable(v.picklist(["events", "media"])), null),
    record_days: v.fallback(v.nullable(v.number()), null),
    words: v.fallback(v.boolean(), false),
  }),
  { model: "", ice_servers: [], record: null, record_days: null, words: false },
);

export function readConfig(body: unknown): Config {
  const { model, ice_servers: servers, record: most, record_days: days, words } = v.parse(BODY, body);
  return { model, iceServers: servers.filter(isIceServer), keeping: most === null || days === null ? null : { most, days }, words };
}

function isIceServer(value: unknown): value is RTCIceServer {
  return typeof value === "object" && value !== null && "urls" in value;
}
