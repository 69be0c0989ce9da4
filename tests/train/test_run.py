"""The parts of a training run: inputs that do not fit, the model's architecture, provenance, history."""

import json
import subprocess
import sys
from dataclasses import fields, replace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning_fabric import Fabric

from galr.config import load_variants
from galr.errors import ConfigError, DataError
from galr.io.formats import Dataset
from galr.provenance import file_sha256
from galr.train.inputs import load_inputs
from galr.train.loop import TrainResult
from galr.train.options import ModelOptions, TrainOptions, VariantOptions, check_variants
from galr.train.run import (
    build_checkpoint,
    build_model,
    model_architecture,
    run_provenance,
    write_history,
)

from ..make_run import CLASSES, GRAPH_OPTIONS, SIZE, write_dataset, write_graphs, write_images  # isort: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    images = write_images(folder / "images")
    write_dataset(folder / "dataset.h5", images)
    write_graphs(folder / "graphs.h5", images)
    return folder


@pytest.fixture
def dataset(folder):
    with Dataset.open(folder / "dataset.h5") as file:
        yield file


@pytest.fixture
def options(request):
    config = yaml.safe_load((request.config.rootpath / "config/config.yaml").read_text())
    small = {
        "input_size": 32,
        "embed_dim": 16,
        "heads": 2,
        "weights": "none",
        "text_weights": "none",
    }
    sections = config["model"] | config["train"] | small
    return VariantOptions(
        **{key: tuple(each) if isinstance(each, list) else each for key, each in sections.items()}
    )


def load(folder, dataset, options, graphs="graphs.h5"):
    path = folder / graphs if graphs else None
    return load_inputs(dataset, path, folder / "folds.csv", 0, options)


def test_inputs_are_those_of_the_fold(folder, dataset, options):
    inputs = load(folder, dataset, options)
    rows = {name: split.rows for name, split in inputs.splits.items()}
    assert rows == {"train": [*range(8)], "val": [8, 9, 10], "test": [*range(11, 16)]}
    assert inputs.graphs.shape == (GRAPH_OPTIONS["max_regions"], len(CLASSES) + 5)
    words = " ".join(inputs.splits["train"].sentences).split()
    assert set(inputs.vocabulary.tokens) <= set(words)


def test_images_smaller_than_the_models_input_are_an_error(folder, dataset, options):
    message = rf"model.input_size is 64 and data.size {SIZE}; input_size is at most size"
    with pytest.raises(ConfigError, match=message):
        load(folder, dataset, replace(options, input_size=64))


def test_regions_are_augmented_only_where_their_edges_are_known(folder, dataset, options, tmp_path):
    assert options.augment_regions
    assert load(folder, dataset, options).graphs.edges is not None
    (folder / "foreign.h5").write_bytes((folder / "graphs.h5").read_bytes())
    with h5py.File(folder / "foreign.h5", "r+") as file:
        provenance = json.loads(file.attrs["provenance"])
        file.attrs["provenance"] = json.dumps(provenance | {"settings": {"published": "rsitmd"}})
    with pytest.raises(ConfigError, match=r"needs graphs that DREA made here; .*foreign\.h5"):
        load(folder, dataset, options, "foreign.h5")
    inputs = load(folder, dataset, replace(options, augment_regions=False), "foreign.h5")
    assert inputs.graphs.edges is None


def test_graphs_of_other_images_are_an_error(folder, dataset, options):
    (folder / "renamed.h5").write_bytes((folder / "graphs.h5").read_bytes())
    with h5py.File(folder / "renamed.h5", "r+") as file:
        file["names"][0] = "another"
    with pytest.raises(DataError, match=r"renamed\.h5 is of other images than dataset\.h5"):
        load(folder, dataset, options, "renamed.h5")


@pytest.mark.parametrize("branches", ["both", "global"])
def test_the_checkpoint_builds_the_trained_model_again(folder, dataset, options, branches):
    options = replace(options, branches=branches)
    inputs = load(folder, dataset, options, "graphs.h5" if branches == "both" else None)
    model = build_model(inputs, options)
    result = TrainResult(state=model.state_dict(), epoch=2, mr=12.5)
    checkpoint = build_checkpoint(inputs, result, options, {"variant": branches})
    assert checkpoint.architecture == model_architecture(inputs, options)
    again = checkpoint.build_model()
    assert all(
        torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items()
    )
    assert (checkpoint.epoch, checkpoint.mr) == (2, 12.5)


