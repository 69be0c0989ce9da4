import json
from math import cos, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from galr.errors import ConfigError, DataError
from galr.io.coco import read_coco_index
from galr.io.coco_results import read_results
from galr.regions.coco_ids import ImageNameMatcher, match_classes, match_images
from galr.regions.region_set import to_detections

NAMES = ["harbour/a", "b", "000007", "c.v2"]
SIZES = np.array([[100, 80], [64, 64], [50, 60], [10, 10]], np.int32)


def row(image_id="b", category_id=1, bbox=(1, 2, 3, 4), score=0.5, **more):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score} | more


@pytest.fixture
def written(tmp_path):
    def write(document, name="results.json"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def document(images, categories=(), path="coco.json"):
    return {
        "images": [{"id": number, "file_name": file} | more for number, file, more in images],
        "categories": [{"id": number, "name": name} for number, name in categories],
    }


def test_boxes_are_those_that_pycocotools_reads(written, capsys):
    random = np.random.default_rng(0)
    rows = [
        row(int(image), int(category), random.random(4).tolist(), float(random.random()))
        for image, category in random.integers(1, 4, size=(50, 2))
    ]
    theirs = COCO()
    theirs.dataset = document([(n, f"{n}.jpg", {}) for n in (1, 2, 3)], [(1, "x")])
    theirs.createIndex()
    read = theirs.loadRes(str(written(rows)))
    results = read_results(written(rows))
    for place, each in enumerate(read.loadAnns(read.getAnnIds())):
        x, y, width, height = each["bbox"]
        assert results.boxes[place].tolist() == [x, y, x + width, y + height]
        assert results.image_ids[results.image_index[place]] == each["image_id"]
        assert results.category_ids[place] == each["category_id"]
        assert results.scores[place] == each["score"]
    assert "creating index" in capsys.readouterr().out  # it was pycocotools that read them


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_oriented_boxes_become_the_upright_ones_around_them(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    x, y, width, height = (random.random(4) * 50).tolist()
    angle = float(random.uniform(-2 * pi, 2 * pi))
    corners = [
        (x + p * cos(angle) - q * sin(angle), y + p * sin(angle) + q * cos(angle))
        for p, q in (
            (width / 2, height / 2),
            (-width / 2, height / 2),
            (-width / 2, -height / 2),
            (width / 2, -height / 2),
        )
    ]
    flat = [number for corner in corners for number in corner]
    expected = [min(flat[::2]), min(flat[1::2]), max(flat[::2]), max(flat[1::2])]
    folder = tmp_path_factory.mktemp("oriented")
    poly = row(poly=flat)
    del poly["bbox"]
    for rows in ([row(bbox=[x, y, width, height, angle])], [row(bbox=flat)], [poly]):
        (folder / "r.json").write_text(json.dumps(rows))
        np.testing.assert_allclose(read_results(folder / "r.json").boxes, [expected], atol=1e-9)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("[1", "results.json is no JSON"),
        ("[" * 100_000, "is no JSON"),
        (b"\xff\xfe\xff", "is no JSON"),
        ({"images": [], "annotations": []}, "holds an object of images, annotations; COCO results"),
        (3, "holds no list; COCO results are expected"),
        ([row(), 5], r"results.json\[1\] lacks image_id"),
        ([row(), None], r"\[1\] lacks image_id"),
        (
            [row(), {"image_id": 3, "bbox": []}],
            r"\[1\] lacks category_id; a result has image_id, ca",
        ),
        ([{"image_id": 1, "category_id": 2, "score": 1}], r"\[0\] lacks bbox"),
        (
            [row(), row(image_id=True)],
            r"\[1\] has image_id true; expected a whole number or a text",
        ),
        ([row(), row(image_id=1.5)], r"\[1\] has image_id 1.5"),
        ([row(image_id=[1])], r"\[0\] has image_id \[1\]"),
        ([row(image_id=None)], r"\[0\] has image_id null"),
        ('[{"image_id": NaN, "category_id": 1, "bbox": [1,1,1,1], "score": 1}]', "image_id NaN"),
        ([row(category_id="ship")], r'\[0\] has category_id "ship"; expected a whole number'),
        ([row(), row(category_id=1.5)], r"\[1\] has category_id 1.5"),
        (
            [row(category_id=10**400)],
            r"\[0\] has category_id 1000.*\.\.\.; expected a whole number",
        ),
        ([row(category_id=True)], "category_id true"),
        ([row(score=1.01)], r"\[0\] has score 1.01; expected a number in \[0, 1\]"),
        ([row(), row(score=-0.1)], r"\[1\] has score -0.1"),
        ([row(score=float("nan"))], "score NaN"),
        ([row(score="0.5")], 'score "0.5"'),
        ([row(score=None)], "score null"),
        ([row(), row(bbox=[1, 2, 3])], r"\[1\] has bbox \[1, 2, 3\]; expected x, y, width, height"),
        ([row(bbox=[1, 2, 3])], r"\[0\] has bbox \[1, 2, 3\]; expected x, y, width, height"),
        ([row(bbox="box")], r'\[0\] has bbox "box"'),
        ([row(bbox=[1, 2, 3, "4"])], r'\[0\] has bbox \[1, 2, 3, "4"\]'),
        ([row(bbox=[1, 2, 3, None])], "null"),
        (
            [row(), row(bbox=[1, 2, float("inf"), 3])],
            r"\[1\] has bbox .*Infinity.*expected finite x",
        ),
        ([row(bbox=[10**400, 1, 1, 1])], r"\[0\] has bbox \[1000.*expected finite x"),
        ([row(), row(bbox=[1, 2, -3, 4])], r"\[1\] .* expected a width and height of 0 or more"),
        ([row(bbox=[1, 2, 3, 4, 45])], r"\[0\] has bbox .*; expected an angle in radians"),
        ([row(bbox=[1, 2, 3, -4, 1])], "expected a width and height of 0"),
        ([row(bbox=[1, 2, 3, 4, 1]), row()], r"\[1\] .* expected centre x, .* as in the first row"),
        ([row(bbox=[1] * 8), row()], r"\[1\] has .* expected four corners"),
    ],
)
def test_a_mistake_is_named_with_its_row(rows, says, tmp_path, written):
    path = tmp_path / "results.json"
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        written(rows)
    with pytest.raises(DataError, match=says) as refused:
        read_results(path)
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.json cannot be read \(No such file"):
        read_results(tmp_path / "none.json")


def test_no_results_are_results(written):
    results = read_results(written([]))
    image = match_images(results, NAMES, SIZES, None)
    label, classes = match_classes(results, ["x"], 1, None)
    regions, dropped = to_detections(results, image, label, SIZES)
    assert regions.offsets.tolist() == [0] * 5 and regions.boxes.shape == (0, 4)
    assert classes == ("x",) and dropped == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_regions_are_clipped_sorted_and_laid_out_as_said(tmp_path_factory, seed, count):
    random = np.random.default_rng(seed)
    corner = random.integers(-60, 110, size=(count, 2))
    boxes = np.concatenate([corner, random.integers(0, 90, size=(count, 2))], axis=1) / 4
    rows = [
        row(NAMES[random.integers(4)], 1, box, random.integers(0, 5) / 4) for box in boxes.tolist()
    ]
    path = tmp_path_factory.mktemp("results") / "r.json"
    path.write_text(json.dumps(rows))
    results = read_results(path)
    image = match_images(results, NAMES, SIZES, None)
    label = np.arange(count)  # so that each row can be told
    regions, dropped = to_detections(results, image, label, SIZES)
    lost = 0
    for place, (name, (width, height)) in enumerate(zip(NAMES, SIZES.tolist(), strict=True)):
        expected = []
        for number, each in enumerate(rows):
            x, y, w, h = each["bbox"]
            box = [max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)]
            if each["image_id"] == name and box[0] < box[2] and box[1] < box[3]:
                expected.append((-each["score"], number, box))
            lost += each["image_id"] == name and not (box[0] < box[2] and box[1] < box[3])
        own = slice(regions.offsets[place], regions.offsets[place + 1])
        assert regions.classes[own].tolist() == [number for _, number, _ in sorted(expected)]
        assert regions.boxes[own].tolist() == [box for _, _, box in sorted(expected)]
        assert regions.scores[own].tolist() == [-score for score, _, _ in sorted(expected)]
    assert dropped == lost and len(regions.scores) == count - lost


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("b", 1),
        ("b.jpg", 1),
        ("b.TIFF", 1),
        ("train/b.png", 1),
        ("harbour/a", 0),
        ("a.png", 0),
        ("data/harbour/a.png", 0),
        ("data\\harbour\\a.png", 0),
        ("port/a.png", None),
        ("000007.jpg", 2),
        ("7", None),
        ("B.JPG", 1),
        ("train%2FC.V2.jpg", 3),
        ("c.v2", 3),
        ("c.v2.webp", 3),
        ("c", None),
        ("", None),
    ],
)
def test_an_image_is_found_by_what_tools_call_it(said, found, written):
    results = read_results(written([row(said)]))
    if found is not None:
        assert match_images(results, NAMES, SIZES, None).tolist() == [found]
        return
    with pytest.raises(
        DataError, match=r"image_id .* which is not the name of an image; .* like harbour/a"
    ):
        match_images(results, NAMES, SIZES, None)


