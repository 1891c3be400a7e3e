/** Addresses of sessions: `https://HOST/sessions/ID#KEY`. What stands after the # is never sent to a server. */

export interface SessionAddress {
  /** `https://HOST/sessions/ID` */
  readonly session: string;
  /** A lasting ticket, the session's secret, or the operator token. */
  readonly key: string;
}

/** Reads an address as a person pastes it; null for what is none. `base`: where addresses without a host belong. */
export function readAddress(text: string, base?: string): SessionAddress | null {
  let address: URL;
  try {
    address = new URL(text.trim(), base);
  } catch {
    return null;
  }
  const scheme = { "http:": "http:", "https:": "https:", "ws:": "http:", "wss:": "https:" }[address.protocol];
  const path = address.pathname.replace(/\/$/, "").replace(/\/events$/, "");
  const key = address.hash.slice(1);
  if (scheme === undefined || key === "" || !/\/sessions\/[^/]+$/.test(path)) return null;
  return { session: `${scheme}//${address.host}${path}`, key };
}

/** Address of a page that shows the session: the viewer, or the overlay. */
export function viewerAddress(page: "watch" | "overlay", address: string, base: string): string {
  const viewer = new URL(page, base);
  const read = readAddress(address);
  viewer.hash = read === null ? "" : new URLSearchParams({ session: read.session, key: read.key }).toString();
  return viewer.href;
}

/** How the address of a viewer wants it shown: `language=de`, and `notice=off` for the overlay. */
export function viewedAs(hash: string): { language: string | null; notice: boolean } {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  return { language: given.get("language"), notice: given.get("notice") !== "off" };
}

/** The same in another language, where the address names one. */
export function speaking(hash: string, language: string): string {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  if (given.has("language")) given.set("language", language);
  return `#${given.toString()}`;
}

/** The session that the address of a viewer names; null without one. */
export function viewedSession(hash: string, base: string): SessionAddress | null {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const session = given.get("session");
  // A name or an id alone means a session of the server that the page came from.
  if (session === null) return null;
  return readAddress(`${session.includes("/") ? session : `sessions/${session}`}#${given.get("key") ?? ""}`, base);
}
