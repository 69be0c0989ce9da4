"""`galr index` from entrance to exit, on drawn pictures and models of random weights."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from galr import store
from galr.errors import ConfigError, DataError, StoreError
from galr.search import sources
from galr.search.index import NAMES_LAYOUT, open_index
from galr.search.tile_encoder import TileEncoder, load_region_detector
from galr.search.tile_table import BuildJournal

from .conftest import IMAGES, call, draw  # isort: skip


def embeddings(index):
    return np.array(open_index(index).vectors.rows)


def by_name(index):
    """Embeddings of every name: {name: (tiles, embedding)}."""
    made = open_index(index)
    with store.reading(index / made.manifest["generation"] / "names.h5", NAMES_LAYOUT) as file:
        names, ends = store.texts(file["names"]), file["name_offsets"][:]
    content = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    return {
        name: np.array(made.vectors.rows[made.offsets[which] : made.offsets[which + 1]])
        for name, which in zip(names, content, strict=True)
    }


def parts(index):
    """Everything in the index that must not depend on how it came about."""
    made = open_index(index)
    place = index / made.manifest["generation"]
    with store.reading(place / "names.h5", NAMES_LAYOUT) as file:
        tables = {
            name: file[name][:].tobytes()
            for name in NAMES_LAYOUT.tables
            if file[name].dtype != object
        }
        tables |= {name: store.texts(file[name]) for name in ("keys", "names", "systems")}
    files = [(place / name).read_bytes() for name in ("embeddings.npy", "vectors.faiss")]
    return tables, files, (index / "skipped.csv").read_text()


def count_pictures(monkeypatch):
    """Count the pictures that are embedded from now on."""
    counted = []
    embed = TileEncoder.embed
    monkeypatch.setattr(
        TileEncoder, "embed", lambda self, some: (counted.extend(some), embed(self, some))[1]
    )
    return counted


@pytest.mark.parametrize("run", ["global_run", "both_run"])
def test_a_folder_and_the_dataset_are_two_roads_to_the_same_embeddings(
    house, indexed, tmp_path, run
):
    run = getattr(house, run)
    stored = by_name(indexed(run=run, output=tmp_path / "one"))
    looked = by_name(indexed(house.pictures, run=run, output=tmp_path / "two"))
    assert len(stored) == len(looked) == IMAGES
    for name, rows in stored.items():
        np.testing.assert_allclose(looked[f"{name}.png"], rows, atol=2e-5)
    apart = np.concatenate(list(stored.values()))
    assert np.abs(apart[:1] - apart[1:]).max() > 1e-3  # and they are not all the same


def test_what_the_index_holds(house, indexed, folder, capsys):
    index = indexed(folder)
    assert (
        "5 pictures in 18 tiles; of the distinct ones 4 new, 0 kept, 0 gone; flat, exact"
        in capsys.readouterr().err
    )
    rows = by_name(index)
    assert {name: len(each) for name, each in rows.items()} == {
        "a.png": 1, "deep/twin.png": 1, "deep/b.png": 1, "deep/c.tif": 1, "large.png": 15
    }  # fmt: skip
    assert np.array_equal(rows["a.png"], rows["deep/twin.png"])
    np.testing.assert_allclose(np.linalg.norm(embeddings(index), axis=1), 1, atol=1e-5)
    named = open_index(index).tile_records(range(18))
    assert named[0].name == "a.png" and named[0].other_names == ("deep/twin.png",)
    assert {each.window[2:] for each in named if each.name == "large.png"} == {(40, 40)}
    about = json.loads((index / "index.json").read_text())
    assert about["sources"] == [{"kind": "folder", "path": "../mine"}]
    assert about["ann"] == {
        "kind": "flat", "effort": 0,
        "recall": {"at_10": 1.0, "queries": 18, "of": "rows of the index with noise"},
    }  # fmt: skip
    assert not (index / ".journal").exists()


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_bits(indexed, folder, tmp_path, monkeypatch, after):
    monkeypatch.setattr(sources, "BLOCK_ROWS", 4)
    for number in range(6):
        draw(folder / f"z{number}.png", 200 + number)
    (folder / "m.png").write_text("no picture")
    whole = parts(indexed(folder, output=tmp_path / "whole"))
    add, added = BuildJournal.add, []

    def stop(self, block):
        if len(added) == after:
            raise KeyboardInterrupt
        added.append(block)
        add(self, block)

    monkeypatch.setattr(BuildJournal, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        indexed(folder, output=tmp_path / "cut")
    with pytest.raises(StoreError, match="holds no index"):
        open_index(tmp_path / "cut")
    monkeypatch.setattr(BuildJournal, "add", add)
    counted = count_pictures(monkeypatch)
    assert parts(indexed(folder, output=tmp_path / "cut")) == whole
    assert 0 < len(counted) < 24 - 3 * after


def test_a_dataset_goes_on_likewise(indexed, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_ROWS", 5)
    whole = parts(indexed(output=tmp_path / "whole"))
    add = BuildJournal.add

    def stop(self, block):
        if self.paths():
            raise KeyboardInterrupt
        add(self, block)

    monkeypatch.setattr(BuildJournal, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        indexed(output=tmp_path / "cut")
    monkeypatch.setattr(BuildJournal, "add", add)
    assert parts(indexed(output=tmp_path / "cut")) == whole


def test_only_what_is_new_is_embedded(indexed, folder, monkeypatch, capsys):
    index = indexed(folder)
    before, counted = by_name(index), count_pictures(monkeypatch)
    indexed(folder)
    assert "0 new, 4 kept, 0 gone" in capsys.readouterr().err.splitlines()[-1]
    assert counted == []
    draw(folder / "new.png", 300)
    draw(folder / "deep/b.png", 301)  # another picture under an old name
    shutil.move(folder / "a.png", folder / "moved.png")
    (folder / "deep/c.tif").unlink()
    indexed(folder)
    assert "2 new, 2 kept, 2 gone" in capsys.readouterr().err.splitlines()[-1]
    assert len(counted) == 2
    after = by_name(index)
    assert set(after) == {"deep/b.png", "deep/twin.png", "large.png", "moved.png", "new.png"}
    for new, old in (
        ("moved.png", "a.png"),
        ("deep/twin.png", "a.png"),
        ("large.png", "large.png"),
    ):
        assert np.array_equal(after[new], before[old])
    assert not np.allclose(after["deep/b.png"], before["deep/b.png"])
    assert len([each for each in index.iterdir() if each.is_dir()]) == 1


def test_a_second_source_comes_beside_the_first(house, indexed, folder, tmp_path):
    index = indexed()
    alone = by_name(indexed(folder, output=tmp_path / "alone"))
    indexed(folder)
    both = by_name(index)
    assert len(both) == IMAGES + 5
    for name, rows in alone.items():
        np.testing.assert_allclose(both[name], rows, atol=1e-6)
    assert [each["kind"] for each in open_index(index).manifest["sources"]] == ["dataset", "folder"]
    assert len(by_name(indexed())) == IMAGES + 5


def test_other_tiles_are_other_embeddings(indexed, folder):
    index = indexed(folder)
    indexed(folder, "--tile", 64)
    assert len(by_name(index)["large.png"]) == 6


def test_the_kind_changes_without_embedding(indexed, folder, monkeypatch, capsys):
    index = indexed(folder)
    before, counted = embeddings(index), count_pictures(monkeypatch)
    indexed(folder, "--ann", "hnsw")
    assert counted == [] and np.array_equal(embeddings(index), before)
    assert "hnsw, recall@10 1.000 of 18 rows of the index with noise" in capsys.readouterr().err
    assert indexed(folder) == index and open_index(index).manifest["ann"]["kind"] == "hnsw"
    with pytest.raises(ConfigError, match="ivfpq learns from at least"):
        indexed(folder, "--ann", "ivfpq")
    assert open_index(index).manifest["ann"]["kind"] == "hnsw"


def test_unreadable_pictures_are_skipped_and_listed(indexed, folder, capsys):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    Image.fromarray(np.zeros((99, 99), np.float32), "F").save(folder / "deep/float.tif")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "notes.txt").write_text("no picture, and nobody says so")
    cut = (folder / "large.png").read_bytes()
    (folder / "cut.png").write_bytes(cut[: len(cut) // 2])
    index = indexed(folder)
    assert f"were skipped: 4, listed in {index / 'skipped.csv'}" in capsys.readouterr().err
    with (index / "skipped.csv").open() as file:
        rows = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert set(rows) == {"broken.jpg", "deep/float.tif", "gone.png", "cut.png"}
    assert "no known range" in rows["deep/float.tif"] and "No such file" in rows["gone.png"]
    assert len(by_name(index)) == 5
    draw(folder / "cut.png", 400)  # repaired: not skipped for ever
    indexed(folder)
    assert "cut.png" in by_name(index)


def test_a_raster_that_breaks_off_leaves_no_tile(indexed, folder):
    pixels = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "cut.tif")
    cut = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(cut[: len(cut) * 2 // 3])
    index = indexed(folder)
    assert len(embeddings(index)) == 18 and "cut.tif" not in by_name(index)
    assert "cut.tif" in (index / "skipped.csv").read_text()


def test_a_folder_without_a_picture_costs_nothing(indexed, folder, tmp_path):
    index = indexed(folder)
    before = parts(index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        indexed(tmp_path / "empty")
    (tmp_path / "empty/a.png").write_text("no picture")
    with pytest.raises(DataError, match="nowhere is no folder"):
        indexed(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"none of the 1 pictures in .* could be read, for example a.png"
    ):
        indexed(tmp_path / "empty", output=tmp_path / "other")
    assert parts(index) == before


def test_a_model_that_gives_no_numbers_is_refused(indexed, folder, monkeypatch, tmp_path):
    embed = TileEncoder.embed
    monkeypatch.setattr(TileEncoder, "embed", lambda self, some: embed(self, some) * np.nan)
    with pytest.raises(DataError, match="are not finite numbers"):
        indexed(folder)
    assert not (tmp_path / "index/.journal").exists()


def test_another_checkpoint_is_refused(house, indexed, folder):
    index = indexed(folder)
    before = parts(index)
    with pytest.raises(ConfigError, match=r"was made by checkpoint \w+ \(small, global, fold 0\)"):
        indexed(folder, run=house.other_run)
    assert parts(index) == before


def test_unfinished_work_of_another_checkpoint_is_refused(house, indexed, folder, monkeypatch):
    clear = BuildJournal.clear
    monkeypatch.setattr(BuildJournal, "clear", lambda self: None)
    index = indexed(folder)
    (index / "index.json").unlink()
    monkeypatch.setattr(BuildJournal, "clear", clear)
    with pytest.raises(StoreError, match="unfinished work of another run"):
        indexed(folder, run=house.other_run)


@pytest.mark.parametrize("part", ["embeddings.npy", "vectors.faiss", "names.h5", "bank.npy"])
def test_files_that_do_not_belong_together_are_refused(house, indexed, folder, tmp_path, part):
    one = indexed(folder)
    two = indexed(house.pictures, run=house.other_run, output=tmp_path / "two")

    def place(index):
        return (
            index / ("" if part == "bank.npy" else open_index(index).manifest["generation"]) / part
        )

    shutil.copy(place(two), place(one))
    with pytest.raises(StoreError, match=f"{part} has changed since .* do not belong together"):
        open_index(one)
    place_of = next(one.rglob(part))
    place_of.unlink()
    with pytest.raises(StoreError, match=f"{part} is missing"):
        open_index(one)


def test_rows_that_do_not_add_up_are_refused(indexed, folder):
    index = indexed(folder)
    about = json.loads((index / "index.json").read_text())
    path = index / about["generation"] / "embeddings.npy"
    np.save(path, np.load(path)[:-1])
    about["files"] = {}
    (index / "index.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="rows of embeddings 17, FAISS 18, names 18"):
        open_index(index)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(StoreError, match="no whole table"):
        open_index(index)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"kind": "index", "version": 9}', "format 9 of index"),
    ],
)
def test_a_damaged_description_is_refused(indexed, folder, content, says):
    index = indexed(folder)
    (index / "index.json").write_text(content)
    with pytest.raises(StoreError, match=says):
        open_index(index)


def test_a_detector_that_is_another_is_refused(house, indexed, folder, tmp_path):
    other = tmp_path / "random.yaml"
    other.write_text(house.detector.read_text().replace("score: 0.0", "score: 0.5"))
    with pytest.raises(ConfigError, match="is not the detector that found the regions"):
        indexed(folder, "--detector", other, run=house.both_run)
    with pytest.raises(DataError, match="are not the weights"):
        indexed(folder, "--weights", house.global_run / "checkpoint.pt", run=house.both_run)
    with pytest.raises(DataError, match="is missing, the detector's weights"):
        indexed(folder, "--weights", "nowhere.pth", run=house.both_run)


@pytest.mark.parametrize(
    ("settings", "detector", "says"),
    [
        ({"published": "RSITMD"}, None, "the authors' published matrices"),
        ({"most": 5}, {"name": "yolo", "results_sha256": "x"}, r"ready boxes \(yolo\)"),
    ],
)
def test_graphs_that_no_detector_made_index_no_folder(house, tmp_path, settings, detector, says):
    path = tmp_path / "graphs.h5"
    with store.writing(path, store.GRAPHS, {"settings": settings, "detector": detector}) as file:
        for table in store.GRAPHS.tables:
            file[table] = np.zeros(1)
    with pytest.raises(ConfigError, match=says):
        load_region_detector(path, None, None, "cpu")


def test_a_run_whose_files_have_changed_is_refused(house, tmp_path):
    shutil.copytree(house.place / "results", tmp_path / "results")
    run = tmp_path / "results/small/both/fold0"
    for name in ("both/graphs.h5", "dataset.h5"):
        path = tmp_path / "results/small" / name
        kept = path.read_bytes()
        with store.h5py.File(path, "a") as file:
            file.attrs["touched"] = 1
        with pytest.raises(StoreError, match=r"is not the file that .* was trained on"):
            call("index", "--run", run, "--output", tmp_path / "index")
        path.write_bytes(kept)
    with pytest.raises(StoreError, match="no checkpoint at"):
        call("index", "--run", tmp_path / "nowhere", "--output", tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    "words", [("--tile", 0), ("--overlap", 1), ("--batch", 0), ("--threads", 0)]
)
def test_flags_that_mean_nothing_are_refused(house, tmp_path, words):
    with pytest.raises(ConfigError):
        call("index", "--run", house.global_run, "--output", tmp_path / "x", *words)
