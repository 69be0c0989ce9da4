"""checkpoint.pt and its export: the same model again, or a refusal."""

import math
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from galr.__main__ import main
from galr.errors import StoreError
from galr.model import checkpoint
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR, GraphBatch
from galr.model.text import pad_tokens

ARCHITECTURE = {
    "backbone": "resnet18", "crop": 32, "regions": 3, "features": 4, "words": 20, "embedding": 16,
    "text": "bigru", "word_size": 8, "text_size": 12, "text_dropout": 0.0, "heads": 4, "feed_forward": 8,
    "dropout": 0.1, "fusion": "midf", "branches": "both",
}  # fmt: skip


def scores(model):
    """Of fixed images and sentences."""
    draw = torch.Generator().manual_seed(1)
    graph = GraphBatch(
        torch.rand(2, 3, 4, generator=draw), torch.eye(3).repeat(2, 1, 1), torch.ones(2, 3) > 0
    )
    pixels = torch.randn(2, 3, 32, 32, generator=draw)
    with torch.inference_mode():
        return model(pixels, graph, *pad_tokens([[2, 3, 4], [5]]))


def held(**changes):
    """A checkpoint of a model whose statistics have seen something."""
    torch.manual_seed(0)
    model = GaLR(**ARCHITECTURE)
    scores(model.train())
    said = {
        "architecture": ARCHITECTURE, "state": model.state_dict(), "words": ["plane", "été"],
        "max_words": 9, "epoch": 3, "mr": math.pi, "provenance": {"fold": 0, "settings": {"clip": None}},
    }  # fmt: skip
    return model.eval(), checkpoints.Checkpoint(**said | changes)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (checkpoints.save_checkpoint, checkpoints.load_checkpoint),
        (checkpoint.save_safetensors, checkpoint.load_safetensors),
    ],
)
def test_what_is_read_is_what_was_written(tmp_path, write, read):
    model, checkpoint = held()
    write(tmp_path / "model", checkpoint)
    again = read(tmp_path / "model")
    assert torch.equal(scores(again.model()), scores(model))
    assert not again.model().training
    plain = {name: value for name, value in vars(again).items() if name != "state"}
    assert plain == {name: value for name, value in vars(checkpoint).items() if name != "state"}
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_building_again_draws_no_random_numbers():
    _, checkpoint = held()
    before = torch.get_rng_state()
    checkpoint.build_model()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("write", [checkpoints.save_checkpoint, checkpoint.save_safetensors])
def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, write):
    _, checkpoint = held()
    write(tmp_path / "model", checkpoint)
    before = (tmp_path / "model").read_bytes()

    def full(*_, **__):
        raise MemoryError  # whatever goes wrong after the bytes were written

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MemoryError):
        write(tmp_path / "model", checkpoint)
    assert (tmp_path / "model").read_bytes() == before and [
        each.name for each in tmp_path.iterdir()
    ] == ["model"]


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(StoreError, match=r"no checkpoint at .*; run: snakemake"):
        checkpoints.load_checkpoint(path)
    checkpoints.save_checkpoint(path, held()[1])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StoreError, match="damaged or no checkpoint"):
        checkpoints.load_checkpoint(path)
    torch.save([1], path)
    with pytest.raises(StoreError, match="no checkpoint of ours"):
        checkpoints.load_checkpoint(path)


def test_checkpoints_of_another_make_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"kind": "checkpoint", "version": 1, "architecture": {}}, path)
    with pytest.raises(StoreError, match="format 1 of checkpoint, this code reads 2; delete it"):
        checkpoints.load_checkpoint(path)
    torch.save({"kind": "checkpoint", "version": checkpoints.VERSION, "words": []}, path)
    with pytest.raises(StoreError, match=r"lacks something, or holds weights .*'architecture'"):
        checkpoints.load_checkpoint(path)
    checkpoints.save_checkpoint(path, held(architecture=ARCHITECTURE | {"embedding": 32})[1])
    with pytest.raises(StoreError, match=r"weights of other shapes than it says .*size mismatch"):
        checkpoints.load_checkpoint(path)


def test_an_export_holds_plain_tensors_each_in_memory_of_its_own(tmp_path):
    state = dict(held()[1].state_dict)
    table = torch.arange(12.0).view(3, 4)
    name = "seen.pyramid.network.conv1.weight"
    state |= {
        "twin": table,
        "part": table.T,
        name: state[name].to(memory_format=torch.channels_last),
    }
    checkpoint.save_safetensors(tmp_path / "m.safetensors", held(state=state)[1])
    found = load_file(tmp_path / "m.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert found["part"].is_contiguous() and torch.equal(found["part"], table.T)


def test_a_stranger_can_read_what_an_export_is(tmp_path):
    checkpoint.save_safetensors(tmp_path / "m.safetensors", held()[1])
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        said = file.metadata()
    assert said["kind"] == "galr" and said["version"] == str(checkpoints.VERSION)
    assert (
        said["words"] == '["plane", "\\u00e9t\\u00e9"]'
        and '"embedding": 16' in said["architecture"]
    )


def test_exports_of_another_make_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    checkpoint.save_safetensors(path, held()[1])
    with safe_open(path, "pt") as file:
        said = file.metadata()
    tensors = load_file(path)
    for changes, says in (
        ({"version": "1"}, "format 1 of checkpoint, this code reads 2; write it again with galr"),
        ({"version": ""}, "is damaged"),
        ({"words": "[1"}, "is damaged"),
        ({"kind": "other"}, "does not say what its weights belong to"),
    ):
        save_file(tensors, path, said | changes)
        with pytest.raises(StoreError, match=says):
            checkpoint.load_safetensors(path)
    tensors.popitem()
    save_file(tensors, path, said)
    with pytest.raises(StoreError, match="lacks something, or holds weights"):
        checkpoint.load_safetensors(path)


def test_the_stage_names_what_it_cannot_do(tmp_path, capsys):
    checkpoints.save_checkpoint(tmp_path / "checkpoint.pt", held()[1])
    words = ["export", "--checkpoint", str(tmp_path / "checkpoint.pt"), "--output"]
    assert main([*words, str(tmp_path / "m.bin")]) == 2
    assert main([*words, str(tmp_path / "checkpoint.pt/m.safetensors")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "--output is to end in .safetensors, got" in said[0]
    assert "m.safetensors cannot be written" in said[1] and len(said) == 2
    assert main([*words, str(tmp_path / "m.safetensors")]) == 0
    assert "tensors" in capsys.readouterr().err
