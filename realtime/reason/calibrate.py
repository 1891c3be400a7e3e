"""Turns label scores into calibrated probabilities.

A temperature and one bias per label are fitted for each modality state on people of the validation set
(`train/nano/calibrate.py`; "bias-corrected temperature scaling" in Alexandari et al., ICML 2020). They are part of the
checkpoint. Where there are a face and a voice, the scores of each alone are added to those of both, log-linearly
(Brümmer's fusion of classifiers, FoCal). The final distribution combines the fast label's with what was judged after an
evidence-first chain's texts, before its argument, and with the label that the chain names. The token probabilities of
the argument are not used: after it has argued for a label, a model is always sure of it. Where face and voice show
nothing, what was said may decide. No probability is told above the share of the surest validation windows that was
right (`train/tuning/surest.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from realtime.model.config import Calibration
from realtime.reason.prompt import UNSURE
from realtime.records import DISAGREE_BITS, Answer, Conflict

WORDS = "words"
"Under this name a calibration has the temperature and the bias of the expert on words."
NEUTRAL = "neutral"
"The label of a face and a voice that show nothing."
STATES = ("both", "face", "voice", "none")
"Modality states: which of face and voice a window has."
APART = "apart"
"In place of `both` where face and voice disagree: such windows have a bound of their own."
NARROW_BAND_TEMPERATURE = 1.5
"""For labels from a voice that ends below 4 kHz. It was chosen on RAVDESS's actors 17 and 18, whose 120 sentences were
sent through 8 kHz: nano is right in 0.50 of them instead of 0.575 and says 0.66; at this temperature it says 0.52. Of
the values tried, 1.25 had the best log score and 1.75 the least calibration error. No other people have been tried."""


def state_of(*, has_face: bool, has_speech: bool) -> str:
    """The modality state, one of `STATES`."""
    if has_face and has_speech:
        return "both"
    return "face" if has_face else "voice" if has_speech else "none"


def softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def fast(
    scores: Mapping[str, float],
    state: str,
    calibration: Calibration,
    *,
    alone: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, float]:
    """Calibrated probabilities, summing to 1, from the log-scores of the label words.

    `alone` holds the log-scores of `face` and `voice` alone. A label set that the bias was not fitted for gets no bias.
    No probability is above the bound of the state; one for a face and a voice that disagree is the caller's.
    """
    temperature, bias = calibration.fast.get(state, 1.0), calibration.bias.get(state, {})
    if bias.keys() != scores.keys():
        bias = dict.fromkeys(scores, 0.0)
    joined = {label: score / temperature + bias[label] for label, score in scores.items()}
    for name, others in (alone or {}).items():
        weight = calibration.alone.get(name, 0.0)
        joined = {label: score + weight * others[label] for label, score in joined.items()}
    return bounded(dict(zip(joined, softmax(list(joined.values())), strict=True)), calibration.at_most.get(state, 1.0))


def largest(state: str, conflict: Conflict | None, calibration: Calibration) -> float:
    """The largest probability that may be told of a window in this state; 1 where none was fitted."""
    kind = APART if conflict is not None and conflict.score >= DISAGREE_BITS else state
    return calibration.at_most.get(kind, 1.0)


def bounded(probabilities: Mapping[str, float], most: float) -> dict[str, float]:
    """The distribution with no probability above `most`, which has to be above a half.

    What the likeliest label loses goes to the others, in their proportions; their order stays.
    """
    best = max(probabilities, key=lambda label: probabilities[label])
    over = probabilities[best] - most
    others = sum(share for label, share in probabilities.items() if label != best)
    if over <= 0 or len(probabilities) < 2:
        return dict(probabilities)
    even = over / (len(probabilities) - 1)
    return {
        label: most if label == best else share + (over * share / others if others else even)
        for label, share in probabilities.items()
    }


def less_sure(probabilities: Mapping[str, float], temperature: float) -> dict[str, float]:
    """The distribution flattened by a temperature above 1; the order of the labels stays."""
    scores = [math.log(max(p, 1e-9)) / temperature for p in probabilities.values()]
    return dict(zip(probabilities, softmax(scores), strict=True))


def joined(
    fast_probabilities: Mapping[str, float],
    chain_label: str | None,
    calibration: Calibration,
    *,
    judged: Mapping[str, float] | None = None,
    said: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The distribution after a chain. `said` is what the words alone say, for a judgement that read some.

    It is empty where nobody knows what they say, and None without words.

    The fast label's and the log-scores `judged` after the chain's texts are joined log-linearly, with the weights
    `fast` and `judged` of `Calibration.after_texts`. Then its `bonus` (in logits) is added to the label that the chain
    names.
    """
    weights = calibration.after_texts(words=said is not None)
    of_fast, of_judged = (weights.get("fast", 1.0), weights.get("judged", 0.0)) if judged else (1.0, 0.0)
    scores = [
        of_fast * math.log(max(p, 1e-9))
        + (of_judged * judged[label] if judged else 0.0)
        + (weights.get("bonus", 0.0) if label == chain_label else 0.0)
        for label, p in fast_probabilities.items()
    ]
    shares = dict(zip(fast_probabilities, softmax(scores), strict=True))
    return decided(shares, said, weights.get("decide", 0.0)) if said else shares


