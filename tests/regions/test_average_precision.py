import numpy as np
import pytest

from galr.io.coco import CocoDataset
from galr.regions.average_precision import average_precision, write_ap
from galr.regions.detector import ImageDetections


def regions(*rows):
    """Regions of one picture from (class, score, x1, y1, x2, y2)."""
    table = np.array(sorted(rows, key=lambda row: -row[1]), float).reshape(-1, 6)
    return ImageDetections(
        table[:, 2:].astype(np.float32),
        table[:, 1].astype(np.float32),
        table[:, 0].astype(np.int32),
        0,
    )


def truth(*rows, classes=("square", "bar"), images=2):
    """True boxes from (image, class, x, y, width, height)."""
    return CocoDataset(
        classes,
        tuple({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(images)),
        tuple(
            {
                "id": n + 1,
                "image_id": image,
                "category_id": place + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for n, (image, place, *box) in enumerate(rows)
        ),
    )


def test_perfect_regions_have_perfect_precision():
    known = truth((0, 0, 5, 5, 20, 20), (0, 1, 30, 30, 10, 20), (1, 0, 0, 0, 10, 10))
    found = [
        regions((0, 0.9, 5, 5, 25, 25), (1, 0.8, 30, 30, 40, 50)),
        regions((0, 0.7, 0, 0, 10, 10)),
    ]
    rows = average_precision(known, found)
    assert [(row.name, row.images, row.boxes) for row in rows] == [
        ("square", 2, 2),
        ("bar", 1, 1),
        ("all", 2, 3),
    ]
    assert [share for row in rows for share in (row.ap, row.ap50)] == pytest.approx([1] * 6)


def test_precision_matches_the_definition():
    """One of two squares found, behind a wrong claim: precision is 1/2 up to recall 1/2, then 0."""
    known = truth((0, 0, 0, 0, 20, 20), (1, 0, 0, 0, 20, 20))
    found = [regions((0, 0.9, 40, 40, 60, 60), (0, 0.8, 0, 0, 20, 20)), regions()]
    recalls = np.linspace(0, 1, 101)
    expected = np.where(recalls <= 0.5, 0.5, 0).mean()
    assert average_precision(known, found)[0].ap50 == pytest.approx(expected)


def test_overlap_decides_which_thresholds_a_region_passes():
    known = truth((0, 0, 0, 0, 20, 20))
    found = [regions((0, 0.9, 0, 0, 20, 14)), regions()]  # 0.7 of the union
    row = average_precision(known, found)[0]
    assert row.ap50 == pytest.approx(1)
    assert row.ap == pytest.approx(5 / 10)  # 0.50, 0.55, 0.60, 0.65, 0.70


def test_a_class_without_boxes_is_unknown_and_leaves_the_mean_alone(tmp_path):
    known = truth((0, 0, 0, 0, 20, 20))
    rows = average_precision(
        known, [regions((0, 0.9, 0, 0, 20, 20)), regions((1, 0.9, 0, 0, 9, 9))]
    )
    assert np.isnan(rows[1].ap)
    assert rows[2].ap == pytest.approx(1)
    write_ap(tmp_path / "ap.csv", rows)
    assert (tmp_path / "ap.csv").read_text().splitlines() == [
        "class,images,boxes,ap,ap50",
        "square,1,1,1.0000,1.0000",
        "bar,0,0,,",
        "all,2,1,1.0000,1.0000",
    ]


def test_finding_nothing_at_all_is_worth_nothing():
    assert average_precision(truth((0, 0, 0, 0, 20, 20)), [regions(), regions()])[0].ap == 0
