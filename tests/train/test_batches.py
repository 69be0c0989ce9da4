"""Batches against the pairs that they hold; an iteration that was stopped against one that was not."""

from itertools import islice

import numpy as np
import pytest
import torch

from galr.model.galr import IMAGENET_MEAN, IMAGENET_STD
from galr.train.batches import sample_pairs, split_batches


def sentence_of(token_ids, vocabulary):
    return " ".join(vocabulary.tokens[token - 2] for token in token_ids.tolist() if token)


@pytest.mark.parametrize("group_by_image", [True, False])
def test_a_batch_holds_every_pair_with_its_own_image_and_graph(toy, group_by_image):
    sentences = []
    for batch in toy.batches(batch_size=7, group_by_image=group_by_image).epoch():
        assert len(batch.images) == len(batch.image_index.unique()) == len(batch.graph.mask)
        colours = batch.images.mean(dim=(2, 3)) * torch.tensor(IMAGENET_STD)
        colours += torch.tensor(IMAGENET_MEAN)
        for pair, token_ids in enumerate(batch.sentences.token_ids):
            sentence = sentence_of(token_ids, toy.vocabulary)
            assert batch.sentences.lengths[pair] == len(sentence.split())
            sentences.append(sentence)
            image = batch.image_index[pair]
            rgb = tuple((colours[image] * 255).round().int().tolist())
            assert ("red" in sentence) == (rgb == (220, 30, 30))
            assert ("white" in sentence) == (rgb == (240, 240, 240))
            assert ("plane" in sentence) == bool(batch.graph.mask[image].any())
    assert sorted(sentences) == sorted(toy.split.sentences)


def test_pairs_of_the_same_image_or_sentence_are_no_negatives(toy):
    (batch,) = toy.batches().epoch()
    sentences = [sentence_of(token_ids, toy.vocabulary) for token_ids in batch.sentences.token_ids]
    for one in range(24):
        for other in range(24):
            same_image = batch.image_index[one] == batch.image_index[other]
            same = same_image or sentences[one] == sentences[other]
            assert batch.positive_mask[one, other] == bool(same)
    (batch,) = toy.batches(shared_negatives=True).epoch()
    assert torch.equal(batch.positive_mask, torch.eye(24, dtype=torch.bool))


def equal(one, other):
    tensors = [[batch.images, *batch.graph, *batch.sentences, *batch[3:]] for batch in (one, other)]
    return all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


@pytest.mark.parametrize("group_by_image", [True, False])
@pytest.mark.parametrize("stopped", range(10))
def test_resuming_equals_never_having_stopped(toy, stopped, group_by_image):
    options = {"batch_size": 8, "max_rotation": 90.0, "group_by_image": group_by_image}

    def epochs(batches, count):  # of three steps each
        for _ in range(count):
            yield from batches.epoch()

    expected = list(epochs(toy.batches(**options), 3))
    first, second = toy.batches(**options), toy.batches(**options)
    before = list(islice(epochs(first, 3), stopped))
    second.restore(first.state())
    after = list(epochs(second, 3 - max(stopped - 1, 0) // 3))
    assert len(expected) == len(before + after) == 9
    assert all(equal(one, other) for one, other in zip(expected, before + after, strict=True))


def test_two_processes_together_have_the_pairs_of_one(toy):
    options = {"batch_size": 8, "max_rotation": 90.0}
    alone = list(toy.batches(**options).epoch())
    shares = [list(toy.batches(**options, rank=rank, world_size=2).epoch()) for rank in range(2)]
    for one, parts in zip(alone, zip(*shares, strict=True), strict=True):
        assert all(torch.equal(part.positive_mask, one.positive_mask) for part in parts)
        together = torch.cat([part.images[part.image_index] for part in parts])
        assert torch.equal(together, one.images[one.image_index])
        assert torch.equal(
            torch.cat([part.sentences.lengths for part in parts]), one.sentences.lengths
        )


@pytest.mark.parametrize("group_by_image", [True, False])
def test_an_epoch_samples_each_pair_once(group_by_image):
    image_of_sentence = np.repeat(np.arange(9), np.arange(9) % 4 + 1)
    rng = np.random.default_rng(0)
    everything = sample_pairs(image_of_sentence, None, rng, group_by_image=group_by_image)
    assert sorted(everything) == list(range(len(image_of_sentence)))
    two = sample_pairs(image_of_sentence, 2, rng, group_by_image=group_by_image)
    assert len(set(two)) == len(two)
    counts = np.minimum(np.bincount(image_of_sentence), 2)
    assert np.bincount(image_of_sentence[two]).tolist() == counts.tolist()
    changes = (np.diff(image_of_sentence[everything]) != 0).sum()
    assert bool(changes == 8) is group_by_image


def test_many_epochs_sample_every_sentence_equally_often():
    image_of_sentence, rng = np.repeat(np.arange(4), 5), np.random.default_rng(0)
    epochs = [sample_pairs(image_of_sentence, 1, rng, group_by_image=True) for _ in range(500)]
    counts = np.bincount(np.concatenate(epochs))
    assert counts.min() > 60 and counts.max() < 140  # 100 expected of each


@pytest.mark.parametrize("sentences", [None, 1, 2])
def test_the_number_of_pairs_of_an_epoch_is_known(toy, sentences):
    batches = toy.batches(batch_size=6, sentences_per_epoch=sentences)
    assert sum(len(batch.sentences.token_ids) for batch in batches.epoch()) == batches.num_pairs
    for batch_size in (5, 7, 23):  # of 24 pairs; a last batch of one pair is left out
        batches = toy.batches(batch_size=batch_size)
        assert (
            sum(1 for _ in batches.epoch())
            == batches.num_steps
            == 24 // batch_size + (batch_size != 23)
        )


def test_a_last_batch_that_is_too_small_is_left_out():
    assert [len(batch) for batch in split_batches(np.arange(9), 4, 2)] == [4, 4]
    assert [len(batch) for batch in split_batches(np.arange(10), 4, 2)] == [4, 4, 2]
    assert [len(batch) for batch in split_batches(np.arange(10), 4, 3)] == [4, 4]
