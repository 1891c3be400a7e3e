/** Camera and microphone while they are open: what they give, which they are, and what happens when one is unplugged. */

import { LevelMeter, listDevices, MediaFailure, openMedia, stopMedia, type Wanted } from "./devices";
import type { Devices } from "../state/view";

export type Kind = "camera" | "microphone";

export interface Heard {
  readonly onDevices: (devices: Devices) => void;
  /** A device is gone, or one is there again. */
  readonly onPlug: (kind: Kind, gone: boolean) => void;
}

export class Capture {
  /** Told of each track that takes another's place. */
  onTrack: (track: MediaStreamTrack) => Promise<void> = () => Promise.resolve();
  private readonly meter = new LevelMeter();
  private closed = false;

  private constructor(
    private current: MediaStream,
    private readonly heard: Heard,
  ) {
    this.meter.listen(current);
    this.watch(current);
    navigator.mediaDevices.addEventListener("devicechange", this.changed);
  }

  /** Raises MediaFailure; nothing is left open then. */
  static async open(wanted: Wanted, heard: Heard): Promise<Capture> {
    return new Capture(await openMedia(wanted), heard);
  }

  get stream(): MediaStream {
    return this.current;
  }

  level(): number {
    return this.meter.level();
  }

  async tellDevices(): Promise<void> {
    const devices = await listDevices(this.current);
    if (!this.closed) this.heard.onDevices(devices);
  }

  /** Take another device; an empty id leaves the choice to the browser. */
  async choose(kind: Kind, id: string): Promise<void> {
    let fresh: MediaStream;
    try {
      fresh = await openMedia({ choice: kind, camera: kind === "camera" ? id : "", microphone: kind === "microphone" ? id : "" });
    } catch (error) {
      // None is there now. It is tried again as soon as the browser hears of a device.
      if (error instanceof MediaFailure) return;
      throw error;
    }
    if (this.closed) return stopMedia(fresh);
    const kept = this.current.getTracks().filter((track) => kindOf(track) !== kind);
    for (const track of this.current.getTracks()) if (!kept.includes(track)) track.stop();
    this.current = new MediaStream([...kept, ...fresh.getTracks()]);
    this.meter.listen(this.current);
    this.watch(fresh);
    for (const track of fresh.getTracks()) await this.onTrack(track);
    this.heard.onPlug(kind, false);
    await this.tellDevices();
  }

  async close(): Promise<void> {
    this.closed = true;
    navigator.mediaDevices.removeEventListener("devicechange", this.changed);
    stopMedia(this.current);
    await this.meter.close();
  }

  private watch(opened: MediaStream): void {
    for (const track of opened.getTracks()) {
      track.addEventListener("ended", () => {
        if (this.closed || !this.current.getTracks().includes(track)) return;
        this.heard.onPlug(kindOf(track), true);
        // Another one may be there; else the next change of devices brings it back.
        void this.choose(kindOf(track), "");
      });
    }
  }

  private readonly changed = (): void => {
    const dead = this.current.getTracks().filter((track) => track.readyState === "ended");
    for (const track of dead) void this.choose(kindOf(track), "");
    if (dead.length === 0) void this.tellDevices();
  };
}

function kindOf(track: MediaStreamTrack): Kind {
  return track.kind === "video" ? "camera" : "microphone";
}