def test_provenance_names_all_that_the_weights_follow_from(folder, options):
    provenance = run_provenance(
        folder / "dataset.h5", folder / "graphs.h5", folder / "folds.csv", (None, folder / "text.h5"), options,
        variant="corrected", fold=0, seed=5, fabric=Fabric(accelerator="cpu", devices=1), threads=3,
    )  # fmt: skip
    for name in ("dataset.h5", "graphs.h5", "folds.csv"):
        assert provenance[f"{name.split('.')[0]}_sha256"] == file_sha256(folder / name)
    keys = {field.name for field in (*fields(ModelOptions), *fields(TrainOptions))}
    assert set(provenance["settings"]) == keys
    assert provenance["graphs"]["settings"] == GRAPH_OPTIONS
    expected = {"dataset": "small", "size": SIZE, "variant": "corrected", "fold": 0, "seed": 5,
                "device": "cpu", "processes": 1, "threads": 3}  # fmt: skip
    assert {key: provenance[key] for key in expected} == expected
    json.dumps(provenance)  # it is written to files


def test_the_history_marks_the_best_epoch(tmp_path):
    rows = [{"epoch": epoch, "loss": 1 / epoch, "mr": 10.0 * epoch} for epoch in (1, 2, 3)]
    write_history(tmp_path / "history.csv", TrainResult(epoch=2, history=rows))
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["best"].tolist() == [False, True, False]
    np.testing.assert_array_equal(history["loss"], [1, 1 / 2, 1 / 3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "model.heads must divide model.embed_dim, got 3 and 16"),
        ({"dropout": 1.0}, r"model.dropout must be in \[0, 1\), got 1.0"),
        ({"batch": 1}, "train.batch must be at least 2, a pair and a negative, got 1"),
        ({"epochs": -1}, "train.epochs must be at least 0, got -1"),
        ({"warmup": 1.5}, r"train.warmup must be in \[0, 1\), got 1.5"),
        ({"average": 1.0}, r"train.average must be in \[0, 1\), got 1.0"),
        ({"average": float("nan")}, r"train.average must be in \[0, 1\), got nan"),
        ({"learning_rate": 0.0}, "train.learning_rate must be over 0, got 0.0"),
        ({"encoder_learning_rate": 0.0}, "train.encoder_learning_rate must be over 0, got 0.0"),
        ({"weight_decay": -0.1}, "train.weight_decay must be at least 0, got -0.1"),
        (
            {"weight_decay": 0.1},
            "train.weight_decay is 0.1 and train.optimizer adam; set optimizer",
        ),
        (
            {"soft_targets": True},
            "soft_targets is true and train.loss triplet_sum, which has no tar",
        ),
    ],
)
def test_contradictory_options_are_errors(options, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(options, **changes)


def test_contradictions_of_a_variant_are_found_before_any_job(pytestconfig):
    """As the workflow checks them when it starts; the shipped variants hold none."""
    config = yaml.safe_load((pytestconfig.rootpath / "config/config.yaml").read_text())
    config["variants"]["published"]["model"]["text_weights"] = "none"
    config["run"] = list(config["variants"])
    check_variants(load_variants(config))
    for key, value, message in (
        ("backbone", "resnet81", "model.backbone: timm has no network 'resnet81'; did you mean"),
        ("weights", "gone.pth", "model.weights: no file gone.pth; give pretrained, package, none"),
    ):
        config["variants"]["iou"]["model"] = {key: value}
        with pytest.raises(ConfigError, match=f"^variant iou: {message}"):
            check_variants(load_variants(config))
    config["variants"]["iou"]["model"] = {}
    config["variants"]["iou"]["train"] = {"weight_decay": 0.05}
    with pytest.raises(ConfigError, match=r"^variant iou: train.weight_decay is 0.05 and"):
        check_variants(load_variants(config))


@pytest.mark.parametrize("command", ["train", "similarity", "verify", "export", "folds"])
def test_help_starts_without_heavy_imports(command):
    code = f"""
import sys
from galr.__main__ import main
try:
    main(["{command}", "--help"])
except SystemExit:
    pass
heavy = {{"torch", "pandas", "sklearn", "lightning_fabric", "torch_geometric", "h5py"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert f"usage: galr {command}" in done.stdout


def test_training_imports_only_what_it_uses():
    """scikit-learn draws folds, PyTorch Geometric builds local branches, TensorBoard draws curves."""
    code = (
        "import sys, galr.train.run, galr.similarity.encode;"
        " unused = {'sklearn', 'torch_geometric', 'tensorboard', 'matplotlib'} & set(sys.modules);"
        " assert not unused, unused"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
