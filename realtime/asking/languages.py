"""Puts questions of other languages to a model that knows English alone, and tells its answers in them.

    Lächelt die Person?             → Do you see lip corners pulled up?            German
    ¿Es la voz más fuerte?          → Is the voice louder or quieter than usual?   Spanish
    Ist sie wütend?                 → the model's own question, whose answer names the emotion
    Pourquoi ?                      → nothing: it is told in French what can be asked

nano knows some hundred words of English, and the language model of `small` no other language either (docs/small.md).
Plain wordings of German, Spanish and French are known, of questions about one cue, the voice against its usual or as it
was before, how many people there are, whether face and voice agree, the mood, the light, how sure it is, when the face
changed, what came first, who shows more of a cue, and what changed. English questions are read by `restated.py`. A
general model gets every question as it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from realtime.asking.declined import fold
from realtime.asking.emotion_words import emotions_of

Language = Literal["en", "de", "es", "fr"]


@dataclass(frozen=True)
class Translated:
    """A question of another language as the model reads it."""

    text: str
    "Empty: the model's own question, whose answer names the emotion."
    language: Language
    "The language of the question."


CUES: tuple[tuple[str, str], ...] = (
    (
        "lip corners pulled up",
        r"(?:zu)?lachel(?:t|n|nd)|gelachelt|lacht|grinst|sonri(?:e|endo|sa)|sourit|sourire|souriante?",
    ),
    (
        "brows lowered",
        r"(?:stirn|augenbrauen|brauen) .*(?:runzel\w*|zusammen\w*|gesenkt)|runzelt .*stirn|"
        r"ceno|frunc\w+|fronce\w*|sourcils fronces",
    ),
    (
        "jaw dropped",
        r"mund .*(?:offen|geoffnet|auf)|"
        r"offene\w* mund|"
        r"boca .*abierta|abierta .*boca|abre .*boca|bouche .*ouverte|ouvre .*bouche",
    ),
    (
        "eyes closed",
        r"augen .*(?:geschlossen|zu)\b|"
        r"ojos .*cerrados|cerrados .*ojos|cierra .*ojos|yeux .*fermes|ferme .*yeux",
    ),
    (
        "upper lids raised",
        r"augen .*(?:weit|aufgerissen)|ojos .*muy abiertos|yeux .*(?:ecarquilles|grands)",
    ),
    (
        "outer brows raised",
        r"brauen .*(?:hoch|gehoben|oben)|cejas .*(?:levantadas|alzadas)|(?:levanta|alza) .*cejas|"
        r"sourcils .*(?:leves|hausses)|"
        r"(?:leve|hausse) .*sourcils",
    ),
    (
        "lips pressed",
        r"lippen .*(?:gepresst|zusammen\w*)|labios .*apretados|aprieta .*labios|levres .*(?:serrees|pincees)",
    ),
    (
        "nose wrinkled",
        r"nase .*(?:gerumpft|kraus\w*)|rumpft .*nase|nariz .*arrugada|arruga .*nariz|nez .*(?:plisse|fronce)",
    ),
)
"(a cue as the model was taught it, words for it), folded."
KINDS: tuple[tuple[str, str], ...] = (
    (
        "How many people are there?",
        r"wie ?viele? (?:\w+ )?(?:personen|leute|menschen|gesichter)|cuant[oa]s (?:personas|caras|rostros|hay)|"
        r"combien de (?:personnes|visages|gens)",
    ),
    (
        "Do face and voice agree?",
        r"gesicht .*stimme|stimme .*gesicht|(?:cara|rostro) .*voz|voz .*(?:cara|rostro)|visage .*voix|voix .*visage",
    ),
    (
        "Is the voice louder or quieter than usual?",
        r"\b(?:lauter|leiser)\b|\bwie (?:laut|leise)\b|mas (?:fuerte|alto|bajo)\b|mas alta que|volumen|"
        r"(?:plus|moins) (?:fort|forte|bas|basse)\b",
    ),
    (
        "Is the voice higher or lower than usual?",
        r"stimm\w* .*\b(?:hoher|tiefer)\b|\b(?:hoher|tiefer)\b .*stimm|tonhohe|voz .*mas (?:agud|grave)|"
        r"mas (?:agud\w|grave)|"
        r"plus (?:aigue?|grave)\b|hauteur de la voix",
    ),
    (
        "Is the speech faster or slower than usual?",
        r"\b(?:schneller|langsamer)\b|\bwie (?:schnell|langsam)\b|mas (?:rapido|despacio|lento)|mas deprisa|"
        r"plus (?:vite|rapide\w*|lent\w*)",
    ),
    (
        "Is it bright or dark?",
        r"\b(?:hell|dunkel)\b|\blicht\b|\boscur[oa]\b|\bluz\b|\bclaro aqui\b|\bsombre\b|\blumiere\b|\bclair ici\b",
    ),
    (
        "Is the person calm or excited?",
        r"\b(?:ruhig|aufgeregt|erregt|entspannt|gelassen)\b|\b(?:tranquil[oa]|agitad[oa]|excitad[oa]|relajad[oa]|"
        r"calmad[oa])\b|"
        r"\b(?:calme|agitee?|excitee?|detendue?)\b",
    ),
    (
        "Is the mood pleasant or unpleasant?",
        r"\b(?:stimmung|laune)\b|\b(?:angenehm|unangenehm)\b|\b(?:humor|estado de animo|agradable|desagradable)\b|"
        r"\b(?:humeur|agreable|desagreable|ambiance)\b",
    ),
    (
        "How sure are you?",
        r"\bwie sicher\b|\bist das sicher\b|\bbist du (?:dir )?sicher\b|\b(?:que tan|como de) segur|\bestas segur|"
        r"\bes segur\w|"
        r"\b(?:es|c'est|est-ce) sur\b|\ba quel point .*sur\b",
    ),
)
"(a question as the model was taught it, what makes one of it), folded."
FACE = r"gesicht\w*|miene|ausdruck\w*|cara|rostro|expresion|gesto|visage|expression"
VOICE = r"stimme|sprechen|reden|voz|hablar|voix|parler"
_EITHER = rf"\b(?:{FACE}|{VOICE})\b"
ORDERED = re.compile(
    rf"\bwas .*\b(?:zuerst|eher|fruher)\b|{_EITHER}.* (?:zuerst|eher|fruher|vor|nach|bevor|nachdem) .*{_EITHER}|"
    rf"\bwelcher reihenfolge\b|"
    rf"^que .*\b(?:primero|antes)\b|\bprimero .*{_EITHER}|{_EITHER}.* (?:antes|despues|primero) .*{_EITHER}|"
    rf"\ben que orden\b|"
    rf"^qu(?:i|oi|'est-ce qui|el) .*\b(?:premier|d'abord|avant)\b|{_EITHER}.* (?:avant|apres|d'abord) .*{_EITHER}|"
    rf"\bdans quel ordre\b"
)
"What asks for an order of face and voice, folded."
ASKS_WHEN = re.compile(
    r"\b(?:wann|seit wann|wie lange|vor wie vielen)\b|\b(?:cuando|desde cuando|hace cuanto|cuanto tiempo)\b|"
    r"\b(?:quand|depuis quand|depuis combien|combien de temps)\b"
)
ASKS_WHO = re.compile(
    r"\b(?:wer|wessen|welche[rs]? (?:person|von beiden|der beiden))\b|\b(?:quien|cual de|que persona)\b|"
    r"^(?:qui|laquelle|lequel|quelle personne)\b"
)
CHANGED = re.compile(
    r"\bwas .*\b(?:verander\w*|geandert|anders|neu)\b|\bhat sich .*\b(?:verandert|geandert|getan)\b|\betwas anders\b|"
    r"\bque .*\bcambi\w+|\bha cambiado\b|\bcambio (?:algo|la cara|el rostro|la expresion)\b|"
    r"\balgo .*\b(?:distinto|diferente)\b|\bque .*\b(?:distinto|diferente)\b|"
    rf"\bqu'est-ce qui .*\bchange\w*|\bquelque chose .*\bchange\w*|\b(?:{FACE}) .*\bchange\b"
)
THAN_BEFORE = re.compile(
    r"\bals (?:vorher|zuvor|eben|gerade|vorhin|davor)\b|\bgeworden\b|\bque (?:antes|hace un momento)\b|"
    r"\bse ha vuelto\b|\bqu'avant\b|\bque tout a l'heure\b|\bqu'il y a un instant\b|\bdevenue?\b"
)
FEELS = re.compile(r"\b(?:fuhl\w*|gefuhl\w*|emotion\w*|emocion\w*|sient\w*|sentimiento\w*|ressen\w*|sentiment\w*)\b")
"Folded: what a person feels. Words for emotions ask so, too."
MARKERS: dict[Language, str] = {
    "en": "is are was were does do did has have can the this that these what which who whose how why when where "
    "they she he his her their there tell say of with and you it or more than",
    "de": "ist sind war wird das der dem den des ein eine einen wie viele wieviele was macht warum wieso wer "
    "wann wo und oder sie er es nicht ich du mir sich als sonst hier da auf im bei gesicht stimme person "
    "mund augen frau mann spricht",
    "es": "es esta estan el la los las un una que quien cuando donde como cuantas cuantos por y o su se hay del "
    "de mas en persona voz cara boca ojos habla suena",
    "fr": "est sont la le les un une des du de que qui quand ou comment combien pourquoi et il elle ce cette se "
    "y fait ici l d qu dans plus personne voix visage bouche yeux parle",
}
"Folded words by which a language is told. Of two with as many, the first is taken."
OTHER_QUESTIONS = re.compile(
    r"^(?:und |y |et )?(?:warum|wieso|weshalb|wer|wann|wo|was|welche\w*|"
    r"por que|quien|"
    r"cuando|donde|que |cual|pourquoi|qui|quand|ou |quoi|quel\w*)\b"
)
"Questions that ask for something else than whether, how strongly or how many."
HOW_STRONGLY = re.compile(r"^(?:wie|(?:que|como) (?:de |tan )?|combien|a quel point|con (?:que|cuanta))\b")
NOT_KNOWN: dict[Language, tuple[str, str]] = {
    "de": (
        "Diese Frage verstehe ich auf Deutsch nicht.",
        "Frag auf Englisch, oder zum Beispiel: Lächelt die Person? Ist die Stimme lauter als sonst? Wie viele Personen "
        "sind da? Passen Gesicht und Stimme zusammen?",
    ),
    "es": (
        "No entiendo esta pregunta en español.",
        "Pregunta en inglés, o por ejemplo: ¿Sonríe la persona? ¿Es la voz más fuerte que de costumbre? ¿Cuántas "
        "personas hay? ¿Coinciden la cara y la voz?",
    ),
    "fr": (
        "Je ne comprends pas cette question en français.",
        "Demandez en anglais, ou par exemple : La personne sourit-elle ? La voix est-elle plus forte que d'habitude ? "
        "Combien de personnes y a-t-il ? Le visage et la voix concordent-ils ?",
    ),
}
"What is told of a question that was not understood, and what helps."


def language_of(query: str) -> Language | None:
    """The language of a question; None where too little tells it."""
    if "¿" in query or "¡" in query:
        return "es"
    folded = fold(query)
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", folded)
    words += [part for word in words if "-" in word for part in word.split("-")]
    found = {language: sum(word in markers.split() for word in words) for language, markers in MARKERS.items()}
    best = max(found, key=lambda language: found[language])
    # One word of three may be a name, or a word of two languages.
    return best if found[best] >= (2 if len(words) > 3 else 1) else None


def translated(query: str) -> Translated | None:
    """A question of another language in words that the model was taught; None for English, and where it is unknown.

    `language_of` tells the two apart.
    """
    folded, language = fold(query).strip(" ?!.¿¡"), language_of(query)
    if language in (None, "en"):
        return None
    assert language is not None
    cue = next((cue for cue, words in CUES if re.search(rf"(?<![a-z])(?:{words})(?![a-z])", folded)), None)
    if timed := _of_time_or_people(folded, cue):
        return Translated(timed, language)
    asks_other = OTHER_QUESTIONS.search(folded)
    if not asks_other and (found := next((text for text, words in KINDS if re.search(words, folded)), None)):
        return Translated(found.replace("usual", "before") if THAN_BEFORE.search(folded) else found, language)
    if FEELS.search(folded) or any(emotions_of(word) for word in re.findall(r"\w+", folded)):
        return Translated("", language)
    if cue is None or asks_other:
        return None
    return Translated(f"How strongly are the {cue}?" if HOW_STRONGLY.search(folded) else f"Do you see {cue}?", language)


def _of_time_or_people(folded: str, cue: str | None) -> str | None:
    """A question about when, what first, who more or what changed, as `restated.py` words it; None for any other."""
    if ORDERED.search(folded):
        return "What changed first, the face or the voice?"
    if ASKS_WHEN.search(folded):
        if cue is not None:
            return f"When did this change: {cue}?"
        if re.search(rf"\b(?:{VOICE}|spricht|habla|parle)\b", folded):
            return "When did the voice begin?"
        return "When did the face change?" if re.search(rf"\b(?:{FACE})\b", folded) else None
    if cue is not None and ASKS_WHO.search(folded):
        return f"Who has the {cue} more?"
    return "What changed?" if CHANGED.search(folded) else None


TOLD_IN = ("de", "es", "fr")
ANSWERS: dict[str, tuple[str, str, str]] = {
    "There is no face to tell": ("Es ist kein Gesicht da", "No hay ningún rostro", "Il n'y a pas de visage"),
    "There is no voice to tell": ("Es ist keine Stimme da", "No hay ninguna voz", "Il n'y a pas de voix"),
    "There is no picture to tell": ("Es ist kein Bild da", "No hay imagen", "Il n'y a pas d'image"),
    "Too little of this voice was heard to compare it": (
        "Von dieser Stimme war zu wenig zu hören, um sie zu vergleichen",
        "Se ha oído muy poco de esta voz para compararla",
        "On a trop peu entendu cette voix pour la comparer",
    ),
    "That is not judged here": ("Das wird hier nicht beurteilt", "Eso no se juzga aquí", "Cela n'est pas jugé ici"),
    "That cannot be told from this": (
        "Das lässt sich daran nicht erkennen", "No se puede saber por esto", "Cela ne se voit pas ici",
    ),
    "Yes, slightly": ("Ja, leicht", "Sí, ligeramente", "Oui, légèrement"),
    "Yes, clearly": ("Ja, deutlich", "Sí, claramente", "Oui, nettement"),
    "Yes, strongly": ("Ja, stark", "Sí, mucho", "Oui, fortement"),
    "No": ("Nein", "No", "Non"),
    "Not at all": ("Gar nicht", "Nada", "Pas du tout"),
    "Slightly": ("Leicht", "Ligeramente", "Légèrement"),
    "Clearly": ("Deutlich", "Claramente", "Nettement"),
    "Strongly": ("Stark", "Mucho", "Fortement"),
    "Nobody": ("Niemand", "Nadie", "Personne"),
    "One person": ("Eine Person", "Una persona", "Une personne"),
    "Two people": ("Zwei Personen", "Dos personas", "Deux personnes"),
    "Three people": ("Drei Personen", "Tres personas", "Trois personnes"),
    "Four people": ("Vier Personen", "Cuatro personas", "Quatre personnes"),
    "Five people": ("Fünf Personen", "Cinco personas", "Cinq personnes"),
    "As usual": ("Wie sonst", "Como siempre", "Comme d'habitude"),
    "Louder": ("Lauter", "Más fuerte", "Plus forte"),
    "Much louder": ("Viel lauter", "Mucho más fuerte", "Beaucoup plus forte"),
    "Quieter": ("Leiser", "Más baja", "Plus basse"),
    "Much quieter": ("Viel leiser", "Mucho más baja", "Beaucoup plus basse"),
    "Higher in pitch": ("Höher", "Más aguda", "Plus aiguë"),
    "Much higher in pitch": ("Viel höher", "Mucho más aguda", "Beaucoup plus aiguë"),
    "Lower in pitch": ("Tiefer", "Más grave", "Plus grave"),
    "Much lower in pitch": ("Viel tiefer", "Mucho más grave", "Beaucoup plus grave"),
    "Faster": ("Schneller", "Más rápido", "Plus vite"),
    "Much faster": ("Viel schneller", "Mucho más rápido", "Beaucoup plus vite"),
    "Slower": ("Langsamer", "Más despacio", "Plus lentement"),
    "Much slower": ("Viel langsamer", "Mucho más despacio", "Beaucoup plus lentement"),
    "They agree": ("Sie stimmen überein", "Coinciden", "Ils concordent"),
    "They disagree": ("Sie widersprechen sich", "No coinciden", "Ils ne concordent pas"),
    "Pleasant": ("Angenehm", "Agradable", "Agréable"),
    "Unpleasant": ("Unangenehm", "Desagradable", "Désagréable"),
    "Neither": ("Weder noch", "Ni lo uno ni lo otro", "Ni l'un ni l'autre"),
    "Calm": ("Ruhig", "Calma", "Calme"),
    "Excited": ("Aufgeregt", "Agitación", "Agitation"),
    "In between": ("Dazwischen", "Entre ambas", "Entre les deux"),
    "Bright": ("Hell", "Hay mucha luz", "Il fait clair"),
    "Dark": ("Dunkel", "Está oscuro", "Il fait sombre"),
    "Evenly lit": ("Gleichmäßig hell", "Luz uniforme", "Lumière égale"),
    "Sure": ("Sicher", "Seguro", "Sûr"),
    "Fairly sure": ("Ziemlich sicher", "Bastante seguro", "Assez sûr"),
    "Not sure": ("Nicht sicher", "No es seguro", "Pas sûr"),
}  # fmt: skip
"An answer as the model was taught it → the same in the languages of `TOLD_IN`."


def in_language(sections: Mapping[str, str], language: str) -> Mapping[str, str]:
    """A chain whose answer begins in another language. The label after it stays a label."""
    said, mark, rest = sections.get("answer", "").partition(".")
    known = ANSWERS.get(said.strip())
    if known is None or language not in TOLD_IN:
        return sections
    return {**sections, "answer": f"{known[TOLD_IN.index(language)]}{mark}{rest}"}
