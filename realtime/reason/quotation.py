"""Somebody's words as a part of the prompt: on one line, short, and nothing in them that could end the quotation."""

from __future__ import annotations

import re

from realtime.reason.sequence import Encoder

SAID_TOKENS = 64
"The judgement reads so much of what was said: its end."
QUOTE_SLOTS = 16
"KV-cache slots of what stands around a quotation, and of tokens that split otherwise beside it."
MARKUP = re.compile(r'[<>|"“”]')
"What could be read as a tag, a special token or the end of the quotation."


def quoted(words: str, encoder: Encoder) -> str:
    """The last `SAID_TOKENS` tokens of what was said, from the beginning of a word on where there is one."""
    text = " ".join(MARKUP.sub(" ", words).split())
    while (n := len(encoder.ids(text))) > SAID_TOKENS:
        rest = text[min(-(-len(text) * (n - SAID_TOKENS) // n), len(text) - 1) :]
        text = rest.partition(" ")[2] or rest
    return text