def of_words(shares: Mapping[str, float], calibration: Calibration) -> dict[str, float]:
    """What the words alone say, calibrated. `shares` is what the expert on words says."""
    return fast({label: math.log(max(p, 1e-9)) for label, p in shares.items()}, WORDS, calibration)


def decided(shares: Mapping[str, float], said: Mapping[str, float], share: float) -> dict[str, float]:
    """The distribution after the words had their say where face and voice show nothing.

    That much of what is neutral goes to what the words say. The rest stays: words that say something else than a face
    and a voice are not taken for what they say. A set without all the labels of `said` stays as it is.
    """
    if not said.keys() <= shares.keys() or NEUTRAL not in said:
        return dict(shares)
    open_to_words = share * shares[NEUTRAL]
    kept = {**shares, NEUTRAL: shares[NEUTRAL] - open_to_words}
    return {label: p + open_to_words * said.get(label, 0.0) for label, p in kept.items()}


def answer(probabilities: Mapping[str, float], label: str | None, intensity: str, calibration: Calibration) -> Answer:
    """The answer to publish: the chain's label with its calibrated probability, or `unsure` below the threshold.

    A chain that names no label, or names `unsure`, gives `unsure`.
    """
    if label is None or label == UNSURE or label not in probabilities:
        return unsure(probabilities, calibration)
    confidence = probabilities[label]
    if confidence < calibration.unsure_below:
        return Answer(UNSURE, intensity, confidence)
    return Answer(label, intensity, confidence)


def unsure(probabilities: Mapping[str, float], calibration: Calibration) -> Answer:
    """An unsure answer, with the confidence of the likeliest label, but never more than the threshold.

    A label may be likely and the answer unsure all the same, since the chain contradicts itself or names none. Such an
    answer is not sure of that label.
    """
    best = max(share for label, share in probabilities.items() if label != UNSURE)
    return Answer(UNSURE, "", min(best, calibration.unsure_below))


def divergence_bits(a: Sequence[float], b: Sequence[float]) -> float:
    """Jensen–Shannon divergence of two distributions in bits: 0 when they are equal, 1 when they are disjoint."""
    p, q = np.asarray(a, np.float64), np.asarray(b, np.float64)
    middle = (p + q) / 2

    def against(x: npt.NDArray[np.float64]) -> float:
        seen = x > 0
        return float((x[seen] * np.log2(x[seen] / middle[seen])).sum())

    return min(1.0, max(0.0, (against(p) + against(q)) / 2))
