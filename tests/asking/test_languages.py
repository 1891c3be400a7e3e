"""Questions that a model of few words is asked in its own words, and answered in the person's language."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from realtime.asking.languages import ANSWERS, CUES, KINDS, NOT_KNOWN, in_language, language_of, translated
from realtime.asking.question import question_of
from realtime.asking.restated import ABOUT
from realtime.engine.loading import LoadedModel
from realtime.errors import BadAsk
from realtime.reason.measurements import CUE_WORDS, VOICE_WORDS
from realtime.records import LABELS, Question, ReasonDelta, ReasonDone
from tests.reason.windows import BOTH, measured
from train.coet.measured import Observation, PersonSeen, VoiceHeard
from train.coet.questions import KnownQuestion
from train.coet.wordings import ASKED, Kind, all_wordings

ENGLISH = (
    "Do you see lip corners pulled up?",
    "Is the voice louder or quieter than before?",
    "How many people are there?",
    "Do face and voice agree?",
    "Do you see jaw dropped?",
    "Is it bright or dark?",
    "Is the person calm or excited?",
    "Is the voice higher or lower than usual?",
    "When did the face change?",
    "When did this change: lip corners pulled up?",
    "When did the voice begin?",
    "Who has the lip corners pulled up more?",
    "What changed first, the face or the voice?",
    "What changed first, the face or the voice?",
    "What changed?",
)
BY_A_RULE = ("When", "Who", "What", "Is the voice louder or quieter than before?")
"How those begin that the model is not asked."
ASKED_IN = {
    "de": (
        "Lächelt die Person?", "Ist die Stimme lauter als vorher?", "Wie viele Personen sind da?",
        "Passen Gesicht und Stimme zusammen?", "Ist der Mund offen?", "Ist es hier dunkel?",
        "Ist die Person ruhig oder aufgeregt?", "Ist die Stimme höher als sonst?",
        "Wann hat sich das Gesicht verändert?", "Seit wann lächelt sie?", "Wann hat er angefangen zu sprechen?",
        "Wer lächelt mehr?", "Was kam zuerst, das Gesicht oder die Stimme?",
        "Hat sich das Gesicht vor der Stimme verändert?", "Was hat sich verändert?",
    ),
    "es": (
        "¿Está sonriendo la persona?", "¿Suena la voz más alta que antes?", "¿Cuántas personas hay?",
        "¿Coinciden la cara y la voz?", "¿Está abierta la boca?", "¿Está oscuro aquí?",
        "¿Está la persona tranquila o agitada?", "¿Es la voz más aguda de lo normal?",
        "¿Cuándo cambió la cara?", "¿Desde cuándo sonríe?", "¿Cuándo empezó a hablar?", "¿Quién sonríe más?",
        "¿Qué cambió primero, la cara o la voz?", "¿Cambió la cara antes que la voz?", "¿Qué ha cambiado?",
    ),
    "fr": (
        "La personne sourit-elle ?", "La voix est-elle plus forte qu'avant ?", "Combien de personnes y a-t-il ?",
        "Le visage et la voix concordent-ils ?", "La bouche est-elle ouverte ?", "Fait-il sombre ici ?",
        "La personne est-elle calme ou agitée ?", "La voix est-elle plus aiguë que d'habitude ?",
        "Quand le visage a-t-il changé ?", "Depuis quand sourit-elle ?", "Quand a-t-il commencé à parler ?",
        "Qui sourit le plus ?", "Qu'est-ce qui a changé en premier, le visage ou la voix ?",
        "Le visage a-t-il changé avant la voix ?", "Qu'est-ce qui a changé ?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", ASKED_IN)
def test_questions_of_other_languages_are_put_in_words_that_the_model_knows(language: str) -> None:
    for query, english in zip(ASKED_IN[language], ENGLISH, strict=True):
        question = question_of(query, None)
        assert (question.query, question.read_as, question.language) == (query, english, language)
        assert question.put == (None if english.startswith(BY_A_RULE) else english), "a rule answers it"
        assert question.about == ABOUT[english]
        # A general model gets it as it is.
        assert question_of(query, None, open_labels=True) == Question(query)


@pytest.mark.parametrize(
    ("query", "put"),
    [
        ("Wie stark lächelt sie?", "How strongly are the lip corners pulled up?"),
        ("¿Frunce el ceño?", "Do you see brows lowered?"),
        ("Les lèvres sont-elles pincées ?", "Do you see lips pressed?"),
    ],
)
def test_cues_are_known_in_other_languages(query: str, put: str) -> None:
    assert question_of(query, None).put == put


@pytest.mark.parametrize("query", ["Warum lächelt sie?", "¿Por qué sonríe?", "Où est la bouche ouverte ?"])
def test_what_asks_for_more_than_whether_is_not_read_as_that(query: str) -> None:
    assert translated(query) is None


@pytest.mark.parametrize(
    "query", ["Ist sie wütend?", "Was fühlt die Person?", "¿Está enfadada?", "Est-elle en colère ?"]
)
def test_what_somebody_feels_is_the_models_own_question(query: str) -> None:
    question = question_of(query, None)
    assert (question.query, question.put) == (query, None)


@pytest.mark.parametrize(
    ("query", "language"),
    [("Was ist die Hauptstadt von Deutschland?", "de"), ("¿Por qué?", "es"), ("Pourquoi est-il ici ?", "fr")],
)
def test_what_is_not_understood_is_said_in_that_language(query: str, language: str) -> None:
    with pytest.raises(BadAsk) as refused:
        question_of(query, None)
    assert (refused.value.message, refused.value.hint) == NOT_KNOWN[language_of(query) or "en"]
    assert language_of(query) == language
    assert question_of(query, None, open_labels=True).query == query


def test_english_is_never_taken_for_another_language() -> None:
    """The model was taught these wordings; those of the kind `untold` hold other languages, too."""
    for kind, patterns in ASKED.items():
        for pattern in patterns if kind != "untold" else patterns[:13]:
            for text in all_wordings(pattern):
                query = text.replace("{cue}", "mouth corners drawn up")
                assert language_of(query) in (None, "en"), query
                assert translated(query) is None, query


@pytest.mark.parametrize(
    "query", ["Who's showing more disgust, person A or person B?", "Is person B squinting more than person A?"]
)
def test_a_word_of_two_languages_said_twice_makes_no_other_language(query: str) -> None:
    assert language_of(query) == "en"


def test_all_that_is_put_to_the_model_was_taught_to_it() -> None:
    taught = {text for patterns in ASKED.values() for pattern in patterns for text in all_wordings(pattern)}
    assert {text for text, _ in KINDS} <= taught
    assert {"Do you see {cue}?", "How strongly are the {cue}?"} <= taught
    cues = {wording for wordings in CUE_WORDS.values() for wording in wordings}
    assert {cue for cue, _ in CUES} <= cues


def test_every_answer_to_them_is_told_in_all_languages() -> None:
    rng = np.random.default_rng(0)
    kinds: tuple[Kind, ...]
    kinds = ("presence", "degree", "count", "loudness", "pitch", "rate", "agreement", "valence", "arousal", "light")
    for kind in kinds:
        for _ in range(40):
            shares = rng.dirichlet(np.full(7, 0.3))
            shown = {"lip_corner_pull": float(rng.random())}
            person = PersonSeen(shown, (0.0, 0.0, 0.0), (0.5, 0.5), 0.4, shares)
            voice = VoiceHeard({key: float(rng.normal()) for key in VOICE_WORDS}, rng.dirichlet(np.full(7, 0.3)), None)
            seen = Observation(
                (person,) * int(rng.integers(6)), voice=voice if rng.random() < 0.8 else None, shares=shares
            )
            assert KnownQuestion(kind, "", "lip_corner_pull").answer(seen) in ANSWERS


def test_the_answer_is_told_in_the_language_and_the_label_stays() -> None:
    told = {"fine": "It points to happy.", "answer": "Yes, clearly. happy, moderate"}
    assert in_language(told, "de") == {**told, "answer": "Ja, deutlich. happy, moderate"}
    assert in_language(told, "fr")["answer"] == "Oui, nettement. happy, moderate"
    assert in_language(told, "en") == told
    assert in_language({"answer": "happy, moderate"}, "es") == {"answer": "happy, moderate"}


def test_nano_answers_a_german_question_in_german(nano: LoadedModel) -> None:
    window = measured(BOTH, {"lip_corner_pull": 0.8, "cheek_raise": 0.6}, {})

    def answered(question: Question) -> tuple[str, str]:
        deltas, done = [], None
        for step in nano.thinker.reason(window, question):
            deltas += [step.text] if isinstance(step, ReasonDelta) and step.section == "answer" else []
            done = step if isinstance(step, ReasonDone) else done
        assert done is not None
        return "".join(deltas), done.sections["answer"]

    german = question_of("Wie viele Personen sind da?", None, LABELS)
    streamed, told = answered(german)
    assert streamed == told
    english = answered(replace(german, language="en"))[1]
    assert answered(question_of("How many people are there?", None, LABELS))[1] == english
    said, rest = english.split(".", 1)
    assert told == f"{ANSWERS[said][0]}.{rest}"
