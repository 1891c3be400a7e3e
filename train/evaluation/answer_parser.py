"""Parses a written answer into a label: our chain, a bare label, a sentence, JSON, another language.

It is strict where a benchmark would be flattered otherwise: it never looks for the truth in the text, two different
emotions that are both affirmed are no answer, and a negated one does not count. Serving uses
`realtime.reason.chain.read_answer`; this parser also reads what other models write. It never raises
(`tests/train/test_answer_parser.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from realtime.reason.prompt import UNSURE

FORMS: Mapping[str, tuple[str, ...]] = {
    "happy": ("happiness", "happily", "joy", "joyful", "glad", "delighted", "高兴", "开心", "快乐", "喜悦", "glücklich",
              "fröhlich", "freude", "heureux", "heureuse", "joie", "feliz", "alegre", "alegría"),
    "sad": ("sadness", "sadly", "sorrow", "sorrowful", "悲伤", "伤心", "难过", "traurig", "trauer", "triste",
            "tristesse", "tristeza"),
    "neutral": ("calm", "中性", "平静", "中立", "neutre", "neutro"),
    "angry": ("anger", "angrily", "furious", "mad", "愤怒", "生气", "wütend", "wut", "ärger", "zornig", "colère",
              "enojado", "enojada", "enfadado", "ira"),
    "surprise": ("surprised", "surprising", "astonished", "astonishment", "惊讶", "惊奇", "吃惊", "überrascht",
                 "überraschung", "surpris", "sorpresa", "sorprendido", "sorprendida"),
    "disgust": ("disgusted", "disgusting", "厌恶", "恶心", "反感", "ekel", "angeekelt", "dégoût", "dégoûté", "asco"),
    "fear": ("fearful", "afraid", "scared", "frightened", "害怕", "恐惧", "担心", "angst", "ängstlich", "peur",
             "miedo"),
    "sarcastic": ("sarcasm", "ironic", "讽刺"),
    "sincere": ("not sarcastic", "no sarcasm", "literal", "genuine"),
    "humorous": ("funny", "humor", "humour", "joke", "幽默"),
    "serious": ("not humorous", "not funny", "no humor", "no humour"),
    UNSURE: ("uncertain", "not sure", "cannot tell", "can't tell", "unclear"),
}  # fmt: skip
"Other words for a label, first under the names of the product."
SAME = {"joy": "happy", "anger": "angry", "sadness": "sad"}
"Names that published sets use for these labels (MELD)."
NEGATIONS = frozenset(
    re.split(
        r"\s+",
        "not no never neither nor without isn't aren't wasn't doesn't don't didn't hardly cannot nicht kein keine "
        "weder noch pas ni jamais sin nunca isn’t doesn’t don’t",
    )
)
CJK_NEGATION = re.compile(r"[不没无]|并非|而非|绝非|非是")
CJK_NO_NEGATION = re.compile(r"非常|不仅|不只|不但|不过|不禁|无疑")
"Words that contain such a character and negate nothing."
CJK_BREAKS = re.compile(r"而是|但是|但|却|然而")
CJK_REACH = 6
"The most characters between a negation and what it negates."
BREAKS = frozenset(
    ("but", "however", "although", "though", "yet", "sondern", "mais", "sino", "except",
     "looks", "seems", "appears", "sounds", "feels", "shows")
)  # fmt: skip
"A negation ends at these words. A negated verb has its bare form (doesn't look), so these forms are not negated."
REACH = 4
"The most words between a negation and what it negates."
LOOK_BACK = 160
"Characters before a mention in which a negation is looked for."
CONCLUDES = re.compile(
    r"\b(?:final answer|answer|label|prediction|predicted emotion|overall|therefore|in conclusion|i choose)\b"
    r"(?:\s+(?:is|would be|emotion is))?\s*[:=]?|答案[是为:：]?|最终[是为:：]?",
    re.IGNORECASE,
)
CJK = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]")
KEYS = ("answer", "label", "emotion", "prediction")


@dataclass(frozen=True)
class FoundLabel:
    label: str | None
    "One of the labels, `unsure`, or None."
    how: str
    "`chain`, `json`, `text`, `conclusion`; or why there is none: `empty`, `names none`, `names several`."


def parse(text: object, labels: Sequence[str]) -> FoundLabel:
    """The one label that the text names."""
    return _parse(text if isinstance(text, str) else "" if text is None else str(text), tuple(labels))


@lru_cache(maxsize=4096)
def _parse(words: str, labels: tuple[str, ...]) -> FoundLabel:
    """Cached, because thousands of answers are bare labels."""
    part, how = _answer_part(words, labels)
    if not part.strip():
        return FoundLabel(None, "empty")
    named = list(dict.fromkeys(mention for _, mention in affirmed(part, labels)))
    if len(named) == 1:
        return FoundLabel(named[0], how)
    if not named:
        return FoundLabel(None, "names none")
    ends = [match.end() for match in CONCLUDES.finditer(part)]
    if ends:
        sentence = re.split(r"[.!?\n。！？]", part[ends[-1] :].lstrip(" \n:*\"'"), maxsplit=1)[0]
        concluded = {mention for _, mention in affirmed(sentence, labels)}
        if len(concluded) == 1:
            return FoundLabel(concluded.pop(), "conclusion")
    return FoundLabel(None, "names several")


def affirmed(text: str, labels: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(place, label) of every mention that is not negated, in order."""
    lowered = text.lower()
    pattern, meaning = _pattern(labels)
    for match in pattern.finditer(lowered):
        if not _negated(lowered[max(0, match.start() - LOOK_BACK) : match.start()]):
            yield match.start(), meaning[match.group(0)]


