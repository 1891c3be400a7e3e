// A WHIP sender made with werift, a WebRTC stack written in TypeScript.
//
//   node werift.mjs URL [data channel | second camera | receives]…
//
// It prints one JSON object a line: first the two UDP ports of loopback that it takes RTP on (Opus, VP8), then the
// `Location` and the secret of its session, and the state of its connection whenever that changes.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { MediaStreamTrack, RTCPeerConnection, useOPUS, useVP8 } from "werift";

const [url, ...extras] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));

/** A track of what comes in over UDP, the port, and a promise of its first packet. */
async function incoming(kind) {
  const track = new MediaStreamTrack({ kind });
  const socket = createSocket("udp4").on("message", (packet) => track.writeRtp(packet));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { track, port: socket.address().port, flows: once(socket, "message") };
}

const peer = new RTCPeerConnection({
  iceServers: [],
  codecs: { audio: [useOPUS()], video: [useVP8()] },
});
peer.connectionStateChange.subscribe((state) => say({ state }));

const audio = await incoming("audio");
const video = await incoming("video");
say({ audio: audio.port, video: video.port });
// The server gives up on senders that connect and then send nothing for a while.
await Promise.all([audio.flows, video.flows]);
if (extras.includes("receives")) peer.addTransceiver("video", { direction: "recvonly" });
peer.addTransceiver(audio.track, { direction: "sendonly" });
peer.addTransceiver(video.track, { direction: "sendonly" });
if (extras.includes("second camera")) peer.addTransceiver((await incoming("video")).track, { direction: "sendonly" });
if (extras.includes("data channel")) peer.createDataChannel("chat").stateChanged.subscribe((channel) => say({ channel }));

// It returns when all candidates are gathered.
await peer.setLocalDescription(await peer.createOffer());
const answer = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/sdp" },
  body: peer.localDescription.sdp,
});
if (answer.status !== 201) throw new Error(await answer.text());
say({ location: answer.headers.get("location"), secret: answer.headers.get("session-secret") });
await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
