"""The authors' matrices, however their files are nested, and everything that is refused."""

from pathlib import Path

import numpy as np
import pytest

from galr.commands import import_graphs
from galr.data.find_images import image_stem
from galr.errors import DataError
from galr.graphs.import_published import collect_matrices, count_unused, to_graphs
from galr.io.formats import Dataset, Graphs
from galr.io.safe_npy import safe_load_npy
from galr.provenance import file_sha256

NAMES = ["airport_1", "b.v2", "ärial", "empty"]


def by_key(graphs, spell, as_lists=False):
    """Return both matrices of every image, by key, under the name that `spell` gives it."""
    convert = np.ndarray.tolist if as_lists else np.asarray
    pairs = (("adj_matrix", graphs.adjacency), ("local_rep", graphs.representation))
    return {
        key: {spell(name): convert(one) for name, one in zip(NAMES, table, strict=True)}
        for key, table in pairs
    }


def by_image(both):
    return {name: {key: both[key][name] for key in both} for name in both["adj_matrix"]}


def split(table, num_common=0):
    items = list(table.items())
    return dict(items[: 2 + num_common]), dict(items[2:])


def save(folder, **files):
    for stem, content in files.items():
        np.save(folder / f"{stem}.npy", content)
    contents = {path: safe_load_npy(path) for path in sorted(folder.iterdir())}
    return collect_matrices(contents, image_stem)


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
    train, test = split(by_image(both), num_common=1)  # one image in both, with the same matrices
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
def test_our_graphs_in_the_authors_form_are_imported_unchanged(
    make_graphs, tmp_path, nesting, as_lists
):
    ours = make_graphs()
    both = by_key(ours, "{}.txt".format, as_lists)
    matrices = nest(tmp_path, nesting, both)
    imported = to_graphs(matrices, NAMES)
    for name in ("representation", "adjacency", "mask"):
        assert np.array_equal(getattr(imported, name), getattr(ours, name))
        assert getattr(imported, name).dtype == getattr(ours, name).dtype
    assert imported.region_index.shape == (4, 20) and (imported.region_index == -1).all()
    assert not imported.num_redundant.any()
    assert count_unused(matrices, NAMES) == 0


@pytest.mark.parametrize("spell", ["{}", "{}.txt", " {}.TXT", "{}.jpg", "{}.tif", "{}.jpg.txt"])
def test_names_match_with_or_without_suffix_and_the_order_is_the_datasets(
    make_graphs, tmp_path, spell
):
    ours = make_graphs()
    matrices = save(tmp_path, local=by_key(ours, spell.format))
    names = ["ärial", "airport_1"]
    assert np.array_equal(to_graphs(matrices, names).adjacency, ours.adjacency[[2, 0]])
    assert count_unused(matrices, names) == 2


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "i8", "u1", "?"])
def test_numbers_of_any_type_are_imported(tmp_path, kind):
    a, x = np.eye(3).astype(kind), np.arange(6).reshape(3, 2).astype(kind)
    graphs = to_graphs(save(tmp_path, local={"adj_matrix": {"a": a}, "local_rep": {"a": x}}), ["a"])
    assert np.array_equal(graphs.adjacency[0], a) and np.array_equal(graphs.representation[0], x)


def test_rows_may_be_arrays_in_a_list_and_a_row_with_only_an_edge_is_not_padding(tmp_path):
    x = [np.array([0.5, 1]), [0, 0], (0, 0), [0, 0]]
    a = np.zeros((4, 4))
    a[1, 1] = a[0, 2] = a[2, 0] = 1
    graphs = to_graphs(save(tmp_path, local={"adj_matrix": {"a": a}, "local_rep": {"a": x}}), ["a"])
    assert graphs.mask.tolist() == [[True, True, True, False]]


GOOD = {"a": np.eye(2), "b": np.eye(2)}


