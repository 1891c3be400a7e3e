"""The wording of the prompt, for training and serving alike.

A sequence is `prefix | evidence chunks | branch`:

    prefix    <|im_start|>system … <|im_end|> <|im_start|>user QUERY        attended to by every chunk
    evidence  <|vision_bos|> … <|vision_eos|>   <|audio_bos|> … <|audio_eos|>
    branch    STATE <|im_end|> <|im_start|>assistant <label>…  or  <voice>…</voice><face>…

`STATE` names what is in view and heard, before a description what was measured, and before a judgement what was said.
It is part of the branch, so that the prefix is the same for a whole session.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.model.config import STOCK_PROMPT
from realtime.records import LABELS as LABELS
from realtime.records import SECTIONS as SECTIONS
from realtime.records import Question as Question

ARGUMENT = "coarse"
"The section with which the argument begins. Those before it describe the evidence."
UNSURE = "unsure"
INTENSITIES = ("slight", "moderate", "strong")
END_OF_TURN = "<|im_end|>"
VISION_START, VISION_END = "<|vision_bos|>", "<|vision_eos|>"
AUDIO_START, AUDIO_END = "<|audio_bos|>", "<|audio_eos|>"
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", END_OF_TURN, VISION_START, VISION_END, AUDIO_START, AUDIO_END)
TAGS = tuple(tag for section in SECTIONS for tag in (f"<{section}>", f"</{section}>"))
LABEL_TAG = "<label>"


@dataclass(frozen=True)
class Wording:
    """One wording of the prompt. A checkpoint is bound to the one that it was trained with; a stock one has its own."""

    system: str
    question: str
    format: str
    "How to answer. A model trained on the chain needs no such text."


WORDINGS = {
    "nano": Wording(system="Watch and listen.", question="What does the person feel?", format=""),
    "omni": Wording(
        system=(
            "You watch and listen to people in real time. You say only what the picture and the sound show, "
            "you name what is missing, and you never identify anyone."
        ),
        question="Which emotion do the face and the voice point to?",
        format=(
            " Answer in these sections, each closed before the next opens: <voice>pitch, loudness, rate, "
            "timbre</voice><face>expression and facial action cues of each person</face><context>pose, gesture, "
            "surroundings</context><atmosphere>brightness, saturation</atmosphere><coarse>overall tendency; how "
            "reliable each modality is here</coarse><fine>argue any conflict out; category and intensity</fine>"
            "<answer>label, slight|moderate|strong</answer>"
        ),
    ),
    # A small model copies whatever stands between tags in its prompt, so here nothing does.
    STOCK_PROMPT: Wording(
        system=(
            "You watch and listen to people in real time. You say only what the picture and the sound show, "
            "you name what is missing, and you never identify anyone."
        ),
        question="Which emotion do the face and the voice point to?",
        format=(
            " Write a sentence or two of your own in each section: in <voice>, pitch, loudness and rate; in <face>, "
            "expression and facial actions of each person; in <context>, pose, gesture and surroundings; in "
            "<atmosphere>, brightness and colour; in <coarse>, the overall tendency, and how reliable picture and "
            "sound are here; in <fine>, which emotion and how strong, weighing any conflict. In <answer>, write one "
            f"label or {UNSURE}, then slight, moderate or strong. End each section with its closing tag."
        ),
    ),
}


def query_text(wording: str, question: Question) -> str:
    """The text query, to which the selectors attend too (E^q)."""
    words = WORDINGS[wording]
    return f"{question.put or words.question} {', '.join(question.labels)}."


def prefix_text(wording: str, question: Question) -> str:
    """The prompt prefix: system prompt and the beginning of the user's turn."""
    words = WORDINGS[wording]
    system = f"<|im_start|>system\n{words.system}{words.format}{END_OF_TURN}\n"
    return f"{system}<|im_start|>user\n{query_text(wording, question)}\n"


def branch_text(
    *, n_faces: int, has_picture: bool, has_speech: bool, opening: str, measured: str = "", said: str = ""
) -> str:
    """The state, the end of the user's turn, and the opening tag of the answer (`LABEL_TAG` or the first section's).

    `measured` is what was measured, as a sentence after a space (`measurements.py`). `said` is a quotation of the
    newest utterance (`quotation.py`).
    """
    if not has_picture:
        seen = "no picture"
    elif n_faces == 0:
        seen = "no face"
    else:
        seen = "1 face" if n_faces == 1 else f"{n_faces} faces"
    heard = "speech" if has_speech else "no speech"
    words = f' Said: "{said}".' if said else ""
    return f"\nIn view: {seen}. Heard: {heard}.{measured}{words}{END_OF_TURN}\n<|im_start|>assistant\n{opening}"
