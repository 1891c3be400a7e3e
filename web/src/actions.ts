/** What happens on the page, and the view after it. Events of the wire go on to `reducer.ts`. */

import type { Rejected, Section, WireEvent } from "./protocol";
import { assertNever, reduceEvent } from "./reducer";
import { NO_SESSION, shownAnalysis, type Choice, type Devices, type Failure, type Link, type View } from "./view";

export type Action =
  | { readonly do: "choose"; readonly choice: Choice }
  | { readonly do: "ask permission" }
  | { readonly do: "offer" }
  | { readonly do: "fail"; readonly failure: Failure }
  | { readonly do: "go live" }
  | { readonly do: "media"; readonly up: boolean }
  | { readonly do: "link"; readonly link: Link }
  | { readonly do: "event"; readonly event: WireEvent | Rejected; readonly nowS: number }
  | { readonly do: "devices"; readonly devices: Devices }
  | { readonly do: "end"; readonly why: "withdrawn" | "closed" | "gone"; readonly detail: string }
  | { readonly do: "forget" }
  | { readonly do: "pin"; readonly window: number | null }
  | { readonly do: "hold"; readonly on: boolean }
  | { readonly do: "light"; readonly section: Section | null }
  | { readonly do: "mirror" }
  | { readonly do: "show focal" };

export function reduce(view: View, action: Action): View {
  switch (action.do) {
    case "choose":
      return { ...view, choice: action.choice };
    case "ask permission":
      return { ...view, phase: { name: "starting", step: "permission" } };
    case "offer":
      return { ...view, phase: { name: "starting", step: "server" } };
    case "fail":
      return { ...view, phase: { name: "consent", failure: action.failure } };
    case "go live":
      return {
        ...view,
        phase: { name: "live", mediaUp: true },
        session: NO_SESSION,
        link: { state: "connecting" },
        pinned: null,
        held: null,
        lit: null,
      };
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
        phase: { name: "ended", why: action.why, detail: action.detail },
        link: { state: "over" },
        lit: null,
        held: null,
      };
    case "forget":
      return { ...view, phase: { name: "consent", failure: null }, session: NO_SESSION, pinned: null };
    case "pin":
      return { ...view, pinned: action.window, held: null };
    case "hold":
      return { ...view, held: action.on ? (shownAnalysis(view)?.window ?? null) : null };
    case "light":
      return view.lit === action.section ? view : { ...view, lit: action.section };
    case "mirror":
      return { ...view, mirrored: !view.mirrored };
    case "show focal":
      return { ...view, focalShown: !view.focalShown };
    default:
      return assertNever(action);
  }
}
