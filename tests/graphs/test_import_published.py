from pathlib import Path

import numpy as np
import pytest

from galr import store
from galr.commands import import_graphs
from galr.errors import DataError
from galr.graphs.import_published import collect_matrices, count_unused, to_graphs
from galr.io.safe_npy import safe_load_npy
from galr.provenance import file_sha256

NAMES = ["airport_1", "b.v2", "ärial", "empty"]


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
    return collect_matrices({path: safe_load_npy(path) for path in sorted(folder.iterdir())})


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
def test_our_graphs_in_their_form_come_back_as_they_were(ours, tmp_path, nesting, as_lists):
    made = ours()
    both = tables(made, "{}.txt".format, as_lists)
    matrices = nest(tmp_path, nesting, both)
    found = to_graphs(matrices, NAMES)
    for table in ("representation", "adjacency", "mask"):
        assert np.array_equal(getattr(found, table), getattr(made, table))
        assert getattr(found, table).dtype == getattr(made, table).dtype
    assert (
        (found.region_index == -1).all()
        and found.region_index.shape == (4, 20)
        and not found.num_redundant.any()
    )
    assert count_unused(matrices, NAMES) == 0


@pytest.mark.parametrize("spell", ["{}", "{}.txt", " {}.TXT", "{}.jpg", "{}.tif", "{}.jpg.txt"])
def test_names_are_known_by_their_stem_and_order_is_the_datasets(ours, tmp_path, spell):
    made = ours()
    matrices = save(tmp_path, local=tables(made, spell.format))
    wanted = ["ärial", "airport_1"]
    found = to_graphs(matrices, wanted)
    assert np.array_equal(found.adjacency, made.adjacency[[2, 0]])
    assert count_unused(matrices, wanted) == 2


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "i8", "u1", "?"])
def test_any_numbers_are_taken(tmp_path, kind):
    a, x = np.eye(3).astype(kind), np.arange(6).reshape(3, 2).astype(kind)
    found = to_graphs(save(tmp_path, local={"adj_matrix": {"a": a}, "local_rep": {"a": x}}), ["a"])
    assert np.array_equal(found.adjacency[0], a) and np.array_equal(found.representation[0], x)


def test_rows_of_an_array_in_a_list_and_a_row_with_only_an_edge(tmp_path):
    x = [np.array([0.5, 1]), [0, 0], (0, 0), [0, 0]]
    a = np.zeros((4, 4))
    a[1, 1] = a[0, 2] = a[2, 0] = 1
    found = to_graphs(save(tmp_path, local={"adj_matrix": {"a": a}, "local_rep": {"a": x}}), ["a"])
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
        to_graphs(save(tmp_path, **files), ["a", "b"])
    assert says in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_dictionary_is_refused():
    with pytest.raises(DataError, match=r"a.npy holds a list; expected {adj_matrix: {image: A}"):
        collect_matrices({Path("a.npy"): [1, 2]})


def test_a_second_other_matrix_in_another_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"test.npy holds a second, other adj_matrix of image a;"):
        both = one()["local"]
        save(tmp_path, atrain=both, test=both | {"adj_matrix": {"a.txt": SKEW}})


def test_symmetry_is_measured_by_the_largest_number(tmp_path):
    a = np.array([[1000.0, 0.5], [0.5 + 0.009, 1.0]])
    files = one({"a": a}, {"a": GOOD["a"]})
    assert to_graphs(save(tmp_path, **files), ["a"]).adjacency[0, 1, 0] == np.float32(0.509)


def test_a_small_file_does_not_unfold_to_a_large_matrix(tmp_path):
    row = [0.0] * 10_000
    with pytest.raises(DataError, match="is a list of 10000, expected"):
        to_graphs(save(tmp_path, **one({"a": [row] * 10_000})), ["a"])


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
    return import_graphs.Options(
        dataset=dataset,
        folder=folder,
        output=tmp_path / "out" / "graphs.h5",
        summary=tmp_path / "notes" / "summary.txt",
    )


def test_import_graphs_writes_graphs_and_what_they_look_like(ours, flags, capsys):
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
        f"{name}.npy": file_sha256(flags.folder / f"{name}.npy") for name in ("test", "train")
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
