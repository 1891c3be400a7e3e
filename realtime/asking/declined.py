"""What is not judged of anybody: who they are, age, sex, origin, health, religion, sexuality, guilt.

A question about these, or labels of these, are declined before any model has them. No model of ours was trained for
them, and an answer would look like all others. Plain words of English, German, Spanish and French are known. What is
put in other words reaches the model, which was trained to say that it does not judge that.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_THEY = r"(?:he|she|they|you|(?:this|that|the) (?:person|man|woman|girl|boy|guy|lady|speaker|kid|child))"
_IS = rf"\b(?:is|are|was|isn't) {_THEY} (?:\w+ )?(?:an? )?"
"The beginning of a question about a person, up to what they might be."
_DER = r"(?:er|sie|es|das|dies|der \w+|die \w+|diese[rs]? \w+)"
_LA = r"(?:el|ella|este|esta|ese|esa|eso|usted|(?:el|la|esta|este) (?:persona|hombre|mujer|chic[oa]))"
_LE = r"(?:il|elle|ce|cette|(?:cette|cet|ce|la|le|l')\s?(?:personne|homme|femme|fille|garcon|monsieur|dame))"


@dataclass(frozen=True)
class Topic:
    """Something that is not judged."""

    name: str
    "How a person calls it, as in: EmoThinker does not judge …"
    words: str
    "A regular expression, whole words of which are about it wherever they stand."
    phrases: tuple[str, ...] = ()
    "Regular expressions of words that are about it only together."
    labels: frozenset[str] = frozenset()
    "Words that are about it where they are a label, and may be about something else within a question."

    def is_in(self, folded: str) -> bool:
        if self.words and re.search(rf"(?<!\w)(?:{self.words})(?!\w)", folded):
            return True
        return any(re.search(phrase, folded) for phrase in self.phrases)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOPICS = (
    Topic(
        "who somebody is",
        r"identity|same person|wer bin ich|c'est qui",
        (
            rf"\bwho(?: is|'s|s| are| was|'re) (?:really )?(?:this|that|it|these|i|{_THEY})\s*(?:[?!.]|$| really)",
            rf"\bwho (?:this|that|it|{_THEY}) (?:is|are|was)\b|\bwho am i\b",
            rf"\b(?:recogni[sz]e|identify) (?:him|her|them|me|who|{_THEY})\b|\bknow (?:him|her|them)\b",
            r"\bknow (?:this|that|the) (?:person|man|woman|girl|boy|guy|lady|speaker|kid|child)\s*(?:[?!.]|$)",
            r"\brecogni[sz]e (?:this|that|the|his|her|their) (?:face|voice)\b",
            r"\bthe same (?:man|woman|girl|boy|guy|lady) as\b",
            r"\b(?:is|are|was) (?:this|that|it|he|she|they) (?:really )?(?:my|our|your|his|her|their|the) (?:\w+ )?"
            r"(?:colleague|friend|neighbou?r|boss|brother|sister|mother|father|mum|mom|dad|wife|husband|uncle|aunt|cousin|"
            r"son|daughter|teacher|president|king|queen)\b",
            rf"\b(?:is|are|was) {_THEY} (?:an? )?(?:famous|well-known|celebrit\w+)|"
            r"\b(?:is|was) (?:this|that|it) (?:an? )?(?:famous|well-known|celebrit\w+)",
            rf"\b(?:seen|met) (?:him|her|them|{_THEY}) (?:before|somewhere|anywhere)\b",
            r"\bwhich (?:actor|actress|celebrity)\b",
            rf"\bwho do you (?:think|believe|say) (?:this|that|it|{_THEY}) (?:is|are|was)\b|"
            r"\bname (?:this|that|the) (?:person|man|woman|speaker)\b|\bwho am i (?:talking|speaking|looking)\b",
            r"\bwho is in (?:the|this) (?:picture|photo|image|video|frame)\b|\b(?:his|her|their|your) address\b",
            r"\b(?:his|her|their|your|my|person's|man's|woman's|whose) (?:\w+ )?name\b|\bthe name\s*(?:[?!.]|$)",
            r"\b(?:match|link|connect|compare) (?:this|that|the|his|her|their) (?:face|voice|picture|person) "
            r"(?:to|with) (?:an? |any |the |your |my )?(?:person|name|identit\w+|database|records?|profile)\b",
            r"\bin (?:your|the|any|a) (?:\w+ )?(?:database|watch ?list)\b",
            rf"\bnames? of (?:him|her|these people|{_THEY})|\b{_THEY} (?:is |are )?(?:called|named)\s*(?:[?!.]|$)",
            rf"\bwhat (?:is|are) {_THEY} (?:called|named)\s*(?:[?!.]|$)",
            rf"\bwer (?:ist|war|sind) {_DER}\s*(?:[?!.]|$)|\bwer ist (?:das|hier|da)\b",
            r"\bwie heisst (?:er|sie|du|die \w+|der \w+|diese[rs]? (?:person|mann|frau|mensch)\w*)\s*(?:[?!.]|$)",
            r"\b(?:sein|ihr|dein|der) (?:vor|nach)?name\b",
            r"\bname (?:der|dieser) (?:person|frau)|\bname (?:des|dieses) mannes",
            rf"\bquien(?:es)? (?:es|son|era)(?: {_LA})?\s*(?:[?!.]|$)",
            r"\bcomo se llaman?\b|\b(?:su|tu) (?:nombre|apellido)\b",
            rf"\bqui (?:est|sont|es)\b(?:[- ]?(?:ce|il|elle|tu|{_LE}))*\s*(?:[?!.]|$)",
            rf"\bcomment s'appelle(?:nt)?(?:-t-| )(?:il|elle|{_LE})",
            r"\bcomment (?:il|elle) s'appelle|\b(?:son|ton|votre) (?:pre)?nom\b",
        ),
        _words("name nombre nom vorname anonymous stranger celebrity"),
    ),
    Topic(
        "how old somebody is",
        r"how old|years? old|age|aged|middle-aged|underage|teenagers?|wie alt|jahre alt|minderjahrig\w*|volljahrig\w*|"
        r"que edad|edad|cuantos anos|menor de edad|quel age|mineure?s?|year-olds?|birthday|birth year|born|legal age|"
        r"of age|toddler|pensioner|retired|in (?:his|her|their) (?:early |mid |late |mid-)?"
        r"(?:teens|twenties|thirties|forties|fifties|sixties|seventies|eighties)",
        (
            rf"\b(?:is|are|look|looks|seem|seems) {_THEY} (?:\w+ )?(?:over|under|above|below|past|beyond) "
            r"(?:the age|\d\d\b|(?:twelve|thir|four|fif|six|seven|eigh|nine|twen)\w*|forty)",
            r"\b(?:look|looks|seem|seems) (?:\w+ )?(?:like )?(?:an? )?(?:minor|child|kid|adult|grown-up|teen\w*)"
            r"\s*(?:[?!.,]|$|or\b|to\b)",
            r"\b(?:older|younger) than (?:\d\d|me|him|her|i|eighteen|twenty\w*|thirty\w*|forty\w*|fifty\w*|sixty\w*)\b",
            _IS + r"(?:old|young|elderly|adult|minor|child|kid|grown-up|older than|younger than)\b",
            rf"\bist {_DER} (?:noch |schon )?(?:alt|jung|ein kind|erwachsen)\b|\b(?:sein|ihr|welches) alter\b",
        ),
        _words("old young adult child elderly senior junior alt jung erwachsen joven viejo vieja jeune vieux vieille"),
    ),
    Topic(
        "sex or gender",
        r"gender|sex|geschlecht|sexo|genero|sexe|(?:fe)?male or (?:fe)?male|non-?binary",
        (
            r"\b(?:man|boy|guy|men) or (?:an? )?(?:woman|girl|lady|women)\b",
            r"\b(?:woman|girl|lady|women) or (?:an? )?(?:man|boy|guy|men)\b",
            r"\b(?:is|are) (?:this|that|it|he|she|they|the \w+|this person) (?:really )?(?:an? )?"
            r"(?:man|woman|boy|girl|lady|guy|male|female|masculine|feminine)\s*(?:[?!.,]|$|or\b)",
            r"\b(?:mann|junge) oder (?:eine? )?(?:frau|madchen)\b|\b(?:frau|madchen) oder (?:eine? )?(?:mann|junge)\b",
            rf"\bist {_DER} (?:eine? )?(?:mann|frau|junge|madchen|mannlich|weiblich)\b",
            r"\bhombre o (?:una )?mujer\b|\bmujer o (?:un )?hombre\b",
            r"\bes una? (?:hombre|mujer|chic[oa]|nin[oa])\b",
            r"\bhomme ou (?:une )?femme\b|\bfemme ou (?:un )?homme\b",
            r"\b(?:est-ce|c'est) une? (?:homme|femme|fille|garcon)\b",
        ),
        _words(
            "male female man woman boy girl men women masculine feminine mann frau junge madchen mannlich weiblich "
            "hombre mujer masculino femenino homme femme masculin feminin"
        ),
    ),
    Topic(
        "race or origin",
        r"race|racial|ethnic|ethnicity|nationality|skin (?:colou?r|tone)|complexion|ancest\w+|descent|caucasian|"
        r"hispanic|latin[oa]s?|asian|citizenship|immigrants?|mother tongue|native language|"
        r"rasse|ethnie|hautfarbe|nationalitat|staatsangehorigkeit|herkunft|muttersprache|raza|etnia|nacionalidad|"
        r"color de piel|nationalite|couleur de (?:la |sa )?peau",
        (
            rf"\bwhere (?:is|are|does|do|did) {_THEY}(?: really| originally)? (?:come )?from\b",
            r"\b(?:what|which) country\b",
            _IS + r"(?:black|white|asian|african|latin[oax]|hispanic|arab|indian|chinese|european|caucasian)\b",
            _IS + r"foreign(?:er)?\b",
            rf"\b{_THEY} (?:is |are )?(?:an? )?(?:black|white|african|arab|indian|chinese|european) or\b",
            r"\bwhere (?:are|is) (?:his|her|their) (?:roots|family|parents)\b",
            r"\bwoher (?:kommt|stammt) (?:er|sie|die \w+|der \w+)|\bde donde (?:es|son|viene)\b",
            r"\bd'ou (?:vient|viennent|est)(?:-(?:il|elle)| (?:il|elle|cette|cet|la|le))",
        ),
        _words(
            "black white asian african latino latina hispanic arab indian chinese european caucasian foreign schwarz"
        ),
    ),
    Topic(
        "health",
        r"ill(?! at ease)|sick(?! of)|sickness|illness|diseases?|unwell|healthy|unhealthy|health|depress(?:ed|ion|ive)|"
        r"bipolar|schizophreni\w+|autis\w+|adhd|alzheimer\w*|dementia|parkinson\w*|ptsd|psychotic|psychosis|psychopath\w*|"
        r"disorders?|disabled|disability|pregnant|diagnos\w+|symptoms?|suicid\w+|drunk|intoxicated|drugs?|drugged|addict\w*|"
        r"infected|cancer|diabet\w+|burn-?out|mentally|fever|feverish|a stroke|mental health|"
        r"suffer(?:s|ing)? from(?! (?:\w+ )?(?:light|glare|noise))|"
        r"tumou?r|epilep\w+|migraines?|tourette\w*|concussion|medication|asperger\w*|anorexi\w+|psychiatric|sober|"
        r"hung-?over|tipsy|alcoholic|under the influence|covid|"
        r"krank\w*|erkrankt|gesund\w*|depressi\w+|schwanger|behindert|behinderung|betrunken|suchtig|suizid\w*|demenz|adhs|"
        r"enferm[oa]s?|enfermedad|salud|sano|sana|deprimid[oa]|embarazada|borrach[oa]|discapacidad|"
        r"malades?|maladie|sante|deprim\w+|enceinte|ivre|handicap\w*",
        (
            r"\b(?:have|has|got) an? (?:bad )?(?:cold|flu)\b",
            r"\b(?:see|need|needs|call) (?:to see )?(?:an? |the )?(?:doctor|psychiatrist|therapist|therapy)\b",
        ),
    ),
    Topic(
        "religion",
        r"religi\w+|muslims?|islam\w*|christians?|christianity|catholics?|protestants?|jews?|jewish|hindus?|buddhists?|"
        r"sikhs?|atheists?|believes? in god|muslimi\w+|christlich|christin|judisch|jude|judin|katholisch|evangelisch|"
        r"glaubig|musulm\w+|cristian[oa]|catolic[oa]|judi[oa]|ate[oa]|chretien\w*|catholique|juif|juive|athee",
    ),
    Topic(
        "sexuality",
        r"gay|lesbians?|homosexu\w+|heterosexu\w+|bisexu\w+|sexuality|sexual|queer|transgender|transsexual|trans|lgbt\w*|"
        r"schwul|lesbisch|lesbiana|lesbienne|sexuell\w*|sexuelle?",
        (_IS + r"straight\b",),
        _words("straight"),
    ),
    Topic(
        "guilt, or whether somebody lies",
        r"guilt|guilty|innocent|criminals?|crimes?|murder\w*|thief|thieves|culprit|perpetrator|robber\w*|burglar\w*|killer|crook|"
        r"offender|fibbing|bluffing|terrorist|stole|stolen|liars?|lied|"
        r"lying(?! (?:down|in|on))|"
        r"truth|truthful\w*|deceiv\w+|decepti\w+|deceitful|fraud\w*|honest\w*|dishonest\w*|trustworthy|"
        r"schuldig|schuld|unschuldig|lugt|lugen|gelogen|luge|lugner\w*|ehrlich|unehrlich|wahrheit|tater\w*|verbrech\w+|"
        r"kriminell|betrug\w*|culpables?|culpa|inocente|mient\w+|mintiendo|mentir\w*|mentiros[oa]|la verdad|"
        r"deshonest[oa]|coupables?|innocente?|ment|menteu\w+|mensonge|verite|honnete|criminel\w*|voleu\w+",
        (
            rf"\bdid {_THEY} (?:steal|kill|cheat|rob)\b|\bha(?:s|ve) {_THEY} done (?:it|this|that)\b",
            r"\bthe (?:one|person|man|woman|guy) who (?:did|stole|took|killed|started) (?:it|this|that|him|her|the)\b",
            rf"\bdid {_THEY} (?:really )?commit\b|\b{_THEY} (?:to blame|cheat\w*|steal\w*)\b",
            rf"\bdid (?:it|{_THEY}) do (?:it|this|that)\b|\b(?:tell|tells|telling|told) (?:a |us |me )*lies?\b",
            r"\b(?:i|we|you|one|to) (?:\w+ )?(?:believe|trust) "
            r"(?:him|her|them|(?:what|anything|everything|a word) (?:that )?(?:he|she|they))\b",
            rf"\b{_THEY} lies?\b|\b(?:is|was) (?:this|that|it) a lie\b",
        ),
        _words("lie lies liar lying thief"),
    ),
)


def declined(query: str) -> str | None:
    """What the question is about that is not judged; None where it is about nothing of that kind."""
    folded = fold(query)
    return next((topic.name for topic in TOPICS if topic.is_in(folded)), None)


def declined_label(label: str) -> str | None:
    """What a label is about that is not judged, or None."""
    folded = fold(label)
    return next((topic.name for topic in TOPICS if folded in topic.labels or topic.is_in(folded)), None)


def fold(text: str) -> str:
    """Lower case on one line, without accents and umlauts, so that "Größe" and "grosse" are one."""
    parts = unicodedata.normalize("NFD", text.casefold().replace("’", "'"))
    return " ".join("".join(letter for letter in parts if unicodedata.category(letter) != "Mn").split())
