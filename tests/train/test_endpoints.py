"""Peers and the judge against a small server that answers as OpenAI-compatible ones do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.records import LABELS, SpeechSegment, VideoFrame
from tests.train.chat import ScriptedServer, serving
from train.chat import ChatSettings, EndpointDown
from train.evaluation import judge, peers
from train.evaluation.answering import ModelUnderTest
from train.evaluation.samples import Sample


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving() as served:
        yield served


@pytest.fixture
def peer(server: ScriptedServer) -> ChatSettings:
    return ChatSettings(server.url, "peer", "EMOTHINKER_TEST_KEY", attempts=3, pause_s=0.0)


def sample(key: str, clip: Any = None) -> Sample:
    if clip is not None:
        return Sample(key, "happy", key, {}, clip=clip)
    frame = VideoFrame(0.0, np.full((48, 48, 3), 90, np.uint8))
    return Sample(key, "happy", key, {}, frame=frame, speech=SpeechSegment(0.0, 0.5, np.zeros(8000, np.float32)))


def test_a_peer_gets_picture_and_sound_and_is_read_like_everyone(server: ScriptedServer, peer: ChatSettings) -> None:
    replies: Iterator[str | int] = iter(["They smile. <answer>happy</answer>", "sad or happy", 503, "not happy"])
    server.say = lambda messages: next(replies)
    samples = [sample("a"), sample("b"), sample("c")]
    rows = peers.answers(peer, ModelUnderTest("peer"), samples, frozenset(), concurrency=1)
    told = {row["key"]: row["answer"] for row in rows}
    assert told == {"a": "happy", "b": None, "c": None}
    kinds = [part["type"] for part in server.seen[0][0]["content"]]
    assert kinds == ["image_url", "input_audio", "text"]
    assert all(label in server.seen[0][0]["content"][-1]["text"] for label in LABELS)


def test_what_a_peer_answered_is_not_asked_again(server: ScriptedServer, peer: ChatSettings) -> None:
    rows = peers.answers(peer, ModelUnderTest("peer"), [sample("a"), sample("b")], frozenset({"a"}), concurrency=2)
    assert [row["key"] for row in rows] == ["b"]


def test_a_peer_that_is_down_ends_in_a_message(server: ScriptedServer, peer: ChatSettings) -> None:
    server.say = lambda messages: 500
    with pytest.raises(EndpointDown, match="no answer in 3 attempts: HTTP 500"):
        list(peers.answers(peer, ModelUnderTest("peer"), [sample("a")], frozenset(), concurrency=1))
    server.say = lambda messages: 404
    with pytest.raises(EndpointDown, match="refuses the request: HTTP 404"):
        list(peers.answers(peer, ModelUnderTest("peer"), [sample("a")], frozenset(), concurrency=1))


TRUTH = {"a": "She frowns and shouts: angry.", "b": "He cries: sad."}
SYSTEMS = {"this model": {"a": "Brows lowered. angry", "b": "Smiling. happy"}, "old baseline": {"a": "A woman."}}


def test_the_judge_is_pinned_and_baselines_are_judged_beside_ours(
    server: ScriptedServer, peer: ChatSettings, tmp_path: Path
) -> None:
    def say(messages: list[dict[str, Any]]) -> str:
        return '{"score": 8, "why": "same"}' if "Brows lowered" in messages[0]["content"] else "I would say nothing."

    server.say = say
    found = judge.judge(peer, TRUTH, SYSTEMS, tmp_path)
    assert found["judge"]["model"] == "peer"
    assert found["judge"]["temperature"] == 0.0
    assert found["systems"]["this model"]["clue"] == 8.0
    assert found["systems"]["this model"]["clue_unread"] == 1
    assert found["systems"]["old baseline"]["n"] == 1
    assert any("old baseline" in line for line in judge.table(found))
    n = len(server.seen)
    judge.judge(peer, TRUTH, SYSTEMS, tmp_path)
    assert len(server.seen) == n


def test_a_judge_that_is_down_loses_no_judgement(server: ScriptedServer, peer: ChatSettings, tmp_path: Path) -> None:
    replies = iter(['{"score": 3}', '{"score": 4}'])
    server.say = lambda messages: next(replies, 503)
    with pytest.raises(EndpointDown):
        judge.judge(peer, TRUTH, SYSTEMS, tmp_path, concurrency=1)
    assert len((tmp_path / "judged.jsonl").read_text("utf-8").splitlines()) == 2
    server.say = lambda messages: '{"score": 5}'
    assert judge.judge(peer, TRUTH, SYSTEMS, tmp_path)["systems"]["this model"]["n"] == 2
    other = replace(peer, model="another judge")
    with pytest.raises(judge.OtherJudge, match="judgements of peer"):
        judge.judge(other, TRUTH, SYSTEMS, tmp_path)


@pytest.mark.parametrize(
    ("text", "score"),
    [('{"score": 7.5}', 7.5), ("8/10", 8.0), ("11", None), ("<think>9</think>", None), ('{"score": "6"}', 6.0)],
)
def test_scores_are_read_strictly(text: str, score: float | None) -> None:
    assert judge.read_score(text) == score
