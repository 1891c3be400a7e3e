/** Camera and microphone: opening them, naming what went wrong, and hearing how loud it is. */

import type { Choice, Device, Devices, Failure } from "../state/view";

export class MediaFailure extends Error {
  constructor(readonly failure: Failure) {
    super(failure.kind);
  }
}

/** Which devices to open; an empty id leaves the choice to the browser. */
export interface Wanted {
  readonly choice: Choice;
  readonly camera: string;
  readonly microphone: string;
}

function constraints({ choice, camera, microphone }: Wanted): MediaStreamConstraints {
  const video: MediaTrackConstraints = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30, max: 30 } };
  // Gain control and noise suppression would change the very loudness and timbre that are measured.
  const audio: MediaTrackConstraints = { echoCancellation: true, autoGainControl: false, noiseSuppression: false, channelCount: 1 };
  if (camera !== "") video.deviceId = { exact: camera };
  if (microphone !== "") audio.deviceId = { exact: microphone };
  return { video: choice === "microphone" ? false : video, audio: choice === "camera" ? false : audio };
}

/** Ask for camera and/or microphone. Raises MediaFailure with the reason in terms of what to do. */
export async function openMedia(wanted: Wanted): Promise<MediaStream> {
  if (!window.isSecureContext) throw new MediaFailure({ kind: "insecure" });
  // Older browsers leave it out, whatever the types say.
  const media = navigator.mediaDevices as MediaDevices | undefined;
  if (media === undefined || !("RTCPeerConnection" in window)) throw new MediaFailure({ kind: "unsupported" });
  try {
    return await media.getUserMedia(constraints(wanted));
  } catch (error) {
    throw new MediaFailure({ kind: await reason(error, wanted) });
  }
}

async function reason(error: unknown, wanted: Wanted): Promise<"refused" | "in-use" | "no-camera" | "no-microphone"> {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "refused";
  if (name === "NotReadableError" || name === "AbortError") return "in-use";
  // NotFoundError doesn't say which of the two is missing.
  const present = await navigator.mediaDevices.enumerateDevices();
  const hasCamera = present.some((device) => device.kind === "videoinput");
  return wanted.choice !== "microphone" && !hasCamera ? "no-camera" : "no-microphone";
}

/** The devices there are, and which of them `stream` uses. Names are known only once permission was given. */
export async function listDevices(stream: MediaStream): Promise<Devices> {
  const present = await navigator.mediaDevices.enumerateDevices();
  const named = (kind: MediaDeviceKind): Device[] =>
    present.filter((device) => device.kind === kind && device.deviceId !== "").map((device) => ({ id: device.deviceId, name: device.label }));
  const used = (track: MediaStreamTrack | undefined): string => track?.getSettings().deviceId ?? "";
  return {
    cameras: named("videoinput"),
    microphones: named("audioinput"),
    camera: used(stream.getVideoTracks()[0]),
    microphone: used(stream.getAudioTracks()[0]),
  };
}

export function stopMedia(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** Loudness of the microphone, heard on this page only. */
export class LevelMeter {
  private readonly context = new AudioContext();
  private readonly analyser = new AnalyserNode(this.context, { fftSize: 1024 });
  private readonly samples = new Float32Array(this.analyser.fftSize);
  private source: MediaStreamAudioSourceNode | null = null;

  listen(stream: MediaStream): void {
    this.source?.disconnect();
    this.source = stream.getAudioTracks().length > 0 ? this.context.createMediaStreamSource(stream) : null;
    this.source?.connect(this.analyser);
  }

  /** 0 (silence, −60 dBFS or less) to 1 (full scale). */
  level(): number {
    if (this.source === null) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power + 1e-9)) / 60));
  }

  async close(): Promise<void> {
    this.source?.disconnect();
    await this.context.close();
  }
}
