/** The clock of a saved session: that of its video where there is one, else the page's own. */

import type { Action } from "../state/actions";
import type { View } from "../state/view";

/** Each step draws the page, and finer steps than this cannot be seen. */
const STEP_S = 1 / 15;

export class Player {
  /** Address of the video in this browser; null without one. */
  clip: string | null = null;
  private lastS: number | null = null;

  constructor(private readonly send: (action: Action) => void) {}

  open(file: File): void {
    this.close();
    this.clip = URL.createObjectURL(file);
  }

  close(): void {
    if (this.clip !== null) URL.revokeObjectURL(this.clip);
    this.clip = null;
  }

  /** Called once a frame. Where a video runs, the stage hands its time on instead. */
  step(view: View, nowS: number): void {
    const passedS = nowS - (this.lastS ?? nowS);
    if (view.phase.name !== "replay" || !view.playback.playing || this.clip !== null) {
      this.lastS = null;
      return;
    }
    if (this.lastS !== null && passedS < STEP_S) return;
    this.lastS = nowS;
    const atS = view.playback.atS + passedS;
    if (passedS > 0) this.send({ do: "run to", atS });
    if (atS >= view.session.mediaS) this.send({ do: "play", playing: false });
  }
}
