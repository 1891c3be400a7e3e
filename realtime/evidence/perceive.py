"""One session's perception: it turns frames and speech into evidence for the Thinker.

It holds the state of one session, which ends with it: face tracks, the running baselines of each face and of the voice,
and the seed of the random background drop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.asked import AskedQuestion
from realtime.evidence.baseline import FaceBaseline
from realtime.evidence.beside import Submit, run_when_asked
from realtime.evidence.cues import CUES, measure_face
from realtime.evidence.faces import FaceFinder
from realtime.evidence.gaze import gaze
from realtime.evidence.judging import Judging, Verdicts, begin, verdicts
from realtime.evidence.label_reading import LabelReading
from realtime.evidence.listen import (
    EncodedSpeech,
    Listener,
    MeasuredSound,
    measure_sound,
)
from realtime.evidence.scene import measure_scene
from realtime.evidence.settings import FaceEngineName
from realtime.evidence.tokens import (
    FaceFeatures,
    face_measures,
    scene_measures,
    with_frame_cues,
    with_voice_cues,
)
from realtime.model.config import EmotionConfig
from realtime.model.methods.selection import BackgroundShare
from realtime.model.selectors import focal_mask
from realtime.model.thinker import EmoThinker
from realtime.records import (
    Box,
    CueFrame,
    Face,
    FaceCues,
    Float32,
    FrameEvidence,
    Glimpse,
    Question,
    Scene,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    TokenCounts,
    TokenMap,
    VideoFrame,
)
from realtime.roles import EvidenceRing
from realtime.towers import preprocess
from realtime.towers.batch import (
    FrameInput,
    SelectedTokens,
    SoundChunk,
    drop_noise,
    selected,
    vision_inputs,
)
from realtime.towers.choice import Towers
from realtime.towers.included import JudgeFaces

MAX_BASELINES = 32
"Face tracks whose baseline is kept. The oldest is forgotten first."
UNCHANGED_STEP = 2
"Largest difference, of 255, between equal pictures. Camera noise is larger, so a still person is still processed."
EVERY_PX = 4
"Step between the pixels that are compared."


@dataclass(frozen=True)
class MeasuredFrame:
    """A frame with what is measured of it before the model runs, and what its tower reads."""

    frame: VideoFrame
    faces: tuple[Face, ...]
    cues: tuple[FaceCues | None, ...]
    "Of each face; None where no mesh fits."
    scene: Scene
    region: Box
    "Of the camera's frame, in pixels, that the tower sees."
    boxes: tuple[Box, ...]
    "Of the faces, in that region."
    dilation_px: int
    input: FrameInput
    judged: Judging | None
    "None where there is no face to judge, or no expert."
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of tokens."""
        return self.input.image_3HW.shape[1] // preprocess.TOKEN_PX

    @property
    def columns(self) -> int:
        return self.input.image_3HW.shape[2] // preprocess.TOKEN_PX


