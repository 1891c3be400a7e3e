"""Words by which questions are known: of a face, a voice, a cue, an order, a moment.

Phrases are separated by commas; in one, `*` stands for the rest of a word and `~` for a word that may be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    """Phrases that say one thing. With `near` one of those has to be in the text, too, before or after them."""

    phrases: str
    near: str = ""

    def said_in(self, folded: str) -> bool:
        """Whether the text has one of them, in whole words."""
        return all(re.search(_pattern(phrases), folded) for phrases in (self.phrases, self.near) if phrases)


def _pattern(phrases: str) -> str:
    """The regular expression of phrases. `re` keeps it compiled."""
    each = (phrase.strip().replace("~ ", r"(?:\w+ )?").replace("*", r"\w*") for phrase in phrases.split(","))
    return rf"(?<!\w)(?:{'|'.join(each)})(?!\w)"


BROWS, EYES, LIDS, MOUTH = (
    "brow, brows, eyebrow, eyebrows",
    "eye, eyes",
    "lid, lids, eyelid, eyelids",
    "mouth, lip, lips",
)
CORNERS = (
    "lip corner, lip corners, mouth corner, mouth corners, corner of ~ mouth, corners of ~ ~ mouth, corners of ~ lips, "
    "edge of ~ mouth, edges of ~ mouth, ends of ~ mouth, mouth edges"
)
UP, DOWN = "up, up*, rais*, rise*, rose, lift*, high*, arch*", "down*, droop*, low*, sag*, drop*"
CUES: tuple[tuple[str, Wordings], ...] = (
    ("inner_brow_raise", Wordings(BROWS, "inner")),
    ("brow_lower", Wordings("frown*, scowl*, glower*, furrow*, knit*")),
    ("brow_lower", Wordings(BROWS, f"{DOWN}, drawn, together, pinch*")),
    ("outer_brow_raise", Wordings(BROWS, UP)),
    ("eyes_closed", Wordings(f"{EYES}, {LIDS}", "clos*, shut*")),
    ("eyes_closed", Wordings("blink*")),
    ("lid_tighten", Wordings("squint*")),
    ("lid_tighten", Wordings(EYES, "narrow*, squeez*, slit, slits, screw*, tight*")),
    ("lid_tighten", Wordings(LIDS, "tight*, tens*")),
    ("upper_lid_raise", Wordings(EYES, "wide*, bulg*, big")),
    ("upper_lid_raise", Wordings("wide-eyed, bug-eyed, upper lid*, upper eyelid*")),
    ("upper_lid_raise", Wordings(LIDS, "rais*, rise*, rose, lift*, up")),
    ("cheek_raise", Wordings("cheek, cheeks")),
    ("nose_wrinkle", Wordings("nose, noses, nostril*")),
    ("upper_lip_raise", Wordings("upper lip, top lip, sneer*, snarl*, curl* ~ ~ lip, lip curl*")),
    ("jaw_drop", Wordings("jaw, jaws", "drop*, open*, down, low*, fall*, fell, hang*, slack, ajar, wide*, far")),
    ("jaw_drop", Wordings("gape, gapes, gaping, agape, yawn*")),
    ("jaw_drop", Wordings("mouth, mouths, lips", "open*, ajar, part, parted, apart")),
    ("lip_corner_depress", Wordings(CORNERS, DOWN)),
    ("lip_corner_depress", Wordings("mouth", "down*, droop*")),
    ("lip_corner_pull", Wordings("smil*, grin*, beam*, smirk*, laugh*")),
    ("lip_corner_pull", Wordings(CORNERS, f"{UP}, pull")),
    ("lip_corner_pull", Wordings("mouth, lips", "upward*, turn* up, curl* up, curve* up")),
    ("lip_press", Wordings("tight-lipped, thin-lipped")),
    ("lip_press", Wordings(MOUTH, "press*, purs*, tight*, squeez*, clamp*, together, compress*, thin*")),
    ("lip_stretch", Wordings(MOUTH, "stretch*, wide*, sideways")),
)
"What people say of a facial cue. The first that is found counts, so that a mouth wide open is an open one."

FACE = Wordings("face*, facial*, expression*, features, look, looks, see, show, shows, shown, visually, picture")
PERSON = Wordings(
    "she, he, they, her, hers, his, their, them, him, person*, speaker*, man, woman, guy, lady, people, she's, he's, "
    "they're, somebody, someone, anybody, anyone"
)
VOICE = Wordings(
    "voice*, vocal*, sound, sounds, tone, hear*, audio, speech, speak, speaks, speaking, spoken, says, saying, talk*"
)
YOU_AGREE = re.compile(r"\byou (?:and i |and me )?(?:dis)?agree")
"What asks for our opinion."
COMPARED = Wordings(
    "agree*, disagree*, match*, mismatch*, fit, fits, consistent, inconsistent, contradict*, conflict*, same, "
    "differ*, align*, in line, at odds, go* together, fit* together, change together, correspond*, in sync, "
    "clash*, line up, back up, backs up, against, congruent, backed up, out of step, harmon*, in tune, "
    "look the way, looks the way, go ~ with, goes ~ with, one story, another story, different story, one thing, "
    "another thing"
)
MIXED = Wordings("mixed signal*, mixed message*")
ORDERED = Wordings(
    "first, before, after, ahead of, earlier, sooner, order, preced*, led, lead, leads, lag*, sequence, follow*, "
    "start with, start* it, begin with, and then, then, quicker, once, "
    "prior to, later, behind, already, who started, the two started"
)
WHEN = Wordings(
    "how many seconds back, how many seconds ago, how many seconds it, for how many seconds, "
    "seconds old, how much time, was the moment, the time at which, "
    "how long, how recently, what time, what moment, what point, what second, which moment, which point, "
    "which second, point in time, since when, seconds ago, minutes ago, just now or, a while ago, a while back, "
    "long ago, was the change, a second ago, recent*, exact moment, the time of, how far back, have passed, long since"
)
ASKS_WHEN = re.compile(r"^(?:when\b(?! (?:she|he|they)\b)|(?:tell|say|show|do|can|could|please|i)\b.*\bwhen\b)")
CHANGED = Wordings("face, facial, expression*, features, look, looking, change*, shift*, alter*")
OF_TWO = Wordings(
    "who, whose, which one, which person, which of, which face, which man, which woman, which speaker, a or b, "
    "or b, or person b, of the two, than b, than a, than person *, than he, than she, than they, which has, "
    "left or, left one or, left person or, a or on, in whom, compare them"
)
HOW_MUCH = Wordings("extent, degree, strength, intensity, what level, a lot, a little, faint*, huge")
ASKS_HOW_MUCH = re.compile(r"\bhow (?!many\b|is\b|are\b|does\b|do\b|come\b|did\b)\w+")
SURE = Wordings(
    "sure*, certain*, confiden*, convinced, reliable, reliab*, trust*, doubt*, guess*, rely, unsure, faith, solid, "
    "odds that, odds of, how likely, how probable, margin of error, you ~ wrong, this ~ wrong, that ~ wrong, "
    "it ~ wrong, is right, are right, is correct, are correct, mistake*, mistaken, believe, believed, accurate, "
    "accuracy, dependable, bet on, your own verdict"
)
OF_A_PERSON = re.compile(
    r"\b(?:does|do|is|are|was|seems?|looks?|sounds?) "
    r"(?:she|he|they|(?:the|this|that) (?:\w+ )?(?:person|speaker|woman|man|girl|boy|lady|guy)|person [ab])\b"
)
COUNTED = Wordings(
    "how many, number of, count, headcount, more than one, only one, just one, on ~ own, by himself, by herself, "
    "by themselves, two people, two faces, several people, faces are, single person, second person, third person, "
    "or a group, is ~ alone, are ~ alone, alone in, alone here, people are there, people are in, people are here, "
    "people visible, human beings, there anyone, there anybody, there someone, there somebody, anyone else, "
    "anybody else, someone else, anyone there, anybody there, anyone here, anybody here, anyone in, anybody in, "
    "someone in"
)
COUNTS_THINGS = re.compile(
    r"\bhow many (?!(?:can|do|did|does|are|is|were|was|have|has|of|in|on|there|exactly)\b|$)"
    r"(?!(?:\w+ ){0,3}(?:people|ppl|persons?|folks?|faces?|heads?|individuals?|humans?|(?:wo)?m[ae]n|girls?|boys?|"
    r"guys?|lad(?:y|ies)|kids?|child(?:ren)?|adults?|speakers?|participants?|subjects?|users?|beings?|others?|bodies)\b)"
)
"A number of chairs, fingers or languages, which nobody counts."
LOUD = Wordings(
    "loud*, quiet*, volume, nois*, soft*, whisper*, shout*, yell*, speak* up, hushed, holler*, bellow*, mutter*, "
    "mumbl*, sound level, raise ~ voice, rais* ~ voice, fainter, "
    "decibel*, db, silent*, amplitude, lower* her voice, lower* his voice, lower* their voice, lower* the voice"
)
RATE = Wordings(
    "fast*, slow*, quick*, rapid*, speed*, sped, pace, rate, hurr*, rush*, tempo, gabbl*, drag*, drawl*, "
    "to the dozen, more time over, syllable*, brisk*, swift*, velocity"
)
PITCH, HIGH = (
    Wordings("pitch*, shrill*, squeak*, f0, fundamental, semitone*, register, octave*"),
    Wordings("high*, low*, deep*"),
)
LIGHT = Wordings("bright*, dark*, dim, dim*, light*, lit, underexposed, overexposed, shadow*, shade*, illuminat*, lamp")
AROUSAL = Wordings(
    "calm*, excite*, relax*, agitat*, arous*, energ*, tense, tension, worked up, animated, lively, restless, "
    "subdued, chilled, composed, fired up, hype, hyped, keyed up, laid-back, laid back, wound up, stirred, "
    "at ease, chill, hyper"
)
VALENCE = Wordings(
    "pleasant*, unpleasant*, positive*, negative*, good, bad, mood, upbeat, enjoy*, pleased, displeased, gloomy, "
    "content, nice, comfortable, uncomfortable, cheerful, valence, spirits, vibe, feeling ~ down, feeling low"
)
SHOWS = Wordings("express*, emot*, react*, intens*, show*, livel*")
"What a face does, where nobody says face."
BECAME = Wordings("became, become, becomes, looked, looking, transition*, transform*, flip*")
"What says of a face that it is another one now."
FEELS = Wordings("feel, feels, feeling, feelings, felt, emotion*, glad, unhappy, upset, mad")
NOT_MEASURED = Wordings(
    "why, where, tomorrow, yesterday, next, wear*, hold*, what will, what would, what did she, what did he, "
    "the words, meant, means, thinking, thinks, think about"
)


SAYS_FIRST = Wordings(
    "came first, comes first, come first, happened first, happens first, was first, is first, changed first, "
    "began first, started first, moved first, went first, first to change, first to move, came before the other"
)
"What asks for an order without naming the two."
SPOKE = Wordings("spoke, speaking, speak, said, anything was said, words, talking, utter*, sentence")
"What says that somebody spoke, beside `VOICE`."
BEGAN = Wordings("start*, began, begin*, begun, commence*, open*")
SPEAKING = Wordings("speak*, spoke, talk*, voice, speech, say, said, saying, sentence")
CHANGES = Wordings(
    "what changed, what has changed, what is changed, what's changed, what changes, what is different, "
    "what's different, what is new, what's new, what moved, what has moved, what is moving, anything changed, "
    "something changed, anything change, something change, anything changing, anything different, "
    "something different, anything new, any change, any changes, any difference, a change, the change, "
    "changes, changed, different now, different from before, different than before, different to before, "
    "different from a moment, still the same, the same as before, the same as a moment, stayed the same, "
    "remained the same, same as earlier, unchanged, what is the difference, what did the face do"
)
MOVED = Wordings(
    "change*, shift*, alter*, move, moved, moves, moving, turned, switch*, happen*, same, different, do anything, "
    "do something, did anything, did something, react*"
)
"What says of a face that something became of it."
BEFORE = Wordings(
    "before, earlier, previous*, ago, just now, become, becomes, became, becoming, got, get, gets, getting, gone, "
    "went, go up, go down, goes up, goes down, going up, going down, grown, grew, rose, rise, rises, risen, rais*, "
    "dropp*, fallen, fell, increas*, decreas*, slowed, speed* up, sped, last sentence, last one, last utterance"
)
"What compares a voice with how it was a moment before."
USUAL = Wordings(
    "usual*, unusual*, normal*, norm, norms, baseline, average*, typical*, habit*, customar*, ordinar*, everyday, "
    "generally"
)
"What compares a voice with how it is as a rule."
MOMENTS = Wordings(
    "when, moment*, second, timestamp*, time code, timecode, onset, instant*, point, what time, the time, "
    "how long ago, since when, until when, which frame, timeline"
)
"What asks for a point in time."
OF_MIND = Wordings(
    "think*, thought*, want*, plan*, remember*, know*, believe*, decide*, hope*, intend*, hid*, love*, hate*, like, "
    "likes, will, would, tomorrow, yesterday, why, because, caus*, reason*, pretend*, faking, fake, genuine*"
)
"What nobody can tell from a face and a voice."
OF_WORDS = Wordings(
    "words, sarcas*, iron*, ironically, meant, mean, means, joking, joke, kidding, serious, seriously, sincere*, "
    "honest, in earnest"
)
"What asks about the words that were said. A model that reads them may know."
