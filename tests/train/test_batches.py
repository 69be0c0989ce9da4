"""Steps against the pairs that they are made of; a feed that was stopped against one that was not."""

from itertools import islice

import numpy as np
import pytest
import torch

from galr.train.augment import IMAGENET_MEAN, IMAGENET_STD
from galr.train.batches import sample_pairs, split_batches


def sentence_of(words, vocabulary):
    return " ".join(vocabulary.words[number - 2] for number in words.tolist() if number)


@pytest.mark.parametrize("grouped", [True, False])
def test_a_step_shows_every_pair_its_own_picture_and_graph(world, grouped):
    said = []
    for step in world.feed(batch=7, grouped=grouped).epoch():
        assert len(step.pixels) == len(step.place.unique()) == len(step.graph.mask)
        colours = step.pixels.mean(dim=(2, 3)) * torch.tensor(IMAGENET_STD) + torch.tensor(
            IMAGENET_MEAN
        )
        for pair, words in enumerate(step.words):
            sentence = sentence_of(words, world.vocabulary)
            assert step.lengths[pair] == len(sentence.split())
            said.append(sentence)
            red, green, blue = (colours[step.place[pair]] * 255).round().int().tolist()
            assert ("red" in sentence) == ((red, green, blue) == (220, 30, 30))
            assert ("white" in sentence) == ((red, green, blue) == (240, 240, 240))
            assert ("plane" in sentence) == bool(step.graph.mask[step.place[pair]].any())
    assert sorted(said) == sorted(world.part.sentences)


def test_pairs_of_one_image_or_of_one_sentence_are_spared(world):
    (step,) = world.feed().epoch()
    sentences = [sentence_of(words, world.vocabulary) for words in step.words]
    for one in range(24):
        for other in range(24):
            same = step.place[one] == step.place[other] or sentences[one] == sentences[other]
            assert step.spared[one, other] == bool(same)
    (step,) = world.feed(shared_negatives=True).epoch()
    assert torch.equal(step.spared, torch.eye(24, dtype=torch.bool))


def same(one, other):
    flat = [[*step[:1], *step.graph, *step[2:]] for step in (one, other)]
    return all(torch.equal(a, b) for a, b in zip(*flat, strict=True))


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("stopped", range(10))
def test_going_on_equals_never_having_stopped(world, stopped, grouped):
    how = {"batch": 8, "rotate": 90.0, "grouped": grouped}  # three steps an epoch

    def epochs(feed, count):
        for _ in range(count):
            yield from feed.epoch()

    whole = list(epochs(world.feed(**how), 3))
    stopping, going_on = world.feed(**how), world.feed(**how)
    begun = list(islice(epochs(stopping, 3), stopped))
    going_on.restore(stopping.state())
    left = list(epochs(going_on, 3 - max(stopped - 1, 0) // 3))
    assert len(whole) == len(begun + left) == 9
    assert all(same(one, other) for one, other in zip(whole, begun + left, strict=True))


def test_two_processes_see_together_what_one_sees(world):
    how = {"batch": 8, "rotate": 90.0}
    alone = list(world.feed(**how).epoch())
    shares = [list(world.feed(**how, rank=rank, world=2).epoch()) for rank in range(2)]
    for one, parts in zip(alone, zip(*shares, strict=True), strict=True):
        assert all(torch.equal(part.spared, one.spared) for part in parts)
        together = torch.cat([part.pixels[part.place] for part in parts])
        assert torch.equal(together, one.pixels[one.place])
        assert torch.equal(torch.cat([part.lengths for part in parts]), one.lengths)


@pytest.mark.parametrize("grouped", [True, False])
def test_an_epoch_draws_each_pair_once(grouped):
    owners = np.repeat(np.arange(9), np.arange(9) % 4 + 1)
    draw = np.random.default_rng(0)
    whole = sample_pairs(owners, None, draw, group_by_image=grouped)
    assert sorted(whole) == list(range(len(owners)))
    two = sample_pairs(owners, 2, draw, group_by_image=grouped)
    assert len(set(two)) == len(two)
    assert np.bincount(owners[two]).tolist() == np.minimum(np.bincount(owners), 2).tolist()
    changes = (np.diff(owners[whole]) != 0).sum()
    assert bool(changes == 8) is grouped


def test_epochs_draw_every_sentence_in_the_long_run():
    owners, draw = np.repeat(np.arange(4), 5), np.random.default_rng(0)
    seen = np.bincount(
        np.concatenate([sample_pairs(owners, 1, draw, group_by_image=True) for _ in range(500)])
    )
    assert seen.min() > 60 and seen.max() < 140  # 100 expected of each


@pytest.mark.parametrize("sentences", [None, 1, 2])
def test_it_knows_how_many_pairs_an_epoch_has(world, sentences):
    feed = world.feed(batch=6, sentences_per_epoch=sentences)
    counted = sum(len(step.words) for step in feed.epoch())
    assert counted == feed.pairs


def test_a_last_batch_that_is_too_small_is_left_out():
    assert [len(some) for some in split_batches(np.arange(9), 4, 2)] == [4, 4]
    assert [len(some) for some in split_batches(np.arange(10), 4, 2)] == [4, 4, 2]
    assert [len(some) for some in split_batches(np.arange(10), 4, 3)] == [4, 4]
