"""Follow a live session of a running server, and print every label. A lost connection loses no event.

python examples/follow_session.py 'http://localhost:8080/sessions/ID#SECRET'
"""

import asyncio
import sys

import emothinker


async def main(url: str) -> None:
    async for event in emothinker.follow(url):
        if event.type == "label":
            print(f"{event.t:7.2f} s  {event.source:5}  {event.label}", flush=True)


if len(sys.argv) != 2:
    sys.exit(__doc__)
try:
    asyncio.run(main(sys.argv[1]))
except emothinker.Error as error:
    sys.exit(str(error))
