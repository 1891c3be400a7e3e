import type { Keeping } from "../state/view";

/** What `GET /api/config` tells the page. Every part has a default, so that an older server still works. */

export interface Config {
  readonly model: string;
  readonly iceServers: readonly RTCIceServer[];
  /** Whether the server keeps sessions of those who agree. */
  readonly keeping: Keeping | null;
}

/** Relay credentials come only with the token, and hold for an hour: ask again when they are needed. */
export async function loadConfig(token = ""): Promise<Config> {
  try {
    const answer = await fetch("/api/config", { headers: bearer(token) });
    const body: unknown = answer.ok ? await answer.json() : {};
    return readConfig(body);
  } catch {
    return readConfig({});
  }
}

export function bearer(token: string): Record<string, string> {
  return token === "" ? {} : { Authorization: `Bearer ${token}` };
}

export function readConfig(body: unknown): Config {
  const from = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const servers: unknown = from["ice_servers"];
  return {
    model: typeof from["model"] === "string" ? from["model"] : "",
    iceServers: Array.isArray(servers) ? servers.filter(isIceServer) : [],
    keeping: readKeeping(from["record"], from["record_days"]),
  };
}

function readKeeping(most: unknown, days: unknown): Keeping | null {
  return (most === "events" || most === "media") && typeof days === "number" ? { most, days } : null;
}

function isIceServer(value: unknown): value is RTCIceServer {
  return typeof value === "object" && value !== null && "urls" in value;
}