def test_a_name_of_two_images_and_two_names_of_one_are_refused(written):
    with pytest.raises(DataError, match=r"'a.png' may be image x/a or y/a; write the folder"):
        ImageNameMatcher(["x/a", "y/a"]).find("a.png")
    with pytest.raises(DataError, match="7 may be image 07 or 007"):
        ImageNameMatcher(["07", "007"]).find(7)
    assert ImageNameMatcher(["9" * 5000]).find(9) is None
    assert (
        ImageNameMatcher(["07", "7"]).find(7) == 1
        and ImageNameMatcher(["x/a", "a"]).find("a.png") == 1
    )
    results = read_results(written([row("b"), row("b.png")]))
    with pytest.raises(DataError, match=r"calls image b both 'b' and 'b.png'; write one image_id"):
        match_images(results, NAMES, SIZES, None)


def test_ids_are_those_of_the_annotations_before_they_are_names(written):
    said = document([(7, "photos/b.jpg", {"width": 64, "height": 64}), ("p", "a.jpg", {})])
    annotations = read_coco_index(written(said, "coco.json"))
    results = read_results(written([row("p"), row(7), row("c.v2"), row(7)]))
    assert match_images(results, NAMES, SIZES, annotations).tolist() == [0, 1, 3, 1]


def found(rows, written, listed=None, names=("1", "2", "3", "000007"), **more):
    """The names of the images that rows were given to."""
    index = None if listed is None else read_coco_index(written(document(listed), "coco.json"))
    sizes = np.full((len(names), 2), 64, np.int32)
    rows = match_images(read_results(written(rows)), list(names), sizes, index, **more)
    return [names[image] for image in rows]


