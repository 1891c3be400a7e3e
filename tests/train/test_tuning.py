"""Training holds to serving and to itself: same sequences, same scores, same curve after a kill, alone or together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from realtime.engine.loading import load
from realtime.errors import BadModel, BadSettings
from realtime.model import checkpoint
from realtime.model.thinker import EmoThinker
from realtime.reason.sequence import WindowTokens
from realtime.records import Question, Window
from train import dpo, lora, rl, warmup
from train.command import run_command
from train.evaluation.variants import WHOLE
from train.layout import IGNORED, hidden_states
from train.readers.perceived import measuring, watch
from train.tuning import bench, tiny
from train.tuning.clip_tokens import ClipTokens
from train.tuning.data import N_OTHERS, AnnotatedWindow, AnnotatedWindows, Balanced, data_sha256, read_records
from train.tuning.initial_model import as_loaded, save_additions, with_additions
from train.tuning.model import Trainee
from train.tuning.rewards import REWARDS

# Eleven runs of a stage: a minute of two free cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
REPOSITORY = Path(__file__).parents[2]
SECTIONS = {
    "face": "A smile.", "context": "One person.", "atmosphere": "Even light.", "voice": "Lively.",
    "coarse": "Positive.", "fine": "It points to happy.", "answer": "happy, slight",
}  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """smoke.sh, run once: every stage on drawn clips and a small random Qwen2.5-Omni folder."""
    path = tmp_path_factory.mktemp("smoke")
    env = {**ENV, "WORK": str(path), "PYTHON": sys.executable, "STEPS": "4"}
    done = subprocess.run(
        ["bash", "train/runs/smoke.sh"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return path


CURVES = "TENSORBOARD_LOGGING_DIR"
"A stage sets it for the process that it has to itself."
STAGES: dict[str, Callable[[Sequence[str]], None]] = {
    "train.warmup": warmup.main, "train.lora": lora.main, "train.dpo": dpo.main, "train.rl": rl.main,
}  # fmt: skip


def run(command: str, work: Path, out: Path, *flags: str, processes: int = 1) -> dict[str, Any]:
    """Run a stage; returns what run.json says afterwards.

    One process trains in this one: a new one imports for twice the time that it trains, and smoke.sh starts each stage
    as a person does.
    """
    common = ["--model", str(work / "model"), "--out", str(out), "--cache", str(work / "windows"), "--cpu"]
    steps = ["--batch", "1", "--accumulate", "1", "--log-steps", "1", "--cues-off", "0.3"]
    words = [str(work / "coet"), *common, *steps, *flags]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", command]
        done = subprocess.run(
            [sys.executable, *launch, *words], cwd=REPOSITORY, env=ENV, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CURVES, str(out / "curves"))
            STAGES[command](words)
    described: dict[str, Any] = json.loads((out / "run.json").read_text())
    return described


def curve(out: Path, step: int) -> list[tuple[int, float]]:
    state = json.loads((out / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json").read_text())
    return [(line["step"], line["loss"]) for line in state["log_history"] if "loss" in line]


def test_smoke_leaves_everything_that_its_stages_promise(work: Path) -> None:
    run_json = json.loads((work / "adapter" / "run.json").read_text())
    assert run_json["n_records"] == 6
    assert run_json["data_sha256"]
    assert run_json["seed"] == 0
    assert (run_json["settings"]["rank"], run_json["settings"]["alpha"], run_json["settings"]["lr"]) == (32, 64, 2e-5)
    assert list((work / "adapter" / "curves").glob("events.out.tfevents.*"))
    assert "sha256" in (work / "merged" / "README.md").read_text()
    events = [json.loads(line) for line in (work / "events.jsonl").read_text().splitlines()]
    assert any(event["type"] == "label" for event in events)


def test_preferences_begin_at_nothing_and_are_learnt(work: Path, tmp_path: Path) -> None:
    """Against the model as it began, which is what it is with its new low-rank part switched off."""
    steps = ["--steps", "16", "--lr", "5e-3", "--beta", "0.5", "--save-steps", "16", "--label-share", "0"]
    told = run("train.dpo", work, tmp_path, *steps)
    assert told["stage"] == "dpo"
    state = json.loads((tmp_path / "checkpoints" / "checkpoint-16" / "trainer_state.json").read_text())
    told_of_pairs = [line for line in state["log_history"] if "margin" in line]
    assert told_of_pairs[0]["margin"] == 0.0
    assert np.mean([line["preferred"] for line in told_of_pairs[-5:]]) > 0.7
    assert told["result"]["margin"] == round(told_of_pairs[-1]["margin"], 4)
    assert "Trained by `train.dpo`" in (tmp_path / "README.md").read_text()
    changed = checkpoint.load(work / "model", adapter=tmp_path).state_dict()
    before = checkpoint.load(work / "model").state_dict()
    names = {name for name, tensor in before.items() if not torch.equal(tensor, changed[name])}
    assert names
    assert all(name.startswith("thinker.model.layers.") for name in names)


WORDING = "The scene is"
"The rarer one of two wordings that nano has for the atmosphere."


@pytest.fixture
def rewarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains are rewarded for one wording, which is learnt in few steps, and are short where a model is random."""
    monkeypatch.setitem(REWARDS, "format", lambda written, known: float(WORDING in written.sections["atmosphere"]))
    monkeypatch.setattr("realtime.reason.rows.SECTION_TOKENS", 40)