class Perception:
    """The perceiver of one session (`roles.Perceiver`). Calls block.

    `see` is `measure`, the towers and `finish`. Faces are measured on the CPU and without the model, so `measure` and
    `glimpse` may run in another thread than the rest: in one that makes no two of these calls at once.
    """

    def __init__(
        self,
        model: EmoThinker,
        towers: Towers,
        *,
        query: Callable[[Question], Tensor],
        question: Question,
        seed: int,
        open_ring: Callable[[Question], EvidenceRing | None] = lambda question: None,
        now_s: Callable[[], float] = time.perf_counter,
        frame_cues: Callable[..., tuple[Tensor, Tensor]] = with_frame_cues,
        voice_cues: Callable[..., tuple[Tensor, Tensor]] = with_voice_cues,
        submit: Submit = run_when_asked,
        face_engine: FaceEngineName = "auto",
        judge_faces: JudgeFaces | None = None,
        judge_beside: Submit = run_when_asked,
        for_labels: LabelReading | None = None,
    ) -> None:
        """`query` embeds a question, (Q, D). `open_ring` opens the session's evidence ring, if there is one.

        `frame_cues` and `voice_cues` are the functions of `tokens.py`; training wraps them to record their inputs.
        `submit` is as in `listen.py`, for towers that run elsewhere. `face_engine` is the setting `faces.engine`.
        `judge_faces` is the model's face expert in a quicker form than torch. `judge_beside` lets it run while the
        tower does, so that no label waits for it.
        `for_labels` reads the same for a model that gives the labels, where `model` only writes the chains. Raises
        EngineMissing where that engine is not installed.
        """
        self._model = model
        self._frame_cues = frame_cues
        self._towers = towers
        self._asked = AskedQuestion(query, question, open_ring)
        self._for_labels = for_labels
        self._seed = seed
        self._now_s = now_s
        self._face_engine = face_engine
        self._finder = FaceFinder(face_engine)
        if judge_faces is None and model.emotion.face_expert is not None:
            model.emotion.face_expert.put_channels_innermost()
        self._judge_faces = judge_faces or model.emotion.face_expert
        self._judge_beside = judge_beside
        self._faces: dict[int, FaceBaseline] = {}
        self._share = self._new_share()
        self._listener = Listener(model, towers, voice_cues=voice_cues, submit=submit, for_labels=for_labels)
        self._seen: tuple[VideoFrame, FrameEvidence] | None = None
        "The last frame that was processed, and its evidence."
        self.n_unchanged = 0

    def set_question(self, question: Question) -> None:
        """Let the selectors attend to another question from now on. Earlier evidence stays as it was."""
        self._listener.forget_ahead()
        self._seen = None
        # Attention to another text is spread in another way.
        self._share = self._new_share()
        self._asked.set(question)
        if self._for_labels is not None:
            self._for_labels.set_question(question)

    def close(self) -> None:
        """Forget everything about the people of this session."""
        self._faces.clear()
        self._seen = None
        self._share = self._new_share()
        self._listener.close()
        self._asked.close()
        if self._for_labels is not None:
            self._for_labels.close()
        self._finder = FaceFinder(self._face_engine)

    def put_off(self) -> Callable[[], None] | None:
        """What the ring has put off."""
        return None if self._asked.ring is None else self._asked.ring.put_off()

    def see(self, frame: VideoFrame) -> FrameEvidence:
        """Faces, cues and tokens of one frame. A picture that has not changed is not processed again."""
        return self.finish(frame, self.measure(frame))

    @torch.inference_mode()
    def measure(self, frame: VideoFrame) -> MeasuredFrame | None:
        """Measure a frame; None where its picture has not changed since the last one that was seen."""
        if self._seen is not None and unchanged(frame, self._seen[0]):
            self.n_unchanged += 1
            self._finder.unchanged(frame.at_s)
            return None
        return self._measured(frame)

    def finish(
        self, frame: VideoFrame, measured: MeasuredFrame | None, kept: SelectedTokens | None = None
    ) -> FrameEvidence:
        """The evidence of a frame that `measure` has measured. `kept` are its tokens, if the towers have run."""
        before = self._seen
        if measured is None and before is not None:
            return self._again(replace(before[1], at_s=frame.at_s, timings_ms={}))
        # Another question was asked since it was found unchanged, so that nothing of the last one holds.
        measured = measured or self._measured(frame)
        evidence = self._encoded(measured, kept)
        self._seen = (frame, evidence)
        return evidence

    @property
    def text_QD(self) -> Tensor:
        """(Q, D) embeddings of the question, which the towers read with each frame."""
        return self._asked.text_QD

    @property
    def reads_twice(self) -> bool:
        """Whether each frame is read for the model that gives the labels, too."""
        return self._for_labels is not None

    def _again(self, frame: FrameEvidence) -> FrameEvidence:
        if self._for_labels is not None and frame.for_labels is not None:
            for_labels = self._for_labels.again(replace(frame.for_labels, at_s=frame.at_s))
            frame = replace(frame, for_labels=for_labels)
        return frame if self._asked.ring is None else self._asked.ring.again(frame)

    @contextmanager
    def _timed(self, timings_ms: dict[str, float], name: str) -> Iterator[None]:
        """Add the time of a step to those that it had before."""
        began_s = self._now_s()
        yield
        timings_ms[name] = timings_ms.get(name, 0.0) + (self._now_s() - began_s) * 1000

    def _measured(self, frame: VideoFrame) -> MeasuredFrame:
        timings_ms: dict[str, float] = {}
        height, width = frame.rgb_HW3.shape[:2]
        with self._timed(timings_ms, "faces"):
            faces = self._finder.find(frame.rgb_HW3, frame.at_s)
            cues = tuple(self._measure(face, width, height) for face in faces)
        scene = measure_scene(frame.rgb_HW3)
        with self._timed(timings_ms, "vision"):
            grey_HW = preprocess.to_grey(frame.rgb_HW3)
            judged = self._begin_judging(faces, grey_HW)
            image, region = view(frame, tuple(face.box for face in faces), self._model.config.emotion, grey_HW)
            boxes = tuple(preprocess.into_region(face.box, region, height=height, width=width) for face in faces)
            rows, columns = image.shape[1] // preprocess.TOKEN_PX, image.shape[2] // preprocess.TOKEN_PX
            dilation_px = self._model.config.emotion.dilation_patches * preprocess.PATCH_PX
            focal = focal_mask(boxes, rows=rows, columns=columns, token_px=preprocess.TOKEN_PX, dilation_px=dilation_px)
            seed = self._seed * 1_000_003 + round(frame.at_s * 1000)
            given = FrameInput(image, focal, drop_noise(focal, seed=seed), self._share.of(image, focal))
        return MeasuredFrame(frame, faces, cues, scene, region, boxes, dilation_px, given, judged, timings_ms)

    @torch.inference_mode()
    def _encoded(self, measured: MeasuredFrame, kept: SelectedTokens | None) -> FrameEvidence:
        frame, faces, rows, columns = measured.frame, measured.faces, measured.rows, measured.columns
        height, width = frame.rgb_HW3.shape[:2]
        timings_ms = dict(measured.timings_ms)
        with self._timed(timings_ms, "vision"):
            evidence = self._select(measured.input) if kept is None else kept
            self._share.saw(evidence.spread)
        with self._timed(timings_ms, "cues"):
            judged = None if measured.judged is None else verdicts(measured.judged)
            features = [] if judged is None else self._features(measured, judged)
            scene_3 = torch.from_numpy(scene_measures(measured.scene, len(faces)))
            x, positions = self._frame_cues(
                self._model,
                evidence.tokens_ND,
                evidence.order_N,
                text_QD=self._asked.text_QD,
                rows=rows,
                columns=columns,
                faces=features,
                scene_3=scene_3,
            )
        n_focal, n_kept = evidence.n_focal, evidence.order_N.shape[0]
        # Frame pixels per pixel of what the tower sees.
        scale = measured.region[2] / measured.input.image_3HW.shape[2]
        dilation_px = measured.dilation_px * scale
        seen = FrameEvidence(
            at_s=frame.at_s,
            faces=faces,
            cues=with_verdicts(measured.cues, judged),
            scene=measured.scene,
            counts=TokenCounts(focal=n_focal, background=n_kept - n_focal, dropped=rows * columns - n_kept),
            tokens_ND=x.float().cpu().numpy(),
            positions_3N=positions.numpy(),
            focal=tuple(dilate(face.box, dilation_px, width=width, height=height) for face in faces),
            map=token_map(evidence, rows, columns, measured.region, width=width, height=height),
        )
        with self._timed(timings_ms, "append"):
            if self._for_labels is not None and evidence.for_labels is not None:
                for_labels = self._for_labels.frame(
                    seen, evidence.for_labels, rows=rows, columns=columns, faces=features, scene_3=scene_3
                )
                seen = replace(seen, for_labels=for_labels)
            if self._asked.ring is not None:
                seen = self._asked.ring.add_frame(seen)
        return replace(seen, timings_ms=timings_ms)

    def glimpse(self, frame: CueFrame) -> Glimpse:
        """Faces and their cues in a frame between two sampled ones. Neutrals move with the sampled ones alone."""
        height, width = frame.rgb_HW3.shape[:2]
        faces = self._finder.find(frame.rgb_HW3, frame.at_s)
        measured = [self._measure(face, width, height, moves_baseline=False) for face in faces]
        # No token is made of them, so their geometry need not travel.
        nothing = np.zeros(0, np.float32)
        return Glimpse(frame.at_s, tuple(replace(cues, geometry_N=nothing) for cues in measured if cues is not None))

    def _measure(self, face: Face, width: int, height: int, *, moves_baseline: bool = True) -> FaceCues | None:
        if face.track not in self._faces:
            if len(self._faces) >= MAX_BASELINES:
                self._faces.pop(next(iter(self._faces)))
            self._faces[face.track] = FaceBaseline(CUES)
        measured = measure_face(face, self._faces[face.track], width, height, moves_baseline=moves_baseline)
        if measured is None or face.mesh_N3 is None:
            return None
        return replace(measured, gaze_deg=gaze(face.mesh_N3, width, height))

    def _select(self, frame: FrameInput) -> SelectedTokens:
        inputs = vision_inputs([frame], self._asked.text_QD)
        kept = selected(self._towers.vision(inputs))[0]
        if self._for_labels is None:
            return kept
        return replace(kept, for_labels=self._for_labels.select(inputs, frame.image_3HW, frame.focal_N))

    def _new_share(self) -> BackgroundShare:
        return BackgroundShare(self._model.config.emotion, token_px=preprocess.TOKEN_PX)

    def _begin_judging(self, faces: Sequence[Face], grey_HW: Float32) -> Judging | None:
        if self._judge_faces is None or all(face.mesh_N3 is None for face in faces):
            return None
        return begin(self._judge_faces, faces, grey_HW, self._model.dtype, self._judge_beside)

    def _features(self, measured: MeasuredFrame, judged: Verdicts) -> list[FaceFeatures]:
        # Faces without a mesh have neither a crop nor cues.
        first = iter(judged.first_F7)
        features = []
        for face, cues, (x, y, w, h) in zip(measured.faces, measured.cues, measured.boxes, strict=True):
            if cues is None:
                continue
            left, top, width, height = face.box
            centre = (left + width / 2, top + height / 2)
            measures = face_measures(cues.intensities, cues.pose_deg, centre=centre, height=height)
            features.append(
                FaceFeatures(
                    measures_20=torch.from_numpy(measures),
                    geometry_936=torch.from_numpy(cues.geometry_N),
                    verdict_7=next(first),
                    centre_in_view=(x + w / 2, y + h / 2),
                )
            )
        return features

    def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        """Prosody and tokens of one utterance."""
        return self._listener.hear(segment, self._asked.text_QD, self._asked.ring)

    def hear_ahead(self, so_far: SpeechSoFar) -> None:
        """Begin to process an utterance that may go on."""
        self._listener.hear_ahead(so_far, self._asked.text_QD, self._asked.ring)

    def hear_measured(
        self, so_far: SpeechSoFar, measured: MeasuredSound, encoded: Mapping[bytes, EncodedSpeech]
    ) -> SpeechEvidence | None:
        """`hear_ahead` of an utterance that was measured, with the chunks that were encoded, by their keys.

        Returns the evidence that `hear` returns if nothing changes, or None for speech that goes on.
        """
        return self._listener.hear_ahead(so_far, self._asked.text_QD, self._asked.ring, measured, encoded)

    def forget_ahead(self) -> None:
        """Drop what was heard ahead, so that `hear` does it anew."""
        self._listener.forget_ahead()

    def measure_sound(self, so_far: SpeechSoFar) -> MeasuredSound | None:
        """Measure an utterance; None where it was heard ahead as it is. Any thread may do it."""
        if so_far.paused and self._listener.is_ahead(so_far.segment):
            return None
        return measure_sound(so_far, self._model.config.audio.num_mel_bins)

    def missing_chunks(self, measured: MeasuredSound) -> list[SoundChunk]:
        """The chunks of an utterance that the audio tower has to encode."""
        return self._listener.missing(measured.mel_FT)