@lru_cache(maxsize=64)
def _pattern(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern for all words of all labels, longest first, and the label of each word. A label's own name wins."""
    meaning: dict[str, str] = {}
    for label in (*labels, UNSURE):
        product = SAME.get(label.lower(), label.lower())
        for form in (product, *FORMS.get(product, ())):
            meaning.setdefault(form, label)
    meaning.update({label.lower(): label for label in labels})
    parts = [
        re.escape(word) if CJK.search(word) else rf"(?<!\w){re.escape(word)}(?!\w)"
        for word in sorted(meaning, key=len, reverse=True)
        if word
    ]
    return re.compile("|".join(parts)), meaning


def _highest(value: Mapping[str, object], labels: tuple[str, ...]) -> str | None:
    """The label with the one highest score, where every entry is a number for a label."""
    named = {label.lower() for label in (*labels, UNSURE)}
    scores = {name: float(told) for name, told in value.items() if isinstance(told, (int, float))}
    if len(scores) < 2 or len(scores) < len(value) or not {name.lower() for name in scores} <= named:
        return None
    best = max(scores.values())
    highest = [name for name, score in scores.items() if score == best]
    return highest[0] if len(highest) == 1 else None


def _negated(before: str) -> bool:
    clause = re.split(r"[.,;:!?()\n。，；：！？]", before)[-1]
    if CJK.search(clause):
        near = CJK_BREAKS.split(CJK_NO_NEGATION.sub("", clause))[-1][-CJK_REACH:]
        if CJK_NEGATION.search(near):
            return True
    words = re.findall(r"[\w'’]+", clause)[-REACH:]
    for place in range(len(words) - 1, -1, -1):
        word, following = words[place], words[place + 1] if place + 1 < len(words) else ""
        if word in BREAKS:
            return False
        if (word, following) in (("rather", "than"), ("instead", "of")):
            return True
        if word in NEGATIONS or word.endswith(("n't", "n’t")):
            return following not in ("only", "just", "nur", "solo")
    return False


def _answer_part(text: str, labels: tuple[str, ...]) -> tuple[str, str]:
    """The answering part: the `answer` section, a JSON field, JSON scores, or the text without `<think>` parts."""
    if "<" in text:
        text = re.sub(r"<think>.*?(?:</think>|\Z)", "", text, flags=re.DOTALL | re.IGNORECASE)
        closed = re.findall(r"<answer>(.*?)</answer>", text, flags=re.DOTALL | re.IGNORECASE)
        if closed:
            return closed[-1], "chain"
        _, tag, rest = text.rpartition("<answer>")
        if tag:
            return rest, "chain"
    found = re.search(r"\{[^{}]*\}", text) if "{" in text else None
    if found:
        try:
            value = json.loads(found.group(0))
        except ValueError:
            value = {}
        told = next((value[key] for key in KEYS if isinstance(value.get(key), str)), None)
        told = _highest(value, labels) if told is None else told
        if told is not None:
            return told, "json"
    return text, "text"
