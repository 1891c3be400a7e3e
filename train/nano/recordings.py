"""Writes recordings of a face and a voice, of training people alone, for the stages that read recordings.

    realtime train nano.recordings --data DATA --out CLIPS [--n 2000] [--part thinker|valid] [--words]

CLIPS gets labels.csv and one file per recording, as `train.annotate` reads them. A recording shows up to three faces of
FER+ in a drawn room, and one person speaks up to four times; the last sentence is the one that is judged. `label` and
`votes` are what the crowd would conclude from both (`train.nano.crowd`). The same command goes on where it was stopped;
recording N is always the same.

With `--words`, most recordings with a voice get a sentence of GoEmotions in the column `text`, as if it had been said.
`label` is then what face, voice and words come to (`concluded`); `votes` stay those of face and voice.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from realtime.commands.program_parser import ProgramParser
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.records import LABELS, SAMPLE_RATE_HZ, Float32, UInt8
from realtime.words.expert import WordsExpert
from train.arrays import Floats, Int64
from train.command import run_command
from train.nano import crowd, ferplus
from train.nano.roughen import roughened
from train.nano.synthetic_frames import backdrop, paste
from train.readers import sound, voices
from train.words.fit import read

WIDTH, HEIGHT = 640, 360
PICTURE_EVERY_S = 2
"A still picture says no more when it is seen again; each time costs a training step some fifty tokens."
STATES = {"both": 0.72, "face": 0.13, "voice": 0.15}
"How often a recording has a face and a voice, a face, or a voice. Half of the voices alone have a picture."
AGREE = 0.45
"Share of pairs whose voice was acted with the label of the face; others may agree by chance."
N_PEOPLE = {1: 0.82, 2: 0.14, 3: 0.04}
N_EARLIER = {0: 0.42, 1: 0.18, 3: 0.4}
"""How often how many sentences come before: one of the same mood, or three of any mood and a silence. After three a
session knows what is usual for this voice (`realtime/evidence/baseline.py`)."""
SILENCE_S = 6.5
"It keeps the three out of the window, which is about the last sentence."
ROUGH = 0.4
"How often the sound went through another room, microphone or line."
FACE_BOUNDS = np.array([5.0, 4.0, 43.0, 46.0])
"About where the face is in a FER+ picture."
PARTS = {"thinker": "train", "valid": "valid"}
"Part of the faces → that of the voices. Nobody of the test parts is shown or heard."
WITH_WORDS = 0.7
"How often a recording with a voice has words."
WORDS_OF = {"neutral": 0.35, "own": 0.25, "any": 0.4}
"How often they are neutral, of the same emotion as face and voice, or of any emotion."
WORDS_PARTS = {"thinker": "train", "valid": "dev", "test": "test"}
READ_SO = 0.5
"The share that the expert on words gives to the label of a sentence for training."
LONGEST_WORDS = 100
"In characters: about one utterance."
COLUMNS = ("file", "label", "speaker", "split", "votes", "text")


@dataclass(frozen=True)
class Drawn:
    """What one recording holds."""

    faces: tuple[int, ...]
    "Rows of FER+."
    sentences: tuple[voices.Voice, ...]
    has_picture: bool
    shares_7: Floats
    "What the crowd would conclude."

    @property
    def suffix(self) -> str:
        return "mp4" if self.has_picture else "m4a"


class WrittenSentences:
    """Written sentences of one emotion each, by what they say.

    With `as_read`, as for training, they are those that the expert on words reads as its raters did: a chain tells what
    that expert reads. To measure anything, all of them count.
    """

    def __init__(self, data: Path, part: str, *, as_read: bool) -> None:
        texts = read(data / "words", WORDS_PARTS[part])
        sure = (texts.labels_T7.sum(1) == 1).nonzero()[0]
        # A name that was blacked out is read as such: no recogniser writes it.
        fit = [int(row) for row in sure if len(texts.texts[row]) <= LONGEST_WORDS and "[" not in texts.texts[row]]
        self._texts, of = texts.texts, texts.labels_T7.argmax(1)
        if as_read:
            expert = WordsExpert.load()
            fit = [
                row for row in fit if (expert.probabilities(self._texts[row]) or {}).get(LABELS[of[row]], 0.0) > READ_SO
            ]
        self._rows = {label: [row for row in fit if LABELS[of[row]] == label] for label in LABELS}

    def draw(self, label: str, rng: np.random.Generator) -> tuple[str, str]:
        """A sentence for a face and voice of this label, and what it says."""
        kind = str(rng.choice(list(WORDS_OF), p=list(WORDS_OF.values())))
        said = {"neutral": "neutral", "own": label}.get(kind) or str(rng.choice(LABELS))
        return self.of(said, rng), said

    def of(self, said: str, rng: np.random.Generator) -> str:
        """A sentence that says this."""
        rows = self._rows[said]
        return self._texts[rows[int(rng.integers(len(rows)))]]


def concluded(label: str, said: str) -> str:
    """What face and voice of one label and words of another come to.

    Words decide where face and voice show nothing. Else they are taken as face and voice say: a compliment in a hostile
    voice is none.
    """
    return said if label == "neutral" else label


class Recordings:
    """Draws and writes the recordings of one part."""

    def __init__(self, data: Path, part: str) -> None:
        self.part = part
        self.faces = ferplus.load(data)
        self.rows = self.faces.part(part)
        self.by_label = [self.rows[self.faces.labels_N[self.rows] == label] for label in range(len(EXPERT_LABELS))]
        self.voices = [voice for voice in voices.load(data) if voice.part == PARTS[part]]
        # Every speaker of a label is as likely as the next, whatever their corpus.
        speakers = sorted({voice.speaker for voice in self.voices})
        self.by_speaker = {name: [voice for voice in self.voices if voice.speaker == name] for name in speakers}
        votes = crowd.load(data)
        self.teacher, self.heard = (
            crowd.Teacher.fit(votes.face, votes.voice, votes.both),
            crowd.expected_voice_votes(votes),
        )

    def draw(self, number: int) -> Drawn:
        """Recording `number`; the same each time."""
        rng = np.random.default_rng((number, list(PARTS).index(self.part)))
        state = rng.choice(list(STATES), p=list(STATES.values()))
        rows = list[int]()
        if state != "voice":
            n = int(rng.choice(list(N_PEOPLE), p=list(N_PEOPLE.values())))
            # Emotions are drawn first: most of FER+ is neutral or happy.
            rows = [self._face(int(rng.integers(len(EXPERT_LABELS))), rng) for _ in range(n)]
        spoken = list[voices.Voice]()
        if state != "face":
            own = self.by_speaker[str(rng.choice(list(self.by_speaker)))]
            if rows and rng.random() < AGREE:
                face = EXPERT_LABELS[int(self.faces.labels_N[rows[0]])]
                own = [voice for voice in own if voice.emotion == face] or own
            last, everything = own[int(rng.integers(len(own)))], self.by_speaker[own[0].speaker]
            n_earlier = int(rng.choice(list(N_EARLIER), p=list(N_EARLIER.values())))
            if n_earlier == 1:
                everything = [voice for voice in everything if voice.emotion == last.emotion]
            spoken = [everything[int(rng.integers(len(everything)))] for _ in range(n_earlier)] + [last]
        votes = self.faces.votes_N7[rows[0]] if rows else None
        acted = self.heard[EXPERT_LABELS.index(spoken[-1].emotion)] if spoken else None
        if votes is not None and acted is not None:
            shares = self.teacher(votes[None], acted[None])[0]
        else:
            alone = votes if votes is not None else acted
            assert alone is not None
            shares = alone
        return Drawn(tuple(rows), tuple(spoken), state != "voice" or rng.random() < 0.5, np.asarray(shares, np.float64))

    def _face(self, label: int, rng: np.random.Generator) -> int:
        rows: Int64 = self.by_label[label] if len(self.by_label[label]) else self.rows
        return int(rng.choice(rows))

    def write(self, drawn: Drawn, path: Path, number: int) -> None:
        """Write a recording. An interrupted one leaves no file of that name. Raises OSError where the disk is full."""
        rng = np.random.default_rng((number, list(PARTS).index(self.part), 1))
        samples_N, last = self.sound(drawn, rng)
        temporary = path.with_suffix(f".tmp{path.suffix}")
        picture = self.picture(drawn, rng) if drawn.has_picture else None
        try:
            write_recording(temporary, picture, samples_N, seen_from_s=last / SAMPLE_RATE_HZ)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def sound(self, drawn: Drawn, rng: np.random.Generator) -> tuple[Float32, int]:
        """(N,) the sentences with pauses around them, at a gain of its own; and half a second before the last begins.

        Without sentences a second and a half of faint noise.
        """
        parts = [np.zeros(SAMPLE_RATE_HZ * (1 if drawn.sentences else 3) // 2, np.float32)]
        last = 0
        for voice in drawn.sentences:
            if voice is drawn.sentences[-1] and len(drawn.sentences) > 2:
                parts.append(np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ), np.float32))
            last = sum(map(len, parts)) - SAMPLE_RATE_HZ // 2
            spoken_N = sound.longest_speech(sound.read(voice.path)).samples_N
            parts += [spoken_N, np.zeros(SAMPLE_RATE_HZ * 3 // 4, np.float32)]
        samples_N = np.concatenate(parts)
        if drawn.sentences and rng.random() < ROUGH:
            samples_N = roughened(samples_N, rng, noises=(), others=())
        hiss = rng.standard_normal(len(samples_N)).astype(np.float32) * 10 ** rng.uniform(-4.2, -3.2)
        peak = float(np.abs(samples_N).max())
        gain = min(10 ** rng.uniform(-0.4, 0.3), 0.95 / peak if peak else 1.0)
        return np.asarray(samples_N * gain + hiss, np.float32), last

    def picture(self, drawn: Drawn, rng: np.random.Generator) -> UInt8:
        """(360, 640, 3): the people in a drawn room, in any light, now and then in colour."""
        room = backdrop(rng)[None, None]
        image = F.interpolate(room, size=(HEIGHT, WIDTH), mode="bicubic", align_corners=False)[0, 0]
        for index, row in enumerate(drawn.faces):
            across = WIDTH * (index + 0.5 + rng.uniform(-0.1, 0.1)) / len(drawn.faces)
            scale = float(rng.uniform(2.6, 5.5)) / len(drawn.faces) ** 0.5
            paste(image, self.faces.images_NHW[row], FACE_BOUNDS, scale, (across, HEIGHT * rng.uniform(0.42, 0.58)))
        lit = ((image - 0.5) * rng.uniform(0.6, 1.15) + 0.5 + rng.uniform(-0.18, 0.18)).clamp(0, 1)
        tint = torch.ones(3)
        if rng.random() < 0.5:
            tint = torch.from_numpy(rng.uniform(0.65, 1.0, 3).astype(np.float32))
        coloured: UInt8 = (lit[..., None] * tint * 255).round().to(torch.uint8).numpy()
        return coloured


def write_recording(path: Path, picture: UInt8 | None, samples_N: Float32, *, seen_from_s: float) -> None:
    """A still picture (H, W, 3), or none, from a time to the end of the sound of 16 kHz: MPEG-4 and AAC."""
    with av.open(str(path), "w") as out:
        video = None
        if picture is not None:
            video = out.add_stream("mpeg4", rate=1)
            video.height, video.width, video.pix_fmt = *picture.shape[:2], "yuv420p"
            video.bit_rate = 1_500_000
        heard = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        if video is not None and picture is not None:
            for at_s in range(round(seen_from_s), max(len(samples_N) // SAMPLE_RATE_HZ, 1), PICTURE_EVERY_S):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = at_s, Fraction(1)
                out.mux(video.encode(frame))
            out.mux(video.encode())
        pcm_N = np.round(samples_N * 32768.0).clip(-32768, 32767).astype(np.int16)
        for start in range(0, len(pcm_N), 1024):
            part = av.AudioFrame.from_ndarray(pcm_N[None, start : start + 1024], format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            out.mux(heard.encode(part))
        out.mux(heard.encode())


def write_folder(data: Path, out: Path, *, n: int, part: str, words: bool = False) -> int:
    """Write `n` recordings with labels.csv; returns how many were not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    made, n_new, rows = Recordings(data, part), 0, []
    sentences = WrittenSentences(data, part, as_read=True) if words else None
    for number in tqdm(range(n), unit="recording", disable=None):
        drawn = made.draw(number)
        path = out / f"{number:05}.{drawn.suffix}"
        if not path.exists():
            made.write(drawn, path, number)
            n_new += 1
        shares = {label: round(float(share), 4) for label, share in zip(EXPERT_LABELS, drawn.shares_7, strict=True)}
        label, split = max(shares, key=lambda name: shares[name]), "train" if part == "thinker" else part
        speaker, text = drawn.sentences[-1].speaker if drawn.sentences else "", ""
        rng = np.random.default_rng((number, list(PARTS).index(part), 2))
        if sentences is not None and speaker and rng.random() < WITH_WORDS:
            text, said = sentences.draw(label, rng)
            label = concluded(label, said)
        rows.append((path.name, label, speaker, split, json.dumps(shares), text))
    temporary = out / "labels.tmp"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)
    temporary.replace(out / "labels.csv")
    return n_new


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=2000, help="number of recordings (default: %(default)s)")
    parser.add_argument("--part", choices=tuple(PARTS), default="thinker", help="default: %(default)s")
    parser.add_argument("--words", action="store_true", help="with sentences of DATA/words, as if they had been said")
    args = parser.parse_args()
    refuse_input(args.out, args.data)
    n_new = write_folder(args.data, args.out, n=args.n, part=args.part, words=args.words)
    print(f"{args.out}: {args.n} recordings, {n_new} of them new", flush=True)


if __name__ == "__main__":
    run_command(main, "train.nano.recordings")
