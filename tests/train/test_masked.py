"""Masked pre-training of the towers, and what the table of label shares makes of finished runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from realtime.errors import BadModel, BadSettings
from realtime.evidence.cues import CUES
from realtime.model.audio import AudioTower
from realtime.model.config import AudioConfig, VisionConfig
from realtime.model.vision import VisionTower, window_plan
from realtime.towers.preprocess import patchify
from tests.ingest.media_files import voice
from train.evaluation import label_shares, selfsupervised
from train.evaluation.selfsupervised import Lesson
from train.nano import audio_tower, masked, masked_data, masked_tower, vision_tower
from train.nano.masked import MaskedFaces, MaskedVoices
from train.readers import sound
from train.readers.clip import DataMissing

SEES = VisionConfig(
    depth=2, hidden_size=16, intermediate_size=24, num_heads=2, out_hidden_size=8, fullatt_block_indexes=(1,)
)
HEARS = AudioConfig(
    num_mel_bins=8, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, d_model=12, output_dim=5
)
MADE: Mapping[str, Any] = {"tower": "vision", "steps": 6, "seed": 3}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_patches_are_those_of_serving_and_one_window_gives_the_towers_own_tokens() -> None:
    torch.manual_seed(0)
    tower, images = VisionTower(SEES), torch.rand(2, 84, 84)
    patches = masked.tower_patches(masked.grey_patches(images))
    served = torch.stack([patchify(image.expand(3, -1, -1)) for image in images])
    torch.testing.assert_close(patches, served)
    plan = window_plan(6, 6)
    padded = served[:, plan.gather_N] * plan.valid_N[None, :, None]
    with torch.inference_mode():
        wanted = tower(padded, plan.positions_N2.expand(2, -1, -1), plan.valid_N.float().expand(2, -1))
        last = masked.patch_layers(tower, patches, masked.places_of(6, 6).expand(2, -1, -1))[-1]
        torch.testing.assert_close(tower.merger(last), wanted[:, plan.token_M])


def test_a_chunk_of_which_nothing_is_hidden_gives_the_towers_own_layers() -> None:
    torch.manual_seed(0)
    tower, mel = AudioTower(HEARS), torch.randn(2, 8, 200)
    every = torch.arange(20).expand(2, -1)
    with torch.inference_mode():
        moments = tower.with_moments(mel, torch.full((2,), 200))[1]
        layers = masked.frame_layers(tower, mel, every)
    for layer, x in enumerate(layers):
        torch.testing.assert_close(x.mean(1), moments[:, layer, : HEARS.d_model])


def test_nothing_that_is_hidden_enters_the_tower() -> None:
    torch.manual_seed(0)
    tower, shown = AudioTower(HEARS), torch.tensor([[2, 3, 9]])
    frames = masked.positions_of(shown)[0]
    mel = torch.randn(1, 8, 200)
    hidden = mel.clone()
    for stretch in set(range(20)) - {2, 3, 9}:
        hidden[:, :, 10 * stretch : 10 * stretch + 10] = torch.randn(8, 10)
    heard = mel.clone()
    heard[:, :, 20:30] += 1
    with torch.inference_mode():
        as_it_is, other, differs = (masked.frame_layers(tower, x, shown)[-1] for x in (mel, hidden, heard))
    assert frames.tolist() == [*range(10, 20), *range(45, 50)]
    assert torch.equal(as_it_is, other)
    assert not torch.equal(as_it_is, differs)


def test_a_share_of_the_places_is_shown_and_another_one_each_time() -> None:
    shown = masked.choose(50, 16, 0.75, generator())
    assert shown.shape == (50, 4)
    assert all(len(set(row)) == 4 and row == sorted(row) for row in shown.tolist())
    assert set(shown.flatten().tolist()) == set(range(16))
    assert not torch.equal(shown, masked.choose(50, 16, 0.75, generator(1)))
    assert torch.equal(shown, masked.choose(50, 16, 0.75, generator()))


def test_the_loss_is_of_the_hidden_places_alone() -> None:
    told, target, shown = torch.zeros(1, 4, 3, requires_grad=True), torch.zeros(1, 4, 3), torch.tensor([[1, 2]])
    target[0, 0] = 2.0
    target[0, 1] = 100.0
    loss = masked.masked_loss(told, target, shown)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(2.0), "four at one of the two hidden places"
    assert told.grad is not None
    assert told.grad[0, 1:3].abs().sum() == 0
    assert told.grad[0, 0].abs().sum() > 0


def test_the_decoder_reads_a_layer_of_the_middle_too() -> None:
    torch.manual_seed(0)
    decoder = masked.MaskDecoder(dim=6, n_places=9, n_out=5, n_layers=4)
    layers, shown = [torch.randn(2, 3, 6) for _ in range(4)], torch.tensor([[0, 4, 8], [1, 2, 3]])
    with torch.inference_mode():
        before = decoder(layers, shown)
        for layer, read in enumerate((False, True, False, True)):
            other = [x + torch.randn_like(x) * (k == layer) for k, x in enumerate(layers)]
            assert torch.equal(before, decoder(other, shown)) != read, layer
    assert before.shape == (2, 9, 5)


def faces_model() -> MaskedFaces:
    torch.manual_seed(0)
    return MaskedFaces(VisionTower(SEES), side=56)


def images(draw: torch.Generator) -> Tensor:
    """Two halves of different brightness, so that what is hidden can be told."""
    level = torch.rand(8, 1, 2, generator=draw)
    return level.repeat_interleave(28, 2).expand(-1, 56, -1) + 0.02 * torch.rand(8, 56, 56, generator=draw)


def pretrain(work: Path, batch: masked_tower.Batch = images, made: Mapping[str, Any] = MADE) -> dict[str, Tensor]:
    model = faces_model()
    masked_tower.pretrain(model, batch, work=work, name="vision", made=made, n_steps=int(made["steps"]))
    return torch.load(work / "masked_vision_tower.pt", weights_only=True)  # type: ignore[no-any-return]


def test_a_resumed_run_ends_where_an_uninterrupted_one_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    wanted = pretrain(whole)
    steps: list[int] = []

    def stopped(draw: torch.Generator) -> Tensor:
        steps.append(len(steps))
        if len(steps) == 4:
            raise KeyboardInterrupt
        return images(draw)

    monkeypatch.setattr(masked_tower, "SAVE_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        pretrain(cut, stopped)
    assert not (cut / "masked_vision_tower.pt").exists()
    assert torch.load(cut / "masked_vision.pt", weights_only=True)["n_steps"] == 3
    got = pretrain(cut)
    assert all(torch.equal(got[name], tensor) for name, tensor in wanted.items())
    with pytest.raises(BadSettings, match="seed 3"):
        pretrain(cut, made={**MADE, "seed": 4})


def test_pre_training_tells_what_is_hidden_better(tmp_path: Path) -> None:
    """On both towers; a voice's hidden stretches are as loud as its shown ones."""
    torch.manual_seed(0)
    voices = MaskedVoices(AudioTower(HEARS))

    def heard(draw: torch.Generator) -> Tensor:
        return torch.rand(8, 8, 1, generator=draw).expand(-1, -1, 200) + 0.05 * torch.rand(8, 8, 200, generator=draw)

    for model, batch, name in ((faces_model(), images, "vision"), (voices, heard, "audio")):
        before = float(model(batch(generator(9)), generator(9)).detach())
        made = {"seed": 0, "tower": name}
        masked_tower.pretrain(model, batch, work=tmp_path, name=name, made=made, n_steps=20)
        assert float(model(batch(generator(9)), generator(9)).detach()) < 0.9 * before, name


