"""Fits the classifier that tells of which kind a question is (`realtime/asking/kinds.py`), and says how well it reads.

    realtime train asking.fit --data DATA --out realtime/asking/kinds.json

It learns from the patterns of `patterns.txt`, the wordings that nano was trained on (`coet/wordings.py`), sentences of
GoEmotions and of `elsewhere.txt`, which are no questions of ours, and sets of questions by people who did not know the
rules. Some patterns are misspelled. First each of those sets is left out of the fit and read: `right` is the share that
is read as its kind, `wrong` as another, and the rest is left alone. A page's rules have their say, as they do there
(`asking/restated.py`). `paraphrases_5.json` is in no fit. The last line is one JSON object. A minute of one CPU core.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from realtime.asking.declined import declined, fold
from realtime.asking.kinds import CONCEPTS, Classifier, features, words_of
from realtime.asking.lexicon import CUES
from realtime.asking.restated import ABOUT, OF_NO_KIND, OWN, by_words, chosen
from realtime.commands.program_parser import ProgramParser
from realtime.outputs import refuse_input
from realtime.reason.measurements import CUE_WORDS
from realtime.records import Float32
from train.coet.wordings import ASKED, HELD_OUT, all_wordings
from train.command import run_command
from train.evaluation import staged
from train.evaluation.staged import NOT_MEASURED
from train.readers.clip import DataMissing

HERE = Path(__file__).parent
EVALUATION = Path(staged.__file__).parent
PATTERNS, ELSEWHERE = HERE / "patterns.txt", HERE / "elsewhere.txt"
SETS: dict[str, tuple[Path, ...]] = {
    "questions": (HERE / "questions_1.json", HERE / "questions_2.json"),
    "paraphrases 1 and 2": (EVALUATION / "paraphrases.json", EVALUATION / "paraphrases_2.json"),
    "paraphrases 3": (EVALUATION / "paraphrases_3.json",),
    "paraphrases 4": (EVALUATION / "paraphrases_4.json",),
}
"What people wrote who did not know the rules."
OF_EACH, TRAINED_OF_EACH, SENTENCES = 900, 250, 400
"Questions of each kind from the patterns, of those that nano was trained on, and sentences that are none."
TIMES = 2
"How often each question of the sets counts."
MISSPELLED = 0.15
MOST_FEATURES = 6_000
COMMON = 20
"Sentences that have a word which is no slip."
STRENGTH = 1.5
"Inverse of the penalty on weights."
LONGEST = 200
"Characters of a question."
OF_MOOD = ("valence", "own")
"A question of happiness may be answered as one of a mood, and the other way round."
NAME, CHOICE = re.compile(r"<(\w+)>"), re.compile(r"\[([^\[\]]*)\]")
Asked = tuple[str, str]
"A question and its kind."


def patterns(path: Path = PATTERNS) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The names with what stands for them, and the patterns of each kind."""
    names, by_kind, own = dict[str, list[str]](), dict[str, list[str]](), None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            own = by_kind.setdefault(line[3:], [])
        elif line and not line.startswith("#"):
            if own is None:
                name, _, options = line.partition(" = ")
                names[name] = options.split("|")
            else:
                own.append(line)
    return names, by_kind


def worded(pattern: str, names: dict[str, list[str]], rng: random.Random) -> str:
    """One wording of a pattern."""
    while (
        said := CHOICE.sub(
            lambda match: rng.choice(match[1].split("|")), NAME.sub(lambda match: rng.choice(names[match[1]]), pattern)
        )
    ) != pattern:
        pattern = said
    return " ".join(pattern.split())


def misspelled(text: str, rng: random.Random) -> str:
    """The text with two letters swapped, one left out, or one twice."""
    at, slip = rng.randrange(1, max(2, len(text) - 2)), rng.random()
    if slip < 0.4:
        return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if slip < 0.7 else text[:at] + text[at : at + 1] + text[at:]


def from_patterns(rng: random.Random) -> Iterator[Asked]:
    names, by_kind = patterns()
    for kind, own in by_kind.items():
        for number in range(OF_EACH):
            text = worded(own[number % len(own)], names, rng)
            yield (misspelled(text, rng) if rng.random() < MISSPELLED else text), kind


def trained(rng: random.Random) -> Iterator[Asked]:
    """Wordings that nano was trained on, and those that were held out."""
    for wordings in (ASKED, HELD_OUT):
        for kind, own in wordings.items():
            texts = [text for pattern in own for text in all_wordings(pattern)]
            for text in rng.sample(texts, min(TRAINED_OF_EACH, len(texts))):
                words = rng.choice(rng.choice(list(CUE_WORDS.values())))
                yield kind_known(text.replace("{cue}", words), "words" if kind == "meant" else kind)


def of_set(paths: Sequence[Path]) -> list[Asked]:
    return [
        (each["text"], "untold") if each.get("cue") == NOT_MEASURED else kind_known(each["text"], kind)
        for path in paths
        for kind, own in json.loads(path.read_text(encoding="utf-8")).items()
        for each in own
    ]


def kind_known(text: str, kind: str) -> Asked:
    """The question with its kind, where those who wrote it drew fewer lines than we do.

    Whether a voice is louder than before was the kind `loudness`, and whether somebody is happy that of a mood.
    """
    said = by_words(fold(text))
    if kind in ("loudness", "pitch", "rate") and said and ABOUT[said].kind == "before":
        return text, "before"
    return text, "own" if kind == "valence" and said == OWN else kind