def group_curve(out: Path, step: int) -> list[dict[str, float]]:
    state = json.loads((out / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json").read_text())
    return [line for line in state["log_history"] if "kl" in line]


def test_what_is_rewarded_becomes_likelier(work: Path, tmp_path: Path, rewarded: None) -> None:
    steps = ["--steps", "10", "--lr", "3e-3", "--save-steps", "10", "--group", "8", "--beta", "0"]
    told = run("train.rl", work, tmp_path, "--model", "nano", *steps, "--rewards", "format")
    assert told["stage"] == "rl"
    assert told["settings"]["rewards"] == {"format": 1.0}
    lines = group_curve(tmp_path, 10)
    assert lines[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert lines[-1]["kl"] > 1e-3
    earned = [line["reward_format"] for line in lines]
    assert np.mean(earned[:2]) < 0.6
    assert np.mean(earned[-2:]) > 0.85
    assert told["result"]["reward_format"] == round(earned[-1], 4)
    assert {"spread", "unsupported", "inconsistent"} <= lines[-1].keys()
    assert "Trained by `train.rl`" in (tmp_path / "README.md").read_text()
    changed = checkpoint.load(checkpoint.NANO, adapter=tmp_path).state_dict()
    before = checkpoint.load(checkpoint.NANO).state_dict()
    names = {name for name, tensor in before.items() if not torch.equal(tensor, changed[name])}
    assert names
    assert all(name.startswith("thinker.model.layers.") for name in names)


def test_reinforcement_continues_with_the_same_curve(work: Path, tmp_path: Path, rewarded: None) -> None:
    """Its chains are drawn anew after a kill; they are the same. The loss of stage 2 is kept beside it here."""
    steps = ["--model", "nano", "--lr", "1e-3", "--group", "2", "--rewards", "format", "answer=2"]
    steps += ["--save-steps", "3", "--chain-share", "0.2"]
    run("train.rl", work, tmp_path / "whole", *steps, "--steps", "6")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "checkpoint-6")
    told = run("train.rl", work, tmp_path / "killed", *steps, "--steps", "6")
    assert told["result"]["resumed_from"] == "checkpoint-3"
    assert curve(tmp_path / "killed", 6) == curve(tmp_path / "whole", 6)
    whole, killed = (group_curve(tmp_path / name, 6) for name in ("whole", "killed"))
    assert [line["reward_format"] for line in killed] == [line["reward_format"] for line in whole]
    assert whole[-1]["chain"] > 0


def test_a_model_whose_chains_judge_first_is_not_reinforced(work: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="evidence_first"):
        run("train.rl", work, tmp_path, "--steps", "1")


@pytest.mark.parametrize("command", ["train.lora", "train.dpo", "train.rl"])
def test_each_stage_learns_from_the_evidence_of_its_row(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewarded: None, command: str
) -> None:
    """The windows are those of the row, and so are the tokens that the trained model makes of them."""
    made_of, n_tokens = ClipTokens.make, dict[str, int]()

    def counted(self: ClipTokens, *given: Any) -> WindowTokens:
        made = made_of(self, *given)
        n_tokens[row] += sum(frame.x_ND.shape[0] for frame in made.frames)
        return made

    monkeypatch.setattr(ClipTokens, "make", counted)
    for row in (WHOLE.name, "B"):
        n_tokens[row] = 0
        run(command, work, tmp_path / row, "--model", "nano", "--steps", "1", "--variant", row)
    # Without the faces, most of a frame is left out.
    assert 0 < n_tokens["B"] < 0.6 * n_tokens[WHOLE.name]


def test_a_merged_folder_is_the_backbone_with_its_adapter(work: Path) -> None:
    merged = checkpoint.load(work / "merged")
    adapted = checkpoint.load(work / "model", adapter=work / "adapter")
    stock = checkpoint.load(work / "model")
    state = merged.state_dict()
    for name, tensor in adapted.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    changed = {name for name, tensor in stock.state_dict().items() if not torch.equal(tensor, state[name])}
    assert any(".self_attn.q_proj." in name for name in changed)
    assert any(".visual.merger." in name for name in changed)
    assert not any(".audio_tower." in name or ".visual.blocks." in name for name in changed)


def test_transformers_reads_the_merged_folder_and_gives_the_same_logits(work: Path) -> None:
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    loaded: Any = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
        work / "merged", output_loading_info=True, dtype=torch.float32
    )
    # A pair, as its loading was asked about; the annotation knows only of the model.
    theirs, told = loaded
    assert not any(told.values()), told
    ids_1T = torch.randint(0, 400, (1, 12), generator=torch.Generator().manual_seed(0))
    adapted = checkpoint.load(work / "model", adapter=work / "adapter").thinker
    positions_31T = torch.arange(12).expand(3, 1, 12)
    causal = torch.ones(12, 12, dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        reference = theirs.eval()(input_ids=ids_1T).logits
        hidden = adapted.model(adapted.model.embed_tokens(ids_1T), positions_31T, causal)
        ours = adapted.lm_head(hidden)
    assert float((ours - reference).norm() / reference.norm()) < 1e-5


def test_an_adapter_of_another_model_is_refused(work: Path) -> None:
    with pytest.raises(BadModel, match="does not fit"):
        checkpoint.load(checkpoint.NANO, adapter=work / "adapter")


@pytest.mark.parametrize("ring", [False, True])
def test_label_branches_score_as_serving_scores_them(work: Path, tmp_path: Path, ring: bool) -> None:
    """Serving perceives the clip with its towers and reads the window; training lays out what it kept of it."""
    folder = tmp_path / "model"
    shutil.copytree(work / "model", folder)
    model, emotion = with_additions(folder, selector_dim=16, cues=True, ring=ring, dtype=torch.float32)
    for name, parameter in model.emotion.named_parameters():
        if name.endswith("gate"):
            parameter.data.fill_(0.7)
    save_additions(model, emotion | {"drop": 0.0}, folder)
    served = load(str(folder), engine="torch")
    clip, vocabulary = work / "clips" / "clip0.mp4", served.thinker.vocabulary
    reading = served.thinker.read_plainly(served_window(served, clip), Question())
    kept, trainee = watch(clip, served), Trainee(served.weights, vocabulary, cues_off=0.0)

    scores = []
    for word in Question().labels:
        sequence = trainee.with_labels(AnnotatedWindow(kept, SECTIONS, {"both": word}, draw=0))
        log_p = torch.log_softmax(served.weights.thinker.lm_head(hidden_states(served.weights, [sequence])[0]), -1)
        ids, at = vocabulary.ids(word), sequence.label_rows["both"]
        assert sequence.targets_T[at : at + len(ids)].tolist() == ids
        scores.append(float(log_p[range(at, at + len(ids)), ids].sum()))
    trained = torch.softmax(torch.tensor(scores), 0).tolist()
    # What the tower sees is kept as bytes; nothing else differs.
    assert trained == pytest.approx(list(reading.label.probabilities.values()), abs=2e-3)

    evidence = reading.evidence
    x = torch.cat([evidence.prefix_x_ND, *(chunk.x_ND for chunk in evidence.chunks)])
    torch.testing.assert_close(sequence.x_TD[: x.shape[0]], x, atol=5e-3, rtol=5e-3)
    positions = torch.cat([chunk.positions_3N for chunk in evidence.chunks], 1)
    assert torch.equal(sequence.positions_3T[:, evidence.n_prefix : x.shape[0]], positions)


def test_windows_are_asked_questions_whose_answers_are_measured(work: Path) -> None:
    model, _ = with_additions(work / "model", selector_dim=16, cues=True, ring=True, dtype=torch.float32)
    loaded = as_loaded(model, work / "model")
    trainee, vocabulary = Trainee(model, loaded.thinker.vocabulary, cues_off=0.0), loaded.thinker.vocabulary
    records = read_records([work / "coet"])
    windows = AnnotatedWindows(records, measuring(loaded), work / "windows", seed=0, asked_share=1.0)
    for place in range(len(records)):
        example = windows[place, place]
        assert example.asked is not None
        assert len({example.asked.question, *(other.question for other in example.others)}) == 1 + N_OTHERS
        sequence = trainee.sequences([example])[0]
        learnt = {
            name: vocabulary.text([t for t in sequence.targets_T[slice(*span)].tolist() if t != IGNORED])
            for name, span in sequence.spans.items()
        }
        assert f"{example.asked.answer}. {records[place]['sections']['answer']}" in learnt["chain"]
        for number, other in enumerate(example.others):
            assert learnt[f"asked {number}"] == f"{other.answer}."
    nothing = AnnotatedWindows(records, measuring(loaded), work / "windows", seed=0)[0, 0]
    assert (nothing.asked, nothing.others) == (None, ())


def served_window(served: Any, path: Path) -> Window:
    """The clip's window with the tokens that serving makes."""
    from realtime.ingest.media import MediaSource
    from realtime.ingest.settings import IngestSettings
    from realtime.ingest.speech import SpeechSettings
    from realtime.pace.buffer import BufferSettings, RollingBuffer
    from tests.ingest.media_files import Received

    received = Received()
    for item in MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings()).read():
        received.take(item)
    perception, buffer = served.perceiver(seed=0), RollingBuffer(BufferSettings())
    for frame in received.frames:
        buffer.add_frame(perception.see(frame))
    for segment in received.segments:
        buffer.add_speech(perception.hear(segment))
    perception.close()
    return buffer.window(0, received.segments[-1].end_s)


def test_the_loss_is_on_what_the_model_has_to_say_alone(work: Path) -> None:
    model = checkpoint.load(work / "model", adapter=work / "adapter")
    loaded = as_loaded(model, work / "model")
    trainee = Trainee(model, loaded.thinker.vocabulary)
    kept = watch(work / "clips" / "clip0.mp4", loaded)
    example = AnnotatedWindow(kept, SECTIONS, {"both": "happy"}, draw=1)
    sequence = trainee.with_chain(trainee.with_labels(example), example, {})

    def learnt(branch: str) -> str:
        targets = sequence.targets_T[slice(*sequence.spans[branch])]
        return loaded.thinker.vocabulary.text(targets[targets != IGNORED].tolist())

    def closed(*names: str) -> str:
        return "".join(f"{SECTIONS[name]}</{name}>" for name in names)

    assert learnt("voice found") == closed("voice")
    assert learnt("face found") == closed("face", "context", "atmosphere")
    assert learnt("chain") == closed("coarse", "fine", "answer")
    assert learnt("both") == learnt("judged") == "happy"
    assert (sequence.targets_T[: sequence.label_rows["both"]] == IGNORED).all()


def test_a_resumed_run_has_the_same_curve_and_weights(work: Path, tmp_path: Path) -> None:
    """Killed after its last checkpoint, in the middle of an epoch: the rest is as if it never happened."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    flags = ["--steps", "8", "--save-steps", "5", "--from-warmup", str(work / "warmup"), "--selectors"]
    run("train.lora", work, whole, *flags)
    shutil.copytree(whole, killed)
    shutil.rmtree(killed / "checkpoints" / "checkpoint-8")
    (killed / "adapter_model.safetensors").unlink()
    described = run("train.lora", work, killed, *flags)
    assert described["result"]["resumed_from"] == "checkpoint-5"
    assert curve(killed, 8) == curve(whole, 8)
    assert len(curve(whole, 8)) == 8
    a = checkpoint.read_tensors(whole / "adapter_model.safetensors")
    b = checkpoint.read_tensors(killed / "adapter_model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_training_goes_on_from_an_adapter(work: Path, tmp_path: Path) -> None:
    first, same, more = tmp_path / "first", tmp_path / "same", tmp_path / "more"
    run("train.lora", work, first, "--from-warmup", str(work / "warmup"), "--selectors", "--rank", "4", "--steps", "2")
    flags = ["--from-adapter", str(first), "--selectors", "--steps", "2"]
    # With learning rates of 0 it stays what it was: low-rank part, merger and additions are all taken over.
    run("train.lora", work, same, *flags, "--lr", "0", "--merger-lr", "0", "--weight-decay", "0")
    described = run("train.lora", work, more, *flags)
    assert described["settings"]["rank"] == 4
    for name in ("adapter_model.safetensors", "emothinker.safetensors"):
        began = checkpoint.read_tensors(first / name)
        assert all(torch.equal(value, began[key]) for key, value in checkpoint.read_tensors(same / name).items())
        changed = checkpoint.read_tensors(more / name)
        assert changed.keys() == began.keys()
        assert any(not torch.equal(value, began[key]) for key, value in changed.items())


def test_what_is_no_adapter_is_not_gone_on_from(work: Path, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="is no adapter of"):
        lora.start(lora.parse(["x", "--model", "m", "--out", "o", "--from-adapter", str(tmp_path)]), work / "model")


def test_a_hybrid_goes_through_both_stages_and_stays_one(work: Path, tmp_path: Path) -> None:
    run("train.warmup", work, tmp_path / "warm", "--method", "hybrid", "--steps", "2", "--selector-dim", "16")
    described = run("train.lora", work, tmp_path / "lora", "--from-warmup", str(tmp_path / "warm"), "--steps", "2")
    assert 0 < described["result"]["gate"] < 1
    stock, tuned = checkpoint.load(work / "model"), checkpoint.load(work / "model", adapter=tmp_path / "lora")
    assert tuned.emotion.hybrid is not None
    general = stock.thinker.visual.merger.state_dict()
    assert all(torch.equal(value, general[name]) for name, value in tuned.thinker.visual.merger.state_dict().items())
    emotion = tuned.emotion.hybrid.merger.state_dict()
    assert not any(torch.equal(value, general[name]) for name, value in emotion.items())


def test_an_emochat_with_an_adaptive_share_goes_through_both_stages_and_stays_one(work: Path, tmp_path: Path) -> None:
    method = ("--method", "emochat", "--selection", "adaptive", "--selector-dim", "16")
    run("train.warmup", work, tmp_path / "warm", *method, "--steps", "2")
    warm = ("--from-warmup", str(tmp_path / "warm"), "--selectors")
    described = run("train.lora", work, tmp_path / "lora", *warm, "--steps", "2")
    assert 0 <= described["result"]["kept"] <= 1
    before, after = (checkpoint.load(work / "model", adapter=tmp_path / name) for name in ("warm", "lora"))
    for model in (before, after):
        assert (model.config.emotion.method, model.config.emotion.selection) == ("emochat", "adaptive")
    for old, new in zip(tokens_of(before), tokens_of(after), strict=True):
        assert old.any(), "stage 1 has moved it from 0"
        assert not torch.equal(old, new), "and stage 2 goes on"


def test_an_emochat_that_reads_words_goes_through_both_stages_and_stays_one(work: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.mkdir()
    for name in ("model", "windows"):
        (told / name).symlink_to(work / name)
    shutil.copytree(work / "coet", told / "coet")
    records = [json.loads(line) for line in (work / "coet" / "records.jsonl").read_text("utf-8").splitlines()]
    for record in records:
        record["clip"]["text"] = "I am so sad."
        record["measured"]["words"] = {"shares": {"sad": 1.0}, "shares_with": {"sad": 1.0}}
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (told / "coet" / "records.jsonl").write_text(lines, encoding="utf-8")
    method = ("--method", "emochat", "--selector-dim", "16", "--steps", "2")
    run("train.warmup", told, tmp_path / "warm", *method, "--words")
    run("train.lora", told, tmp_path / "lora", "--from-warmup", str(tmp_path / "warm"), "--selectors", "--steps", "2")
    before, after = (checkpoint.load(work / "model", adapter=tmp_path / name) for name in ("warm", "lora"))
    for model in (before, after):
        assert model.config.emotion.words
        assert model.emotion.correlation is not None
        assert model.emotion.correlation.agree.weight.any(), "stage 1 has moved it from 0"
    assert before.emotion.correlation is not None
    assert after.emotion.correlation is not None
    assert not torch.equal(before.emotion.correlation.agree.weight, after.emotion.correlation.agree.weight)
    run("train.warmup", work, tmp_path / "silent", *method)
    silent = checkpoint.load(work / "model", adapter=tmp_path / "silent")
    assert silent.emotion.correlation is None, "no words, no such part"
    with pytest.raises(BadSettings, match="no record has any"):
        run("train.warmup", work, tmp_path / "none", *method, "--words")


def tokens_of(model: EmoThinker) -> list[torch.Tensor]:
    """The matrices that bring an emochat's emotion tokens into the model, of faces and of voices."""
    found = []
    for tokens in (model.emotion.face_tokens, model.emotion.voice_tokens):
        assert tokens is not None
        found.append(tokens.out.weight)
    return found


def test_two_processes_train_together(work: Path, tmp_path: Path) -> None:
    described = run("train.lora", work, tmp_path / "two", "--steps", "2", processes=2)
    assert described["n_processes"] == 2
    alone = run("train.lora", work, tmp_path / "one", "--steps", "2", "--batch", "2")
    # Two processes with one window each see what one process sees with both.
    assert described["result"]["first_loss"] == pytest.approx(alone["result"]["first_loss"], rel=1e-4)


def test_full_tuning_is_sharded_and_leaves_a_whole_model(work: Path, tmp_path: Path) -> None:
    run("train.lora", work, tmp_path / "full", "--steps", "2", "--full", "--lr", "1e-3", processes=2)
    tuned = checkpoint.load(tmp_path / "full" / "model").state_dict()
    stock = checkpoint.load(work / "model").state_dict()
    name = "thinker.model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(tuned[name], stock[name])
    assert torch.isfinite(tuned[name]).all()


def test_another_data_set_does_not_go_on_from_a_checkpoint(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(work / "warmup", tmp_path / "warmup")
    words = [str(work / "coet"), "--model", str(work / "model"), "--seed", "7", "--out", str(tmp_path / "warmup")]
    monkeypatch.setattr(sys, "argv", ["train.warmup", *words, "--cache", str(work / "windows"), "--cpu"])
    monkeypatch.setenv(CURVES, str(tmp_path / "warmup" / "curves"))
    with pytest.raises(SystemExit) as ended:
        run_command(warmup.main, "train.warmup")
    assert ended.value.code == 1
    assert "another seed" in capsys.readouterr().err


def test_rare_emotions_are_drawn_more_often_and_the_same_every_time() -> None:
    labels = ["happy"] * 900 + ["fear"] * 100
    sampler = Balanced(labels, power=0.5, seed=3)
    drawn = [labels[index] for index, _ in sampler]
    assert 0.2 < np.mean([label == "fear" for label in drawn]) < 0.3
    assert list(sampler) == list(Balanced(labels, power=0.5, seed=3))
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    plain = Balanced(labels, power=0.0, seed=3)
    assert sorted(index for index, _ in plain) == list(range(1000))


def test_the_data_hash_is_of_what_is_learnt_not_of_where_it_lies() -> None:
    record = {"key": "a", "clip": {"path": "/here/a.mp4", "label": "sad"}, "sections": SECTIONS}
    moved = {**record, "clip": {"path": "/there/a.mp4", "label": "sad"}}
    other = {**record, "clip": {"path": "/here/a.mp4", "label": "happy"}}
    assert data_sha256([record]) == data_sha256([moved]) != data_sha256([other])


def test_tiny_is_what_transformers_writes(tmp_path: Path) -> None:
    assert checkpoint.load(tiny.write_model(tmp_path)).config.emotion.selector_dim == 0


def test_the_cost_of_a_step_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a shape that a CPU can do; the real ones need a GPU."""
    words = ["--shape", "tiny", "--tokens", "64", "--frames", "1", "--steps", "1", "--cpu"]
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    bench.main()
    line = json.loads(capsys.readouterr().out)
    assert line["tokens_per_s"] > 0
    assert line["model_flops_utilisation"] is None