def test_a_tower_begins_where_pre_training_ended(tmp_path: Path) -> None:
    pretrain(tmp_path)
    path = tmp_path / "masked_vision_tower.pt"
    torch.manual_seed(7)
    tower = VisionTower(SEES)
    tower.load_state_dict(masked_tower.read_start(path, tower))
    kept = torch.load(tmp_path / "masked_vision.pt", weights_only=True)["model"]
    name = "blocks.1.mlp.up_proj.weight"
    assert torch.equal(tower.state_dict()[name], kept[f"tower.{name}"])
    assert not any("decoder" in name for name in torch.load(path, weights_only=True))
    with pytest.raises(BadModel, match=r"conv1.weight is absent in masked_vision_tower.pt"):
        masked_tower.read_start(path, AudioTower(HEARS))
    with pytest.raises(BadModel, match="is not there"):
        masked_tower.read_start(tmp_path / "none.pt", tower)
    path.write_bytes(b"half a file")
    with pytest.raises(BadModel, match="can't be read as weights"):
        masked_tower.read_start(path, tower)


def write_data(data: Path) -> None:
    """Twelve faces, one of which is also in the test, three portraits, and a sentence of three speakers."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 64, (12, 48, 48)).astype(np.uint8)
    pictures[11] = np.clip(pictures[3].astype(int) + 1, 0, 63)  # a test picture is a training picture, but for light
    split = np.array([0] * 8 + [1, 1, 2, 2])
    votes = np.zeros((12, 10), np.uint8)
    votes[np.arange(12), np.arange(12) % 7] = 10
    (data / "ferplus").mkdir(parents=True)
    np.savez(data / "ferplus" / "ferplus48_q6.npz", images=pictures, shift=2, votes=votes, split=split)
    folder = data / "voices" / "emovo"
    folder.mkdir(parents=True)
    rows = ["file,speaker,sex,emotion,language,seconds,text"]
    for speaker, emotion in (("f1", "happy"), ("m1", "sad"), ("f3", "happy")):
        sound.write(folder / f"{speaker}.flac", voice(1.5))
        rows.append(f"{speaker}.flac,emovo_{speaker},,{emotion},it,1.5,parola")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_no_face_and_no_voice_of_a_test_is_learnt_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path)
    kept = masked_data.faces(tmp_path, tmp_path, 56)
    assert kept.shape == (7, 56, 56), "eight training pictures without the one that is a test picture"
    assert "FER+: 7 faces, 1 left out as twins" in capsys.readouterr().out
    assert [said.speaker for said in masked_data.of_part(tmp_path, "train")] == ["emovo_f1", "emovo_m1"]
    (tmp_path / "faces").mkdir()
    np.savez(tmp_path / "faces" / "mine.npz", jpeg=np.zeros(9, np.uint8), offset=np.array([0, 9]))
    (tmp_path / "masked_faces_56.npz").unlink()
    with pytest.raises(DataMissing, match=r"mine.npz cannot be read as portraits"):
        masked_data.faces(tmp_path, tmp_path, 56)


def test_a_chunk_is_speech_from_end_to_end(tmp_path: Path) -> None:
    write_data(tmp_path)
    mels = masked_data.Mels(tmp_path / "mels.npz", masked_data.of_part(tmp_path, "train"), 8)
    short = mels[0]
    assert short.shape[1] < masked.CHUNK_FRAMES
    twice = short.repeat(1, 3)
    chunk = mels.chunk(0, generator(2))
    assert any(torch.equal(chunk, twice[:, at : at + 200]) for at in range(short.shape[1] + 1))
    with pytest.raises(DataMissing, match="Remove it; it is made again"):
        masked_data.Mels(tmp_path / "mels.npz", masked_data.of_part(tmp_path, "test"), 8)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("vision --side 60", "--side 60 is none of 56, 84 and 112."),
        ("vision --side 140", "--side 140 is none of 56, 84 and 112."),
        ("vision --steps 0", "--steps and --batch begin at 1."),
        ("vision", "ferplus48_q6.npz is not there. Make it"),
        ("audio", "holds no voices"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, told: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    words = [*arguments.split(), "--data", str(data), "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["masked_tower", *words])
    with pytest.raises((BadSettings, DataMissing)) as refused:
        masked_tower.main()
    assert told in str(refused.value)


def test_each_label_is_told_at_least_once_and_another_seed_tells_others() -> None:
    targets = np.eye(7, dtype=np.float32)[np.repeat([0, 1, 2], [300, 100, 5])]
    rows = label_shares.labelled(targets, 0.01, 0)
    assert np.bincount(targets[rows].argmax(1), minlength=3).tolist() == [3, 1, 1]
    assert rows.tolist() != label_shares.labelled(targets, 0.01, 1).tolist()
    assert label_shares.labelled(targets, 1.0, 0).tolist() == list(range(405))


def write_runs(work: Path, *, gain: int, seeds: int = 2, n: int = 40) -> None:
    """Runs of faces, where `masked` is right about `gain` samples more than `scratch`."""
    truth = np.arange(n) % 4
    np.savez(work / "truth_faces.npz", truth=truth, groups=np.full(n, "ferplus"))
    (work / "runs").mkdir()
    for seed in range(seeds):
        for start, right in (("scratch", 20), ("masked", 20 + gain)):
            predicted = np.where((np.arange(n) + seed) % n < right, truth, 6)
            path = Lesson("faces", "tuned", start, 0.1, seed).path(work)
            path.write_text(json.dumps({"labels": 9, "seconds": 1.0, "predicted": predicted.tolist()}))
    (work / "teaching.json").write_text("{}")


def test_a_difference_is_of_the_same_seeds_and_samples(tmp_path: Path) -> None:
    write_runs(tmp_path, gain=8)
    Lesson("faces", "tuned", "masked", 0.1, 2).path(tmp_path).write_text("a third seed that scratch does not have")
    scratch, pretrained = selfsupervised.table(tmp_path, 3)["rows"]
    assert (scratch["start"], scratch["seeds"], scratch["accuracy"]["value"]) == ("scratch", 2, 0.5)
    assert "difference" not in scratch["accuracy"]
    assert scratch["commonest"] == 0.25
    assert pretrained["accuracy"]["difference"] == pytest.approx(0.2)
    low, high = pretrained["accuracy"]["difference_95"]
    assert 0.05 < low < 0.2 < high < 0.4
    text = selfsupervised.as_markdown(selfsupervised.table(tmp_path, 3) | {"command": "make it"})
    assert "| 10% (9) | masked | 2 | 0.700 (+0.200" in text
    with pytest.raises(DataMissing, match="Run it without --table"):
        selfsupervised.table(tmp_path / "runs", 3)


def test_what_is_finished_is_not_taught_again_and_other_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(tmp_path, gain=8)
    taught: list[Lesson] = []

    def predict(_self: object, run: Lesson) -> tuple[Any, int]:
        taught.append(run)
        return np.zeros(40, np.int64), 9

    monkeypatch.setattr(selfsupervised.Teaching, "predict", predict)
    teaching = selfsupervised.Teaching(tmp_path, tmp_path, {})
    monkeypatch.setattr(teaching, "sense", lambda _name: type("Sense", (), {"truth_M": np.zeros(40)}))
    every = [Lesson("faces", "tuned", start, 0.1, seed) for seed in range(3) for start in ("scratch", "masked")]
    teaching.finish(every)
    assert taught == every[4:], "the third seed"
    selfsupervised.keep_settings(tmp_path, {})
    with pytest.raises(BadSettings, match="Name another --work"):
        selfsupervised.keep_settings(tmp_path, {"side": 84})


def test_a_tower_is_taught_by_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bright and dark pictures, of which two labels each are told."""
    monkeypatch.setattr(label_shares, "blank_vision_tower", lambda: VisionTower(SEES))
    write_data(tmp_path)
    sense = label_shares.FaceSense(tmp_path, 56)
    assert len(sense.targets_N7) == 7, "without the twin of a test picture"
    label = np.tile([0, 1], 20)
    light = np.where(label == 0, 40, 200)[:, None, None]
    shown = (light + np.random.default_rng(1).integers(0, 40, (40, 56, 56))).astype(np.uint8)
    sense._images = {False: shown, True: shown}
    sense.targets_N7, sense.truth_M = np.eye(7, dtype=np.float32)[label], label
    rows = label_shares.labelled(sense.targets_N7, 0.1, 0)
    torch.manual_seed(0)
    tower = VisionTower(SEES)
    train, test = (label_shares.layers_of(sense, tower, test=part, bf16=False) for part in (False, True))
    assert (label_shares.regress(train, test, sense.targets_N7, rows) == label).mean() > 0.9
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    found = label_shares.tune(sense, tower, rows, n_steps=40, batch=4, seed=0, bf16=False)
    assert (found == label).mean() > 0.9
    assert not torch.equal(tower.state_dict()["patch_embed.proj.weight"], before["patch_embed.proj.weight"])


