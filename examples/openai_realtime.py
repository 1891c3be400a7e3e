"""Send a picture and a recording of speech by the client of OpenAI's Realtime API, and print what is written of them.

pip install 'openai[realtime]'      (in a virtual environment of its own: it needs older packages than EmoThinker)
python examples/openai_realtime.py picture.jpg speech.wav        (16-bit sound, mono)

OPENAI_API_KEY is the server's token, where it has one; EMOTHINKER names another server than the one on this machine.
"""

import asyncio
import base64
import os
import sys
import wave
from pathlib import Path

try:
    from openai import AsyncOpenAI, OpenAIError
except ModuleNotFoundError:
    sys.exit("The package of OpenAI's client is missing: pip install 'openai[realtime]'")

SERVER = os.environ.get("EMOTHINKER", "http://localhost:8080")
RATE_HZ = 24_000


def picture(file: str) -> str:
    kind = "png" if file.endswith(".png") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(Path(file).read_bytes()).decode()}"


def speech(file: str) -> str:
    """The samples at 24 kHz, each the nearest of the recording."""
    with wave.open(file) as sound:
        given, rate_hz = memoryview(sound.readframes(sound.getnframes())).cast("h"), sound.getframerate()
    taken = (given[number * rate_hz // RATE_HZ] for number in range(len(given) * RATE_HZ // rate_hz))
    return base64.b64encode(b"".join(sample.to_bytes(2, "little", signed=True) for sample in taken)).decode()


async def main(shown: str, heard: str) -> None:
    client = AsyncOpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none"), base_url=f"{SERVER}/v1")
    async with client.realtime.connect(model="nano") as connection:
        image = {"type": "input_image", "image_url": picture(shown)}
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": [image]})
        await connection.input_audio_buffer.append(audio=speech(heard))
        await connection.input_audio_buffer.commit()
        async for event in connection:
            match event.type:
                case "response.output_text.delta":
                    print(event.delta, end="", flush=True)
                case "response.done":
                    print(f"\n{event.response.status}: {event.response.metadata['label']}")
                    return
                case "error":
                    sys.exit(event.error.message)


if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    asyncio.run(main(*sys.argv[1:]))
# No such file, no server there, or a sound that is no WAV.
except (OSError, OpenAIError, wave.Error, EOFError) as error:
    sys.exit(f"{error}. The server is expected at {SERVER}; EMOTHINKER=http://… names another.")
