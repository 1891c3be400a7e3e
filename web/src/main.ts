/** Composes the page; the only module that imports all the others: consent, camera, offer, events, view, drawing, in this order. */

import "./style/page.css";

import { reduce, type Action } from "./state/actions";
import { Capture, type Heard } from "./media/capture";
import { makePage } from "./draw";
import { EventFollower, loadConfig, WhipFailure, WhipSession } from "../client/index";
import { GIVE_UP_S, waitS } from "./wire/socket";
import { save } from "./files/export";
import { Happenings } from "./state/happenings";
import { MediaFailure } from "./media/devices";
import { asLanguage, LANGUAGES, preferredLanguage } from "./messages";
import { Player } from "./media/player";
import { rememberConsent, rememberLanguage } from "./state/remember";
import { baseOf, continued, type Base } from "./state/resume";
import { NotSaved, openSaved } from "./files/saved";
import { keptOf } from "./state/shown";
import { FIRST_VIEW, type Failure, type Kept, type Phase, type Recording } from "./state/view";

/** What is open while a session runs, and has to be closed with it. */
interface Running {
  readonly capture: Capture;
  readonly whip: WhipSession;
  readonly follower: EventFollower;
}

const DAY_MS = 86_400_000;
/** What the server calls it when no packet ever came through. */
const NO_PATH = "no path";

const root = document.getElementById("page") ?? document.body;
// After the #, so that it never reaches a log.
const token = new URLSearchParams(window.location.hash.slice(1)).get("token") ?? "";

let view = FIRST_VIEW;
/** Camera and microphone, once consent was given. */
let capture: Capture | null = null;
let running: Running | null = null;
/** How a session ended that is being begun again. */
let left: Extract<Phase, { name: "ended" }> | null = null;
/** The newest session, and those it went on from, for as long as their recordings can be deleted from here. */
let recorded: readonly WhipSession[] = [];
/** Whether what is said in this session is written down; one that goes on from it asks for the same. */
let toWords = false;
/** Number of the newest start; an older one finds that it was cancelled. */
let attempt = 0;
const player = new Player((action) => send(action));
const happenings = new Happenings(() => view, send, nowS);
/** Removes the event listeners of the page when it is drawn anew in another language. */
let drawing = new AbortController();
let draw = drawIn(preferredLanguage());

function nowS(): number {
  return performance.now() / 1000;
}

function send(action: Action): void {
  view = reduce(view, action);
}

function drawIn(language: ReturnType<typeof asLanguage>): ReturnType<typeof makePage> {
  document.documentElement.lang = language;
  drawing.abort();
  drawing = new AbortController();
  return makePage(
    root,
    {
      send,
      prepare: (remember) => void prepare(remember),
      start: () => void start(),
      goOn: () => void goOn(),
      cancel,
      stop: () => void finish("stopped", ""),
      withdraw,
      deleteKept: () => void deleteKept(),
      deleteAll: () => void deleteAll(),
      switchDevice: (kind, id) => void capture?.choose(kind, id),
      ask: (query, labels) => void ask(query, labels),
      share: () => void share(),
      unshare: () => void unshare(),
      save: (format) => save(view.session, format),
      print: () => window.print(),
      openSaved: (file) => void open(file),
      openVideo: (file) => {
        player.open(file);
        send({ do: "add video", name: file.name });
      },
      setLanguage,
      stream: () => capture?.stream ?? null,
      clip: () => player.clip,
      level: () => capture?.level() ?? 0,
      given: drawing.signal,
    },
    LANGUAGES[language],
  );
}

function setLanguage(code: string): void {
  rememberLanguage(code);
  draw = drawIn(asLanguage(code));
}

/** Consent was given: open the camera, show it to its owner, send nothing. */
async function prepare(remember: boolean): Promise<void> {
  rememberConsent(remember);
  attempt += 1;
  const mine = attempt;
  send({ do: "ask permission" });
  try {
    const opened = await openCapture(mine);
    if (opened === null) return;
    send({ do: "get ready" });
    await opened.tellDevices();
  } catch (error) {
    if (mine === attempt) send({ do: "fail", failure: failureOf(error) });
  }
}

const heardOfDevices: Heard = {
  onDevices: (devices) => send({ do: "devices", devices }),
  onPlug: (kind, gone) => happenings.plug(kind, gone),
};

/** Opens the chosen camera and microphone. Null: attempt `mine` was cancelled meanwhile. Raises MediaFailure. */
async function openCapture(mine: number): Promise<Capture | null> {
  const { choice, devices } = view;
  const opened = await Capture.open({ choice, camera: devices.camera, microphone: devices.microphone }, heardOfDevices);
  if (mine !== attempt) {
    await opened.close();
    return null;
  }
  capture = opened;
  return opened;
}