@pytest.mark.slow
def test_the_stages_of_the_towers_begin_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both towers at nano's size, two steps each; then the stages that tune them, without a minute of training."""
    data, work = tmp_path / "data", tmp_path / "work"
    write_data(data)
    common = ["--data", str(data), "--work", str(work)]
    for tower, more in (("vision", ["--side", "56"]), ("audio", [])):
        monkeypatch.setattr(sys, "argv", ["masked_tower", tower, *common, "--steps", "2", "--batch", "2", *more])
        masked_tower.main()

    def begun(tower: torch.nn.Module, *_args: object, **_more: object) -> None:
        states.append({name: tensor.clone() for name, tensor in tower.state_dict().items()})
        raise KeyboardInterrupt

    states: list[dict[str, Tensor]] = []
    np.savez(
        work / "crops.npz",
        **{name: np.random.default_rng(0).random((12, *shape)) for name, shape in
           (("mesh", (478, 3)), ("geometry", (936,)), ("cues", (len(CUES),)), ("pose", (3,)))},
        found=np.ones(12, bool),
    )  # fmt: skip
    monkeypatch.setattr(vision_tower, "TowerTrainer", begun)
    monkeypatch.setattr(audio_tower, "SpokenMels", lambda *_args: None)
    monkeypatch.setattr(audio_tower, "Heads", begun)
    for module, name in ((vision_tower, "vision"), (audio_tower, "audio")):
        start = work / f"masked_{name}_tower.pt"
        monkeypatch.setattr(sys, "argv", [name, *common, "--from", str(start)])
        with pytest.raises(KeyboardInterrupt):
            module.main()
        kept = torch.load(start, weights_only=True)
        new = ("proj.weight", "proj.bias") if name == "audio" else ()
        assert all(torch.equal(states[-1][key], kept[key]) for key in kept if key not in new), name