def with_verdicts(measured: Sequence[FaceCues | None], judged: Verdicts | None) -> tuple[FaceCues, ...]:
    """The cues of the faces that fit a mesh, with what the face expert says of them, if there is one."""
    cues = [each for each in measured if each is not None]
    if judged is None:
        return tuple(cues)
    second_7 = None if judged.second_7 is None else judged.second_7.cpu().numpy()
    return tuple(
        replace(each, verdict_7=verdict_7, second_7=second_7)
        for each, verdict_7 in zip(cues, judged.first_F7.float().cpu().numpy(), strict=True)
    )


def view(
    frame: VideoFrame, boxes: tuple[Box, ...], emotion: EmotionConfig, grey_HW: Float32 | None = None
) -> tuple[Tensor, Box]:
    """The tower's picture, (3, H, W) in 0–1, and its region of the camera's frame, in pixels.

    `grey_HW` is the grey frame, if the caller has it already.
    """
    height, width = frame.rgb_HW3.shape[:2]
    if emotion.grey_face_px:
        region = preprocess.people_region(
            boxes, height=height, width=width, face_px=emotion.grey_face_px, frame_px=emotion.frame_px
        )
        grey_HW = preprocess.to_grey(frame.rgb_HW3) if grey_HW is None else grey_HW
        return preprocess.cut_region(grey_HW, region, emotion.frame_px), region
    return preprocess.whole_frame(frame.rgb_HW3, emotion.frame_px), (0.0, 0.0, float(width), float(height))


