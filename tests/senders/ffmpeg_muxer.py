"""FFmpeg's own WHIP muxer.

`python -m tests.senders.ffmpeg_muxer URL SECONDS PROFILE KEY=VALUE…`

A process of its own: the muxer waits inside FFmpeg and holds the interpreter meanwhile. Keys and values are the muxer's
options.
"""

from __future__ import annotations

import sys

import av

from tests.senders.media import add_audio, add_video, send


def main() -> None:
    url, seconds, profile, *options = sys.argv[1:]
    with av.open(url, "w", format="whip", options=dict(pair.split("=", 1) for pair in options)) as out:
        video = add_video(out, "libx264", profile=profile, tune="zerolatency", preset="veryfast")
        send(video, add_audio(out), seconds=float(seconds))


if __name__ == "__main__":
    main()
