"""Print the action units (FACS) or the blendshapes of each face in a recording, up to ten times a second.

    python examples/action_units.py talk.mp4
    python examples/action_units.py talk.mp4 --blendshapes

Values are 0–1 relative to the person's own neutral face; head pose is in degrees. Without the towers, measuring more
often costs little: that is `ingest.cue_fps`.
"""

import sys

import emothinker

file, *options = sys.argv[1:]
try:
    for event in emothinker.analyze(file, settings={"ingest.cue_fps": 10}):
        if not isinstance(event, emothinker.CuesEvent) or event.face is None or event.pose is None:
            continue
        if options == ["--blendshapes"]:
            named = emothinker.blendshapes(event.face)
        else:
            named = {f"AU{emothinker.FACS[cue]}": value for cue, value in event.face.items() if cue in emothinker.FACS}
        values = " ".join(f"{name}={value:.2f}" for name, value in named.items())
        yaw, pitch, roll = (event.pose[axis] for axis in ("yaw", "pitch", "roll"))
        print(f"{event.t:.2f} s  face {event.face['track']:.0f}  {yaw:+.0f}° {pitch:+.0f}° {roll:+.0f}°  {values}")
except emothinker.Error as error:
    sys.exit(str(error))
