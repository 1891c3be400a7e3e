"""Models on a text backbone: composed, put together once, trained by both stages, and refused where parts differ."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel

from realtime.bench import steps
from realtime.commands import models
from realtime.commands.analyze import analyze
from realtime.engine import loading
from realtime.errors import BadModel, BadSettings
from realtime.evidence.cues import CUES
from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.model import assembly, checkpoint, memory
from realtime.model.backbone import TextBackbone
from realtime.model.experts import EXPERT_LABELS
from realtime.model.published import user_cache
from realtime.model.thinker import FACE_REGIONS
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.measurements import CUE_WORDS
from realtime.settings import Settings
from tests.model.backbone_files import SPECIAL, composed_on_llama, llama, qwen2, tokenizer, write_folder, write_gguf
from train import lora
from train.coet.measured import EXPRESSION
from train.compose import recompose, unpack
from train.tuning.initial_model import PROJECTORS, save_additions, save_projectors, with_additions
from train.tuning.tiny import write_clip, write_clips

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emothinker" / "assembled"


@pytest.fixture
def composed(tmp_path: Path) -> Path:
    """A model on a small random Llama, before any training."""
    return composed_on_llama(tmp_path)


@torch.no_grad()
def test_text_alone_is_answered_as_the_backbone_answers(composed: Path) -> None:
    """Up to the float16 of the cache; the backbone itself is compared in `tests/model/test_backbone.py`."""
    model = checkpoint.load(assembly.locate(str(composed)))
    ids_1T = torch.randint(300, (1, 30), generator=torch.Generator().manual_seed(0))
    positions, causal = torch.arange(30).expand(3, 1, 30), torch.ones(30, 30, dtype=torch.bool).tril()
    ours = model.thinker.lm_head(model.thinker.model(model.embed(ids_1T), positions, causal))
    theirs = llama()(ids_1T).logits
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-2
    assert model.config.text.mrope_section == (4, 6, 6), "frames have rows and columns"


def test_cue_tokens_begin_as_words_of_the_backbone(composed: Path) -> None:
    """What an expert is sure of begins as the emotion's word, and a dropped jaw as "jaw dropped"."""
    model, vocabulary = checkpoint.load(assembly.locate(str(composed))), Vocabulary.read(composed)

    def nearest(token_D: torch.Tensor, texts: Sequence[str]) -> str:
        known = torch.stack([model.embed(torch.tensor(vocabulary.ids(f" {text}"))).mean(0) for text in texts])
        return texts[int(torch.cosine_similarity(known, token_D[None]).argmax())]

    words = [EXPRESSION[label][0] for label in EXPERT_LABELS]
    for place, word in enumerate(words):
        sure_7 = torch.full((len(words),), -6.0)
        sure_7[place] = 0.0
        assert nearest(model.emotion.face_verdict(sure_7), words) == word
        assert nearest(model.emotion.voice_verdict(sure_7), words) == word
    lower = CUES[FACE_REGIONS["lower"]]
    told = model.emotion.face_regions["lower"](torch.tensor([1.0 if cue == "jaw_drop" else 0.0 for cue in lower]))
    assert nearest(told, [CUE_WORDS[cue][0] for cue in lower]) == "jaw dropped"