LISTED = [(1, "3.jpg", {}), (2, "1.jpg", {}), (3, "2.jpg", {})]


@pytest.mark.parametrize("number", [1, 1.0, 7, 99])
def test_a_number_without_annotations_is_refused_with_the_way_out(number, written):
    with pytest.raises(
        DataError, match=r"image_id \d+, and nothing says which.*ids: names in the"
    ) as no:
        found([row("2"), row(number)], written)
    assert "give the COCO document" in str(no.value) and "--ids names" in str(no.value)


def test_a_number_is_a_name_where_the_user_says_so(written):
    assert found([row(2), row(1.0), row(7)], written, ids="names") == ["2", "1", "000007"]
    assert found([row(2), row(1)], written, LISTED, ids="names") == ["2", "1"]
    with pytest.raises(DataError, match="image_id 8, which is not the name of an image"):
        found([row(8)], written, ids="names")


def test_numbers_are_ids_of_the_annotations_however_they_are_written(written):
    expected = ["3", "1", "2"]
    assert found([row(1), row(2.0), row(3)], written, LISTED) == expected
    as_text = [(str(number), file, more) for number, file, more in LISTED]
    as_floats = [(float(number), file, more) for number, file, more in LISTED]
    for listed in (as_text, as_floats):
        assert found([row(1), row(2.0), row(3)], written, listed) == expected
    assert found([row("1"), row("2"), row("3")], written, as_text) == expected
    for rows in ([row("1"), row("2"), row("3")], [row("1.0"), row("02"), row("3")]):
        assert found(rows, written, LISTED, ids="annotations") == expected
    named = [(number, f"img_{file}", more) for number, file, more in LISTED]
    names = ["img_1", "img_2", "img_3"]
    assert found([row("1"), row("2"), row("03.0")], written, named, names) == [
        "img_3",
        "img_1",
        "img_2",
    ]


