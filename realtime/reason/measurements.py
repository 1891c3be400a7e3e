"""The measurements of a window in words, as a chain that reads them is given them (`measured` in emothinker.json).

    Measured: brows slightly lowered, lips clearly pressed; close to the camera, in the middle, head tilted; dim, with
    muted colour.
    Measured: higher in pitch, much louder than usual.

A cue token is one vector, and a language model needs many steps of training to name the single cues in it. These words
say the same. They stand in the state of the two parts that describe face and voice, so label branches do not read them.
The annotators of training chains use the same words (`train/coet/measured.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from realtime.records import FrameEvidence, SpeechEvidence, Window

CUE_PHRASES: dict[str, tuple[tuple[str, str], ...]] = {
    "inner_brow_raise": (("inner brows", "raised"), ("inner ends of the brows", "lifted")),
    "outer_brow_raise": (("outer brows", "raised"), ("outer ends of the brows", "lifted")),
    "brow_lower": (("brows", "lowered"), ("brows", "drawn down")),
    "upper_lid_raise": (("upper lids", "raised"), ("eyes", "widened")),
    "cheek_raise": (("cheeks", "raised"), ("cheeks", "pushed up")),
    "lid_tighten": (("lids", "tightened"), ("lower lids", "tense")),
    "nose_wrinkle": (("nose", "wrinkled"), ("nostrils", "drawn up")),
    "upper_lip_raise": (("upper lip", "raised"), ("upper lip", "drawn up")),
    "lip_corner_pull": (("lip corners", "pulled up"), ("mouth corners", "drawn up")),
    "lip_corner_depress": (("lip corners", "pulled down"), ("mouth corners", "lowered")),
    "lip_stretch": (("lips", "stretched"), ("mouth", "stretched wide")),
    "lip_press": (("lips", "pressed"), ("lips", "pressed together")),
    "jaw_drop": (("jaw", "dropped"), ("mouth", "open")),
    "eyes_closed": (("eyes", "closed"), ("lids", "shut")),
}
"What moves, and how. The degree stands between the two."
CUE_WORDS = {cue: tuple(" ".join(phrase) for phrase in phrases) for cue, phrases in CUE_PHRASES.items()}
DEGREES = ((0.72, "strongly"), (0.5, "clearly"), (0.3, "slightly"))
"Cue intensity from which a word is used; below the last a cue is not mentioned."
VOICE_WORDS = {
    "pitch_hz": (("lower", "higher"), "pitch"),
    "loudness_db": (("quieter", "louder"), "loudness"),
    "rate_hz": (("slower", "faster"), "rate"),
    "tilt_db": (("darker", "brighter"), "timbre"),
    "pitch_range_st": (("flatter", "livelier"), "melody"),
}
VOICE_STEPS = ((1.4, "much "), (0.5, ""))
"A difference is named from this many spreads from the voice's own mean."
AT_REST = ("features at rest", "the features are at rest")
"What a chain says of a face without any cue."
TOO_NEW = ("too little of this voice was heard to compare it", "this voice is too new to compare")
"What it says of a voice whose usual is not known."
AS_USUAL = ("as usual for this voice", "close to this voice's usual")
"What it says of a voice that differs in nothing."
MAX_CUES = 5
"Cues told of each person, the strongest."


def measured_words(window: Window, name: str) -> str:
    """What was measured, for the part of a chain that reads one modality (`face` or `voice`): a sentence after a space.

    Empty for another part, and where nothing of that modality is there.
    """
    if name == "face" and window.frames:
        return f" Measured: {_of_pictures(window.frames)}."
    if name == "voice" and window.speech:
        return f" Measured: {_of_speech(window.speech)}."
    return ""


def _of_pictures(frames: Sequence[FrameEvidence]) -> str:
    """People as the newest frame that has any shows them, with the peak of each cue; light and colour on average."""
    told = []
    newest = next((frame for frame in reversed(frames) if frame.cues), None)
    for index, cues in enumerate(newest.cues if newest is not None else ()):
        assert newest is not None
        name = f"Person {chr(65 + index)}: " if len(newest.cues) > 1 else ""
        peak = peak_intensities(frames, cues.track)
        strongest = sorted(CUE_WORDS, key=lambda cue, peak=peak: -peak.get(cue, 0.0))[:MAX_CUES]  # type: ignore[misc]
        named = [(cue, degree(peak.get(cue, 0.0))) for cue in CUE_WORDS if cue in strongest]
        shown = ", ".join(cue_told(cue, word) for cue, word in named if word) or AT_REST[0]
        x, y, width, height = next(face.box for face in newest.faces if face.track == cues.track)
        where = place((x + width / 2, y + height / 2))
        told.append(f"{name}{shown}; {distance(height)}, {where}, {pose_wordings(cues.pose_deg)[0]}")
    scenes = [frame.scene for frame in frames]
    light = light_told(sum(scene.brightness for scene in scenes) / len(scenes))
    colour = colour_told(sum(scene.saturation for scene in scenes) / len(scenes))
    return "; ".join([*told, f"{light}, {colour}"])


def _of_speech(speech: Sequence[SpeechEvidence]) -> str:
    if not speech[-1].cues.usual_known:
        return "a voice too new to compare"
    relative = mean_relative(speech)
    parts = [told for key in VOICE_WORDS if (told := difference_told(key, relative[key]))]
    return ", ".join(parts) + " than usual" if parts else "as usual for this voice"


def peak_intensities(frames: Sequence[FrameEvidence], track: int) -> dict[str, float]:
    """The highest intensity of every cue of one person over the frames."""
    peak: dict[str, float] = {}
    for cues in (each for frame in frames for each in frame.cues if each.track == track):
        for name, value in cues.intensities.items():
            peak[name] = max(peak.get(name, 0.0), float(value))
    return peak


def mean_relative(speech: Sequence[SpeechEvidence]) -> dict[str, float]:
    """Prosody against the voice's usual, as the mean over all speech, weighted by length. `speech` isn't empty."""
    lengths = [max(part.end_s - part.start_s, 1e-3) for part in speech]
    whole = sum(lengths)
    weighted: list[tuple[float, Mapping[str, float]]] = [
        (length / whole, part.cues.relative) for length, part in zip(lengths, speech, strict=True)
    ]
    return {name: float(sum(weight * of[name] for weight, of in weighted)) for name in speech[0].cues.relative}


def cue_told(cue: str, word: str, wording: int = 0) -> str:
    """A cue with its degree: "cheeks clearly raised"."""
    what, how = CUE_PHRASES[cue][wording]
    return f"{what} {word} {how}"


def difference_told(key: str, z: float) -> str:
    """How one measure of a voice differs from its usual: "much louder". Empty where it does not."""
    step = next((word for limit, word in VOICE_STEPS if abs(z) > limit), None)
    if step is None:
        return ""
    (less, more), noun = VOICE_WORDS[key]
    return f"{step}{more if z > 0 else less}{' in pitch' if noun == 'pitch' else ''}"


def degree(value: float) -> str | None:
    """The word for a cue's intensity; None for one that is not mentioned."""
    return next((word for limit, word in DEGREES if value >= limit), None)


