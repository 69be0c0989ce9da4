"""A CLIP through the commands: features, train, similarity, export and what opens them, against open_clip's own."""

import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

import galr
from galr.__main__ import main
from galr.io.formats import Dataset, Features, Graphs, Similarity
from galr.model.checkpoint import load_checkpoint
from galr.search.text_query import read_text_encoder, write_text_encoder

from ..clip import SIZE, WIDTH, reference_network, write_architecture  # isort: skip

IMAGES = 14
PROMPTS = ["{}", "a satellite photo of {}"]
SENTENCES = [f"{count} {thing} beside a {place}" for count in ("two", "many") for thing in ("ships", "planes", "tanks")
             for place in ("road", "lake", "forest", "beach", "house")][: 2 * IMAGES]  # fmt: skip
MODEL = (
    f"--weights weights.pt --input-size {SIZE} --embed-dim {WIDTH} --global-feature clip --text-encoder clip"
    " --text-weights none --word-dim 8 --gru-hidden 8 --text-dropout 0 --heads 2 --ffn-dim 16 --dropout 0"
)
TRAIN = (
    "--batch 6 --sentences-per-epoch none --no-group-by-image --learning-rate 0.001 --lr-decay 0.7"
    " --lr-decay-every 20 --loss infonce --soft-targets --margin 0.2 --temperature 0.07 --grad-clip-norm none"
    " --max-rotation 90 --stop-words --min-word-count 1 --max-words 40 --no-shared-negatives --no-augment-regions"
    " --precision fp32 --no-compile --seed 5 --device cpu --fold 0"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset, graphs, folds, a CLIP's weights as open_clip's training saves them, and features of both towers."""
    folder, random = tmp_path_factory.mktemp("clip"), np.random.default_rng(0)
    names = [f"image-{number:02}" for number in range(IMAGES)]
    with Dataset.create(folder / "dataset.h5", {"dataset": "small"}) as file:
        file.write(
            images=random.integers(0, 255, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8),
            sizes=np.full((IMAGES, 2), SIZE, dtype=np.int32),
            image_of_sentence=np.repeat(np.arange(IMAGES, dtype=np.int32), 2),
            names=names,
            files=names,
            sentences=SENTENCES,
            splits=["train"] * 10 + ["test"] * 4,
        )
    with Graphs.create(folder / "graphs.h5", {"settings": {}}) as file:
        file.write(
            representation=random.random((IMAGES, 3, 7)).astype(np.float32),
            adjacency=np.tile(np.eye(3, dtype=np.float32), (IMAGES, 1, 1)),
            mask=np.ones((IMAGES, 3), dtype=bool),
            region_index=np.zeros((IMAGES, 3), dtype=np.int32),
            num_redundant=np.zeros(IMAGES, dtype=np.int32),
            names=names,
        )
    write_architecture(folder)
    state = {f"module.{name}": value for name, value in reference_network().state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, folder / "weights.pt")
    call(
        folder, "folds --dataset dataset.h5 --count 1 --validation 0.3 --seed 5 --output folds.csv"
    )
    tower = "--backbone tiny.json --weights weights.pt --dataset dataset.h5 --device cpu --batch 4"
    images = f"--part image --global-feature clip --input-size {SIZE} --views 2"
    call(folder, f"features {tower} {images} --output images.h5")
    text = "--part text --text-encoder clip --max-words 40"
    call(folder, f"features {tower} {text} --output text.h5", prompts=PROMPTS)
    call(folder, f"features {tower} {text} --output plain.h5", prompts=["{}"])
    return folder


def arguments(folder, words, prompts=None):
    """The arguments of a command, with paths below a folder."""
    files = (".h5", ".csv", ".pt", ".json", ".safetensors")
    found = [str(folder / word) if word.endswith(files) else word for word in words.split()]
    return [*found, "--prompts", *prompts] if prompts else found


def call(folder, words, prompts=None):
    assert main(arguments(folder, words, prompts)) == 0


def train_words(name, more, stored=True, graphs=""):
    features = "--image-features images.h5 --text-features text.h5" if stored else ""
    return (
        f"train --dataset dataset.h5 --folds folds.csv --variant {name} --backbone tiny.json {MODEL} {TRAIN}"
        f" --views 2 {features} {graphs} {more} --checkpoint {name}.pt --history {name}.csv --record {name}.run.json"
    )


ZEROSHOT = "--epochs 0 --fusion midf --branches global --head none --freeze image text"


def similarity_of(folder, name, more=""):
    call(
        folder,
        f"similarity --checkpoint {name}.pt --dataset dataset.h5 --folds folds.csv --device cpu --no-bank"
        f" --output {name}.sim.h5 {more}",
    )
    with Similarity.open(folder / f"{name}.sim.h5") as file:
        return file.similarity[:], file.names, file.sentences


def clips_cosine(images, sentences):
    """open_clip's own cosine of images under two views, and sentences in two templates."""
    network = reference_network()
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (
        open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))  # fmt: skip
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        views = [
            network.encode_image(torch.rot90(pixels, k, (2, 3)), normalize=True) for k in (0, 1)
        ]
        texts = [
            network.encode_text(
                open_clip.tokenize([p.format(s) for s in sentences]), normalize=True
            )
            for p in PROMPTS
        ]
    return (normalize(sum(views)) @ normalize(sum(texts)).T).numpy()


