"""The last map among stored features: cached equals computed, and a cache without it is refused by name."""

from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml

from galr.__main__ import main
from galr.config import load_variants
from galr.errors import ConfigError, StoreError
from galr.features.options import features_name, frozen_encoders, stored_encoders
from galr.graphs.edges import EdgeConfig, adjacency_matrix
from galr.io.formats import Dataset, Features
from galr.model.galr import GaLR
from galr.model.image import build_network
from galr.model.pretrained import load_backbone
from galr.train.batches import Augmentation, PairBatches
from galr.train.embed import embed_images
from galr.train.feature_store import check_features, open_image_features
from galr.train.graph_store import GraphStore
from galr.train.image_store import InMemoryImages
from galr.train.options import check_variants
from galr.train.splits import select

from ..architecture import SMALL_GALR  # isort: skip

ROOT = Path(__file__).parents[2]
CPU, IMAGES, SIZE, VIEWS = torch.device("cpu"), 6, 72, 5
EDGES = EdgeConfig(proximity="gaussian", bandwidth=0.2, salience=True, self_loops=True, normalisation="symmetric")  # fmt: skip
FLAGS = f"--part image --backbone test_efficientnet --input-size 64 --views {VIEWS} --batch 3 --device cpu"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six random images, the weights of a small network, and its features with and without the last map."""
    folder = tmp_path_factory.mktemp("last-map")
    random, names = np.random.default_rng(0), [f"{i}.png" for i in range(IMAGES)]
    with Dataset.create(folder / "dataset.h5", {"dataset": "small"}) as file:
        file.write(
            images=random.integers(0, 255, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8),
            sizes=np.full((IMAGES, 2), SIZE, np.int32),
            names=names,
            files=names,
            splits=["train"] * IMAGES,
            sentences=[f"image {i}" for i in range(IMAGES)],
            image_of_sentence=np.arange(IMAGES, dtype=np.int32),
        )
    torch.manual_seed(0)
    torch.save(build_network("test_efficientnet").state_dict(), folder / "weights.pt")
    for flag in ("--last-map", "--no-last-map"):
        paths = f"--dataset {folder}/dataset.h5 --weights {folder}/weights.pt --output {folder}/{flag[2:]}.h5"
        assert main(["features", *FLAGS.split(), *paths.split(), flag]) == 0
    return folder


@pytest.fixture(scope="module")
def graphs():
    torch.manual_seed(1)
    mask = torch.arange(3) < torch.tensor([3, 0, 2, 1, 3, 3])[:, None]
    corners = torch.rand(IMAGES, 3, 2, 2).sort(dim=2).values
    boxes = torch.cat([corners.mean(dim=2), corners[:, :, 1] - corners[:, :, 0]], dim=-1)
    rows = torch.cat([torch.rand(IMAGES, 3, 2), boxes], dim=-1) * mask.unsqueeze(-1)
    numbers = torch.where(mask, rows[..., -4:].movedim(-1, 0), 1.0)
    return GraphStore(rows, adjacency_matrix(numbers, rows[..., 1], mask, EDGES), mask, EDGES)


def build_model(folder, **changes):
    torch.manual_seed(2)
    sizes = {"backbone": "test_efficientnet", "input_size": 64, "views": VIEWS, "node_dim": 6}
    model = GaLR(**SMALL_GALR | sizes | {"global_feature": "pooled", "freeze": ["image"]} | changes)
    load_backbone(model.global_branch.backbone, str(folder / "weights.pt"))
    return model.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {"appearance": "roi"},
        {"attention": "regions"},
        {"appearance": "roi", "attention": "regions", "fusion": "midf_gated"},
    ],
)
def test_cached_equals_computed(folder, graphs, changes):
    model, rows = build_model(folder, **changes), [4, 0, 2, 1, 5, 3]
    with Features.open(folder / "last-map.h5") as file, h5py.File(folder / "dataset.h5") as dataset:
        embeddings = [
            embed_images(model, store, graphs, rows, input_size=64, batch_size=3)
            for store in (
                InMemoryImages(dataset["images"], range(IMAGES), CPU),
                open_image_features(file, rows, CPU, max_bytes=10**9),
                open_image_features(file, rows, CPU, max_bytes=0),
            )
        ]
    assert np.array_equal(embeddings[1], embeddings[2])
    np.testing.assert_allclose(embeddings[0], embeddings[1], atol=1e-5)
    assert np.abs(embeddings[0][0] - embeddings[0][1]).max() > 1e-2


def test_training_takes_the_map_of_the_view_that_its_regions_are_moved_to(folder, graphs):
    """The features of a batch, embedded, are those of the views' pixels with their moved regions."""
    model = build_model(folder, appearance="roi", attention="regions")
    split = select(list(range(IMAGES)), [f"image {i}" for i in range(IMAGES)], np.arange(IMAGES))
    with Features.open(folder / "last-map.h5") as file:
        store = open_image_features(file, range(IMAGES), CPU, max_bytes=10**9)
        batches = PairBatches(
            store, graphs, split, torch.rand(IMAGES, 4), input_size=64,
            augmentation=Augmentation("rotate", 90, 1.0), statistics=model.pixel_statistics,
            batch_size=IMAGES, sentences_per_epoch=None, group_by_image=True, shared_negatives=False,
            edges=EDGES, seed=3,
        )  # fmt: skip
        [batch] = list(batches.epoch())
        pooled, last_map = batch.images
        numbers = [
            [torch.equal(store.batch([row], view)[0][0], pooled[row]) for view in range(VIEWS)]
            for row in range(IMAGES)
        ]
        assert [sum(each) for each in numbers] == [1] * IMAGES  # of one view each
        views = [each.index(True) for each in numbers]
        assert len(set(views)) > 1
        for row, view in enumerate(views):
            assert torch.equal(store.batch([row], view)[1][0], last_map[row])
    with torch.no_grad():
        embedded = model.embed_images(batch.images, batch.graph)
    assert embedded.isfinite().all() and not torch.equal(
        batch.graph.representation, graphs.representation
    )