def elsewhere() -> list[Asked]:
    """Questions about rooms, films, software and the like, which are none of ours."""
    return [(text, "untold") for text in ELSEWHERE.read_text(encoding="utf-8").splitlines()]


def all_sentences(data: Path) -> list[str]:
    path = data / "words" / "goemotions_ekman_train.tsv"
    if not path.is_file():
        raise DataMissing(f"{path} is missing.")
    return [line.partition("\t")[0][:LONGEST] for line in path.read_text(encoding="utf-8").splitlines()]


def fitted(asked: Sequence[Asked], spelling: Classifier) -> Classifier:
    """The classifier of these questions, with the weights that are stored."""
    found = [features(spelling.spelled(fold(text))) for text, _ in asked]
    kinds = [kind for _, kind in asked]
    whole = DictVectorizer()
    all_NF = whole.fit_transform(found)
    rough = LogisticRegression(C=STRENGTH, max_iter=300).fit(all_NF, kinds)
    # What matters to no kind is left out, and the rest fitted anew.
    strongest = np.argsort(-np.abs(rough.coef_).max(0))[:MOST_FEATURES]
    model = LogisticRegression(C=STRENGTH, max_iter=300).fit(all_NF[:, strongest], kinds)
    names = whole.get_feature_names_out()
    step = float(np.abs(model.coef_).max()) / 127
    weights_FK: Float32 = (np.round(model.coef_.T / step) * step).astype(np.float32)
    places = {str(names[each]): place for place, each in enumerate(strongest)}
    return replace(
        spelling,
        kinds=tuple(model.classes_),
        places=places,
        weights_FK=weights_FK,
        bias_K=model.intercept_.astype(np.float32),
    )


def stored(model: Classifier) -> dict[str, Any]:
    step = float(np.abs(model.weights_FK).max()) / 127
    rows_FK = np.round(model.weights_FK / step).astype(np.int8)
    return {
        "kinds": model.kinds,
        "bias": [round(float(each), 4) for each in model.bias_K],
        "step": step,
        "words": " ".join(sorted(model.words)),
        "others": " ".join(sorted(model.others)),
        "features": list(model.places),
        "weights": base64.b64encode(rows_FK.tobytes()).decode(),
    }


def read(model: Classifier, text: str) -> str:
    """The kind that a page reads a question as: "left" where it is left alone."""
    if declined(text):
        return "declined"
    folded = model.spelled(fold(text))
    shares_K = model.probabilities(folded)
    said = chosen(folded, model.kinds[int(shares_K.argmax())], float(shares_K.max()))
    return "left" if said is None else "own" if said == OWN else ABOUT[said].kind


def counted(model: Classifier, asked: Sequence[Asked]) -> dict[str, Any]:
    """How many questions are read as their kind, as another, and not at all."""
    right, wrong = Counter[str](), Counter[str]()
    each = Counter(kind for _, kind in asked)
    for text, kind in asked:
        found = read(model, text)
        known = {"untold": ("left", "declined"), "words": ("left",), "valence": OF_MOOD, "own": OF_MOOD}.get(
            kind, (kind,)
        )
        right[kind] += found in known
        wrong[kind] += found not in (*known, "left")
    n = len(asked)
    return {
        "n": n,
        "right": round(sum(right.values()) / n, 3),
        "wrong": round(sum(wrong.values()) / n, 3),
        "kinds": {kind: round(right[kind] / each[kind], 2) for kind in each},
    }


def spelling_of(data: Path) -> Classifier:
    """Without weights, what is spelled right: words of questions of ours, and others.

    Those are the words of patterns, of nano's wordings and of the lexicon.
    """
    names, by_kind = patterns()
    foreign = [each for kind, own in by_kind.items() if kind in OF_NO_KIND for each in own]
    ours = [*(each for own in names.values() for each in own)]
    ours += [each for kind, own in by_kind.items() if kind not in OF_NO_KIND for each in own]
    nanos = [pattern for wordings in (ASKED, HELD_OUT) for own in wordings.values() for pattern in own]
    phrases = [f"{each.phrases} {each.near}" for each in (*CONCEPTS.values(), *(each for _, each in CUES))]
    words = frozenset(word for text in (*ours, *nanos, *phrases) for word in words_of(fold(text)) if word.isalpha())
    common = Counter(word for text in all_sentences(data) for word in words_of(fold(text)) if word.isalpha())
    known = {word for word, n in common.items() if n >= COMMON}
    known |= {word for text in (*foreign, *(text for text, _ in elsewhere())) for word in words_of(fold(text))}
    others = frozenset(word for word in known if word.isalpha() and word not in words)
    return Classifier((), words, others, {}, np.zeros((0, 0), np.float32), np.zeros(0, np.float32))


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    refuse_input(args.out, args.data)
    rng, spelling = random.Random(0), spelling_of(args.data)
    none_of_ours = [(text, "untold") for text in rng.sample(all_sentences(args.data), SENTENCES)]
    own = [*from_patterns(rng), *trained(rng), *none_of_ours, *elsewhere() * TIMES]
    sets = {name: of_set(paths) for name, paths in SETS.items()}
    left_out = dict[str, Any]()
    for name, asked in sets.items():
        others = [each for other, those in sets.items() if other != name for each in those]
        left_out[name] = counted(fitted([*own, *others * TIMES], spelling), asked)
        print(f"{name}: {left_out[name]}", flush=True)
    model = fitted([*own, *[each for asked in sets.values() for each in asked] * TIMES], spelling)
    args.out.write_text(json.dumps(stored(model), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(json.dumps({"features": len(model.places), "left_out": left_out}))


if __name__ == "__main__":
    run_command(main, "train.asking.fit")