def test_zero_shot_trains_nothing_and_its_similarity_is_clips_own(folder, capsys):
    call(folder, train_words("zeroshot", ZEROSHOT), PROMPTS)
    assert "nothing is trained: train.epochs is 0" in capsys.readouterr().out
    stored, names, sentences = similarity_of(
        folder, "zeroshot", "--image-features images.h5 --text-features text.h5"
    )
    computed, *_ = similarity_of(folder, "zeroshot")
    with Dataset.open(folder / "dataset.h5") as file:
        rows = [file.names.index(name) for name in names]
        expected = clips_cosine(file.images[:][rows], sentences)
    np.testing.assert_allclose(computed, expected, atol=2e-3)  # features are rounded to half
    np.testing.assert_allclose(stored, computed, atol=1e-3)
    assert np.ptp(expected) > 0.02


def test_stored_features_are_those_of_the_network(folder):
    with Features.open(folder / "text.h5") as file:
        sentences, features = file.text.sentences, file.text.features[:]
    assert sentences == list(dict.fromkeys(SENTENCES))
    with torch.no_grad():
        network = reference_network()
        texts = [
            network.encode_text(
                open_clip.tokenize([p.format(s) for s in sentences]), normalize=True
            )
            for p in PROMPTS
        ]
    np.testing.assert_allclose(features, normalize(sum(texts)), atol=1e-3)
    with Features.open(folder / "images.h5") as file:
        assert file.pooled.pooled.shape == (IMAGES, 2, WIDTH)
        np.testing.assert_allclose(np.linalg.norm(file.pooled.pooled[:], axis=2), 1, atol=1e-2)


def test_a_linear_head_is_trained_from_clips_own_cosine(folder):
    linear = "--fusion midf --branches global --head linear --freeze image text"
    call(folder, train_words("begin", f"{linear} --epochs 0"), PROMPTS)
    call(folder, train_words("zeroshot", ZEROSHOT), PROMPTS)
    np.testing.assert_allclose(
        similarity_of(folder, "begin")[0], similarity_of(folder, "zeroshot")[0], atol=1e-5
    )
    call(folder, train_words("linear", f"{linear} --epochs 2"), PROMPTS)
    before, after = (load_checkpoint(folder / f"{name}.pt") for name in ("begin", "linear"))
    changed = {
        name.partition(".head.")[0]
        for name, value in before.state_dict.items()
        if not torch.equal(value, after.state_dict[name])
    }
    assert changed == {"global_branch", "text_encoder"}  # the heads, and no tower
    call(folder, train_words("computed", f"{linear} --epochs 2", stored=False), PROMPTS)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_towers_are_trained_where_they_are_not_frozen(folder, precision):
    tuned = "--fusion midf --branches global --head none --epochs 1 --encoder-learning-rate 0.0001"
    words = train_words("tuned", tuned, stored=False)
    words = words.replace("--precision fp32", f"--precision {precision}")
    call(folder, words, PROMPTS)
    call(folder, train_words("zeroshot", ZEROSHOT), PROMPTS)
    before, after = (load_checkpoint(folder / f"{name}.pt") for name in ("zeroshot", "tuned"))
    for name in (
        "global_branch.backbone.network.proj",
        "text_encoder.network.network.text_projection",
    ):
        assert not torch.equal(before.state_dict[name], after.state_dict[name])


