"""Measure faces and voices with Hume's own Python SDK, by a server of yours in place of Hume's.

pip install hume==0.13.0            (in a virtual environment of its own: it needs older packages than EmoThinker)
python examples/from_hume.py picture.jpg speech.wav

Of a program for Hume's expression measurement, only the environment changes. HUME_API_KEY is the server's token, where
it has one; EMOTHINKER names another server than the one on this machine.
"""

import os
import sys

try:
    from hume import HumeClient, HumeClientEnvironment
    from hume.expression_measurement.stream import Config, StreamErrorMessage, StreamFace
except ModuleNotFoundError:
    sys.exit("Hume's package is missing: pip install hume==0.13.0")

SERVER = os.environ.get("EMOTHINKER", "ws://localhost:8080")


def main(files: list[str]) -> int:
    environment = HumeClientEnvironment(
        base=SERVER.replace("ws", "http", 1), evi=SERVER, tts=SERVER, stream=f"{SERVER}/v0/stream"
    )
    client = HumeClient(api_key=os.environ.get("HUME_API_KEY", "none"), environment=environment)
    wrong = 0
    with client.expression_measurement.stream.connect() as socket:
        for file in files:
            is_sound = file.endswith((".wav", ".mp3", ".flac", ".ogg"))
            config = Config(prosody={}) if is_sound else Config(face=StreamFace(facs={}, identify_faces=True))
            result = socket.send_file(file, config=config)
            if isinstance(result, StreamErrorMessage):
                print(f"{file}: {result.code} {result.error}")
                wrong = 1
                continue
            part = result.prosody if is_sound else result.face
            for prediction in part.predictions or []:
                best = max(prediction.emotions, key=lambda emotion: emotion.score)
                units = [unit.name for unit in getattr(prediction, "facs", None) or [] if unit.score > 0.3]
                print(f"{file}: {best.name} {best.score:.2f} {', '.join(units)}".rstrip())
            if not part.predictions:
                print(f"{file}: {part.warning}")
    return wrong


if len(sys.argv) < 2:
    sys.exit(__doc__)
try:
    sys.exit(main(sys.argv[1:]))
except OSError as error:
    sys.exit(f"{error}. The server is expected at {SERVER}; EMOTHINKER=ws://… names another.")
