"""The `small` that is included: what it is made of, that it fits the towers, and that it reads and writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from realtime.bench.paired import collect_windows
from realtime.engine.loading import LoadedModel
from realtime.engine.pair import PairedModel
from realtime.engine.start import load_model
from realtime.model import assembly, checkpoint
from realtime.reason.phrases import Phrases
from realtime.records import LABELS, Label, Question, ReasonDelta, ReasonDone, Window
from realtime.sample import SAMPLE
from realtime.settings import ModelSettings, Settings
from train.coet.checks import faithful

MOST_BYTES = 24_000_000
PLAIN = Question()


@pytest.fixture(scope="module")
def small() -> PairedModel:
    """As a user gets it: the backbone comes from where it was published, once, into the user's cache."""
    model = load_model(ModelSettings(name="small", device="cpu"))
    assert isinstance(model, PairedModel)
    return model


@pytest.fixture(scope="module")
def spoken(small: PairedModel) -> Iterator[Window]:
    """The first sentence of the sample, with the pictures around it."""
    (heard,) = collect_windows([str(SAMPLE)], Settings(), 1)
    perceiver = small.perceiver(0)
    frames = tuple(perceiver.see(frame) for frame in heard.frames)
    yield Window(0, frames[0].at_s, heard.segment.end_s, frames, (perceiver.hear(heard.segment),))
    perceiver.close()


def test_it_is_small_and_holds_no_backbone() -> None:
    files = {path.name: path.stat().st_size for path in checkpoint.SMALL.iterdir()}
    assert sum(files.values()) <= MOST_BYTES
    assert checkpoint.WEIGHTS not in files
    assert {"LICENSE", "README.md", checkpoint.ADAPTER_WEIGHTS, checkpoint.PHRASES, assembly.PROJECTORS} <= set(files)
    assert {Path(name).suffix for name in files} == {"", ".md", ".json", ".safetensors"}, "safetensors only"
    for name in files:
        own = name.endswith(".json") and name != "tokenizer.json"
        assert not own or '"/' not in (checkpoint.SMALL / name).read_text(), "no path of a machine"


def test_it_was_trained_on_the_towers_that_are_here() -> None:
    towers = checkpoint.read_json(checkpoint.SMALL / "config.json")["towers"]
    assert {what: towers[what] for what in assembly.nano_sha256()} == assembly.nano_sha256()
    assert assembly.read_config("small").emotion.calibration.unsure_below > 0


@pytest.mark.slow
def test_it_writes_a_whole_chain_from_nanos_label(small: PairedModel, spoken: Window, nano: LoadedModel) -> None:
    label = small.thinker.fast_label(spoken, PLAIN)
    assert small.label_model == nano.name == "nano"
    assert set(label.probabilities) == set(LABELS)
    steps = list(small.thinker.reason(spoken, PLAIN))
    done = next(step for step in steps if isinstance(step, ReasonDone))
    after = next(step for step in steps if isinstance(step, Label))
    assert set(done.sections) == {"voice", "face", "context", "atmosphere", "coarse", "fine", "answer"}
    assert all(done.sections.values()), done.sections
    told = faithful(done.sections, spoken.frames[-1].cues[0].intensities, spoken.speech[-1].cues.relative)
    assert 0 < told.n_true == told.n_statements, done.sections
    assert sum(after.probabilities.values()) == pytest.approx(1)
    assert "".join(step.text for step in steps if isinstance(step, ReasonDelta))


@pytest.mark.slow
def test_words_are_read_before_it_judges(small: PairedModel, spoken: Window) -> None:
    assert small.words
    steps = list(small.thinker.reason(spoken, PLAIN, lambda: "I am so happy that you came!"))
    done = next(step for step in steps if isinstance(step, ReasonDone))
    assert done.words


@pytest.mark.slow
def test_words_decide_where_face_and_voice_show_nothing_and_not_against_them(
    small: PairedModel, spoken: Window
) -> None:
    writer = small.writer.thinker

    def after(shown: str, said: str) -> str:
        """What it comes to where nano and the judgement find this of a face and a voice."""
        shares = {name: 0.94 if name == shown else 0.01 for name in LABELS}
        label = replace(small.thinker.fast_label(spoken, PLAIN), label=shown, probabilities=shares, conflict=None)
        labelled = writer.begun_with(label, spoken, PLAIN)
        labelled.judged = {name: math.log(share) for name, share in shares.items()}
        labelled.said = writer.chain.said(replace(spoken, said=said))
        return max((told := writer.conclude(labelled, {"answer": ""}).probabilities), key=lambda name: told[name])

    glad, plain = "I am so happy, I love it!", "It is the third door on the left."
    assert after("neutral", glad) == "happy"
    assert after("sad", glad) == "sad"
    assert after("neutral", plain) == after("neutral", "") == "neutral"


@pytest.mark.slow
def test_guessed_tokens_save_passes_and_no_word(small: PairedModel, spoken: Window) -> None:
    writer = small.writer.thinker
    table = Phrases.read(assembly.locate("small"), n_tokens=small.writer.weights.config.text.vocab_size)
    assert table is not None
    written = []
    for phrases in (table, None):
        writer.decoder._phrases = phrases
        before = writer.n_passes
        small.thinker.fast_label(spoken, replace(PLAIN))
        done = next(step for step in small.thinker.reason(spoken, PLAIN) if isinstance(step, ReasonDone))
        written.append((writer.n_passes - before, done.timings_ms["chain_tokens"]))
    writer.decoder._phrases = table
    (fewer, tokens), (passes, _) = written
    assert passes > 0.9 * tokens - 20
    assert fewer < 0.7 * passes
