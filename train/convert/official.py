"""What the official downloads of voice corpora hold, as sentences for the data folder. No recording is opened here."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from realtime.errors import BadSettings
from realtime.records import LABELS
from train.nano.crowd import INTENDED
from train.nano.ravdess import LABEL_OF
from train.readers import cremad, folder, ravdess, tables
from train.readers.clip import DataMissing, need
from train.readers.voices import RAVDESS, SEXES, SPLITS, STATEMENTS

ASK_NEMO = "Clone nEMO from https://github.com/amu-cai/nEMO (data.tsv and samples/)."
ASK_EMOVO = "Fetch EMOVO from Fondazione Ugo Bordoni (emovo.zip), and unpack it there."
EMOTIONS_OF_EMOVO = {
    "dis": "disgust", "gio": "happy", "neu": "neutral", "pau": "fear", "rab": "angry", "sor": "surprise", "tri": "sad",
}  # fmt: skip
SENTENCES_OF_CREMA_D = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}


@dataclass(frozen=True)
class Sentence:
    """One recording, or a part of it, and its row in labels.csv."""

    source: Path
    row: Mapping[str, str]
    "`file` is the name that it gets in the data folder."
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Official:
    """A corpus as it was downloaded."""

    corpus: str
    sentences: list[Sentence]
    n_published: int = 0
    "Sentences of the whole corpus; 0 where nobody knows."
    ask: str = ""
    "Where to get the corpus."
    skipped: Mapping[str, list[str]] = field(default_factory=dict)
    "Names of what is not converted, by the reason."


def read(name: str, source: Path, *, corpus: str) -> Official:
    """The corpus in `source`. `corpus` names a folder of one's own. Raises DataMissing or BadSettings."""
    if not source.is_dir():
        raise BadSettings(f"There is no folder {source}.", f"Name the folder where {name} was unpacked.")
    return of_folder(source, corpus) if name == "folder" else OFFICIAL[name](source)


