"""Analyse this machine's camera and microphone, and print every label until Ctrl+C.

    python examples/live_camera.py
    python examples/live_camera.py 1 none

The first word is the camera's number or name, the second the microphone's name; `none` does without. Tell those who are
seen or heard before it begins.
"""

import sys

import emothinker

camera, microphone = [*sys.argv[1:], *["0", "default"][len(sys.argv) - 1 :]]
try:
    for event in emothinker.live(
        camera=int(camera) if camera.isdigit() else None if camera == "none" else camera,
        microphone=None if microphone == "none" else microphone,
    ):
        if event.type == "label":
            print(f"{event.t:7.2f} s  {event.source:5}  {event.label}", flush=True)
except KeyboardInterrupt:
    pass
except emothinker.Error as error:
    sys.exit(str(error))