def test_text_that_is_an_id_and_another_images_name_is_refused(written):
    with pytest.raises(
        DataError, match=r"'1', which is the name of image 1, and id 1 of .* image 3; say"
    ):
        found([row("1")], written, LISTED)
    same = [(1, "1.jpg", {}), (2, "2.jpg", {})]
    assert found([row("1"), row("2.jpg")], written, same) == ["1", "2"]
    both = [(1, "3.jpg", {}), ("1", "2.jpg", {})]
    assert found([row("1"), row(1)], written, both) == ["2", "3"]


@pytest.mark.parametrize("unlisted", [3, "3", "03", 3.0])
def test_a_number_that_the_annotations_do_not_list_is_not_taken_for_a_name(unlisted, written):
    with pytest.raises(
        DataError, match=r"image_id '?0?3'?, and .*coco.json does not list it; correct"
    ):
        found([row(1), row(unlisted)], written, LISTED[:2])
    with pytest.raises(DataError, match=r"image_id 'b.jpg', and .* does not list it"):
        found([row("b.jpg")], written, LISTED, ["b"], ids="annotations")
    with pytest.raises(ConfigError, match="ids: annotations needs the COCO document"):
        found([row("1")], written, ids="annotations")


@pytest.mark.parametrize(
    "file_name",
    [
        "harbour/río 1.jpg",
        "images\\harbour\\río 1.jpg",
        "C:\\data\\harbour\\río 1.jpg",
        "/data/harbour/RÍO 1.JPG",
        "harbour/r%C3%ADo%201.jpg",
        "harbour/ri\N{COMBINING ACUTE ACCENT}o 1.jpg",
        "../harbour/río 1.png",
    ],
)
def test_file_names_of_other_systems_name_the_same_image(file_name, written):
    names = ["airport/río 1", "harbour/río 1"]
    assert found([row(4)], written, [(4, file_name, {})], names) == ["harbour/río 1"]
    assert found([row(file_name)], written, None, names) == ["harbour/río 1"]


