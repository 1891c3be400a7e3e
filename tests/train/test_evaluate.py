"""The command itself, over small sets in official layouts: what is kept when something fails, and what goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.errors import BadModel, UnknownLabels
from tests.ingest.media_files import write_clip
from tests.train.chat import ScriptedServer, serving
from train import evaluate
from train.chat import ChatSettings
from train.evaluation.answering import ModelUnderTest, answers
from train.evaluation.samples import Sample
from train.readers import mustard, sets
from train.readers.clip import Clip, DataSet

PEER = ("--peer-url", "http://127.0.0.1:9/v1", "--peer-model", "p")
REASONS = {"sample_1": "She frowns and shouts.", "sample_2": "He cries.", "sample_3": "Tears."}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr(evaluate, "ChatSettings", partial(ChatSettings, attempts=1))
    with serving() as served:
        yield served


@pytest.fixture
def emer(tmp_path: Path) -> Path:
    """Three clips with descriptions; the second has a label that is none of ours, as MER's `worried`."""
    folder = tmp_path / "EMER"
    folder.mkdir()
    for name in REASONS:
        write_clip(folder / f"{name}.mp4", pictures_s=[0.0, 0.5, 1.0], sound_N=np.zeros(16_000, np.float32))
    labels = dict(zip(REASONS, ("angry", "worried", "sad"), strict=True))
    rows = "".join(f"{name},{labels[name]},,{reason}\n" for name, reason in REASONS.items())
    (folder / "gt-eng.csv").write_text(f"names,emotions,subtitles,reasons\n{rows}", encoding="utf-8")
    return folder


class Command:
    """`realtime train evaluate` with these arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str]:
        """Exit code, and what was said on stderr."""
        self._monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
        code: Any = 0
        try:
            evaluate.main()
        except SystemExit as ended:
            code = ended.code
        said = self._capsys.readouterr().err
        assert "Traceback" not in said
        return int(code), said


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.mark.slow
def test_a_peer_or_judge_that_is_down_loses_nothing(
    command: Command, server: ScriptedServer, emer: Path, tmp_path: Path
) -> None:
    """A run that stopped goes on; the report is there although the judge is not; the judge goes on too."""
    out = tmp_path / "out"
    peer = ["--benchmark", "emer", "--data", emer, "--out", out, "--peer-url", server.url, "--peer-model", "peer"]
    judge = ["--judge-url", server.url, "--judge-model", "judge"]
    state = {"peers": 1, "judges": 1}

    def say(messages: list[dict[str, Any]]) -> str | int:
        kind = "judges" if isinstance(messages[0]["content"], str) else "peers"
        if state[kind] == 0:
            return 503
        state[kind] -= 1
        return '{"score": 6}' if kind == "judges" else "A frown. <answer>angry</answer>"

    server.say = say
    code, said = command(*peer, "--concurrency", 1)
    assert (code, "run the same command again" in said) == (6, True)
    assert len((out / "answers.jsonl").read_text("utf-8").splitlines()) == 1
    assert not (out / "report.json").exists()

    state["peers"], asked = 2, len(server.seen)
    code, said = command(*peer, *judge, "--concurrency", 1)
    assert code == 6, said
    assert len(server.seen) - asked == 4, "two samples that were open, two judgements of which one failed"
    result = json.loads((out / "report.json").read_text("utf-8"))
    assert {"benchmark", "model", "n", "unparsed", "metrics"} <= result.keys()
    assert (result["n"], result["without_truth"], result["metrics"]["accuracy"]) == (3, 1, 0.5)
    assert "judged" not in result

    state["judges"], asked = 100, len(server.seen)
    code, said = command(*peer, *judge, "--concurrency", 1)
    assert code == 0, said
    assert len(server.seen) - asked == 2 * len(REASONS) - 1, "the judgement that came is not asked for again"
    judged = json.loads((out / "report.json").read_text("utf-8"))["judged"]
    assert judged["systems"]["this model"]["clue"] == 6.0
    assert {"model", "temperature", "prompts"} <= judged["judge"].keys()
    assert "Clue and label overlap" in (out / "report.md").read_text("utf-8")

    other = [*peer[:-1], "another", "--limit", 1]
    code, said = command(*other)
    assert (code, "holds another run" in said) == (3, True)


def test_a_set_of_descriptions_alone_has_a_report_too(command: Command, server: ScriptedServer, emer: Path) -> None:
    """EMER's second version has no labels: nothing is compared with them, and nothing fails."""
    rows = "".join(f"{name},{reason}\n" for name, reason in REASONS.items())
    (emer / "final-EMER-reason.csv").write_text(f"names,english\n{rows}", encoding="utf-8")
    out = emer.parent / "out"
    arguments = ["--benchmark", "emer", "--data", emer, "--out", out, "--peer-url", server.url, "--peer-model", "p"]
    code, said = command(*arguments)
    assert code == 0, said
    result = json.loads((out / "report.json").read_text("utf-8"))
    assert (result["without_truth"], result["metrics"]["accuracy"]) == (3, None)
    assert "picture" not in result


