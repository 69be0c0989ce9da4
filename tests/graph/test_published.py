from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr import store, versions
from galr.errors import DataError
from galr.graph.adjacency import Edges
from galr.graph.detections import Regions
from galr.graph.drea import Graphs, graphs
from galr.graph.published import gathered, published_graphs, unused
from galr.graph.summary import one_hot_columns, summary
from galr.graph.unpickle import read_object
from galr.stages import import_graphs

CLASSES = 15
NAMES = ["airport_1", "b.v2", "ärial", "empty"]


def ours(seed=0, counts=(9, 30, 1, 0)):
    """Graphs of random detections: n = 20, d = 20, as the authors' are."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    corner, extent = random.random((2, total, 2)) * [[[300]], [[90]]]
    regions = Regions(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.concatenate([corner, corner + extent + 1], axis=1),
        scores=random.random(total),
        classes=random.integers(CLASSES, size=total),
        sizes=np.full((len(counts), 2), 400),
    )
    return graphs(
        regions,
        CLASSES,
        least_score=0.0,
        most=20,
        measure="cosine",
        redundant=0.98,
        edges=Edges("gaussian", 0.2),
    )


def tables(found, spell, as_lists=False):
    """Both matrices of every image under the name that `spell` gives it."""
    kind = np.ndarray.tolist if as_lists else np.asarray
    pairs = (("adj_matrix", found.adjacency), ("local_rep", found.representation))
    return {
        key: {spell(name): kind(one) for name, one in zip(NAMES, table, strict=True)}
        for key, table in pairs
    }


def by_image(both):
    return {name: {key: both[key][name] for key in both} for name in both["adj_matrix"]}


def halves(table, spare=0):
    items = list(table.items())
    return dict(items[: 2 + spare]), dict(items[2:])


def save(folder, **files):
    for stem, content in files.items():
        np.save(folder / f"{stem}.npy", content)
    return gathered({path: read_object(path) for path in sorted(folder.iterdir())})


def nest(folder, nesting, both):
    """Save in one of the ways that files may be nested."""
    if nesting == "keys, then images":
        return save(folder, local=both)
    if nesting == "images, then keys":
        return save(folder, local=by_image(both))
    if nesting == "a file for each key":
        return save(
            folder, rsitmd_adj_matrix=both["adj_matrix"], rsitmd_local_rep=both["local_rep"]
        )
    if nesting == "a file for each key, which it repeats":
        return save(folder, **{key[:3]: {key: table} for key, table in both.items()})
    train, test = halves(by_image(both), spare=1)  # one image in both, with the same matrices
    if nesting == "train and test":
        return save(folder, train=train, test=test)
    names = {key.encode(): {n.encode(): m for n, m in table.items()} for key, table in both.items()}
    return save(folder, local=names)


NESTINGS = [
    "keys, then images",
    "images, then keys",
    "a file for each key",
    "a file for each key, which it repeats",
    "train and test",
    "bytes for names",
]


@pytest.mark.parametrize("as_lists", [False, True], ids=["arrays", "lists"])
@pytest.mark.parametrize("nesting", NESTINGS)
def test_our_graphs_in_their_form_come_back_as_they_were(tmp_path, nesting, as_lists):
    made = ours()
    both = tables(made, "{}.txt".format, as_lists)
    matrices = nest(tmp_path, nesting, both)
    found = published_graphs(matrices, NAMES)
    for table in ("representation", "adjacency", "mask"):
        assert np.array_equal(getattr(found, table), getattr(made, table))
        assert getattr(found, table).dtype == getattr(made, table).dtype
    assert (found.kept == -1).all() and found.kept.shape == (4, 20) and not found.redundant.any()
    assert unused(matrices, NAMES) == 0


@pytest.mark.parametrize("spell", ["{}", "{}.txt", " {}.TXT", "{}.jpg", "{}.tif", "{}.jpg.txt"])
def test_names_are_known_by_their_stem_and_order_is_the_datasets(tmp_path, spell):
    made = ours()
    matrices = save(tmp_path, local=tables(made, spell.format))
    wanted = ["ärial", "airport_1"]
    found = published_graphs(matrices, wanted)
    assert np.array_equal(found.adjacency, made.adjacency[[2, 0]])
    assert unused(matrices, wanted) == 2


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "i8", "u1", "?"])
def test_any_numbers_are_taken(tmp_path, kind):
    a, x = np.eye(3).astype(kind), np.arange(6).reshape(3, 2).astype(kind)
    found = published_graphs(
        save(tmp_path, local={"adj_matrix": {"a": a}, "local_rep": {"a": x}}), ["a"]
    )
    assert np.array_equal(found.adjacency[0], a) and np.array_equal(found.representation[0], x)


def test_rows_of_an_array_in_a_list_and_a_row_with_only_an_edge(tmp_path):
    x = [np.array([0.5, 1]), [0, 0], (0, 0), [0, 0]]
    a = np.zeros((4, 4))
    a[1, 1] = a[0, 2] = a[2, 0] = 1
    found = published_graphs(
        save(tmp_path, local={"adj_matrix": {"a": a}, "local_rep": {"a": x}}), ["a"]
    )
    assert found.mask.tolist() == [[True, True, True, False]]


GOOD = {"a": np.eye(2), "b": np.eye(2)}


def one(adjacency=GOOD, representation=GOOD):
    return {"local": {"adj_matrix": dict(adjacency), "local_rep": dict(representation)}}


SKEW = np.array([[1.0, 0.5], [0.4, 1.0]])
REFUSALS = {
    "an array": ({"local": {"a": GOOD["a"]}}, "1 entries such as 'a': a ndarray; expected {adj"),
    "nothing": ({"local": {}}, "no adj_matrix of image a (2 of the dataset's 2 images lack it)"),
    "nothing inside": ({"local": {"a": {}}}, "1 entries such as 'a': an empty dict; expected {adj"),
    "one key": (
        {"local": {"a": {"adj_matrix": GOOD["a"]}}},
        "1 entries such as 'a': 1 entries such as 'adj_matrix': a ndarray; expected",
    ),
    "another key": ({"local": one()["local"] | {"more": {}}}, "3 entries such as 'adj_matrix': 2"),
    "both keys": ({"adj_matrix_local_rep": GOOD}, "2 entries such as 'a': a ndarray; expected"),
    "no image": (
        one({}, {}),
        "no adj_matrix of image a (2 of the dataset's 2 images lack it); the files have it of 0; give",
    ),
    "an image missing": (
        one({"b": GOOD["b"], "c": GOOD["b"]}),
        "no adj_matrix of image a (1 of the dataset's 2 images lack it); the files have it of 2, such as b, c; give",
    ),
    "X missing": (one(representation={"a": GOOD["a"]}), "no local_rep of image b (1 of"),
    "only a suffix": (one({".txt": GOOD["a"]}), "names an image '.txt', expected NAME.txt"),
    "only blanks": (one({" \n": GOOD["a"]}), r"names an image ' \n', expected"),
    "twice": (
        one(GOOD | {"a.txt": GOOD["a"], "a.jpg": SKEW}),
        "second, other adj_matrix of image a;",
    ),
    "text twice": (one(GOOD | {b"a": SKEW}), "a second, other adj_matrix of image a; keep"),
    "a wide A": (
        one({"a": np.ones((2, 3)), "b": np.ones((2, 3))}),
        "adj_matrix is (2, 3) where local_rep is (2, 2); expected (2, 2)",
    ),
    "another n": (
        one({"a": np.eye(3), "b": np.eye(3)}),
        "adj_matrix is (3, 3) where local_rep is (2, 2)",
    ),
    "shapes": (
        one(GOOD | {"b": np.eye(3)}),
        "adj_matrix of image b is (3, 3), expected (2, 2) as of image a",
    ),
    "cube": (
        one(GOOD | {"b": np.ones((2, 2, 2))}),
        "image b is of shape (2, 2, 2), expected 1 to 100",
    ),
    "no rows": (
        one(GOOD | {"b": np.ones((0, 2))}),
        "image b is of shape (0, 2), expected 1 to 100",
    ),
    "wide": (one(GOOD | {"b": np.ones((2, 101))}), "is of shape (2, 101), expected 1 to 100 rows"),
    "ragged": (one(GOOD | {"b": [[1], [1, 2]]}), "is a list of 2, expected 1 to 100 lists of one"),
    "flat": (one(GOOD | {"b": [1, 2]}), "is a list of 2, expected 1 to 100 lists of one length"),
    "long": (one(GOOD | {"b": [[1]] * 101}), "is a list of 101, expected 1 to 100 lists"),
    "no row": (one(GOOD | {"b": []}), "image b is a list of 0, expected 1 to 100 lists"),
    "words": (one(GOOD | {"b": [["1", "2"], [3, 4]]}), "image b holds what is no number"),
    "deep": (one(GOOD | {"b": [[[1]], [[2]]]}), "image b holds what is no number"),
    "None": (one(GOOD | {"b": None}), "adj_matrix of image b is a NoneType, expected a matrix"),
    "long number": (one(GOOD | {"b": [[10**400]]}), "image b holds a number over all bounds"),
    "NaN": (
        one(representation=GOOD | {"b": np.eye(2) * np.nan}),
        "local_rep of image b holds a number that is not finite",
    ),
    "large": (
        one(GOOD | {"b": np.eye(2) * 1e300}),
        "image b holds a number that is not finite as float32",
    ),
    "skew": (
        one(GOOD | {"b": SKEW}),
        "adj_matrix of image b is not symmetric: row 1, column 2 is 0.5, its mirror 0.4; so it is in 1 of 2 images",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_is_no_graph_of_the_dataset_is_refused(tmp_path, what):
    files, says = REFUSALS[what]
    with pytest.raises(DataError) as error:
        published_graphs(save(tmp_path, **files), ["a", "b"])
    assert says in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_dictionary_is_refused():
    with pytest.raises(DataError, match=r"a.npy holds a list; expected {adj_matrix: {image: A}"):
        gathered({Path("a.npy"): [1, 2]})


def test_a_second_other_matrix_in_another_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"test.npy holds a second, other adj_matrix of image a;"):
        both = one()["local"]
        save(tmp_path, atrain=both, test=both | {"adj_matrix": {"a.txt": SKEW}})


def test_symmetry_is_measured_by_the_largest_number(tmp_path):
    a = np.array([[1000.0, 0.5], [0.5 + 0.009, 1.0]])
    files = one({"a": a}, {"a": GOOD["a"]})
    assert published_graphs(save(tmp_path, **files), ["a"]).adjacency[0, 1, 0] == np.float32(0.509)


def test_a_small_file_does_not_unfold_to_a_large_matrix(tmp_path):
    row = [0.0] * 10_000
    with pytest.raises(DataError, match="is a list of 10000, expected"):
        published_graphs(save(tmp_path, **one({"a": [row] * 10_000})), ["a"])


def described(x, a, more=0):
    """The summary of X (images, n, d) and A (images, n, n) as one text."""
    x, a = np.asarray(x, np.float32), np.asarray(a, np.float32)
    mask = x.any(axis=2) | a.any(axis=2)
    kept, redundant = np.full(mask.shape, -1), np.zeros(len(x))
    return "\n".join(summary(Graphs(x, a, mask, kept, redundant), more))


def normal(w):
    degree = w.sum(axis=-1)
    return w / np.sqrt(degree[..., :, None] * degree[..., None, :])


def test_the_summary_of_our_graphs_says_how_we_made_them():
    made = ours(3, counts=(9, 30, 12, 0, 25))
    text = described(made.representation, made.adjacency, more=7)
    rows = int(made.mask.sum())
    for says in (
        "5 images, n = 20 rows of d = 20 numbers; 7 further images",
        f"X: {(100 - rows) / 5:.4g} of 20 rows are zero on average; they stand at the end in 100.0% of the 3",
        "; 0 filled rows an image repeat the row above",
        f"columns 1 to 15 are one-hot (exactly one 1 in each of {rows} filled rows), so likely 15 classes",
        "100.0% are in [0, 1]",
        "read as centre and size they lie within [0, 1] in 100.0%.",
        "A: largest |A - A^T| 0;",
        "edges to other rows are all 0.",
        "in 4 images that have edges the largest eigenvalue is all 1,",
        "all are within [-1, 1] in 100.0%.",
        "all positive) in 100.0% of these images",
    ):
        assert says in text, says
    (score,) = (line for line in text.split("\n") if line.startswith("X: column 16 is"))
    scores = made.representation[:, :, 15][made.mask]
    assert f"{scores.min():.4g} to {scores.max():.4g}, mean {scores.mean():.4g};" in score
    assert "descends from row to row in 100.0% of the 4 images of two filled rows or more" in score


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 6))
def test_one_hot_columns_match_the_definition(seed, d, classes):
    random = np.random.default_rng(seed)
    rows = random.choice([0, 1, 0.5], p=[0.6, 0.3, 0.1], size=(5, d)).astype(np.float32)
    if classes:  # plant a one-hot block among them
        block = np.eye(classes)[random.integers(classes, size=5)]
        rows = np.insert(rows, random.integers(d + 1), block.T, axis=1)
    runs = [
        (stop - start, -start)
        for start in range(rows.shape[1])
        for stop in range(start + 2, rows.shape[1] + 1)
        if all(sorted(row[start:stop]) == [0] * (stop - start - 1) + [1] for row in rows.tolist())
    ]
    length, start = max(runs, default=(0, 0))
    assert one_hot_columns(rows) == (-start, -start + length)


def test_the_summary_tells_other_paddings_apart():
    x = np.zeros((2, 4, 2))
    x[0, 2:] = [[3, 2], [1, 2]]  # zero rows first
    x[1] = [[5, 6]] * 4  # one row, repeated
    text = described(x, np.zeros((2, 4, 4)))
    assert "X: 1 of 4 rows are zero on average; they stand at the end in 0.0% of the 1" in text
    assert "; 1.5 filled rows an image repeat the row above" in text
    assert "no run of columns is one-hot" in text
    assert "column 1 is 1 to 5, mean 4; it descends from row to row in 100.0% of the 2" in text
    assert "0.0% are in [0, 1] and 100.0% are whole" not in text  # one of twelve numbers is 1
    assert "8.3% are in [0, 1] and 100.0% are whole" in text
    assert "A: all rows of all images are zero" not in text  # rows of X count as rows of A here


def test_the_summary_tells_corners_from_centres():
    corner = np.random.default_rng(0).random((3, 5, 2)) * 0.5 + 0.4
    boxes = np.concatenate([corner, corner + 0.1], axis=2)
    assert "x1 y1 x2 y2 are boxes in 100.0% of" in described(boxes, np.zeros((3, 5, 5)))
    assert "within [0, 1] in 0.0%." in described(boxes + 0.3, np.zeros((3, 5, 5)))


def test_the_summary_tells_normalised_from_not():
    random = np.random.default_rng(0)
    w = random.random((4, 6, 6))
    w = w + w.transpose(0, 2, 1)
    w[:, :3, 3:] = w[:, 3:, :3] = 0  # in two parts
    x = random.random((4, 6, 2))
    assert "positive) in 100.0% of these" in described(x, normal(w))
    assert "positive) in 0.0% of these" in described(x, normal(w) * 0.99)
    assert "positive) in 50.0% of these" in described(x, np.concatenate([normal(w)[:2], w[2:]]))
    flip = np.diag([1, -1, 1, 1, 1, 1])  # the same spectrum, and no positive eigenvector
    assert "positive) in 0.0% of these" in described(x, flip @ normal(w) @ flip)
    eigen = np.linalg.eigvalsh(w.astype(np.float32).astype(float))
    assert (
        f"largest eigenvalue is {eigen[:, -1].min():.4g} to {eigen[:, -1].max():.4g}"
        in described(x, w)
    )
    zero_one = np.tile(np.ones((3, 3)) - np.eye(3), (4, 1, 1))
    text = described(x[:, :3], zero_one)
    assert "diagonal of filled rows is all 0, mean 0; 100.0% of it is 0 and 0.0% is 1." in text
    assert (
        "rows sum to all 2" in text and "0.0% of the 12 edges between two filled rows are 0" in text
    )


def test_the_summary_finds_a_gaussian_and_a_cosine():
    x = np.random.default_rng(0).random((3, 6, 4)).astype(np.float32)
    square = ((x[:, :, None] - x[:, None]) ** 2).sum(axis=-1)
    assert "-log of the positive edges has 1.000 with that" in described(x, np.exp(-square / 0.3))
    unit = x / np.linalg.norm(x, axis=2, keepdims=True)
    cosine = unit @ unit.transpose(0, 2, 1)
    assert "the cosine of their rows of X is 1.000, with" in described(x, cosine)
    assert "the cosine of their rows of X is not defined" in described(x, np.ones((3, 6, 6)))


def test_the_summary_of_nothing_at_all():
    text = described(np.zeros((2, 3, 4)), np.zeros((2, 3, 3)))
    assert "X: all rows are zero." in text and "A: all rows of all images are zero." in text
    loops = described(np.zeros((2, 3, 4)), np.tile(np.eye(3), (2, 1, 1)))
    assert "X: all rows are zero." in loops and "the largest eigenvalue is all 1" in loops
    assert "of the 0 edges" in described(np.ones((1, 1, 1)), np.ones((1, 1, 1)))


@pytest.fixture
def flags(tmp_path):
    folder = tmp_path / "RSITMD"
    folder.mkdir()
    dataset = tmp_path / "dataset.h5"
    tables_of = {"image_of_sentence": np.zeros(1, np.int32), "images": np.zeros((4, 2, 2, 3), "u1")}
    with store.writing(dataset, store.DATASET, {"dataset": "rsitmd"}) as file:
        for table in ("files", "splits", "sentences"):
            store.write_texts(file, table, NAMES)
        store.write_texts(file, "names", NAMES)
        store.write_arrays(file, sizes=np.ones((4, 2), np.int32), **tables_of)
    return import_graphs.Flags(
        dataset=dataset,
        folder=folder,
        output=tmp_path / "out" / "graphs.h5",
        summary=tmp_path / "notes" / "summary.txt",
    )


def test_import_graphs_writes_graphs_and_what_they_look_like(flags, capsys):
    made = ours()
    train, test = halves(by_image(tables(made, "{}.txt".format)))
    for name, content in (("train", train), ("test", test)):
        np.save(flags.folder / f"{name}.npy", content)
    (flags.folder / "note.txt").write_text("not a matrix")
    import_graphs.run(flags)
    with store.reading(flags.output, store.GRAPHS) as file:
        for table in ("representation", "adjacency", "mask"):
            assert np.array_equal(file[table][:], getattr(made, table))
        assert store.texts(file["names"]) == NAMES and (file["kept"][:] == -1).all()
        origin = store.provenance(file)
    assert origin["dataset"] == "rsitmd" and origin["settings"] == {"published": "RSITMD"}
    assert origin["detector"] is None and origin["regions_sha256"] is None
    assert origin["columns"] == [str(n) for n in range(1, 21)] and "numpy" in origin["versions"]
    assert origin["files_sha256"] == {
        f"{name}.npy": versions.sha256(flags.folder / f"{name}.npy") for name in ("test", "train")
    }
    lines = flags.summary.read_text(encoding="utf-8")
    assert lines == capsys.readouterr().err and "so likely 15 classes" in lines


def test_import_graphs_without_files_or_with_foreign_ones_writes_nothing(flags):
    with pytest.raises(DataError, match=r"RSITMD holds no .npy file; put the authors' files of"):
        import_graphs.run(flags)
    np.save(flags.folder / "a.npy", {"a": Path()})
    with pytest.raises(DataError, match=r"a.npy holds pathlib"):
        import_graphs.run(flags)
    assert not flags.output.exists() and not flags.summary.exists()
