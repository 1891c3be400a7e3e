"""Ask a live session a question of your own, with labels of your own. The next window answers it.

    python examples/own_labels.py http://localhost:8080/sessions/ID SECRET "Do face and voice agree?" joy anger other

nano, the model that is included, answers some kinds of questions (docs/api.md), and tells its emotions in your labels.
Give no question and no labels to go back to the model's own.
"""

import json
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

if len(sys.argv) < 3:
    sys.exit(__doc__)
session, secret, *asked = sys.argv[1:]
question = {"query": asked[0] if asked else None, "labels": asked[1:] or None}
headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
try:
    with urlopen(Request(f"{session}/ask", json.dumps(question).encode(), headers, method="PUT")) as answer:
        print(answer.read().decode())
except HTTPError as error:
    # The body says what was wrong, and what to do.
    problem = json.load(error)
    sys.exit(f"{problem['detail']} {problem['hint']}")
except URLError as error:
    sys.exit(f"{session} does not answer: {error.reason}.")
except ValueError:
    sys.exit(f"{session} is not the address of a session.")