def test_images_called_by_their_paths_are_found_by_them(written):
    names = ["harbour/0.jpg", "harbour/0.png", "b"]
    assert found([row("x/harbour/0.png"), row("harbour/0.jpg")], written, None, names) == [
        "harbour/0.png",
        "harbour/0.jpg",
    ]
    with pytest.raises(DataError, match=r"may be image harbour/0.jpg or harbour/0.png; write the"):
        found([row("harbour/0")], written, None, names)
    with pytest.raises(DataError, match="which is not the name of an image"):
        found([row("harbour/0.tif")], written, None, names)
    files = ["harbour/0.jpg", "harbour/0.png", "photos/b.jpg"]
    assert found([row("photos/b.jpg")], written, None, names, files=files) == ["b"]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([(7, "none.jpg", {})], "image_id 7, which .*coco.json calls none.jpg, and no image has"),
        (
            [(1, "b.jpg", {})],
            "image_id 8, and .*coco.json does not list it; correct annotations, or",
        ),
        (
            [(7, "b.jpg", {"width": 640, "height": 64})],
            "gives image b 640 x 64 pixels, and it has 64 x 64; detect in the images of this",
        ),
    ],
)
def test_annotations_of_other_images_are_refused(images, says, written):
    annotations = read_coco_index(written(document(images), "coco.json"))
    results = read_results(written([row(7 if images[0][0] == 7 else 8)]))
    with pytest.raises(DataError, match=says):
        match_images(results, NAMES, SIZES, annotations)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ([], "coco.json has no list of images; a COCO document is expected"),
        ({"images": {}}, "a COCO document is expected"),
        ({"images": [], "categories": 3}, "a COCO document is expected"),
        ({"images": [{"id": 1}]}, r"images\[0\] has id 1 and file_name None; both must be there"),
        ({"images": [{"id": [1], "file_name": "a"}]}, r"images\[0\] has id \[1\]"),
        (document([(1, "a", {}), (1, "b", {})]), "gives two images the id 1"),
        (document([], [("x", "y")]), r"categories\[0\] has id 'x'"),
        (document([], [(1, 2)]), r"categories\[0\] has id 1 and name 2"),
        (document([], [(1, "a"), (1, "b")]), "gives two categories the id 1"),
    ],
)
def test_damaged_annotations_are_refused(said, says, written):
    with pytest.raises(DataError, match=says):
        read_coco_index(written(said, "coco.json"))


def test_categories_are_classes_by_name_or_by_place(written):
    results = read_results(written([row(category_id=n) for n in (3, 1, 3)]))
    listed = document([], [(3, "plane"), (2, "tank"), (1, "ship")])
    annotations = read_coco_index(written(listed, "coco.json"))
    unlisted = read_coco_index(written(document([]), "bare.json"))

    def labels(*choices):
        label, classes = match_classes(results, *choices)
        return label.tolist(), classes

    assert labels(["plane", "ship"], 1, annotations) == ([0, 1, 0], ("plane", "ship"))
    assert labels((), 1, annotations) == ([2, 0, 2], ("ship", "tank", "plane"))
    assert labels(["a", "b", "c"], 1, None) == ([2, 0, 2], ("a", "b", "c"))
    assert labels(["a", "b", "c", "d"], 0, unlisted) == ([3, 1, 3], ("a", "b", "c", "d"))
    assert labels((), 0, None) == ([1, 0, 1], ("category 1", "category 3"))


def test_category_ids_may_be_text(written):
    text = read_results(written([row(category_id=n) for n in ("3", 1, "3.0", 3.0)]))
    assert text.category_ids.tolist() == [3, 1, 3, 3]
    listed = {
        "images": [],
        "categories": [{"id": "3", "name": "plane"}, {"id": 1.0, "name": "ship"}],
    }
    annotations = read_coco_index(written(listed, "coco.json"))
    assert match_classes(text, (), 1, annotations)[1] == ("ship", "plane")
    assert match_classes(text, (), 1, annotations)[0].tolist() == [1, 0, 1, 1]


def test_categories_that_are_no_classes_are_refused(written):
    results = read_results(written([row(category_id=n) for n in (0, 2)]))
    listed = document([], [(0, "plane"), (2, "tank")])
    annotations = read_coco_index(written(listed, "coco.json"))
    with pytest.raises(
        DataError, match=r"category_id 0, expected 1 to 2 for 2 classes; first_cat.*is 1"
    ):
        match_classes(results, ["a", "b"], 1, None)
    with pytest.raises(DataError, match="category_id 2, expected 0 to 1 for 2 classes"):
        match_classes(results, ["a", "b"], 0, None)
    with pytest.raises(DataError, match="category_id 2, 'tank', which is none of the classes; add"):
        match_classes(results, ["plane", "ship"], 1, annotations)
    with pytest.raises(ConfigError, match="name 'a' twice"):
        match_classes(results, ["a", "b", "a"], 0, None)
    less = read_coco_index(written(document([], [(0, "plane")]), "less.json"))
    with pytest.raises(DataError, match=r"category_id 2, which .*less.json does not list"):
        match_classes(results, (), 0, less)
