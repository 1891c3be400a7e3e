"""How answers that a rule gives are worded, in English, German, Spanish and French (`reason/answers.py`).

    Three seconds ago, at 0:12: lip corners clearly pulled up
    Vor 3 Sekunden, bei 0:12: Mundwinkel deutlich hochgezogen

A text that may follow the name of a person begins with a small letter. None has a full stop or the word for a label: an
answer is followed by both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime.reason.measurements import CUE_PHRASES

SECONDS_AGO = (
    "just now", "one second ago", "two seconds ago", "three seconds ago", "four seconds ago", "five seconds ago",
    "six seconds ago", "seven seconds ago", "eight seconds ago",
)  # fmt: skip
"How long ago something was in English, by whole seconds. Beyond these it is told in figures."


@dataclass(frozen=True)
class Sayings:
    """The wordings of one language. Braces stand for what is filled in."""

    cues: Mapping[str, tuple[str, str]]
    "Cue → what moves, and how."
    degrees: Mapping[str, str]
    "Degree in English → here."
    no_longer: str
    less: str
    more: str
    not_shown: str
    "A cue that went away, became less or more, and one that is not there: {what} and {how}."
    just_now: str
    ago: str
    at: str
    "{ago} and {at}: the words for how long ago, and the media second."
    earlier: str
    unchanged: str
    unchanged_cue: str
    too_brief: str
    the_face: str
    face_first: str
    voice_first: str
    together: str
    voice_alone: str
    only_one: str
    neither: str
    alike: str
    left: str
    right: str
    nothing_changed: str
    the_voice: str
    as_before: str
    usual_only: str
    differs: Mapping[str, tuple[str, str]]
    "Measure of the voice → less and more of it than before."
    as_usual: str
    by_db: str
    person: str = "Person"


ENGLISH = Sayings(
    cues={cue: phrases[0] for cue, phrases in CUE_PHRASES.items()},
    degrees={"slightly": "slightly", "clearly": "clearly", "strongly": "strongly"},
    no_longer="{what} no longer {how}",
    less="{what} less {how}",
    more="{what} more {how}",
    not_shown="{what} not {how}",
    just_now="just now",
    ago="{n} seconds ago",
    at="{ago}, at {at}",
    earlier="; before that at {at}",
    unchanged="the face did not change in these {n} seconds",
    unchanged_cue="no change in these {n} seconds: {cue}",
    too_brief="the face was seen too briefly to tell",
    the_face="the face",
    face_first="{face} first, at {face_at}; then the voice, at {voice_at}",
    voice_first="The voice first, at {voice_at}; then {face}, at {face_at}",
    together="Within about a second, at {at}: what came first cannot be told",
    voice_alone="{unchanged}; the voice began at {at}",
    only_one="There is only one person: {cue}",
    neither="Neither: {cue}",
    alike="Both alike: {cue}",
    left="on the left",
    right="on the right",
    nothing_changed="Nothing that is measured changed in these {n} seconds",
    the_voice="; the voice {differs}",
    as_before="About as before",
    usual_only="; no earlier stretch of speech is there to compare with",
    differs={
        "loudness_db": ("quieter than before", "louder than before"),
        "pitch_hz": ("lower in pitch than before", "higher in pitch than before"),
        "rate_hz": ("slower than before", "faster than before"),
    },
    as_usual="As usual",
    by_db=", by {n} dB",
)
GERMAN = Sayings(
    cues={
        "inner_brow_raise": ("innere Brauen", "gehoben"),
        "outer_brow_raise": ("äußere Brauen", "gehoben"),
        "brow_lower": ("Brauen", "gesenkt"),
        "upper_lid_raise": ("Oberlider", "gehoben"),
        "cheek_raise": ("Wangen", "gehoben"),
        "lid_tighten": ("Lider", "angespannt"),
        "nose_wrinkle": ("Nase", "gerümpft"),
        "upper_lip_raise": ("Oberlippe", "gehoben"),
        "lip_corner_pull": ("Mundwinkel", "hochgezogen"),
        "lip_corner_depress": ("Mundwinkel", "herabgezogen"),
        "lip_stretch": ("Lippen", "auseinandergezogen"),
        "lip_press": ("Lippen", "zusammengepresst"),
        "jaw_drop": ("Mund", "geöffnet"),
        "eyes_closed": ("Augen", "geschlossen"),
    },
    degrees={"slightly": "leicht", "clearly": "deutlich", "strongly": "stark"},
    no_longer="{what} nicht mehr {how}",
    less="{what} weniger {how}",
    more="{what} mehr {how}",
    not_shown="{what} nicht {how}",
    just_now="gerade eben",
    ago="vor {n} Sekunden",
    at="{ago}, bei {at}",
    earlier="; davor bei {at}",
    unchanged="das Gesicht hat sich in diesen {n} Sekunden nicht verändert",
    unchanged_cue="keine Veränderung in diesen {n} Sekunden: {cue}",
    too_brief="das Gesicht war dafür zu kurz zu sehen",
    the_face="das Gesicht",
    face_first="Zuerst {face}, bei {face_at}; dann die Stimme, bei {voice_at}",
    voice_first="Zuerst die Stimme, bei {voice_at}; dann {face}, bei {face_at}",
    together="Innerhalb etwa einer Sekunde, bei {at}: Was zuerst kam, lässt sich nicht sagen",
    voice_alone="{unchanged}; die Stimme begann bei {at}",
    only_one="Es ist nur eine Person da: {cue}",
    neither="Niemand von beiden: {cue}",
    alike="Beide gleich: {cue}",
    left="links",
    right="rechts",
    nothing_changed="Nichts Gemessenes hat sich in diesen {n} Sekunden verändert",
    the_voice="; die Stimme ist {differs}",
    as_before="Etwa wie vorher",
    usual_only="; eine frühere Äußerung zum Vergleich ist nicht da",
    differs={
        "loudness_db": ("leiser als vorher", "lauter als vorher"),
        "pitch_hz": ("tiefer als vorher", "höher als vorher"),
        "rate_hz": ("langsamer als vorher", "schneller als vorher"),
    },
    as_usual="Wie sonst",
    by_db=", um {n} dB",
)
SPANISH = Sayings(
    cues={
        "inner_brow_raise": ("cejas por dentro", "levantadas"),
        "outer_brow_raise": ("cejas por fuera", "levantadas"),
        "brow_lower": ("cejas", "bajadas"),
        "upper_lid_raise": ("párpados superiores", "levantados"),
        "cheek_raise": ("mejillas", "levantadas"),
        "lid_tighten": ("párpados", "tensos"),
        "nose_wrinkle": ("nariz", "arrugada"),
        "upper_lip_raise": ("labio superior", "levantado"),
        "lip_corner_pull": ("comisuras de los labios", "levantadas"),
        "lip_corner_depress": ("comisuras de los labios", "caídas"),
        "lip_stretch": ("labios", "estirados"),
        "lip_press": ("labios", "apretados"),
        "jaw_drop": ("boca", "abierta"),
        "eyes_closed": ("ojos", "cerrados"),
    },
    degrees={"slightly": "ligeramente", "clearly": "claramente", "strongly": "muy"},
    no_longer="{what} ya no {how}",
    less="{what} menos {how}",
    more="{what} más {how}",
    not_shown="{what} no {how}",
    just_now="ahora mismo",
    ago="hace {n} segundos",
    at="{ago}, en {at}",
    earlier="; antes, en {at}",
    unchanged="la cara no cambió en estos {n} segundos",
    unchanged_cue="ningún cambio en estos {n} segundos: {cue}",
    too_brief="la cara se vio demasiado poco para saberlo",
    the_face="la cara",
    face_first="Primero {face}, en {face_at}; luego la voz, en {voice_at}",
    voice_first="Primero la voz, en {voice_at}; luego {face}, en {face_at}",
    together="En un segundo más o menos, en {at}: no se puede saber qué fue primero",
    voice_alone="{unchanged}; la voz empezó en {at}",
    only_one="Hay una sola persona: {cue}",
    neither="Ninguna de las dos: {cue}",
    alike="Las dos por igual: {cue}",
    left="a la izquierda",
    right="a la derecha",
    nothing_changed="Nada de lo medido cambió en estos {n} segundos",
    the_voice="; la voz es {differs}",
    as_before="Más o menos como antes",
    usual_only="; no hay una frase anterior con la que compararla",
    differs={
        "loudness_db": ("más baja que antes", "más fuerte que antes"),
        "pitch_hz": ("más grave que antes", "más aguda que antes"),
        "rate_hz": ("más lenta que antes", "más rápida que antes"),
    },
    as_usual="Como siempre",
    by_db=", en {n} dB",
    person="Persona",
)
FRENCH = Sayings(
    cues={
        "inner_brow_raise": ("sourcils à l'intérieur", "levés"),
        "outer_brow_raise": ("sourcils à l'extérieur", "levés"),
        "brow_lower": ("sourcils", "abaissés"),
        "upper_lid_raise": ("paupières supérieures", "levées"),
        "cheek_raise": ("joues", "relevées"),
        "lid_tighten": ("paupières", "plissées"),
        "nose_wrinkle": ("nez", "plissé"),
        "upper_lip_raise": ("lèvre supérieure", "relevée"),
        "lip_corner_pull": ("coins de la bouche", "relevés"),
        "lip_corner_depress": ("coins de la bouche", "abaissés"),
        "lip_stretch": ("lèvres", "étirées"),
        "lip_press": ("lèvres", "serrées"),
        "jaw_drop": ("bouche", "ouverte"),
        "eyes_closed": ("yeux", "fermés"),
    },
    degrees={"slightly": "légèrement", "clearly": "nettement", "strongly": "fortement"},
    no_longer="{what} désormais non {how}",
    less="{what} moins {how}",
    more="{what} plus {how} qu'avant",
    not_shown="{what} non {how}",
    just_now="à l'instant",
    ago="il y a {n} secondes",
    at="{ago}, à {at}",
    earlier="; avant cela à {at}",
    unchanged="le visage n'a pas changé pendant ces {n} secondes",
    unchanged_cue="aucun changement pendant ces {n} secondes : {cue}",
    too_brief="le visage a été vu trop brièvement pour le dire",
    the_face="le visage",
    face_first="D'abord {face}, à {face_at} ; puis la voix, à {voice_at}",
    voice_first="D'abord la voix, à {voice_at} ; puis {face}, à {face_at}",
    together="En une seconde environ, à {at} : on ne peut dire ce qui était d'abord",
    voice_alone="{unchanged} ; la voix a commencé à {at}",
    only_one="Il n'y a qu'une personne : {cue}",
    neither="Aucune des deux : {cue}",
    alike="Les deux pareillement : {cue}",
    left="à gauche",
    right="à droite",
    nothing_changed="Rien de ce qui est mesuré n'a changé pendant ces {n} secondes",
    the_voice=" ; la voix est {differs}",
    as_before="À peu près comme avant",
    usual_only=" ; il n'y a pas de phrase précédente à laquelle la comparer",
    differs={
        "loudness_db": ("plus basse qu'avant", "plus forte qu'avant"),
        "pitch_hz": ("plus grave qu'avant", "plus aiguë qu'avant"),
        "rate_hz": ("plus lente qu'avant", "plus rapide qu'avant"),
    },
    as_usual="Comme d'habitude",
    by_db=", de {n} dB",
    person="Personne",
)
SAYINGS: Mapping[str, Sayings] = {"en": ENGLISH, "de": GERMAN, "es": SPANISH, "fr": FRENCH}


def ago(seconds: float, sayings: Sayings) -> str:
    """How long ago something was, to the second: "three seconds ago", or "vor 3 Sekunden"."""
    n = max(0, round(seconds))
    if sayings is ENGLISH and n < len(SECONDS_AGO):
        return SECONDS_AGO[n]
    return sayings.ago.format(n=n) if n else sayings.just_now


def clock(seconds: float) -> str:
    """A media second as on the page: 75.4 → `1:15`."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes}:{rest:02}"
