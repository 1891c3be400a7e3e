"""EmoThinker live: watches and listens in real time and says, as it goes, what a face and a voice show, which emotion
that points to, and why.
"""

import os

# onnxruntime 1.31 reports its use to its makers unless told before it is loaded; nothing may leave this machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
