"""Whether a question asks for a summary of the last minutes, and of how many: "Summarise the last two minutes".

Plain wordings of English, German, Spanish and French are known. A summary is no question about the next windows: it is
told once, from what the session has told already (`session.py`).
"""

from __future__ import annotations

import re

from realtime.asking.declined import fold

USUAL_S = 120.0
LEAST_S, MOST_S = 30.0, 600.0
"Shorter ones hold a few moments, and a session keeps its events for ten minutes (`publish.kept_s`)."

_ASKS = re.compile(
    r"\bsummari[sz]e\b|\bsummary\b|\bsum up\b|\brecap\b|\bzusammen\s?fass\w*|\bzusammenfassung\b|"
    # "Resume" is an English word, too.
    r"\bfass\w*\b.*\bzusammen\b|\bresumen\b|\bresum(?:e|es|ez|er|ir)\b.*\b(?:minut|second|segund)"
)
"Folded: without accents, in lower case."
_UNIT = r"(?P<unit>seconds?|secs?|s|minutes?|mins?|sekunden?|minuten?|segundos?|minutos?|secondes?)"
_WORDS = (
    ("one", "a", "eine", "un", "una", "une"),
    ("two", "zwei", "dos", "deux"),
    ("three", "drei", "tres", "trois"),
    ("four", "vier", "cuatro", "quatre"),
    ("five", "funf", "cinco", "cinq"),
    ("six", "sechs", "seis"),
    ("seven", "sieben", "siete", "sept"),
    ("eight", "acht", "ocho", "huit"),
    ("nine", "neun", "nueve", "neuf"),
    ("ten", "zehn", "diez", "dix"),
)
NUMBERS = {word: float(number) for number, words in enumerate(_WORDS, start=1) for word in words}
_SPAN = re.compile(rf"\b(?P<number>\d+|{'|'.join(NUMBERS)})\s+(?:\w+\s+)?{_UNIT}\b|\b(?P<half>half a minute)\b")
_HOURS = re.compile(r"\b(?:hours?|stunden?|horas?|heures?)\b")
_LAST_MINUTE = re.compile(r"\b(?:last|past|letzten?|ultimo|derniere) (?:minute|minuto)\b")


def summary_asked(query: str | None) -> float | None:
    """Of how many of the last seconds a summary is asked for; None where the question asks for none."""
    folded = fold(query or "")
    if not _ASKS.search(folded):
        return None
    return min(max(_seconds(folded), LEAST_S), MOST_S)


def _seconds(folded: str) -> float:
    found = _SPAN.search(folded)
    if found is None and _HOURS.search(folded):
        return MOST_S
    if found is None:
        return 60.0 if _LAST_MINUTE.search(folded) else USUAL_S
    if found["half"]:
        return LEAST_S
    number = NUMBERS.get(found["number"]) or float(found["number"])
    return number * (60.0 if found["unit"].startswith("min") else 1.0)
