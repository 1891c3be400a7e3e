"""How a question of each kind is worded: patterns to train on, and sentences that are held out.

In a pattern, `[a|b|c]` stands for one of the three, and `{cue}` for the words of a facial cue. The patterns give some
thousand wordings, so that a small model learns words and not sentences. The held-out ones are for evaluation, and no
pattern gives one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Literal, get_args

import numpy as np

Kind = Literal[
    "presence",
    "degree",
    "who",
    "count",
    "loudness",
    "pitch",
    "rate",
    "agreement",
    "valence",
    "arousal",
    "sureness",
    "when",
    "order",
    "light",
    "words",
    "meant",
    "declined",
    "untold",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

ASKED: Mapping[Kind, tuple[str, ...]] = {
    "presence": (
        "[Are|Do you see|Can you see|Do you find|Do you notice] [|the ]{cue}[| here| now| in the face]?",
        "[Is it true that|Is it so that|Does it look as if|Would you call|Tell me if|Say if] the {cue}?",
        "[Are there|Is there a face with|Is this a face with|Does the face show|Does the person have] {cue}?",
        "[Does she have|Does he have|Can one see|Does the person show|Is this about] {cue}?",
        "Can {cue} be seen[| here| now]?",
        "{cue}[?|: yes or no?|, is that so?]",
    ),
    "degree": (
        "How [strongly|clearly|much|far] are the {cue}[| here| now]?",
        "[To what|In which|To which] degree are the {cue}?",
        "How [strong|clear|marked] is the {cue}?",
        "How much of {cue} [do you see|can you see|is there|is shown]?",
        "[Tell me|Say] how [strongly|clearly|much] the {cue} are.",
        "What [degree|strength] has {cue}?",
        "{cue}: how [strong|strongly|clear|much]?",
    ),
    "who": (
        "Who [has|shows] [the |]{cue} [more|more strongly|more clearly]?",
        "Which person [has|shows] the {cue} more[|, A or B]?",
        "Is it [|person ]A or [|person ]B [with|who has|who shows] {cue}[| more strongly]?",
        "[Of the two|Of both|Of these two], who has the {cue} more?",
        "[Tell me|Say] who [has|shows] the {cue} more.",
        "[A or B|Person A or B]: {cue}?",
        "Whose {cue} more strongly?",
    ),
    "count": (
        "How many [people|persons|faces] [are there|are in the picture|are in view|are shown|are here][| now]?",
        "How many [people|persons|faces] [do you see|can you see|are in the frame|did you find]?",
        "How many [are there|are here|is that]?",
        "[Count|Tell me how many there are:] the [people|faces|persons][| in view| in the picture].",
        "[Tell me|Say] how many [people|faces|persons] [you see|there are].",
        "What is the number of [people|faces|persons]?",
        "Is there [one person or more|anybody|anybody in the picture|more than one person|someone]?",
        "Are there [two|several|two or more] people?",
    ),
    "loudness": (
        "Is [the voice|the speaker|this voice|it] [louder|quieter|louder or quieter][| than usual| than before]?",
        "Is [she|he] [louder|quieter|louder or quieter][| than usual| than before| now]?",
        "Has [the voice|she|he|the speaker|the person] [become|got] [louder|quieter]?",
        "Does [the person|she|he|the speaker] [speak|talk] [louder|quieter|louder or quieter][| than usual| now]?",
        "Does [the voice|it|this voice] sound [louder|quieter|louder or quieter][| than usual| than before]?",
        "[Louder|Quieter|Louder or quieter][| than usual| than before]?",
        "How loud is [the voice|the person|the speaker|she|he|it][| now| today]?",
        "[Tell me|Say] [whether|if] [the voice|she|he|the speaker] is [louder|quieter|louder or quieter].",
        "Did the [voice|loudness] [become louder|become quieter|go up in loudness|change in loudness]?",
    ),
    "pitch": (
        "Is the [pitch|voice] [higher|lower|higher or lower] than usual?",
        "Is [her voice|his voice|this voice] [higher|lower|higher or lower][| than usual| than before]?",
        "Has [the voice|her voice|his voice|the pitch] [become|got|gone] [higher|lower]?",
        "Does [the voice|it|her voice|his voice] sound [higher|lower|higher or lower][| than usual| than before]?",
        "Does [the person|she|he] speak [higher|lower|higher or lower][| than usual]?",
        "[Higher|Lower|Higher or lower][| in pitch][| than usual]?",
        "How high is [the pitch|the voice|her voice|his voice|this voice][| now]?",
        "[Tell me|Say] [whether|if] the [pitch|voice] is [higher|lower|higher or lower].",
        "Did the pitch [become higher|become lower|go up|go down|change]?",
    ),
    "rate": (
        "Is [the speech|the speaker|the rate|she|he] [faster|slower|faster or slower][| than usual| than before]?",
        "Has [the speech|she|he|the speaker|the rate] [become|got] [faster|slower]?",
        "Does [the person|she|he|the speaker] [speak|talk] [faster|slower|faster or slower][| than usual| now]?",
        "Does it sound [faster|slower|faster or slower][| than usual| than before]?",
        "[Faster|Slower|Faster or slower][| than usual| than before]?",
        "How fast [is the speech|is the voice|does she speak|does he talk|is the rate|do they talk]?",
        "[Tell me|Say] [whether|if] [the speech|the voice|she|he] is [faster|slower|faster or slower].",
        "Did the [speech|voice|rate] [become faster|become slower|change in rate]?",
    ),
    "agreement": (
        "Do [face and voice|voice and face|the face and the voice] [agree|disagree|match|point the same way]?",
        "Do [face and voice|voice and face|both] [say the same|fit together|differ]?",
        "Does the face [agree with|match|fit|contradict] the voice?",
        "Does the voice [agree with|match|fit|contradict] the face?",
        "Is there [a conflict|agreement|disagreement|a difference] [of|between] [face and voice|voice and face]?",
        "[Tell me|Say] [whether|if] [face and voice|voice and face] [agree|match|disagree].",
        "[Agree or disagree|Same or different|Agreement or conflict]?",
        "Is the voice [like|against|different from] the face?",
    ),
    "valence": (
        "Is [it|this|the mood|the feeling] [pleasant|unpleasant|positive|negative|good|bad]?",
        "Is [it|the mood|the feeling] [pleasant or unpleasant|positive or negative|good or bad]?",
        "Is [the person|she|he] in a [good|bad|good or bad] mood?",
        "Does [the person|she|he] [feel|seem] [good|bad|good or bad|pleased]?",
        "[Pleasant or unpleasant|Good or bad|Positive or negative]?",
        "[Tell me|Say] [whether|if] [it|this|the mood] is [pleasant|positive|good|negative].",
        "Is the tendency [positive|negative|positive or negative]?",
    ),
    "arousal": (
        "Is [the person|she|he|the mood|it|this] [calm|excited|aroused|relaxed|calm or excited|aroused or calm]?",
        "Does [the person|she|he] [seem|sound|look] [calm|excited|relaxed|aroused]?",
        "How [calm|excited|aroused|relaxed] is [the person|she|he|this|it]?",
        "How much [energy|excitement|arousal] is there[| in this| in it]?",
        "Is there much [excitement|arousal][| in this]?",
        "[Calm or excited|Excited or calm|High or low energy]?",
        "[Tell me|Say] how [calm|excited|aroused] [the person|she|he|it] is.",
    ),
    "sureness": (
        "How [sure|certain] [is this|is that|are you|are you of this|is it]?",
        "[Are you|Is this|Is that] [sure|certain|sure or a guess|a guess]?",
        "How much doubt is there[| in this| in that]?",
        "Is there [doubt|any doubt|a doubt]?",
        "[Sure or not|Certain or a guess|A guess]?",
        "[Can|How much can|May] [this|that] be trusted?",
        "[Tell me|Say] how [sure|certain] [you are|this is|it is].",
        "Do you know [that|this] for [sure|certain]?",
    ),
    "when": (
        "When did [the expression|this expression|the change] [appear|begin|start|come]?",
        "[When|How long ago] did the face change?",
        "[Since when|How long] [does the face look like this|is the expression there|is this expression there]?",
        "When did [that|it|this] [begin|appear|start|come] in the face?",
        "Was the change [just now|long ago|a second ago][| in the face]?",
        "[Tell me|Say] when the [face changed|expression appeared|expression came].",
    ),
    "order": (
        "[What|Which] [came|changed|began|was] first, [the face or the voice|face or voice|the voice or the face]?",
        "Did the face change [before|after] the voice[| began| did]?",
        "Did the voice begin [before|after] the face[| changed| did]?",
        "In which order did [face and voice|voice and face] change?",
        "Was the [voice|face] first?",
        "[Face first or voice first|Voice first or face first|Face or voice first|Which first, face or voice]?",
        "[Tell me|Say] [what|which] [came|changed|was] first.",
    ),
    "light": (
        "Is [it|the scene|the picture|the room] [bright|dark|dim|bright or dark|dark or bright][| here]?",
        "Is it [dark|bright|dim] in the [picture|room|scene]?",
        "How [bright|dark] is [it|the scene|the picture|the room|the light][| here]?",
        "Is there [much|enough|little] light[| here]?",
        "How [is|strong is|bright is] the light?",
        "[Bright or dark|Dark or bright|Light or dark]?",
        "[Tell me|Say] how [bright|dark] [it|the scene|the picture] is.",
    ),
    "words": (
        "What do the words [say|tell|express|show]?",
        "[Which|What] [feeling|emotion|mood] [is in|do you read in|is told by] the words[| alone]?",
        "[Which|What] [feeling|emotion|mood] do the words [have|express|tell of]?",
        "What [is said|was said|does she say|does he say|do they say], by the words alone?",
        "How do the words sound[| if one only reads them]?",
        "[And the words|The words alone|Taken alone, the words]?",
        "[Tell me|Say] what the words [say|express|tell].",
    ),
    "meant": (
        "[Is this|Is that|Was that] [sarcasm|irony|a joke|serious|ironic|sarcastic|meant ironically|in earnest]?",
        "Does [he|she|the person|the speaker] mean [it|that|this|what is said|the words]?",
        "Are the words [meant|serious|honest|sincere|true to the voice]?",
        "[Is it|Was it|Is that|Was that] meant [seriously|so|as it was said|in earnest]?",
        "Do the words [fit|match|go with] [the face|the voice|face and voice|how they are said]?",
        "[Is he|Is she] [joking|being sarcastic|being ironic|sincere|serious]?",
        "[Tell me|Say] if [she|he] means [it|that].",
    ),
    "declined": (
        "Who is [this|she|he|that|the person|the speaker|in the picture]?",
        "[What is the name of|Do you know|Who is] [this person|this woman|this man|the speaker]?",
        "What is [her|his] [name|age|religion|race|address]?",
        "[Tell me|Say] [the name|her name|his name|who she is|who he is|her age].",
        "How old is [she|he|this person|the person|the speaker|this woman|this man]?",
        "Is [she|he|the person] [ill|sick|healthy|guilty|lying|depressed|autistic|a criminal|a man|a woman|gay]?",
        "Is it a man or a woman?",
        "[What|Which] [race|religion|nationality|sex|gender] [has|is] [she|he|the person]?",
        "Does [she|he|the person] have [a fever|a cold|cancer|autism|depression]?",
        "Did [she|he] [steal it|lie|kill him|cheat]?",
        "Has [he|she] done it?",
        "Where does [he|she] come from?",
    ),
    "untold": (
        "What [will happen|happens] [next|then|tomorrow]?",
        "What did [he|she] [eat|say|buy|read|drink][| today| yesterday]?",
        "What does [he|she|the person] [do for work|like|think of it|want|own]?",
        "What is [he|she] [looking at|thinking|reading|holding|wearing]?",
        "Where [is this|is she|is he|are they|does he go|did she go|does she live|was this]?",
        "Why [is that|does he say that|is she here|did he come|is she so]?",
        "[Is this|Is that] [art|music|a film]?",
        "What [day|time|year] is it?",
        "What is [the weather like|the plan|the capital of France|two and two|the meaning of life]?",
        "Will it [rain|snow|work]?",
        "How does [she|he] know[| that]?",
        "[How do I cook rice|Can you sing]?",
        "Tell me a [joke|story].",
        "[¿Qué hora es|¿Por qué|¿Dónde está|¿Qué es esto|Wie heißt das|Was macht er|Wo ist das|Warum|Wie spät ist es]?",
        "[Pourquoi|Où est-il|Qu'est-ce que c'est] ?",
        "[Che cosa fa|Co to jest|Perché]?",
    ),
}  # fmt: skip
HELD_OUT: Mapping[Kind, tuple[str, ...]] = {
    "presence": ("Would you say that the {cue}?", "Is {cue} what you see?", "Tell me whether the {cue}."),
    "degree": ("How strong is this: {cue}?", "In what degree do you see the {cue}?"),
    "who": ("Which of the two has {cue} more strongly?", "Person A or person B: who has the {cue} more?"),
    "count": ("How many do you see in view?", "Tell me the number of faces."),
    "loudness": ("Has the voice become louder or quieter?", "Is the person louder than before?"),
    "pitch": ("Has the pitch become higher or lower?", "Is the person's voice higher than before?"),
    "rate": ("Has the voice become faster or slower?", "Is the person faster than before?"),
    "agreement": ("Does the voice agree with what the face shows?", "Are face and voice in conflict?"),
    "valence": ("Would you say that this is pleasant or unpleasant?", "Is that a good mood?"),
    "arousal": ("Would you say calm or excited?", "Is there much energy in this?"),
    "sureness": ("How sure can you be of this?", "Is there much doubt in that?"),
    "when": ("When was the change in the face?", "How long ago did the expression appear?"),
    "order": ("Was the face first or the voice?", "Did the voice come before the face?"),
    "light": ("Would you say that it is bright or dark?", "Is there much light in the scene?"),
    "words": ("Read by themselves, what do the words express?", "What feeling would a reader find in the words?"),
    "meant": ("Would you take the words at their word?", "Is there sarcasm in what was said?"),
    "declined": ("Tell me who this is.", "What age is the person?", "Does she have a disease?", "Did he do it?"),
    "untold": ("What did she do before?", "Where will he go?", "Quelle heure est-il ?"),
}
CHOICE = re.compile(r"\[([^\]]*)\]")


def worded(pattern: str, rng: np.random.Generator) -> str:
    """One wording of a pattern."""

    def chosen(match: re.Match[str]) -> str:
        options = match.group(1).split("|")
        return options[int(rng.integers(len(options)))]

    return CHOICE.sub(chosen, pattern)


def all_wordings(pattern: str) -> Iterator[str]:
    """Every wording of a pattern."""
    parts = CHOICE.split(pattern)  # text, options, text, options, …, text
    choices = [part.split("|") if place % 2 else [part] for place, part in enumerate(parts)]
    yield from ("".join(chosen) for chosen in product(*choices))
