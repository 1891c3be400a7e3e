"""CA-MER: clips in which face and voice conflict, or agree (Han et al., ACM MM 2025, arXiv 2508.01181).

video-aligned.csv, audio-aligned.csv, consistent.csv     name,label[,video_label,audio_label]
NAME.mp4 (or .avi), anywhere below the folder

The paper tells of these three subsets, in which only the picture, only the sound, or both show the true emotion. How
their files are laid out is told neither there nor on its page, and we have not seen the set. So these tables are our
form: write its annotations into them. The labels are the six of MER 2023, which the paper's models answer with; another
label in a table is refused by name, so that a wrong guess of ours shows.
"""

from __future__ import annotations

from pathlib import Path

from train.readers import tables
from train.readers.clip import Clip, DataMissing, DataSet, find_media, need

SUBSETS = ("video-aligned", "audio-aligned", "consistent")
SUBSET, VIDEO, AUDIO = "subset", "the video shows", "the audio says"
"Slices of a clip."
LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
ASK = "The set is described at https://zhiyuanhan-aaron.github.io/MoSEAR-page. Write a table for each subset."


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing that names the table and line that cannot be read."""
    wanted = {f"{subset}.csv": f"names and labels of the {subset} clips" for subset in SUBSETS}
    need(folder, wanted, name="CA-MER", ask=ASK)
    held = find_media(folder)
    rows = [(subset, row) for subset in SUBSETS for row in _rows(folder / f"{subset}.csv")]
    missing = [row["name"] for _, row in rows if row["name"] not in held]
    if missing:
        raise DataMissing(f"CA-MER: {len(missing)} of {len(rows)} recordings are missing, first {missing[0]}.", ASK)
    clips = tuple(
        Clip(
            key=f"{subset}/{row['name']}",
            path=held[row["name"]],
            label=row["label"],
            split="test",
            slices={
                name: value
                for name, value in ((SUBSET, subset), (VIDEO, row["video_label"]), (AUDIO, row["audio_label"]))
                if value
            },
        )
        for subset, row in rows
    )
    return DataSet("ca-mer", LABELS, clips)


def _rows(path: Path) -> list[dict[str, str]]:
    """Name and labels of each clip of a subset; a label of one modality alone may be empty."""
    found = []
    for number, row in enumerate(tables.read(path, ("name", "label")), start=2):
        told = {name: (row.get(name) or "").strip().lower() for name in ("label", "video_label", "audio_label")}
        if not told["label"] or not {label for label in told.values() if label} <= set(LABELS):
            said = ", ".join(repr(label) for label in told.values())
            raise DataMissing(f"{path}, line {number}: labels {said}; expected {', '.join(LABELS)}.", ASK)
        found.append({"name": row["name"].strip(), **told})
    return found