def test_the_local_branch_and_midf_stand_on_clips_feature(folder):
    both = "--fusion midf_gated --branches both --head linear --epochs 1 --freeze image text"
    call(folder, train_words("both", both, graphs="--graphs graphs.h5"), PROMPTS)
    cosine, *_ = similarity_of(
        folder, "both", "--graphs graphs.h5 --image-features images.h5 --text-features text.h5"
    )
    assert np.isfinite(cosine).all()
    assert {"local_branch", "fusion"} <= {
        name.partition(".")[0] for name in load_checkpoint(folder / "both.pt").state_dict
    }


def test_an_export_and_an_index_need_neither_the_architecture_nor_the_weights(folder, tmp_path):
    call(folder, train_words("zeroshot", ZEROSHOT), PROMPTS)
    computed, names, sentences = similarity_of(folder, "zeroshot")
    call(folder, "export --checkpoint zeroshot.pt --output zeroshot.safetensors")
    hidden = [(folder / name, tmp_path / name) for name in ("tiny.json", "weights.pt")]
    for here, there in hidden:
        here.rename(there)
    try:
        encoder = galr.load(folder / "zeroshot.safetensors", device="cpu")
        checkpoint = load_checkpoint(folder / "zeroshot.pt")
        write_text_encoder(
            tmp_path / "text.pt",
            checkpoint.architecture,
            checkpoint.state_dict,
            checkpoint.vocabulary,
            checkpoint.tokenizer,
            checkpoint.max_words,
        )
        query = read_text_encoder(tmp_path / "text.pt")
    finally:
        for here, there in hidden:
            there.rename(here)
    with Dataset.open(folder / "dataset.h5") as file:
        images = [Image.fromarray(file.images[file.names.index(name)]) for name in names]
    found = encoder.encode_images(images) @ encoder.encode_sentences(sentences).T
    np.testing.assert_allclose(found, computed, atol=1e-5)
    np.testing.assert_allclose(
        query.embed(sentences[0]), encoder.encode_sentences(sentences)[0], atol=1e-3
    )
    assert query.unknown_words("a zeppelin") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text.h5": "plain.h5"}, "prompts"),
        ({f"--input-size {SIZE}": "--input-size 64"}, "reads images of 32 pixels alone"),
        ({"tiny.json": "ViT-B-23"}, "did you mean ViT-B-"),
        ({"--max-words 40": "--max-words 78"}, "at most 77 tokens"),
        ({"--weights weights.pt": "--weights none"}, "has no pretrained image encoder"),
        ({"--weights weights.pt": "--weights images.h5"}, "or is damaged"),
        ({"--weights weights.pt": "--weights package"}, "is not for a CLIP"),
        ({"--text-encoder clip": "--text-encoder bigru"}, "model.prompts are for"),
        ({f"--embed-dim {WIDTH}": "--embed-dim 32"}, "set embed_dim to 16"),
        ({"--global-feature clip": "--global-feature pooled"}, "both towers are of the architecture"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(folder, capsys, changes, message):
    words = train_words("wrong", ZEROSHOT)
    for old, new in changes.items():
        assert old in words
        words = words.replace(old, new)
    assert main(arguments(folder, words, PROMPTS)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_features_of_other_templates_are_refused_where_similarity_is_computed(folder, capsys):
    call(folder, train_words("zeroshot", ZEROSHOT), PROMPTS)
    words = (
        "similarity --checkpoint zeroshot.pt --dataset dataset.h5 --folds folds.csv --device cpu"
        " --output x.h5 --text-features plain.h5"
    )
    assert main(arguments(folder, words)) == 2
    assert "prompts" in capsys.readouterr().err


def test_the_run_record_names_the_templates(folder):
    call(folder, train_words("zeroshot", ZEROSHOT), PROMPTS)
    record = json.loads((folder / "zeroshot.run.json").read_text(encoding="utf-8"))
    assert record["settings"]["prompts"] == PROMPTS
