"""checkpoint.pt and its export: the same model again, or one line of refusal."""

import math
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from galr.__main__ import main
from galr.errors import StoreError
from galr.io.atomic import atomic_write
from galr.model.checkpoint import (
    VERSION,
    Checkpoint,
    load_checkpoint,
    load_safetensors,
    save_checkpoint,
    save_safetensors,
)
from galr.model.galr import GaLR, GraphBatch
from galr.model.text import pad_tokens

from ..architecture import SMALL_GALR  # isort: skip


def similarity(model):
    """Compute the similarity of fixed images and sentences."""
    rng = torch.Generator().manual_seed(1)
    graph = GraphBatch(
        torch.rand(2, 3, 4, generator=rng), torch.eye(3).repeat(2, 1, 1), torch.ones(2, 3) > 0
    )
    pixels = torch.randn(2, 3, 32, 32, generator=rng)
    with torch.inference_mode():
        return model(pixels, graph, *pad_tokens([[2, 3, 4], [5]]))


def make_checkpoint(**changes):
    """Make a model with statistics of a batch, and its checkpoint."""
    torch.manual_seed(0)
    model = GaLR(**SMALL_GALR)
    similarity(model.train())
    values = {
        "architecture": SMALL_GALR, "state_dict": model.state_dict(), "vocabulary": ["plane", "été"], "tokenizer": None,
        "max_words": 9, "epoch": 3, "mr": math.pi,
        "provenance": {"fold": 0, "graphs": None, "settings": {"grad_clip_norm": None}},
    }  # fmt: skip
    return model.eval(), Checkpoint(**values | changes)


@pytest.mark.parametrize(
    ("save", "load"), [(save_checkpoint, load_checkpoint), (save_safetensors, load_safetensors)]
)
def test_what_is_loaded_is_what_was_saved(tmp_path, save, load):
    model, checkpoint = make_checkpoint()
    save(tmp_path / "model", checkpoint)
    loaded = load(tmp_path / "model")
    assert torch.equal(similarity(loaded.build_model()), similarity(model))
    assert not loaded.build_model().training
    assert vars(loaded) | {"state_dict": None} == vars(checkpoint) | {"state_dict": None}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_building_a_model_from_a_checkpoint_draws_no_random_numbers():
    _, checkpoint = make_checkpoint()
    before = torch.get_rng_state()
    checkpoint.build_model()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("save", [save_checkpoint, save_safetensors])
def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, save):
    _, checkpoint = make_checkpoint()

    def write(path, checkpoint):  # as the commands do
        with atomic_write(path) as partial:
            save(partial, checkpoint)

    write(tmp_path / "model", checkpoint)
    before = (tmp_path / "model").read_bytes()

    def full(*_, **__):
        raise MemoryError  # whatever goes wrong after the bytes were written

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MemoryError):
        write(tmp_path / "model", checkpoint)
    assert (tmp_path / "model").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(StoreError, match=r"no checkpoint at .*; make it with galr train"):
        load_checkpoint(path)
    save_checkpoint(path, make_checkpoint()[1])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StoreError, match="damaged or not a checkpoint"):
        load_checkpoint(path)
    torch.save([1], path)
    with pytest.raises(StoreError, match="not a checkpoint that galr train wrote"):
        load_checkpoint(path)


def test_checkpoints_of_other_versions_or_shapes_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"kind": "checkpoint", "version": 2, "architecture": {}}, path)
    with pytest.raises(StoreError, match="format 2 of checkpoint, this code reads 4; delete it"):
        load_checkpoint(path)
    torch.save({"kind": "checkpoint", "version": VERSION, "vocabulary": []}, path)
    with pytest.raises(StoreError, match=r"lacks a field, or holds weights .*'architecture'"):
        load_checkpoint(path)
    save_checkpoint(path, make_checkpoint(architecture=SMALL_GALR | {"embed_dim": 32})[1])
    with pytest.raises(
        StoreError, match=r"weights of other shapes than its architecture .*size mismatch"
    ):
        load_checkpoint(path)


def test_an_export_holds_contiguous_tensors_that_share_no_memory(tmp_path):
    state = dict(make_checkpoint()[1].state_dict)
    table = torch.arange(12.0).view(3, 4)
    name = "global_branch.backbone.network.conv1.weight"
    state |= {
        "table": table,
        "transposed": table.T,
        name: state[name].to(memory_format=torch.channels_last),
    }
    save_safetensors(tmp_path / "m.safetensors", make_checkpoint(state_dict=state)[1])
    loaded = load_file(tmp_path / "m.safetensors")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert loaded["transposed"].is_contiguous() and torch.equal(loaded["transposed"], table.T)


def test_an_export_says_what_it_is_without_pytorch(tmp_path):
    save_safetensors(tmp_path / "m.safetensors", make_checkpoint()[1])
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        metadata = file.metadata()
    assert metadata["kind"] == "galr" and metadata["version"] == str(VERSION)
    assert metadata["vocabulary"] == '["plane", "\\u00e9t\\u00e9"]'
    assert '"embed_dim": 16' in metadata["architecture"]


def test_foreign_and_damaged_exports_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_safetensors(path, make_checkpoint()[1])
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for changes, message in (
        ({"version": "2"}, "format 2 of checkpoint, this code reads 4; write it again with galr"),
        ({"version": ""}, "is damaged"),
        ({"vocabulary": "[1"}, "is damaged"),
        ({"kind": "other"}, "does not say what its weights belong to"),
    ):
        save_file(tensors, path, metadata | changes)
        with pytest.raises(StoreError, match=message):
            load_safetensors(path)
    tensors.popitem()
    save_file(tensors, path, metadata)
    with pytest.raises(StoreError, match="lacks a field, or holds weights"):
        load_safetensors(path)


def test_export_refuses_what_it_cannot_write_in_one_line(tmp_path, capsys):
    save_checkpoint(tmp_path / "checkpoint.pt", make_checkpoint()[1])
    arguments = ["export", "--checkpoint", str(tmp_path / "checkpoint.pt"), "--output"]
    assert main([*arguments, str(tmp_path / "m.bin")]) == 2
    assert main([*arguments, str(tmp_path / "checkpoint.pt/m.safetensors")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "--output must end in .safetensors, got" in lines[0]
    assert "m.safetensors cannot be written" in lines[1] and len(lines) == 2
    assert main([*arguments, str(tmp_path / "m.safetensors")]) == 0
    assert "tensors" in capsys.readouterr().err


@pytest.mark.parametrize("backbone", ["eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224"])
def test_tables_that_no_state_dict_has_are_computed_again(backbone):
    """Rotary angles and the indices of windows are computed when a network is built, and are not its weights."""
    torch.manual_seed(0)
    architecture = SMALL_GALR | {
        "backbone": backbone, "input_size": 224, "global_feature": "pooled", "branches": "global",
    }  # fmt: skip
    model = GaLR(**architecture).eval()
    assert any(name not in model.state_dict() for name, _ in model.named_buffers())
    again = Checkpoint(
        architecture=architecture, state_dict=model.state_dict(), vocabulary=[], tokenizer=None,
        max_words=9, epoch=1, mr=0.0, provenance={},
    ).build_model()  # fmt: skip
    pixels = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = model.global_branch(*model.image_features(pixels))
        assert torch.equal(again.global_branch(*again.image_features(pixels)), expected)