def test_a_file_with_the_map_serves_models_that_need_less(folder):
    with (
        Features.open(folder / "last-map.h5") as file,
        Features.open(folder / "no-last-map.h5") as plain,
    ):
        assert plain.last_map is None
        np.testing.assert_array_equal(file.pooled.pooled[:], plain.pooled.pooled[:])
        assert file.last_map.map.shape[:2] == (IMAGES, VIEWS) and file.last_map.map.ndim == 5
        assert file.last_map.map.dtype == np.float16
        assert file.provenance["settings"] == plain.provenance["settings"] | {"last_map": True}
        with pytest.raises(
            StoreError, match="holds features with last_map None, and this model has True"
        ):
            check_features(
                plain.path,
                plain.provenance,
                plain.provenance["dataset_sha256"],
                file.provenance["settings"],
            )
        check_features(  # what another variant stored serves one that needs less
            file.path,
            file.provenance,
            file.provenance["dataset_sha256"],
            plain.provenance["settings"],
        )


def read_config(**model):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["model"] |= {
        "weights": "package",
        "backbone": "tf_efficientnet_lite0",
        "global_feature": "pooled",
    } | model
    config["train"] |= {"freeze": ["image"]}
    return config


def test_only_variants_that_read_the_map_have_features_of_their_own():
    names = {}
    for appearance, attention in product(["none", "roi"], ["length1", "regions"]):
        config = read_config(appearance=appearance, attention=attention) | {
            "run": ["corrected", "global"]
        }
        for variant, sections in load_variants(config).items():
            options = frozen_encoders(sections)["image"]
            names[variant, appearance, attention] = features_name("image", options)
    plain = names["corrected", "none", "length1"]
    assert {
        names["global", *keys] for keys in product(["none", "roi"], ["length1", "regions"])
    } == {plain}
    with_map = {name for key, name in names.items() if key[0] == "corrected"} - {plain}
    assert len(with_map) == 1  # all of them share one file


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("paper", "variant paper: model.appearance roi reads .* set augment_regions: true"),
        ("local", "variant local: .*branches local has no backbone; set appearance: none"),
    ],
)
def test_a_look_without_boxes_or_without_a_map_is_refused(variant, message):
    config = read_config(appearance="roi") | {"run": [variant]}
    config["train"] |= {"freeze": []}
    with pytest.raises(ConfigError, match=message):
        check_variants(load_variants(config))


def test_a_map_beside_what_has_none_or_has_it_anyway_is_refused(folder, capsys):
    paths = f"--dataset {folder}/dataset.h5 --output {folder}/refused.h5 --last-map"
    for flags in ("--global-feature mvsa --weights none", "--global-feature clip --weights none"):
        assert main(["features", *FLAGS.split(), *paths.split(), *flags.split()]) == 2
        assert "--last-map stores a map beside --global-feature pooled" in capsys.readouterr().err
    assert not (folder / "refused.h5").exists()


def test_a_variant_without_the_map_shares_the_features_of_one_with_it(folder, graphs):
    """Its model reads the pooled table alone, and a variant of other views has features of its own."""
    plain, look, other = (
        load_variants(read_config(**changes) | {"run": ["corrected"]})["corrected"]
        for changes in ({}, {"appearance": "roi"}, {"views": 3})
    )
    stored = stored_encoders({"plain": plain, "look": look, "other": other})
    assert stored["plain"] == stored["look"] == frozen_encoders(look)
    assert stored["other"] == frozen_encoders(other)
    assert stored_encoders({"plain": plain}) == {"plain": frozen_encoders(plain)}
    with Features.open(folder / "last-map.h5") as file:
        (pooled,) = open_image_features(file, [0, 1], CPU, max_bytes=0, last_map=False).batch(
            [0, 1], 0
        )
        both = open_image_features(file, [0, 1], CPU, max_bytes=0).batch([0, 1], 0)
    assert len(both) == 2 and torch.equal(both[0], pooled)