def one_file(adjacency=GOOD, representation=GOOD):
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
    "another key": (
        {"local": one_file()["local"] | {"more": {}}},
        "3 entries such as 'adj_matrix': 2",
    ),
    "both keys": ({"adj_matrix_local_rep": GOOD}, "2 entries such as 'a': a ndarray; expected"),
    "no image": (
        one_file({}, {}),
        "no adj_matrix of image a (2 of the dataset's 2 images lack it); they have 0; give",
    ),
    "an image missing": (
        one_file({"b": GOOD["b"], "c": GOOD["b"]}),
        "no adj_matrix of image a (1 of the dataset's 2 images lack it); they have 2, such as b, c; give",
    ),
    "X missing": (one_file(representation={"a": GOOD["a"]}), "no local_rep of image b (1 of"),
    "only a suffix": (one_file({".txt": GOOD["a"]}), "names an image '.txt', expected NAME.txt"),
    "only blanks": (one_file({" \n": GOOD["a"]}), r"names an image ' \n', expected"),
    "twice": (
        one_file(GOOD | {"a.txt": GOOD["a"], "a.jpg": SKEW}),
        "second, different adj_matrix of image a;",
    ),
    "text twice": (
        one_file(GOOD | {b"a": SKEW}),
        "a second, different adj_matrix of image a; keep",
    ),
    "a wide A": (
        one_file({"a": np.ones((2, 3)), "b": np.ones((2, 3))}),
        "adj_matrix is (2, 3) where local_rep is (2, 2); expected (2, 2)",
    ),
    "another n": (
        one_file({"a": np.eye(3), "b": np.eye(3)}),
        "adj_matrix is (3, 3) where local_rep is (2, 2)",
    ),
    "shapes": (
        one_file(GOOD | {"b": np.eye(3)}),
        "adj_matrix of image b is (3, 3), expected (2, 2) as for image a",
    ),
    "cube": (
        one_file(GOOD | {"b": np.ones((2, 2, 2))}),
        "image b is of shape (2, 2, 2), expected 1 to 100",
    ),
    "no rows": (
        one_file(GOOD | {"b": np.ones((0, 2))}),
        "image b is of shape (0, 2), expected 1 to 100",
    ),
    "wide": (
        one_file(GOOD | {"b": np.ones((2, 101))}),
        "is of shape (2, 101), expected 1 to 100 rows",
    ),
    "ragged": (
        one_file(GOOD | {"b": [[1], [1, 2]]}),
        "is a list of 2, expected 1 to 100 lists of one",
    ),
    "flat": (
        one_file(GOOD | {"b": [1, 2]}),
        "is a list of 2, expected 1 to 100 lists of one length",
    ),
    "long": (one_file(GOOD | {"b": [[1]] * 101}), "is a list of 101, expected 1 to 100 lists"),
    "no row": (one_file(GOOD | {"b": []}), "image b is a list of 0, expected 1 to 100 lists"),
    "words": (
        one_file(GOOD | {"b": [["1", "2"], [3, 4]]}),
        "image b holds something else than numbers",
    ),
    "deep": (one_file(GOOD | {"b": [[[1]], [[2]]]}), "image b holds something else than numbers"),
    "None": (
        one_file(GOOD | {"b": None}),
        "adj_matrix of image b is a NoneType, expected a matrix",
    ),
    "long number": (
        one_file(GOOD | {"b": [[10**400]]}),
        "image b holds a number too large for a float",
    ),
    "NaN": (
        one_file(representation=GOOD | {"b": np.eye(2) * np.nan}),
        "local_rep of image b holds a number that is not finite",
    ),
    "large": (
        one_file(GOOD | {"b": np.eye(2) * 1e300}),
        "image b holds a number that is not finite as float32",
    ),
    "skew": (
        one_file(GOOD | {"b": SKEW}),
        "adj_matrix of image b is not symmetric: row 1, column 2 is 0.5, its mirror 0.4 (1 of 2 images are like it)",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_anything_but_the_graphs_of_the_dataset_is_refused(tmp_path, what):
    files, message = REFUSALS[what]
    with pytest.raises(DataError) as error:
        to_graphs(save(tmp_path, **files), ["a", "b"])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_anything_but_a_dictionary_is_refused():
    with pytest.raises(DataError, match=r"a.npy holds a list; expected {adj_matrix: {image: A}"):
        collect_matrices({Path("a.npy"): [1, 2]}, image_stem)


def test_a_different_matrix_in_another_file_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"test.npy holds a second, different adj_matrix of image a;"
    ):
        both = one_file()["local"]
        save(tmp_path, atrain=both, test=both | {"adj_matrix": {"a.txt": SKEW}})