def unchanged(frame: VideoFrame, before: VideoFrame) -> bool:
    """Whether no sampled pixel differs by more than `UNCHANGED_STEP`, as with a still, a slide, or a stuck camera."""
    if frame.rgb_HW3.shape != before.rgb_HW3.shape:
        return False
    now, then = (picture[::EVERY_PX, ::EVERY_PX].astype(np.int16) for picture in (frame.rgb_HW3, before.rgb_HW3))
    return bool((np.abs(now - then) <= UNCHANGED_STEP).all())


def token_map(kept: SelectedTokens, rows: int, columns: int, region_px: Box, *, width: int, height: int) -> TokenMap:
    """The tower's grid with the fate of each cell. `region_px` is its region of the camera's frame in pixels."""
    cells = ["-"] * (rows * columns)
    for place, number in enumerate(kept.order_N.tolist()):
        cells[number] = "f" if place < kept.n_focal else "k"
    x, y, w, h = region_px
    return TokenMap((x / width, y / height, w / width, h / height), rows, columns, "".join(cells))


def dilate(box: Box, by_px: float, *, width: int, height: int) -> Box:
    """A box grown by `by_px` camera pixels on each side and clipped to the frame, in 0–1."""
    x, y, w, h = box
    left, top = max(0.0, x - by_px / width), max(0.0, y - by_px / height)
    right, bottom = min(1.0, x + w + by_px / width), min(1.0, y + h + by_px / height)
    return (left, top, right - left, bottom - top)