def of_ravdess(source: Path) -> Official:
    """Speech heard alone: Actor_01/03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.wav."""
    sentences, skipped = [], defaultdict(list)
    for name, path in _recordings(source, ".wav", ".mp4").items():
        numbers = re.fullmatch(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-([01]\d|2[0-4])", name)
        if numbers is None:
            skipped["the name is not one of RAVDESS"].append(path.name)
        elif numbers[2] == "02":
            skipped["a song"].append(path.name)
        elif numbers[1] != "03" or path.suffix.lower() != ".wav":
            skipped["a video"].append(path.name)
        else:
            emotion, intensity, statement, repetition, actor = numbers.groups()[2:]
            row = {
                "file": f"{name}.flac",
                "emotion": list(LABEL_OF)[int(emotion) - 1],
                "intensity": "strong" if intensity == "02" else "normal",
                "statement": list(STATEMENTS)[int(statement) - 1],
                "repetition": repetition,
                "actor": actor,
                "sex": "M" if int(actor) % 2 else "F",
            }
            sentences.append(Sentence(path, row))
    return _some(Official(RAVDESS, sentences, 1440, ravdess.ASK, skipped), "03-01-….wav")


def of_crema_d(source: Path) -> Official:
    """AudioWAV/1001_DFA_ANG_XX.wav, or VideoFlash/….flv; the label is the emotion that was acted."""
    need(source, {"**/VideoDemographics.csv": "who the actors are"}, name="CREMA-D", ask=cremad.ASK)
    people = tables.read(next(source.glob("**/VideoDemographics.csv")), ("ActorID", "Sex"))
    sexes = {row["ActorID"]: row["Sex"].strip().lower() for row in people}
    sentences, skipped = [], defaultdict(list)
    for name, path in _recordings(source, ".wav", ".flv", ".mp4", ".mp3").items():
        parts = re.fullmatch(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_[A-Z]{1,2}", name)
        if parts is None or parts[2] not in SENTENCES_OF_CREMA_D:
            skipped["the name is not one of CREMA-D"].append(path.name)
        elif parts[3] not in INTENDED:
            skipped[f"the label {parts[3]} is none of the set's"].append(path.name)
        elif parts[1] not in sexes:
            skipped["VideoDemographics.csv lacks the actor"].append(path.name)
        else:
            actor, text, emotion = parts[1], SENTENCES_OF_CREMA_D[parts[2]], INTENDED[parts[3]]
            sentences.append(_sentence(path, name, f"crema_d_{actor}", sexes[actor], emotion, "en", text))
    # The crowd's votes are of use without the recordings.
    return Official("crema_d", sentences, 7442 if sentences else 0, cremad.ASK, skipped)


def of_nemo(source: Path) -> Official:
    """samples/SPEAKER_EMOTION_SENTENCE.wav with data.tsv: file_id, emotion, raw_text, speaker_id, gender …"""
    need(source, {"**/data.tsv": "labels", "**/samples": "recordings"}, name="nEMO", ask=ASK_NEMO)
    table = next(source.glob("**/data.tsv"))
    columns = ("file_id", "emotion", "raw_text", "speaker_id", "gender")
    sentences, skipped = [], defaultdict(list)
    for row in tables.read(table, columns, tabs=True):
        file, emotion, text, speaker, sex = (row[column].strip() for column in columns)
        path = table.parent / "samples" / file
        if folder.canonical(emotion) not in LABELS:
            skipped[f"the label {emotion} is none of the seven"].append(file)
        elif not path.is_file():
            skipped["samples/ lacks the recording"].append(file)
        else:
            sentences.append(
                _sentence(path, path.stem, f"nemo_{speaker}", sex.lower(), folder.canonical(emotion), "pl", text)
            )
    return _some(Official("nemo", sentences, 4481, ASK_NEMO, skipped), "samples/*.wav")


def of_emovo(source: Path) -> Official:
    """f1/dis-f1-b1.wav: emotion, speaker, sentence."""
    sentences, skipped = [], defaultdict(list)
    for name, path in _recordings(source, ".wav").items():
        parts = re.fullmatch(r"([a-z]{3})-([fm]\d)-([a-z]\d)", name.lower())
        if parts is None:
            skipped["the name is not one of EMOVO"].append(path.name)
        elif parts[1] not in EMOTIONS_OF_EMOVO:
            skipped[f"the label {parts[1]} is none of the set's"].append(path.name)
        else:
            sex = "female" if parts[2][0] == "f" else "male"
            text = f"sentence {parts[3]}"
            emotion = EMOTIONS_OF_EMOVO[parts[1]]
            sentences.append(_sentence(path, name.lower(), f"emovo_{parts[2]}", sex, emotion, "it", text))
    return _some(Official("emovo", sentences, 588, ASK_EMOVO, skipped), "f1/dis-f1-b1.wav")


def of_folder(source: Path, corpus: str) -> Official:
    """A folder with labels.csv: file,label,speaker[,sex][,language][,text][,split][,start_s][,end_s]."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", corpus, re.ASCII):
        raise BadSettings(f"{corpus!r} is no name for a corpus.", "Use letters, digits, - and _: --name my_voices.")
    sentences, skipped = [], defaultdict(list)
    for clip in folder.read(source):
        if clip.label not in LABELS:
            skipped[f"the label {clip.label or '(none)'} is none of the seven"].append(clip.key)
        elif not clip.speaker:
            skipped["the speaker is not named"].append(clip.key)
        else:
            # Names of subfolders and of cuts stay apart by a checksum of the whole key.
            name = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', clip.path.stem)}-{zlib.crc32(clip.key.encode()):08x}"
            sex, language = SEXES.get(clip.slices.get("sex", "")[:1].upper(), ""), clip.slices.get("language", "")
            # The split of a known corpus knows its speakers by their names there.
            speaker = clip.speaker if corpus in SPLITS else f"{corpus}_{clip.speaker}"
            found = _sentence(clip.path, name, speaker, sex, clip.label, language, clip.text)
            row = {**found.row, "split": clip.split}
            sentences.append(Sentence(clip.path, row, clip.start_s, clip.end_s))
    if not sentences:
        told = "; ".join(f"{reason}: {len(names)}" for reason, names in skipped.items())
        raise BadSettings(f"{source} has no sentence to convert ({told}).", "The columns are file,label,speaker.")
    return Official(corpus, sentences, skipped=skipped)


OFFICIAL: Mapping[str, Callable[[Path], Official]] = {
    "ravdess": of_ravdess,
    "crema_d": of_crema_d,
    "nemo": of_nemo,
    "emovo": of_emovo,
}


def _sentence(path: Path, name: str, speaker: str, sex: str, emotion: str, language: str, text: str) -> Sentence:
    row = {"file": f"{name}.opus", "speaker": speaker, "sex": sex, "emotion": emotion}
    return Sentence(path, {**row, "language": language, "text": text})


def _recordings(source: Path, *suffixes: str) -> dict[str, Path]:
    """Recordings anywhere below a folder, by name without ending, sorted; of several endings, the first is preferred.

    An archive may hold a recording twice; the first is taken.
    """
    found: dict[str, Path] = {}
    ranks = {suffix: rank for rank, suffix in enumerate(suffixes)}
    paths = [path for path in source.rglob("*") if path.suffix.lower() in ranks]
    for path in sorted(paths, key=lambda path: (ranks[path.suffix.lower()], path)):
        # macOS adds a second file of that name to archives, which is no recording.
        if not path.name.startswith("._"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _some(official: Official, wanted: str) -> Official:
    if not official.sentences:
        raise DataMissing(f"There is no recording of {official.corpus} there, named as {wanted}.", official.ask)
    return official