def test_symmetry_is_relative_to_the_largest_number(tmp_path):
    a = np.array([[1000.0, 0.5], [0.5 + 0.009, 1.0]])
    files = one_file({"a": a}, {"a": GOOD["a"]})
    assert to_graphs(save(tmp_path, **files), ["a"]).adjacency[0, 1, 0] == np.float32(0.509)


def test_a_small_file_cannot_expand_to_a_large_matrix(tmp_path):
    row = [0.0] * 10_000
    with pytest.raises(DataError, match="is a list of 10000, expected"):
        to_graphs(save(tmp_path, **one_file({"a": [row] * 10_000})), ["a"])


@pytest.fixture
def options(tmp_path):
    folder = tmp_path / "RSITMD"
    folder.mkdir()
    dataset = tmp_path / "dataset.h5"
    with Dataset.create(dataset, {"dataset": "rsitmd"}) as file:
        file.write(
            images=np.zeros((4, 2, 2, 3), np.uint8),
            names=NAMES,
            files=NAMES,
            sizes=np.ones((4, 2), np.int32),
            splits=["test"] * 4,
            sentences=["a plane"],
            image_of_sentence=[0],
        )
    return import_graphs.Options(
        dataset=dataset,
        folder=folder,
        output=tmp_path / "out" / "graphs.h5",
        summary=tmp_path / "notes" / "summary.txt",
    )


def test_import_graphs_writes_graphs_and_their_description(make_graphs, options, capsys):
    ours = make_graphs()
    train, test = split(by_image(by_key(ours, "{}.txt".format)))
    for name, content in (("train", train), ("test", test)):
        np.save(options.folder / f"{name}.npy", content)
    (options.folder / "note.txt").write_text("not a matrix")
    import_graphs.run(options)
    with Graphs.open(options.output) as file:
        for name, table in file.arrays(
            Graphs.representation, Graphs.adjacency, Graphs.mask
        ).items():
            assert np.array_equal(table, getattr(ours, name))
        assert file.names == NAMES and (file.region_index[:] == -1).all()
        provenance = file.provenance
    assert provenance["dataset"] == "rsitmd" and provenance["settings"] == {"published": "RSITMD"}
    assert provenance["detector"] is None and provenance["regions_sha256"] is None
    assert (
        provenance["columns"] == [str(n) for n in range(1, 21)]
        and "numpy" in provenance["versions"]
    )
    assert provenance["files_sha256"] == {
        f"{name}.npy": file_sha256(options.folder / f"{name}.npy") for name in ("test", "train")
    }
    lines = options.summary.read_text(encoding="utf-8")
    assert lines == capsys.readouterr().err and "so likely 15 classes" in lines


def test_matrices_of_images_that_share_a_stem_are_found_by_their_paths(make_graphs, options):
    ours = make_graphs()
    names = ["x/0.jpg", "y/0.jpg", *NAMES[2:]]
    with Dataset.create(options.dataset, {"dataset": "rsitmd"}) as file:
        file.write(
            images=np.zeros((4, 2, 2, 3), np.uint8),
            names=names,
            files=["x/0.jpg", "y/0.jpg", "in/2.tif", "in/3.tif"],
            sizes=np.ones((4, 2), np.int32),
            splits=["test"] * 4,
            sentences=["a plane"],
            image_of_sentence=[0],
        )
    spelt = dict(zip(NAMES, ["x/0", "y\\0", NAMES[2], f"{NAMES[3]}.jpg"], strict=True))
    both = by_key(ours, "{}".format)
    renamed = {
        key: {f"{spelt[name]}.txt": table for name, table in tables.items()}
        for key, tables in both.items()
    }
    np.save(options.folder / "all.npy", renamed)
    import_graphs.run(options)
    with Graphs.open(options.output) as file:
        assert file.names == names
        assert np.array_equal(file.representation[:], ours.representation)


def test_import_graphs_without_files_or_with_foreign_ones_writes_nothing(options):
    with pytest.raises(DataError, match=r"RSITMD holds no .npy file; put the authors' files of"):
        import_graphs.run(options)
    np.save(options.folder / "a.npy", {"a": Path()})
    with pytest.raises(DataError, match=r"a.npy holds pathlib"):
        import_graphs.run(options)
    assert not options.output.exists() and not options.summary.exists()
