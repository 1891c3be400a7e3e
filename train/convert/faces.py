"""Makes FER+ of the data folder from `fer2013.csv` (the faces) and `fer2013new.csv` (ten votes on each)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from realtime.outputs import refuse_input
from realtime.records import UInt8
from train.nano import ferplus
from train.readers import tables
from train.readers.clip import DataMissing, need

ASK = (
    "fer2013.csv is in fer2013.tar.gz of Kaggle's contest challenges-in-representation-learning-facial-expression-"
    "recognition-challenge; fer2013new.csv is in https://github.com/microsoft/FERPlus. Put both into one folder."
)
COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
PARTS = {"Training": ferplus.TRAIN, "PublicTest": ferplus.VALID, "PrivateTest": ferplus.TEST}
N_PUBLISHED = 35_887
SIDE_PX = 48
SHIFT = 2
"Two bits of each pixel are dropped: the committed weights were trained and measured with six."


def write(source: Path, data: Path, *, partial: bool) -> tuple[Path, Counter[str]]:
    """Write `ferplus/ferplus48_q6.npz`, unless it is there; the counts by part, and of faces without a name.

    Rows of the two tables belong together by their order. FER+ leaves the name out where a picture shows no face; such
    rows are skipped. Raises DataMissing for tables that do not belong together, or are not whole.
    """
    need(source, {"**/fer2013.csv": "the faces", "**/fer2013new.csv": "the votes"}, name="FER+", ask=ASK)
    pictures, labels = (next(source.glob(f"**/{name}")) for name in ("fer2013.csv", "fer2013new.csv"))
    out = data / "ferplus" / "ferplus48_q6.npz"
    refuse_input(out, pictures, labels)
    if out.exists():
        return out, _counts(out)
    faces = tables.read(pictures, ("pixels", "Usage"))
    votes = tables.read(labels, ("Usage", "Image name", *COLUMNS))
    if len(faces) != len(votes):
        raise DataMissing(f"{pictures} has {len(faces)} faces and {labels} has {len(votes)} rows.", ASK)
    if len(faces) < N_PUBLISHED and not partial:
        raise DataMissing(
            f"{pictures} holds {len(faces)} of {N_PUBLISHED} faces.", f"{ASK} Or convert what is there: --partial."
        )
    images, counts, parts = [], [], []
    for line, (face, vote) in enumerate(zip(faces, votes, strict=True), start=2):
        if face["Usage"] != vote["Usage"] or face["Usage"] not in PARTS:
            raise DataMissing(
                f"Line {line}: Usage is {face['Usage']!r} in {pictures.name} and {vote['Usage']!r} in {labels.name}.",
                ASK,
            )
        if not vote["Image name"].strip():
            continue
        images.append(picture_of(face["pixels"], f"{pictures}, line {line}"))
        try:
            counts.append([int(vote[column]) for column in COLUMNS])
        except ValueError as error:
            raise DataMissing(f"{labels}, line {line}: {error}.", ASK) from error
        parts.append(PARTS[face["Usage"]])
    if not images:
        raise DataMissing(f"{labels} names no picture.", ASK)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp.npz")
    np.savez_compressed(
        temporary,
        images=np.stack(images) >> SHIFT,
        votes=np.array(counts, np.uint8),
        columns=np.array(COLUMNS),
        split=np.array(parts, np.uint8),
        shift=np.array(SHIFT),
    )
    temporary.replace(out)
    told = _counts(out)
    told["without a face (no name in FER+)"] = len(faces) - len(images)
    return out, told


def picture_of(pixels: str, where: str) -> UInt8:
    """(48, 48) uint8 from the numbers of a cell. Raises DataMissing that says `where` it is."""
    try:
        values_N = np.array(pixels.split(), np.int64)
    except ValueError as error:
        raise DataMissing(f"{where}: {error}.", "Fetch the file again.") from error
    if len(values_N) != SIDE_PX**2 or values_N.min() < 0 or values_N.max() > 255:
        raise DataMissing(
            f"{where} is no face: {len(values_N)} numbers, and {SIDE_PX**2} from 0 to 255 were expected.",
            "The download may have broken off. Fetch the file again.",
        )
    return values_N.astype(np.uint8).reshape(SIDE_PX, SIDE_PX)


def _counts(path: Path) -> Counter[str]:
    with np.load(path) as file:
        split_N = file["split"]
    return Counter({name: int((split_N == part).sum()) for name, part in zip(PARTS, PARTS.values(), strict=True)})