def test_peers_predictions_are_compared_with_a_run(command: Command, server: ScriptedServer, emer: Path) -> None:
    """Their readings are kept as answers are, so that --compare takes them."""
    ours, theirs = emer.parent / "ours", emer.parent / "theirs"
    told = emer.parent / "told.json"
    told.write_text(
        json.dumps([{"name": "sample_1", "answer": "sad"}, {"name": "sample_3", "answer": "sad"}], indent=1)
    )
    base = ["--benchmark", "emer", "--data", emer]
    assert command(*base, "--out", ours, "--peer-url", server.url, "--peer-model", "p")[0] == 0
    code, said = command(*base, "--out", theirs, "--predictions", told)
    assert code == 0, said
    assert command("--compare", ours, theirs)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--limit", "-3"], 2, "no number from 1 on"),
        (["--workers", "0"], 2, "no number from 1 on"),
        (["--split", "nothing"], 2, "invalid choice"),
        (["--fold", "1"], 3, "emer has 0 folds"),
        (["--split", "train"], 3, "holds no clip of train; it has test"),
        (["--baselines"], 2, "no baseline for emer"),
        (["--judge-url", "http://127.0.0.1:9/v1"], 2, "--judge-model is missing"),
        (["--variant", "F + B", *PEER], 2, "Switches are for a checkpoint"),
        (["--variant", "everything"], 2, "invalid choice"),
        (["--variant", "F + B", "--ablate"], 2, "not allowed with argument"),
        (["--fast", *PEER], 2, "An endpoint has no fast label"),
        (["--model", "no/such/model/at/all"], 4, "neither a folder here"),
        (["--out", "{file}"], 2, "no folder to write into"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(
    command: Command, emer: Path, arguments: list[str], code: int, message: str
) -> None:
    (emer.parent / "file").touch()
    given = [part.format(file=emer.parent / "file") for part in arguments]
    base = ["--benchmark", "emer", "--data", emer, "--out", emer.parent / "out"]
    if "{file}" in arguments:
        base += PEER
    got, said = command(*base, *given)
    assert (got, message in said) == (code, True), said


@pytest.mark.slow
def test_a_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    """A worker's own error reaches the person, instead of a broken pool's."""
    picture = Sample("a", "sad", "a", {})
    with pytest.raises(BadModel, match="is no adapter"):
        list(answers(ModelUnderTest("nano", tmp_path / "nothing"), [[picture]], frozenset(), n_workers=1))


def test_a_set_whose_labels_the_model_knows_no_emotion_for_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nano was scored on MUStARD: by the tokens of `sarcastic`, a word that it never met."""
    clip = Clip("1_1", tmp_path / "1_1.mp4", "sarcastic", split="test")
    read = DataSet("mustard", mustard.LABELS, (clip,), question=mustard.QUESTION)
    monkeypatch.setattr(sets, "read", lambda name, folder: read)
    arguments = ["--benchmark", "mustard", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(UnknownLabels, match="sarcastic"):
        evaluate.prepare(evaluate.parser().parse_args(arguments))
    assert evaluate.prepare(evaluate.parser().parse_args([*arguments, "--peer-url", "http://x/v1"])).n == 1
