"""Words for the seven emotions, and for sets of them: labels in which a model that knows these can tell its choice.

A word stands for an emotion where it names the emotion, or a kind of it that the emotion's family has in published
groupings: Shaver et al., 1987 (Emotion knowledge, Journal of Personality and Social Psychology 52, 1061–1086) and the
Ekman grouping of GoEmotions (Demszky et al., ACL 2020). So "rage" is anger here; whether anger is rage, no model of
ours knows. Words between families, such as stress, shame or boredom, are left out: they would be guesses. So is
surprise in "positive" and "negative", since it can be either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from realtime.asking.declined import fold
from realtime.records import LABELS, OwnLabel

NEGATIVE = ("sad", "angry", "disgust", "fear")
WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("happy",),
        "happy, happiness, joy, joyful, joyous, glad, cheerful, delight, delighted, pleased, amused, amusement, "
        "elated, contented, merry, glücklich, glück, froh, fröhlich, fröhlichkeit, freude, freudig, erfreut, "
        "heiter, amüsiert, feliz, felicidad, alegre, alegría, contento, contenta, content, contente, heureux, "
        "heureuse, bonheur, joie, joyeux, joyeuse, gai, gaie",
    ),
    (
        ("sad",),
        "sad, sadness, unhappy, unhappiness, sorrow, sorrowful, grief, grieving, gloomy, melancholy, melancholic, "
        "miserable, disappointed, disappointment, traurig, traurigkeit, trauer, unglücklich, betrübt, enttäuscht, "
        "enttäuschung, triste, tristeza, infeliz, pena, decepcionado, decepcionada, tristesse, malheureux, "
        "malheureuse, déçu, déçue, chagrin",
    ),
    (
        ("neutral",),
        "neutral, neutrality, calm, calmness, unemotional, emotionless, expressionless, no emotion, ruhig, "
        "gelassen, unbewegt, neutro, neutra, calmado, calmada, tranquilo, tranquila, neutre, calme, tranquille",
    ),
    (
        ("angry",),
        "angry, anger, rage, enraged, fury, furious, mad, annoyed, annoyance, irritated, irritation, outraged, "
        "frustrated, frustration, wütend, wut, zornig, zorn, ärger, ärgerlich, verärgert, sauer, böse, frustriert, "
        "enfadado, enfadada, enojado, enojada, enfado, enojo, ira, furioso, furiosa, rabia, en colère, colère, "
        "fâché, fâchée, furieux, furieuse, énervé, énervée",
    ),
    (
        ("surprise",),
        "surprise, surprised, astonished, astonishment, amazed, amazement, startled, überrascht, überraschung, "
        "erstaunt, erstaunen, verblüfft, sorpresa, sorprendido, sorprendida, asombrado, asombrada, asombro, "
        "surpris, étonné, étonnée, étonnement",
    ),
    (
        ("disgust",),
        "disgust, disgusted, revulsion, revolted, repulsed, ekel, angeekelt, angewidert, abscheu, asco, asqueado, "
        "asqueada, repugnancia, dégoût, dégoûté, dégoûtée",
    ),
    (
        ("fear",),
        "fear, fearful, afraid, scared, frightened, fright, terror, terrified, horror, panic, panicked, anxious, "
        "nervous, nervousness, worried, worry, angst, ängstlich, verängstigt, furcht, furchtsam, erschrocken, "
        "panik, nervös, besorgt, miedo, temor, asustado, asustada, temeroso, temerosa, nervioso, nerviosa, "
        "preocupado, preocupada, peur, apeuré, apeurée, effrayé, effrayée, nerveux, nerveuse, inquiet, inquiète",
    ),
    (
        ("happy",),
        "positive, positive mood, positive emotion, pleasant, good mood, positiv, angenehm, gute stimmung, "
        "positivo, positiva, agradable, positif, agréable, bonne humeur",
    ),
    (
        NEGATIVE,
        "negative, negative mood, negative emotion, unpleasant, bad mood, negativ, unangenehm, schlechte stimmung, "
        "negativo, negativa, desagradable, négatif, désagréable, mauvaise humeur",
    ),
    (
        tuple(label for label in LABELS if label != "neutral"),
        "emotional, emotion, any emotion, gefühl, gefühlvoll, emocional, émotionnel, émotionnelle",
    ),
)
"(emotions, the words for them), in English, German, Spanish and French."
NOT = ("not ", "no ", "non-", "nicht ", "kein ", "keine ", "keinen ", "sin ", "pas ", "pas de ", "sans ")
OTHER = (
    *(
        "other",
        "others",
        "other emotion",
        "another emotion",
        "something else",
        "anything else",
        "none of these",
        "neither",
    ),
    *("anderes", "etwas anderes", "andere", "sonstiges", "otro", "otra", "otros", "autre", "autres", "autre chose"),
)
"Words for all emotions that no other label of the set is for."
MEANINGS = {fold(word): emotions for emotions, words in WORDS for word in words.split(", ")}


def emotions_of(label: str) -> tuple[str, ...] | None:
    """The emotions that a label is for, in the order of `LABELS`; None where none of our words says it."""
    folded = fold(label)
    if folded in MEANINGS:
        return MEANINGS[folded]
    for word in NOT:
        meant = MEANINGS.get(folded.removeprefix(word)) if folded.startswith(word) else None
        if meant is not None:
            return tuple(emotion for emotion in LABELS if emotion not in meant)
    return None


def own_labels(names: Sequence[str]) -> tuple[OwnLabel, ...]:
    """These labels, each with the emotions that it is for. `unknown` has to be empty for them."""
    meant = {name: emotions_of(name) for name in names if fold(name) not in OTHER}
    claimed = {emotion for emotions in meant.values() for emotion in emotions or ()}
    left = tuple(emotion for emotion in LABELS if emotion not in claimed)
    return tuple(OwnLabel(name, meant.get(name, left) or ()) for name in names)


def unknown(names: Iterable[str]) -> list[str]:
    """Those labels that stand for no emotion."""
    return [name for name in names if fold(name) not in OTHER and emotions_of(name) is None]