def test_it_is_put_together_once(composed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = assembly.locate(str(composed))
    assert whole.parent == cache

    def asked(_: str) -> TextBackbone:
        raise AssertionError("the backbone was opened again")

    monkeypatch.setattr(TextBackbone, "open", asked)
    assert assembly.locate(str(composed)) == whole
    assert [path.name for path in cache.iterdir()] == [whole.name], "nothing half made is left"


def test_other_models_are_located_as_before() -> None:
    assert assembly.locate("nano") == checkpoint.NANO
    with pytest.raises(BadModel, match="neither a folder here nor a model"):
        assembly.locate("no/such/model/at/all")


@pytest.mark.slow
def test_the_cache_keeps_a_few(composed: Path, cache: Path) -> None:
    for number in range(assembly.KEPT + 2):
        (composed / "emothinker.json").write_text(
            json.dumps(json.loads((composed / "emothinker.json").read_text()) | {"drop": number / 10})
        )
        newest = assembly.locate(str(composed))
    assert len(list(cache.iterdir())) == assembly.KEPT
    assert newest.is_dir()


def test_markers_take_the_place_of_tokens_that_the_backbone_hardly_uses(composed: Path) -> None:
    vocabulary = Vocabulary.read(composed)
    own = tokenizer()
    free = [own.get_vocab()[token] for token in SPECIAL[3:]]
    lacking = [mark for mark in prompt.SPECIAL_TOKENS if own.token_to_id(mark) is None]
    single = [ids[0] for mark in lacking if len(ids := vocabulary.ids(mark)) == 1]
    assert sorted(single) == sorted(free)
    assert vocabulary.ids(prompt.END_OF_TURN) == [own.token_to_id(prompt.END_OF_TURN)]
    assert vocabulary.ids("the voice rises") == own.encode("the voice rises").ids


def test_other_parts_than_it_was_trained_with_are_refused(composed: Path, tmp_path: Path) -> None:
    write_gguf(llama(rope_theta=5_000.0), tmp_path / "llama.gguf", kind="llama")
    with pytest.raises(BadModel, match="is not the backbone that the model was trained on"):
        assembly.locate(str(composed))
    write_gguf(llama(), tmp_path / "llama.gguf", kind="llama")
    described = json.loads((composed / "config.json").read_text())
    for changed, sentence in [
        ({"towers": {"name": "nano", "sha256": "0" * 64}}, "was trained on other towers"),
        ({"towers": assembly.nano_sha256() | {"experts_sha256": "0" * 64}}, "was trained on other experts"),
        ({"towers": "nano"}, "does not tell its backbone and towers"),
        ({"backbone": {"name": str(tmp_path / "gone.gguf"), "sha256": {}}}, "could be fetched"),
        ({"backbone": {}}, "does not tell its backbone and towers"),
        ({"thinker_config": {}}, "cannot be used"),
    ]:
        (composed / "config.json").write_text(json.dumps(described | changed))
        with pytest.raises(BadModel, match=sentence) as raised:
            assembly.locate(str(composed))
        assert raised.value.hint


def test_too_little_memory_is_told_before_the_backbone_is_opened(
    composed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1_000_000)
    monkeypatch.setattr(TextBackbone, "open", lambda _: pytest.fail("the backbone was opened"))
    with pytest.raises(BadModel, match="does not fit into memory") as raised:
        assembly.locate(str(composed))
    assert "--model nano" in raised.value.hint


def test_a_cut_off_part_is_told(composed: Path, cache: Path) -> None:
    (composed / "projectors.safetensors").write_bytes((composed / "projectors.safetensors").read_bytes()[:1000])
    with pytest.raises(BadModel, match=r"projectors\.safetensors"):
        assembly.locate(str(composed))
    assert not any(cache.iterdir())


@pytest.mark.slow
def test_it_perceives_and_reasons(composed: Path, tmp_path: Path) -> None:
    """With random weights the label means nothing, but every part is run, from pixels to words."""
    write_clip(tmp_path / "clip.mp4", hue=0.5, pitch_hz=140, silent=False)
    model = loading.load(str(composed), engine="torch")
    events = tmp_path / "events.jsonl"
    source = MediaSource.open(str(tmp_path / "clip.mp4"), ingest=IngestSettings(), speech=SpeechSettings())
    with events.open("w") as out:
        asyncio.run(analyze(source, model, Settings(), out, prompt.Question()))
    told = [json.loads(line) for line in events.read_text().splitlines()]
    (label,) = [event for event in told if event["type"] == "label" and event["source"] == "fast"][:1]
    assert sum(label["probabilities"].values()) == pytest.approx(1.0, abs=1e-3)
    assert any(event["type"] == "reason.done" for event in told)


@pytest.mark.slow
def test_warmed_projectors_and_gates_come_back(composed: Path, tmp_path: Path) -> None:
    folder = assembly.locate(str(composed))
    model, emotion = with_additions(folder, selector_dim=16, cues=True, ring=None, dtype=torch.float32)
    with torch.no_grad():
        for name in PROJECTORS:
            for parameter in model.get_submodule(name).parameters():
                parameter.add_(0.125)
        model.emotion.get_parameter("audio_extractor.gate").fill_(0.5)
    save_additions(model, emotion, tmp_path / "warm")
    save_projectors(model, tmp_path / "warm")
    recompose(composed, tmp_path / "warmed", adapter=tmp_path / "warm", warmup=None)
    assert assembly.read_config(str(tmp_path / "warmed")).emotion.questions
    recompose(composed, tmp_path / "left", adapter=tmp_path / "warm", warmup=None, leave_questions=True)
    assert not assembly.read_config(str(tmp_path / "left")).emotion.questions
    again = checkpoint.load(assembly.locate(str(tmp_path / "warmed"))).state_dict()
    adapted = checkpoint.load(folder, adapter=tmp_path / "warm").state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(adapted[name], tensor, atol=2e-3, rtol=1e-3, msg=name)
        torch.testing.assert_close(again[name], tensor, atol=2e-3, rtol=1e-3, msg=name)


def test_clips_are_perceived_with_the_experts_as_they_were_trained(composed: Path) -> None:
    """New additions were in training mode: batch norms took each clip as a batch, and their statistics drifted."""
    folder = assembly.locate(str(composed))
    model, _ = with_additions(folder, selector_dim=16, cues=True, ring=None, dtype=torch.float32)
    assert not any(part.training for part in model.modules())


def test_only_trained_models_are_unpacked(composed: Path, tmp_path: Path) -> None:
    for folder in (checkpoint.NANO, composed):
        with pytest.raises(BadSettings, match="is no trained model on a text backbone"):
            unpack(folder, tmp_path)


def test_only_composed_models_are_composed_again(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="was not composed on a backbone"):
        recompose(checkpoint.NANO, tmp_path, adapter=tmp_path, warmup=None)


def run_script(tmp_path: Path) -> str:
    """Run `train/runs/small.sh` for two steps a stage, and return what it printed."""
    done = subprocess.run(
        ["bash", "train/runs/small.sh"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY),
            "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "BACKBONE": str(tmp_path / "backbone"),
            "CLIPS": str(tmp_path / "clips"), "WORK": str(tmp_path / "work"),
            "MORE": "--cpu --batch 2 --accumulate 1", "WARMUP_STEPS": "2", "LORA_STEPS": "2", "PROCESSES": "2",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_both_stages_train_it_and_the_result_is_small(tmp_path: Path) -> None:
    """On a small random Qwen2 and six drawn clips; then once more, with nothing left to train."""
    write_folder(qwen2(), tmp_path / "backbone")
    write_clips(tmp_path / "clips")
    run_script(tmp_path)
    work = tmp_path / "work"
    assert (work / "small" / "adapter_model.safetensors").exists()
    assert not list((work / "small").glob("model*.safetensors")), "the backbone never ships"
    before = checkpoint.load(assembly.locate(str(work / "new"))).state_dict()
    after = checkpoint.load(assembly.locate(str(work / "small"))).state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert any(".self_attn.q_proj." in name for name in changed)
    assert any(".visual.merger." in name for name in changed)
    # The drawn voices are a buzz. Where the voice expert hears no speech in it, this projector learns nothing.
    shards = [work / f"coet{shard}" / "records.jsonl" for shard in range(2)]
    records = [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]
    spoke = any(record["measured"]["speech_s"] > 0 for record in records)
    assert any(".audio_tower.proj." in name for name in changed) == spoke
    towers = ("thinker.visual.blocks.", "thinker.audio_tower.layers.")
    frozen = (*towers, "thinker.model.embed_tokens.", "emotion.face_expert.", "emotion.voice_expert.")
    assert not [name for name in changed if name.startswith(frozen)]
    unpack(work / "small", tmp_path / "again")
    recompose(work / "new", tmp_path / "twice", adapter=tmp_path / "again", warmup=None)
    for name in (checkpoint.ADAPTER_WEIGHTS, assembly.PROJECTORS, checkpoint.EMOTION_WEIGHTS):
        shipped, same = (checkpoint.read_tensors(tmp_path / folder / name) for folder in ("work/small", "twice"))
        assert shipped.keys() == same.keys()
        assert all(torch.equal(tensor, same[key]) for key, tensor in shipped.items()), name
    args = lora.parse(
        ["r", "--model", str(work / "new"), "--out", "o", "--from-adapter", str(tmp_path / "again"), "--projectors"]
    )
    model, _ = lora.start(args, assembly.locate(str(work / "new")))
    net = lora.net_of(args, model)
    assert isinstance(net, PeftModel)
    tuned = net.peft_config["default"]
    assert isinstance(tuned, LoraConfig)
    assert tuned.r == args.rank == 16
    whole = assembly.locate(str(work / "small"))
    assert (whole / checkpoint.PHRASES).exists(), "what its chains often say is counted, and goes along"
    shutil.rmtree(work / "small")
    assert "== " not in run_script(tmp_path), "finished stages are skipped"
    assert (work / "small" / "adapter_model.safetensors").exists()


def test_small_is_a_name_where_the_build_has_it(
    composed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(checkpoint.SHIPPED, "small", composed)
    monkeypatch.setattr(checkpoint, "SMALL", composed)
    table = "\n".join(models.show(["small"]))
    assert table.count("\nsmall ") == 1
    assert not list(user_cache().rglob("*")), "nothing is put together for a table"
    logging.getLogger().setLevel(logging.WARNING)
    assert (assembly.locate("small") / checkpoint.WEIGHTS).exists()
    assert "putting new together with" in caplog.text, "a person who waits is told at every level of the log"


@pytest.mark.slow
def test_steps_are_compared_in_each_format(
    composed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "N_PASS", 64)
    (tmp_path / "text").write_text("A sentence of some length, and then another one. " * 20, encoding="utf-8")
    argv = ["steps", "--model", str(composed), "--steps", "2", "--passes", "2", "--text", str(tmp_path / "text")]
    monkeypatch.setattr(sys, "argv", argv)
    steps.main()
    told = json.loads(capsys.readouterr().out)
    assert told["text"]["full"] == {**told["text"]["full"], "same_best": 1.0, "kl": 0.0}
    assert 0 < told["text"]["int8"]["kl"] < told["text"]["int4"]["kl"]
    assert all(cost["layers_ms"] > 0 for cost in told["step"].values())
    assert min(told["window"][name] for name in ("frame_ms", "speech_ms", "label_ms")) > 0
    assert min(told["window_nano_labels"].values()) > 0
    assert told["window_nano_labels"].keys() == told["window"].keys()
    assert told["chain"].keys() == {"plain"}, "this one has no table of phrases"
    assert told["chain"]["plain"]["passes"] > 0
    assert min(told["rows_ms"].values()) > 0


def test_a_build_without_small_says_what_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checkpoint.SHIPPED, "small", tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    with pytest.raises(BadModel, match="no `small`") as caught:
        loading.load("small")
    assert "train/runs/small.sh" in str(caught.value.hint)
    assert (REPOSITORY / "train/runs/small.sh").exists()
