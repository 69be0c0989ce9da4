"""Counts of the data, classes, provenance and published results, against plain loops."""

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


def test_splits_are_counted_as_by_hand():
    names = ["test", "train", "test", "train", "train"]
    image_of_sentence = np.array([0, 0, 1, 1, 1, 2, 2, 3, 4])
    sentences = ["a", "b", "c", "c", "d", "b", "e", "c", "a"]
    train, test = split_stats(names, sentences, image_of_sentence)
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


def draw_regions(counts, seed=0, classes=4):
    """Draw as many detections as given for each image."""
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
def test_every_region_is_counted_once(counts):
    regions = draw_regions(counts)
    stats = region_stats(regions)
    assert (stats.images, stats.total, stats.num_empty) == (
        len(counts),
        sum(counts),
        counts.count(0),
    )
    by_class, in_images = Counter(), Counter()
    for image in range(len(counts)):
        classes = regions.classes[regions.offsets[image] : regions.offsets[image + 1]].tolist()
        by_class.update(classes)
        in_images.update(set(classes))
    for each in stats.classes:
        number = regions.class_names.index(each.name)
        assert (each.regions, each.images) == (by_class[number], in_images[number])
    assert [each.regions for each in stats.classes] == sorted(by_class.values(), reverse=True) + [
        0
    ] * (len(stats.classes) - len(by_class))


@pytest.mark.parametrize("largest", [0, 5, 23, 24, 300])
def test_a_histogram_counts_every_image_once(largest):
    counts = np.random.default_rng(0).integers(0, largest + 1, 200)
    counts[0] = largest
    histogram = make_histogram(counts)
    assert len(histogram.bars) <= 24
    num_counted = 0
    for bar in histogram.bars:
        low, high, images = re.fullmatch(
            r"(\d+)(?: to (\d+))? detections: (\d+) images?", bar.label
        ).groups()
        inside = (counts >= int(low)) & (counts <= int(high or low))
        assert inside.sum() == int(images)
        num_counted += int(images)
    assert num_counted == 200
    heights = np.array([bar.height for bar in histogram.bars])
    shown = np.array([int(bar.label.split(": ")[1].split()[0]) for bar in histogram.bars])
    np.testing.assert_allclose(heights / heights.max(), shown / shown.max(), atol=1e-3)


def test_dropped_items_are_counted_by_kind(tmp_path):
    path = tmp_path / "data_report.csv"
    path.write_text("item,kind,reason\nb,blank,\"'  '\"\na,gone,is not there\nc,blank,''\n")
    items = [(each.kind, each.count, each.example) for each in read_dropped(path)]
    assert items == [("blank", 2, "b: '  '"), ("gone", 1, "a: is not there")]
    path.write_text("item,kind,reason\n")
    assert read_dropped(path) == []


def test_the_most_frequent_classes_have_a_colour_each():
    regions = draw_regions([40] * 6, classes=NUM_COLOURS + 4)
    region_index = np.tile(np.r_[np.arange(30), -1], (6, 1))
    colours = class_colours(range(6), regions, region_index)
    given = [colour for colour in colours.values() if colour]
    assert given == list(range(1, NUM_COLOURS + 1))
    count = Counter(
        regions.class_names[regions.classes[40 * i + region]]
        for i in range(6)
        for region in range(30)
    )
    assert [count[name] for name in colours] == sorted(count.values(), reverse=True)


def test_provenance_is_listed_completely_and_once():
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
    shared, differing = split_common(rows)
    assert shared == {"seed": "7", "model.width": "512", "archives.0.file": "a"}
    assert [shared | each for each in differing] == rows
    assert split_common([]) == ({}, [])


def our_result(mr=30.0):
    return VariantResult(
        "corrected",
        "none",
        {"mr": mr, "mr_expected": mr + 6, "mr_low": mr - 2, "mr_high": mr + 2},
        {},
        {},
    )


@pytest.mark.parametrize("dataset", ["rsicd", "rsitmd", "ucm", "sydney"])
def test_every_published_result_is_in_its_group(dataset):
    published = published_results(dataset, our_result())
    rows = [result for group in published.groups for result in group.results]
    assert {group.pretraining for group in published.groups} <= set(PRETRAINING)
    for group in published.groups:
        low, high = mr_range(group.results)
        assert all(low <= result.mr <= high for result in group.results)
    ticks = [float(tick.label) for tick in published.ticks]
    scale = (published.ticks[-1].position - published.ticks[0].position) / (ticks[-1] - ticks[0])
    for result in rows:
        assert published.ticks[0].position + (result.mr - ticks[0]) * scale == pytest.approx(
            result.x, abs=0.02
        )
        assert result.protocol and result.source
    table = pd.read_csv(PUBLISHED_CSV)
    in_file = table[table["dataset"] == dataset]
    assert Counter(result.method for result in rows) == Counter(in_file["method"])


def test_our_mr_is_on_the_axis_under_both_tie_rules():
    published = published_results("ucm", our_result(mr=30.0))
    first, last = published.ticks[0], published.ticks[-1]
    scale = (last.position - first.position) / (float(last.label) - float(first.label))
    assert published.ours_expected - published.ours[1] == pytest.approx(6 * scale, abs=0.03)


def test_mr_is_the_mean_of_the_published_recalls():
    """Finds errors of copying; the note of a row states where the source itself differs."""
    for dataset in ("rsicd", "rsitmd", "ucm", "sydney"):
        for group in published_results(dataset, our_result()).groups:
            for result in group.results:
                if None not in result.recalls and "differs" not in result.note:
                    assert np.mean(result.recalls) == pytest.approx(result.mr, abs=0.06), (
                        result.method
                    )


def test_a_dataset_without_published_results_has_none():
    assert published_results("demo", our_result()) is None
