/** The only module that knows all the others: consent, camera, offer, events, view, drawing, in the order they happen. */

import "./style/page.css";

import { reduce, type Action } from "./actions";
import { loadConfig } from "./config";
import { makePage } from "./draw";
import { EventFollower } from "./events";
import { save } from "./export";
import { LevelMeter, listDevices, MediaFailure, openMedia, stopMedia } from "./media";
import { asLanguage, LANGUAGES, preferredLanguage } from "./messages";
import { rememberConsent, rememberLanguage } from "./remember";
import { WhipFailure, WhipSession } from "./whip";
import { FIRST_VIEW, type Failure } from "./view";

/** What is open while a session runs, and has to be closed with it. */
interface Running {
  stream: MediaStream;
  readonly meter: LevelMeter;
  whip: WhipSession | null;
  follower: EventFollower | null;
}

/** What the server calls it when no packet ever came through. */
const NO_PATH = "no path";

const root = document.getElementById("page") ?? document.body;
const config = loadConfig();
// After the #, so that it never reaches a log.
const token = new URLSearchParams(window.location.hash.slice(1)).get("token") ?? "";

let view = FIRST_VIEW;
let running: Running | null = null;
/** Counts starts, so that one that was cancelled knows it. */
let attempt = 0;
let draw = drawIn(preferredLanguage());

function nowS(): number {
  return performance.now() / 1000;
}

function send(action: Action): void {
  view = reduce(view, action);
}

function drawIn(language: ReturnType<typeof asLanguage>): ReturnType<typeof makePage> {
  document.documentElement.lang = language;
  return makePage(
    root,
    {
      send,
      start: (remember) => void start(remember),
      cancel,
      withdraw,
      switchDevice: (kind, id) => void switchDevice(kind, id),
      save: (format) => save(view.session, format),
      setLanguage,
      stream,
      level,
    },
    LANGUAGES[language],
  );
}

function setLanguage(code: string): void {
  rememberLanguage(code);
  draw = drawIn(asLanguage(code));
}

function stream(): MediaStream | null {
  return running?.stream ?? null;
}

function level(): number {
  return running?.meter.level() ?? 0;
}

async function start(remember: boolean): Promise<void> {
  rememberConsent(remember);
  attempt += 1;
  const mine = attempt;
  send({ do: "ask permission" });
  let opened: Running | null = null;
  try {
    const { choice, devices } = view;
    opened = {
      stream: await openMedia({ choice, camera: devices.camera, microphone: devices.microphone }),
      meter: new LevelMeter(),
      whip: null,
      follower: null,
    };
    opened.meter.listen(opened.stream);
    if (mine === attempt) send({ do: "offer" });
    const { iceServers } = await config;
    if (mine === attempt) opened.whip = await WhipSession.open(opened.stream, { token, iceServers, onMedia, nowS });
    if (mine === attempt && opened.whip !== null) await goLive(opened, opened.whip);
    else await release(opened);
  } catch (error) {
    if (opened !== null) await release(opened);
    if (mine === attempt) send({ do: "fail", failure: failureOf(error) });
  }
}

async function goLive(opened: Running, whip: WhipSession): Promise<void> {
  running = opened;
  send({ do: "go live" });
  opened.follower = new EventFollower({
    path: whip.path,
    known: () => whip.known(),
    nowS,
    onEvent: (event) => {
      send({ do: "event", event, nowS: nowS() });
      if (event.type === "session.closed") void closed(event.reason);
    },
    onLink: (link) => send({ do: "link", link }),
    onGone: (why) => void finish(why, ""),
  });
  watchTracks(opened.stream);
  send({ do: "devices", devices: await listDevices(opened.stream) });
}

/** The server's word that it is over. */
async function closed(reason: string): Promise<void> {
  await finish("closed", reason);
  if (reason === NO_PATH) send({ do: "fail", failure: { kind: "no-path" } });
}

function failureOf(error: unknown): Failure {
  if (error instanceof MediaFailure || error instanceof WhipFailure) return error.failure;
  return { kind: "problem", detail: error instanceof Error ? error.message : String(error), hint: "" };
}

function onMedia(state: "up" | "down" | "failed"): void {
  if (state === "failed" && view.session.looked === null && running !== null) {
    // Nothing ever came through: that is a matter of networks, and waiting will not change it.
    void closed(NO_PATH);
    return;
  }
  send({ do: "media", up: state === "up" });
}

function watchTracks(opened: MediaStream): void {
  for (const track of opened.getTracks()) {
    // Unplugged. When it comes back, or another one is there, it is taken up again.
    track.addEventListener("ended", () => void switchDevice(track.kind === "video" ? "camera" : "microphone", ""));
  }
}

async function switchDevice(kind: "camera" | "microphone", id: string): Promise<void> {
  const session = running;
  if (session?.whip == null) return;
  try {
    const fresh = await openMedia({ choice: kind, camera: kind === "camera" ? id : "", microphone: kind === "microphone" ? id : "" });
    if (running !== session) return stopMedia(fresh);
    const kept = session.stream.getTracks().filter((track) => (track.kind === "video") !== (kind === "camera"));
    for (const track of session.stream.getTracks()) if (!kept.includes(track)) track.stop();
    for (const track of fresh.getTracks()) await session.whip.replace(track);
    session.stream = new MediaStream([...kept, ...fresh.getTracks()]);
    session.meter.listen(session.stream);
    watchTracks(fresh);
    send({ do: "devices", devices: await listDevices(session.stream) });
  } catch (error) {
    // The server says that the picture or the sound is missing; a device that is plugged in again is tried once more.
    if (!(error instanceof MediaFailure)) throw error;
    navigator.mediaDevices.addEventListener("devicechange", () => void switchDevice(kind, ""), { once: true });
  }
}

function cancel(): void {
  attempt += 1;
  send({ do: "forget" });
}

function withdraw(): void {
  rememberConsent(false);
  void finish("withdrawn", "");
}

async function finish(why: "withdrawn" | "closed" | "gone", detail: string): Promise<void> {
  const closing = running;
  if (closing === null) return;
  running = null;
  send({ do: "end", why, detail });
  await release(closing, why === "withdrawn");
}

/** `tell` has the server end the session too; one that has ended already needs no telling. */
async function release(closing: Running, tell = true): Promise<void> {
  closing.follower?.close();
  stopMedia(closing.stream);
  if (!tell) closing.whip?.close();
  await Promise.all([closing.meter.close(), tell ? closing.whip?.end() : undefined]);
}

// Whoever closes the page withdraws, too; but what they wished to be remembered still is.
addEventListener("pagehide", () => void finish("withdrawn", ""));

function step(): void {
  draw(view, nowS());
  requestAnimationFrame(step);
}
step();