async function start(): Promise<void> {
  const opened = capture;
  if (opened === null) return;
  attempt += 1;
  const mine = attempt;
  send({ do: "offer" });
  try {
    recorded = [];
    const { whip, recording } = await offer(opened, view.agreed, view.wordsAgreed);
    if (mine !== attempt) {
      await whip.end();
      await deleteKept();
      return;
    }
    send({ do: "go live", recording });
    running = { capture: opened, whip, follower: follow(whip) };
  } catch (error) {
    if (mine !== attempt) return;
    await closeCapture();
    send({ do: "fail", failure: failureOf(error) });
  }
}

/** Opens a session that sends what `opened` gives. The server keeps what was agreed to. Raises WhipFailure. */
async function offer(opened: Capture, agreed: Kept | null, wordsAgreed: boolean): Promise<{ whip: WhipSession; recording: Recording }> {
  const { iceServers, keeping, words } = await loadConfig(token);
  send({ do: "keeping", keeping });
  send({ do: "offer words", writes: words });
  toWords = wordsAgreed && words;
  const what = keptOf(keeping, agreed);
  const whip = await WhipSession.open(opened.stream, { token, iceServers, record: what, words: toWords, onMedia, nowS });
  opened.onTrack = (track) => whip.replace(track);
  if (what === null) return { whip, recording: { state: "none" } };
  recorded = [...recorded, whip];
  return { whip, recording: { state: "kept", what, untilMs: Date.now() + (keeping?.days ?? 0) * DAY_MS } };
}

/** The server no longer knows the session, as after a restart: begin another that goes on from it. */
async function resume(lost: Running): Promise<void> {
  lost.whip.close();
  send({ do: "interrupt" });
  const agreed = view.recording.state === "kept" ? view.recording.what : null;
  const untilS = nowS() + GIVE_UP_S;
  for (let n = 0; running === lost; n += 1) {
    try {
      const { whip } = await offer(lost.capture, agreed, toWords);
      // Withdrawn meanwhile.
      if (running !== lost) {
        await whip.end();
        await deleteKept();
        return;
      }
      running = { capture: lost.capture, whip, follower: follow(whip, baseOf(view.session, nowS())) };
      happenings.resumed();
      if (view.asking.state === "accepted") await ask(view.asking.query, view.asking.labels);
      return;
    } catch (error) {
      const why = failureOf(error).kind;
      if ((why !== "server-gone" && why !== "full") || nowS() > untilS) return finish("closed", "");
      const pauseS = waitS(n, Math.random());
      happenings.link({ state: "retrying", atS: nowS() + pauseS, serverSeen: why === "full" });
      await new Promise((resolve) => setTimeout(resolve, pauseS * 1000));
    }
  }
}

/** The session ended by itself, and the person wants it to go on: another one counts on from it. */
async function goOn(): Promise<void> {
  if (view.phase.name !== "ended") return;
  attempt += 1;
  const mine = attempt;
  left = view.phase;
  const agreed = view.recording.state === "kept" ? view.recording.what : null;
  send({ do: "interrupt" });
  send({ do: "ask permission" });
  try {
    const opened = await openCapture(mine);
    if (opened === null) return;
    send({ do: "offer" });
    const { whip } = await offer(opened, agreed, toWords);
    if (mine !== attempt) {
      await whip.end();
      return;
    }
    left = null;
    const base = baseOf(view.session, nowS());
    send({ do: "go on" });
    running = { capture: opened, whip, follower: follow(whip, base) };
    happenings.resumed();
    await opened.tellDevices();
  } catch (error) {
    if (mine !== attempt) return;
    await closeCapture();
    backToEnd(failureOf(error));
  }
}

/** Beginning again did not succeed or was cancelled: what was written is still there. */
function backToEnd(failure?: Failure): void {
  if (left === null) return;
  const { why, detail } = left;
  left = null;
  send({ do: "end", why, detail, ...(failure === undefined ? {} : { failure }) });
}

/** `base`: what the session goes on from, where it does. */
function follow(whip: WhipSession, base: Base | null = null): EventFollower {
  return new EventFollower({
    path: whip.path,
    ticket: () => whip.ticket(),
    nowS,
    onEvent: (told) => {
      const event = base === null || told.type === "rejected" ? told : continued(told, base);
      send({ do: "event", event, nowS: nowS() });
      if (event.type === "session.closed") void closed(event.reason);
    },
    onLink: (link) => happenings.link(link),
    onGone: (why) => void (why === "closed" && running !== null ? resume(running) : finish(why, "")),
  });
}

