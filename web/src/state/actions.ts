/** What happens on the page, and the view after it. Wire events go on to `reducer.ts`. */

import { sameEvidence } from "./evidence";
import type { WireEvent } from "../wire/generated";
import type { Rejected } from "../wire/read";
import { assertNever, reduceEvent } from "./reducer";
import { interrupted } from "./resume";
import { shownAnalysis } from "./shown";
import { AT_START, NO_SESSION, type Asking, type Choice, type Devices, type Evidence, type Failure, type Happening, type Keeping, type Kept, type Link, type Playback, type Recording, type Session, type Sharing, type View } from "./view";

export type Action =
  | { readonly do: "choose"; readonly choice: Choice }
  | { readonly do: "ask permission" }
  | { readonly do: "get ready" }
  | { readonly do: "offer" }
  | { readonly do: "fail"; readonly failure: Failure }
  | { readonly do: "keeping"; readonly keeping: Keeping | null }
  | { readonly do: "agree"; readonly kept: Kept | null }
  | { readonly do: "offer words"; readonly writes: boolean }
  | { readonly do: "agree to words"; readonly agreed: boolean }
  | { readonly do: "recording"; readonly recording: Recording }
  | { readonly do: "go live"; readonly recording: Recording }
  | { readonly do: "interrupt" }
  | { readonly do: "go on" }
  | { readonly do: "media"; readonly up: boolean }
  | { readonly do: "link"; readonly link: Link }
  | { readonly do: "event"; readonly event: WireEvent | Rejected; readonly nowS: number }
  | { readonly do: "devices"; readonly devices: Devices }
  | { readonly do: "end"; readonly why: "withdrawn" | "stopped" | "closed" | "gone"; readonly detail: string; readonly failure?: Failure }
  | { readonly do: "unplug"; readonly kind: "camera" | "microphone"; readonly gone: boolean }
  | { readonly do: "tell"; readonly happening: Happening }
  | { readonly do: "ask"; readonly asking: Asking }
  | { readonly do: "share"; readonly sharing: Sharing }
  | { readonly do: "open"; readonly file: string; readonly session: Session }
  | { readonly do: "play"; readonly playing: boolean }
  | { readonly do: "seek"; readonly atS: number }
  | { readonly do: "run to"; readonly atS: number }
  | { readonly do: "read file" }
  | { readonly do: "add video"; readonly name: string }
  | { readonly do: "forget" }
  | { readonly do: "pin"; readonly window: number | null }
  | { readonly do: "hold"; readonly on: boolean }
  | { readonly do: "light"; readonly evidence: Evidence | null }
  | { readonly do: "mirror" }
  | { readonly do: "show focal" }
  | { readonly do: "show patches" };

export function reduce(view: View, action: Action): View {
  switch (action.do) {
    case "choose":
      return { ...view, choice: action.choice };
    case "keeping":
      return { ...view, keeping: action.keeping };
    case "agree":
      return { ...view, agreed: action.kept };
    case "offer words":
      return { ...view, writesWords: action.writes };
    case "agree to words":
      return { ...view, wordsAgreed: action.agreed };
    case "recording":
      return { ...view, recording: action.recording };
    case "ask permission":
      return { ...view, phase: { name: "starting", step: "permission" } };
    case "get ready":
      return { ...view, phase: { name: "ready" }, unplugged: [] };
    case "offer":
      return { ...view, phase: { name: "starting", step: "server" } };
    case "fail":
      return { ...view, phase: { name: "consent", failure: action.failure, deleted: false } };
    case "go live":
      return {
        ...view,
        phase: { name: "live", mediaUp: true },
        // The next session is asked about anew.
        agreed: null,
        wordsAgreed: false,
        recording: action.recording,
        session: NO_SESSION,
        link: { state: "connecting" },
        pinned: null,
        held: null,
        lit: null,
        happened: [],
        asking: { state: "idle" },
        sharing: { state: "off" },
      };
    case "interrupt":
      // What was handed out opened the session that is lost.
      return { ...view, session: interrupted(view.session), sharing: { state: "off" } };
    case "go on":
      return { ...view, phase: { name: "live", mediaUp: true }, session: { ...view.session, closed: null }, link: { state: "connecting" }, pinned: null };
    case "media":
      return view.phase.name === "live" ? { ...view, phase: { name: "live", mediaUp: action.up } } : view;
    case "link":
      return { ...view, link: action.link };
    case "event":
      return { ...view, session: reduceEvent(view.session, action.event, action.nowS) };
    case "devices":
      return { ...view, devices: action.devices };
    case "end":
      return {
        ...view,
        phase: { name: "ended", why: action.why, detail: action.detail, failure: action.failure ?? null },
        link: { state: "over" },
        lit: null,
        held: null,
      };
    case "unplug": {
      const others = view.unplugged.filter((kind) => kind !== action.kind);
      return { ...view, unplugged: action.gone ? [...others, action.kind] : others };
    }
    case "tell": {
      // The newest of a kind stands for it.
      const others = view.happened.filter(({ kind }) => kind !== action.happening.kind);
      return { ...view, happened: [...others, action.happening] };
    }
    case "ask":
      return { ...view, asking: action.asking };
    case "share":
      return { ...view, sharing: action.sharing };
    case "open":
      return {
        ...view,
        phase: { name: "replay", file: action.file },
        session: action.session,
        recording: { state: "none" },
        link: { state: "over" },
        choice: chosenIn(action.session),
        playback: AT_START,
        pinned: null,
        held: null,
        lit: null,
      };
    case "play":
      return { ...view, pinned: null, playback: { ...view.playback, playing: action.playing } };
    case "seek":
      return { ...view, pinned: null, playback: playedTo(view, action.atS, view.playback.seeks + 1) };
    case "run to":
      return { ...view, playback: playedTo(view, action.atS, view.playback.seeks) };
    case "read file":
      return { ...view, phase: { name: "starting", step: "file" } };
    case "add video":
      return { ...view, playback: { ...view.playback, video: action.name } };
    case "forget":
      return {
        ...view,
        phase: { name: "consent", failure: null, deleted: view.phase.name === "ended" && view.session.analyses.length > 0 },
        session: NO_SESSION,
        agreed: null,
        wordsAgreed: false,
        recording: { state: "none" },
        playback: AT_START,
        pinned: null,
        lit: null,
      };
    case "pin":
      return { ...view, pinned: action.window, held: null };
    case "hold":
      return { ...view, held: action.on ? (shownAnalysis(view)?.window ?? null) : null };
    case "light":
      return sameEvidence(view.lit, action.evidence) ? view : { ...view, lit: action.evidence };
    case "mirror":
      return { ...view, mirrored: !view.mirrored };
    case "show focal":
      return { ...view, focalShown: !view.focalShown };
    case "show patches":
      return { ...view, patchesShown: !view.patchesShown };
    default:
      return assertNever(action);
  }
}

/** What a saved session had: someone who shared their voice alone has no frames. */
function chosenIn(session: Session): Choice {
  if (session.looks.length === 0) return "microphone";
  return session.speech.length === 0 && session.voiceCues.length === 0 ? "camera" : "both";
}

function playedTo(view: View, atS: number, seeks: number): Playback {
  return { ...view.playback, atS: Math.max(0, Math.min(atS, view.session.mediaS)), seeks };
}
