import h5py
import numpy as np
import pytest
import torch

from galr.data.words import Vocabulary
from galr.model.galr import GaLR
from galr.training.embed import Graphs, embed_images, embed_sentences
from galr.training.fit import batches, drawn_pairs, fit, validate
from galr.training.parts import part

COLOURS = ["red", "green", "blue", "grey", "white", "black"]
RGB = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128), (240, 240, 240), (15, 15, 15)]


@pytest.fixture
def world(tmp_path):
    """Twelve plain pictures, two a colour, one of them with a region: 1 to 3 sentences each."""
    pictures = np.stack([np.full((36, 36, 3), RGB[i // 2], np.uint8) for i in range(12)])
    owners = np.repeat(np.arange(12), np.arange(12) % 3 + 1)
    sentences = [
        f"a {COLOURS[i // 2]} field with {'one plane' if i % 2 else 'nothing'}" for i in owners
    ]
    mask = torch.zeros(12, 3, dtype=torch.bool)
    mask[1::2, 0] = True
    shown = mask.float()
    graphs = Graphs(shown.unsqueeze(-1).repeat(1, 1, 4), torch.diag_embed(shown), mask, None)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        yield file.create_dataset("images", data=pictures), graphs, sentences, owners


def model_of(words):
    torch.manual_seed(0)
    return GaLR(
        backbone="resnet18", crop=32, regions=3, features=4, words=words, embedding=32,
        word_size=16, text_size=32, heads=4, feed_forward=32, dropout=0.0, branches="both",
    )  # fmt: skip


def trained(world, *, epochs, grouped=True, seed=3):
    images, graphs, sentences, owners = world
    whole = part(list(range(12)), sentences, owners)
    vocabulary = Vocabulary.count(sentences, 1)
    numbers = vocabulary.numbers(sentences, 20)
    model, told = model_of(len(vocabulary)), []
    fitted = fit(
        model, images, graphs, whole, whole, numbers, numbers,
        crop=32, rotate=0.0, epochs=epochs, batch=24, sentences_per_epoch=None, grouped=grouped,
        learning_rate=2e-3, decay=0.7, decay_every=10, margin=0.2, clip=2.0,
        shared_negatives=False, edges=None, seed=seed, device=torch.device("cpu"), tell=told.append,
    )  # fmt: skip
    return model, fitted, told, (images, graphs, whole, numbers)


def test_one_batch_is_memorised_and_the_best_epoch_kept(world):
    model, fitted, told, (images, graphs, whole, numbers) = trained(world, epochs=15)
    assert told[-1]["loss"] < told[0]["loss"] / 5
    assert fitted.mr == max(row["mr"] for row in told) and fitted.history == told
    first_best = next(row["epoch"] for row in told if row["mr"] == fitted.mr)
    assert fitted.epoch == first_best
    model.load_state_dict(fitted.state)
    again = validate(
        model, images, graphs, whole, numbers, crop=32, batch=24, device=torch.device("cpu")
    )
    assert again["mr"] == pytest.approx(fitted.mr)
    assert [row["learning_rate"] for row in told[9:11]] == pytest.approx([2e-3, 1.4e-3])


def test_same_seed_same_weights(world):
    one, two, other = (trained(world, epochs=2, seed=seed)[1].state for seed in (3, 3, 4))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_batch_size_of_encoding_changes_nothing(world):
    images, graphs, sentences, _ = world
    vocabulary = Vocabulary.count(sentences, 1)
    model = model_of(len(vocabulary)).eval()
    cpu, rows = torch.device("cpu"), [7, 1, 4, 10, 2]
    numbers = vocabulary.numbers(["a red field", "plane", "a blue field with one plane", "x"], 20)
    alone = np.concatenate(
        [embed_images(model, images, graphs, [r], crop=32, batch=1, device=cpu) for r in rows]
    )
    together = embed_images(model, images, graphs, rows, crop=32, batch=3, device=cpu)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    said = np.concatenate([embed_sentences(model, [n], batch=1, device=cpu) for n in numbers])
    np.testing.assert_allclose(
        embed_sentences(model, numbers, batch=3, device=cpu), said, atol=1e-5
    )


@pytest.mark.parametrize("grouped", [True, False])
def test_an_epoch_draws_each_pair_once(grouped):
    owners = np.repeat(np.arange(9), np.arange(9) % 4 + 1)
    draw = np.random.default_rng(0)
    whole = drawn_pairs(owners, None, draw, grouped=grouped)
    assert sorted(whole) == list(range(len(owners)))
    two = drawn_pairs(owners, 2, draw, grouped=grouped)
    assert len(set(two)) == len(two)
    assert np.bincount(owners[two]).tolist() == np.minimum(np.bincount(owners), 2).tolist()
    changes = (np.diff(owners[whole]) != 0).sum()
    assert bool(changes == 8) is grouped


def test_epochs_draw_every_sentence_in_the_long_run():
    owners, draw = np.repeat(np.arange(4), 5), np.random.default_rng(0)
    seen = np.bincount(
        np.concatenate([drawn_pairs(owners, 1, draw, grouped=True) for _ in range(500)])
    )
    assert seen.min() > 60 and seen.max() < 140  # 100 expected of each


def test_a_last_batch_of_one_pair_is_left_out():
    assert [len(some) for some in batches(np.arange(9), 4)] == [4, 4]
    assert [len(some) for some in batches(np.arange(10), 4)] == [4, 4, 2]
