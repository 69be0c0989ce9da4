"""Counts against loops that say them out loud."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from galr.report.dataset_summary import make_histogram, read_dropped, region_stats, split_stats
from galr.report.provenance_view import flatten, split_common
from galr.report.published_results import PRETRAINING, PUBLISHED_CSV, mr_range, published_results
from galr.report.render_images import NUM_COLOURS, DetectedRegions, class_colours
from galr.report.results import VariantResult


def test_splits_are_counted_as_one_would_by_hand():
    names = ["test", "train", "test", "train", "train"]
    owners = np.array([0, 0, 1, 1, 1, 2, 2, 3, 4])
    said = ["a", "b", "c", "c", "d", "b", "e", "c", "a"]
    train, test = split_stats(names, said, owners)
    assert (train.name, train.images, train.sentences, train.num_distinct) == ("train", 3, 5, 3)
    assert train.num_shared == 3  # the three c: two of image 1, one of image 3
    assert (train.min_per_image, train.max_per_image) == (1, 3)
    assert (test.name, test.images, test.sentences, test.num_distinct, test.num_shared) == (
        "test",
        2,
        4,
        3,
        2,
    )
    assert (test.min_per_image, test.max_per_image) == (2, 2)


def some_regions(counts, seed=0, classes=4):
    """Detections of images."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    return DetectedRegions(
        names=[str(image) for image in range(len(counts))],
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=int)]),
        boxes=random.uniform(0, 9, (total, 4)),
        scores=random.random(total),
        classes=random.integers(0, classes, total),
        class_names=[f"class {number}" for number in range(classes)],
    )


@pytest.mark.parametrize("counts", [[5, 0, 1, 12, 3], [0, 0], [], [100, 7]])
def test_every_region_is_found_once(counts):
    regions = some_regions(counts)
    facts = region_stats(regions)
    assert (facts.images, facts.total, facts.num_empty) == (
        len(counts),
        sum(counts),
        counts.count(0),
    )
    by_class, in_images = Counter(), Counter()
    for image in range(len(counts)):
        own = regions.classes[regions.offsets[image] : regions.offsets[image + 1]].tolist()
        by_class.update(own)
        in_images.update(set(own))
    for each in facts.classes:
        number = regions.class_names.index(each.name)
        assert (each.regions, each.images) == (by_class[number], in_images[number])
    assert [each.regions for each in facts.classes] == sorted(by_class.values(), reverse=True) + [
        0
    ] * (len(facts.classes) - len(by_class))


@pytest.mark.parametrize("most", [0, 5, 23, 24, 300])
def test_a_histogram_counts_every_image_once(most):
    each = np.random.default_rng(0).integers(0, most + 1, 200)
    each[0] = most
    drawn = make_histogram(each)
    assert len(drawn.bars) <= 24
    counted = 0
    for bar in drawn.bars:
        low, high, images = re.fullmatch(
            r"(\d+)(?: to (\d+))? detections: (\d+) images?", bar.label
        ).groups()
        inside = (each >= int(low)) & (each <= int(high or low))
        assert inside.sum() == int(images)
        counted += int(images)
    assert counted == 200
    heights = np.array([bar.height for bar in drawn.bars])
    shown = np.array([int(bar.label.split(": ")[1].split()[0]) for bar in drawn.bars])
    np.testing.assert_allclose(heights / heights.max(), shown / shown.max(), atol=1e-3)


def test_dropped_items_are_counted_by_kind(tmp_path):
    path = tmp_path / "data_report.csv"
    path.write_text("item,kind,reason\nb,blank,\"'  '\"\na,gone,is not there\nc,blank,''\n")
    found = [(each.kind, each.count, each.example) for each in read_dropped(path)]
    assert found == [("blank", 2, "b: '  '"), ("gone", 1, "a: is not there")]
    path.write_text("item,kind,reason\n")
    assert read_dropped(path) == []


def test_the_most_frequent_classes_have_a_colour_each():
    regions = some_regions([40] * 6, classes=NUM_COLOURS + 4)
    kept = np.tile(np.r_[np.arange(30), -1], (6, 1))
    colours = class_colours(range(6), regions, kept)
    own = [colour for colour in colours.values() if colour]
    assert own == list(range(1, NUM_COLOURS + 1))
    count = Counter(
        regions.class_names[regions.classes[40 * i + place]]
        for i in range(6)
        for place in range(30)
    )
    assert [count[name] for name in colours] == sorted(count.values(), reverse=True)


def test_provenance_is_told_whole_and_once():
    documents = [
        {
            "seed": 7,
            "model": {"width": 512, "branches": "both"},
            "archives": [{"file": "a"}, {"file": "b"}],
        },
        {"seed": 7, "model": {"width": 512}, "archives": [{"file": "a"}], "sizes": [1, 2]},
    ]
    rows = [flatten(document) for document in documents]
    assert rows[0]["model.width"] == "512"
    assert rows[0]["archives.1.file"] == "b"
    assert rows[1]["sizes"] == "[1, 2]"
    alike, own = split_common(rows)
    assert alike == {"seed": "7", "model.width": "512", "archives.0.file": "a"}
    assert [alike | each for each in own] == rows
    assert split_common([]) == ({}, [])


def ours(mr=30.0):
    return VariantResult(
        "corrected", "none", {"mr": mr, "mr_low": mr - 2, "mr_high": mr + 2}, {}, {}
    )


@pytest.mark.parametrize("dataset", ["rsicd", "rsitmd", "ucm", "sydney"])
def test_every_published_row_is_shown_in_its_group(dataset):
    found = published_results(dataset, ours())
    rows = [peer for group in found.groups for peer in group.results]
    assert {group.pretraining for group in found.groups} <= set(PRETRAINING)
    for group in found.groups:
        low, high = mr_range(group.results)
        assert all(low <= peer.mr <= high for peer in group.results)
    ticks = [float(tick.label) for tick in found.ticks]
    scale = (found.ticks[-1].position - found.ticks[0].position) / (ticks[-1] - ticks[0])
    for peer in rows:
        assert found.ticks[0].position + (peer.mr - ticks[0]) * scale == pytest.approx(
            peer.x, abs=0.02
        )
        assert peer.protocol and peer.source
    table = pd.read_csv(PUBLISHED_CSV)
    in_file = table[table["dataset"] == dataset]
    assert Counter(peer.method for peer in rows) == Counter(in_file["method"])


def test_where_recalls_are_given_their_mean_is_the_printed_mr():
    """A slip in copying the table would show; the file notes where the source itself differs."""
    for dataset in ("rsicd", "rsitmd", "ucm", "sydney"):
        for group in published_results(dataset, ours()).groups:
            for peer in group.results:
                if None not in peer.recalls and "differs" not in peer.note:
                    assert np.mean(peer.recalls) == pytest.approx(peer.mr, abs=0.06), peer.method


def test_a_dataset_nobody_published_on():
    assert published_results("demo", ours()) is None