def distance(height: float) -> str:
    """How far a person is, from the height of the face in frame heights."""
    return "close to the camera" if height > 0.5 else "at some distance" if height < 0.22 else "at arm's length"


def place(centre: tuple[float, float]) -> str:
    """Where a face is, from its centre in 0–1 of the frame."""
    x, y = centre
    across = "left" if x < 0.36 else "right" if x > 0.64 else ""
    down = "at the top" if y < 0.3 else "at the bottom" if y > 0.7 else ""
    if across and down:
        return f"{down} {across}"
    return f"on the {across}" if across else down or "in the middle"


def pose_wordings(pose_deg: tuple[float, float, float]) -> tuple[str, ...]:
    """Wordings of one head pose. All say the same."""
    yaw, pitch, roll = pose_deg
    if abs(yaw) > 15:
        return (f"head turned to the {'right' if yaw > 0 else 'left'}",)
    if abs(pitch) > 12:
        return ("head raised", "chin up") if pitch > 0 else ("head lowered", "chin down")
    if abs(roll) > 10:
        return ("head tilted",)
    return "facing the camera", "looking towards the camera"


def light_told(brightness: float) -> str:
    """The word for a mean luma of 0–1."""
    dark = "dark" if brightness < 0.25 else "dim" if brightness < 0.42 else ""
    return dark or ("bright" if brightness > 0.65 else "evenly lit")


def colour_told(saturation: float) -> str:
    """The words for a mean saturation of 0–1."""
    little = "almost without colour" if saturation < 0.08 else "with muted colour" if saturation < 0.2 else ""
    return little or ("with natural colour" if saturation < 0.42 else "with strong colour")
