"""Mark the trials of an experiment in a live session, and keep the session as a file for ELAN.

    python examples/mark_trials.py 'http://localhost:8080/sessions/ID#SECRET' session.eaf holiday exam birthday

Each mark comes back at its media time, and is in every file of the session: `.eaf` for ELAN, `.TextGrid` for Praat,
`.vtt` for subtitles, `.xdf` for Lab Streaming Layer's tools.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import emothinker

TRIAL_S = 2.0

address, file, *words = sys.argv[1:]
session, _, secret = address.partition("#")
headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}


def mark(name: str, **data: str | int) -> float:
    """Mark this moment; its media second."""
    body = json.dumps({"name": name, "data": data}).encode()
    with urlopen(Request(f"{session}/marks", body, headers, method="POST")) as answer:
        return float(json.load(answer)["t"])


events = emothinker.follow(address)
with ThreadPoolExecutor() as threads:
    saving = threads.submit(events.to_file, file)
    for number, word in enumerate(words, 1):
        print(f"{mark('trial', number=number, word=word):7.2f} s  {word}", flush=True)
        time.sleep(TRIAL_S)
    print(f"When the session ends, {file} is written.", flush=True)
    try:
        saving.result()
    except emothinker.Error as error:
        sys.exit(str(error))
