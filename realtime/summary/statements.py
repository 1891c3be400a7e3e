"""The facts of a summary as plain sentences, which is what is told where no language model writes them out.

    Of 24 moments, 15 were happy, 6 neutral and 3 unsure. It began as neutral, and changed to happy at 0:42. …

Each sentence is a count or a measurement of the session's own events (`recall.py`). Times are minutes and
seconds of the session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from realtime.reason.measurements import CUE_WORDS, VOICE_STEPS, VOICE_WORDS, cue_told, degree, difference_told
from realtime.reason.prompt import UNSURE
from realtime.records import DISAGREE_BITS
from realtime.summary.recap import Recap, ToldMoment

LEAST_S = 60.0
"A session that is younger has too few moments to be summed up."
HOLDS = 2
"Moments in a row after which a label counts as changed. One moment may be a mistake."
MOST_CHANGES = 3
"Changes that are told one by one."
MOST_CUES = 3
LEAST_CUE = 0.5
"Cue intensity from which a cue stood out: clearly there."


def too_early(recap: Recap) -> str | None:
    """Why there is nothing to sum up yet, as a sentence; None where there is."""
    if recap.end_s < LEAST_S:
        return f"This session has {recap.end_s:.0f} seconds so far; a summary needs a minute."
    if not recap.told:
        return f"Nothing was told between {clock(recap.start_s)} and {clock(recap.end_s)}."
    return None


def statements(recap: Recap) -> tuple[str, ...]:
    """What was told and measured, sentence by sentence: labels, face, voice, both, how sure, what is missing."""
    if (nothing := too_early(recap)) is not None:
        return (nothing,)
    return (
        *_labels(recap.told),
        *_face(recap),
        *_voice(recap),
        *_both(recap.told),
        *_sure(recap.told),
        *_missing(recap),
    )


def clock(at_s: float) -> str:
    """A moment of the session as minutes and seconds."""
    return f"{int(at_s) // 60}:{int(at_s) % 60:02d}"


def counts(told: Sequence[ToldMoment]) -> dict[str, int]:
    """How many moments had each label, the most frequent first and `unsure` last."""
    found = Counter(each.label for each in told)
    unsure = found.pop(UNSURE, 0)
    return dict(found.most_common()) | ({UNSURE: unsure} if unsure else {})


def course(told: Sequence[ToldMoment]) -> list[tuple[float, str]]:
    """When each label began that held for `HOLDS` moments in a row. Unsure moments are passed over."""
    sure = [each for each in told if each.label != UNSURE]
    found: list[tuple[float, str]] = []
    for place, each in enumerate(sure):
        after = sure[place : place + HOLDS]
        holds = len(after) == HOLDS and all(other.label == each.label for other in after)
        if holds and (not found or found[-1][1] != each.label):
            found.append((each.at_s, each.label))
    return found


def disagreements(told: Sequence[ToldMoment]) -> list[ToldMoment]:
    """The moments at which face and voice disagreed, the plainest first."""
    apart = [each for each in told if each.conflict >= DISAGREE_BITS and each.face != each.voice]
    return sorted(apart, key=lambda each: -each.conflict)


def _labels(told: Sequence[ToldMoment]) -> Iterator[str]:
    found = counts(told)
    if len(found) == 1:
        yield f"All {_moments(len(told))} were {next(iter(found))}."
        return
    named = [f"{n} {label}" for label, n in found.items()]
    first, *rest = named
    verb = "was" if first.startswith("1 ") else "were"
    yield f"Of {_moments(len(told))}, {first.replace(' ', f' {verb} ', 1)}, {_listed(rest)}."
    changes = course(told)
    if not changes:
        yield "No label held for long."
        return
    (_, began), *later = changes
    if not later:
        yield f"No other label than {began} held for long."
    elif len(later) <= MOST_CHANGES:
        yield f"It began as {began}, and changed to {_listed([f'{label} at {clock(at_s)}' for at_s, label in later])}."
    else:
        at_s, label = later[-1]
        yield f"It began as {began}, and changed {len(later)} times, last to {label} at {clock(at_s)}."


def _face(recap: Recap) -> Iterator[str]:
    if recap.n_frames == recap.n_faceless:
        return
    strong = sorted(
        (cue for cue in CUE_WORDS if cue in recap.cues and recap.cues[cue].value >= LEAST_CUE),
        key=lambda cue: -recap.cues[cue].value,
    )
    told = [
        f"{cue_told(cue, degree(recap.cues[cue].value) or '')}, most at {clock(recap.cues[cue].at_s)}"
        for cue in strong[:MOST_CUES]
    ]
    whose = "face that was seen most" if recap.n_people > 1 else "face"
    if recap.n_people > 1:
        yield f"Up to {recap.n_people} faces were in view."
    yield f"Of the {whose}, what stood out: {'; '.join(told)}." if told else f"Of the {whose}, nothing stood out."


def _voice(recap: Recap) -> Iterator[str]:
    if not recap.speech:
        return
    heard_s = sum(end_s - start_s for start_s, end_s in recap.speech)
    yield f"Speech was heard for {heard_s:.0f} seconds, in {_counted(len(recap.speech), 'stretch', 'stretches')}."
    if not recap.voices:
        yield "The voice was too new to compare."
        return
    found = [
        (abs(relative[key]), at_s, difference_told(key, relative[key]))
        for at_s, relative in recap.voices
        for key in VOICE_WORDS
        if abs(relative.get(key, 0.0)) > VOICE_STEPS[0][0]
    ]
    if not found:
        yield "The voice stayed near its usual."
        return
    _, at_s, told = max(found)
    yield f"The voice differed most from its usual at {clock(at_s)}: {told}."


def _both(told: Sequence[ToldMoment]) -> Iterator[str]:
    compared = [each for each in told if each.face is not None]
    apart = disagreements(compared)
    if not compared:
        return
    if not apart:
        yield "Face and voice agreed, or were not far apart, wherever both were there."
        return
    plainest = apart[0]
    yield (
        f"Face and voice disagreed in {len(apart)} of {_moments(len(compared))}, most at {clock(plainest.at_s)}: "
        f"the face pointed to {plainest.face}, and the voice to {plainest.voice}."
    )


def _sure(told: Sequence[ToldMoment]) -> Iterator[str]:
    mean = sum(each.share for each in told) / len(told)
    fitted = "" if all(each.calibrated is not False for each in told) else ", which was fitted for no people"
    shown = "more than 99%" if mean > 0.99 else f"{mean:.0%}"
    yield f"The likeliest label had a probability of {shown} on average{fitted}."
    if n := sum(each.contradicts for each in told):
        yield f"The reasons contradicted themselves in {_moments(n)}."


def _missing(recap: Recap) -> Iterator[str]:
    if not recap.n_frames:
        yield "No picture was there."
    elif recap.n_faceless:
        yield f"No face was in view in {recap.n_faceless} of {_counted(recap.n_frames, 'picture', 'pictures')}."
    if not recap.speech:
        yield "No speech was heard."
    if recap.n_left_out:
        yield f"{_moments(recap.n_left_out).capitalize()} were left out, as the machine was slow."
    yield from recap.problems


def _moments(n: int) -> str:
    return _counted(n, "moment", "moments")


def _counted(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"


def _listed(parts: Sequence[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
