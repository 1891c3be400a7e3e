"""Ask a live session a question of your own, with labels of your own. The next window answers it.

    python examples/own_labels.py http://localhost:8080/sessions/ID SECRET "Is this sarcasm?" sincere sarcastic

Give no question and no labels to go back to the model's own.
"""

import json
import sys
from urllib.request import Request, urlopen

session, secret, *asked = sys.argv[1:]
question = {"query": asked[0] if asked else None, "labels": asked[1:] or None}
headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
with urlopen(Request(f"{session}/ask", json.dumps(question).encode(), headers, method="PUT")) as answer:
    print(answer.read().decode())
