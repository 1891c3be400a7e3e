/** Notices when a device, the connection or the person comes back, and counts the moments that were analyzed meanwhile. */

import type { Action } from "./actions";
import type { Happening, Link, View } from "./view";

export class Happenings {
  private down = false;
  private hiddenAfter: number | null = null;

  constructor(
    private readonly view: () => View,
    private readonly send: (action: Action) => void,
    private readonly nowS: () => number,
  ) {
    document.addEventListener("visibilitychange", this.looked);
  }

  plug(kind: "camera" | "microphone", gone: boolean): void {
    const wasGone = this.view().unplugged.includes(kind);
    this.send({ do: "unplug", kind, gone });
    if (wasGone && !gone) this.tell(kind, 0);
  }

  link(link: Link): void {
    this.send({ do: "link", link });
    if (link.state === "open" && this.down) this.tell("link", 0);
    this.down = link.state === "retrying";
  }

  /** Another session goes on from the one that the server no longer knows. */
  resumed(): void {
    this.down = false;
    this.tell("session", 0);
  }

  /** While the tab is in the background events still arrive, but nothing is drawn. */
  private readonly looked = (): void => {
    const { phase, session } = this.view();
    if (phase.name !== "live") this.hiddenAfter = null;
    else if (document.hidden) this.hiddenAfter = session.analyses.length;
    else if (this.hiddenAfter !== null) {
      const nMoments = session.analyses.length - this.hiddenAfter;
      this.hiddenAfter = null;
      if (nMoments > 0) this.tell("background", nMoments);
    }
  };

  private tell(kind: Happening["kind"], nMoments: number): void {
    if (this.view().phase.name === "live") this.send({ do: "tell", happening: { kind, nMoments, atS: this.nowS() } });
  }
}