async function ask(query: string | null, labels: readonly string[] | null): Promise<void> {
  const asked = running;
  if (asked === null) return;
  send({ do: "ask", asking: { state: "sending" } });
  try {
    const { summary_s, ...now } = await asked.whip.ask(query, labels);
    if (running === asked) send({ do: "ask", asking: { state: "accepted", ...now, summary: summary_s === undefined ? null : query } });
  } catch (error) {
    const failure = failureOf(error);
    const none = { detail: "", hint: "", code: "", labels: [] };
    const { detail, hint, code, labels: about } = failure.kind === "problem" ? failure : none;
    if (running === asked) send({ do: "ask", asking: { state: "refused", detail, hint, code, labels: about } });
  }
}

/** Have the server make an address by which programs follow this session. */
async function share(): Promise<void> {
  const shared = running;
  if (shared === null) return;
  send({ do: "share", sharing: { state: "making" } });
  const lasting = await shared.whip.lastingTicket();
  if (running !== shared) return;
  send({ do: "share", sharing: lasting === null ? { state: "failed" } : { state: "on", address: `${shared.whip.path}#${lasting.ticket}`, id: lasting.id } });
}

async function unshare(): Promise<void> {
  const shared = running;
  const { sharing } = view;
  if (shared === null || sharing.state !== "on") return;
  const gone = await shared.whip.revoke(sharing.id);
  // Where the server gives no answer, the page goes on offering it.
  if (gone && running === shared) send({ do: "share", sharing: { state: "revoked" } });
}

/** The server's word that it is over. */
async function closed(reason: string): Promise<void> {
  await finish("closed", reason);
  if (reason !== NO_PATH) return;
  send({ do: "fail", failure: { kind: "no-path" } });
  // A session without media leaves nothing worth keeping.
  await deleteKept();
}

function failureOf(error: unknown): Failure {
  if (error instanceof MediaFailure || error instanceof WhipFailure) return error.failure;
  if (error instanceof NotSaved) return { kind: "not-saved", why: error.why };
  return { kind: "problem", detail: error instanceof Error ? error.message : String(error), hint: "", code: "", labels: [] };
}

function onMedia(state: "up" | "down" | "failed"): void {
  if (state === "failed" && view.session.looks.length === 0 && running !== null) {
    // Nothing ever came through, so the network blocks it and waiting will not help.
    void closed(NO_PATH);
    return;
  }
  send({ do: "media", up: state === "up" });
}

function cancel(): void {
  attempt += 1;
  void closeCapture();
  if (left !== null) return backToEnd();
  player.close();
  send({ do: "forget" });
}

function withdraw(): void {
  rememberConsent(false);
  if (running === null) cancel();
  else void finish("withdrawn", "");
}

async function finish(why: "withdrawn" | "stopped" | "closed" | "gone", detail: string): Promise<void> {
  const closing = running;
  if (closing === null) return;
  running = null;
  send({ do: "end", why, detail });
  closing.follower.close();
  const ours = why === "withdrawn" || why === "stopped";
  // A session that has ended already needs no telling.
  if (!ours) closing.whip.close();
  await Promise.all([closeCapture(), ours ? closing.whip.end() : undefined]);
  if (why === "withdrawn") await deleteKept();
}

/** Have the server delete its recording; whether nothing is left of it. */
async function deleteKept(): Promise<boolean> {
  const deleting = recorded;
  if (deleting.length === 0) return true;
  const tell = (recording: Recording): void => {
    if (recorded === deleting && view.recording.state !== "none") send({ do: "recording", recording });
  };
  tell({ state: "deleting" });
  const gone = (await Promise.all(deleting.map((whip) => whip.forget()))).every(Boolean);
  tell({ state: gone ? "deleted" : "not deleted" });
  if (gone && recorded === deleting) recorded = [];
  return gone;
}

async function deleteAll(): Promise<void> {
  // Where the server gives no answer, the page goes on offering it.
  if (await deleteKept()) cancel();
}

async function closeCapture(): Promise<void> {
  const closing = capture;
  capture = null;
  await closing?.close();
}

async function open(file: File): Promise<void> {
  attempt += 1;
  const mine = attempt;
  send({ do: "read file" });
  try {
    const session = await openSaved(file);
    if (mine !== attempt) return;
    player.close();
    send({ do: "open", file: file.name, session });
  } catch (error) {
    if (mine === attempt) send({ do: "fail", failure: failureOf(error) });
  }
}

// Closing the page withdraws consent, but the browser still remembers it if the person asked for that.
addEventListener("pagehide", () => void finish(recorded.length === 0 ? "withdrawn" : "stopped", ""));
// The consent screen has to say what the server may keep.
void askBefore();

async function askBefore(): Promise<void> {
  const { keeping, words } = await loadConfig(token);
  send({ do: "keeping", keeping });
  send({ do: "offer words", writes: words });
}

function step(): void {
  player.step(view, nowS());
  draw(view, nowS());
  requestAnimationFrame(step);
}
step();
