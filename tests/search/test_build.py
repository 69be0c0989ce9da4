"""`galr index`: what an index holds, updates, interruptions and files that do not fit."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from galr.errors import ConfigError, DataError, StoreError
from galr.io.formats import Graphs
from galr.search import sources
from galr.search.index import IndexNames, open_index
from galr.search.region_detector import load_region_detector
from galr.search.tile_encoder import TileEncoder
from galr.search.tile_table import BuildJournal

from .conftest import NUM_IMAGES, galr, write_image  # isort: skip


def embeddings(index):
    return np.array(open_index(index).vectors.embeddings)


def embeddings_by_name(index):
    """Embeddings of every name: {name: (tiles, embed_dim)}."""
    opened = open_index(index)
    with IndexNames.open(index / opened.manifest["generation"] / "names.h5") as file:
        names, ends = file.names, file.name_offsets[:]
    images = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    return {
        name: np.array(opened.vectors.embeddings[opened.offsets[image] : opened.offsets[image + 1]])
        for name, image in zip(names, images, strict=True)
    }


def contents(index):
    """All that must not depend on how the index was built."""
    generation = index / open_index(index).manifest["generation"]
    with IndexNames.open(generation / "names.h5") as file:
        tables = {name: array.tobytes() for name, array in file.arrays().items()}
        tables |= {"keys": file.keys, "names": file.names, "systems": file.systems}
    files = [(generation / name).read_bytes() for name in ("embeddings.npy", "vectors.faiss")]
    return tables, files, (index / "skipped.csv").read_text()


def record_embedded(monkeypatch):
    """A list that collects the tiles embedded from now on."""
    embedded = []
    embed = TileEncoder.embed
    monkeypatch.setattr(
        TileEncoder, "embed", lambda self, images: (embedded.extend(images), embed(self, images))[1]
    )
    return embedded


def interrupt_builds(monkeypatch, num_blocks):
    """Interrupt every build from now on when its journal has a number of blocks."""
    add = BuildJournal.add

    def interrupt(self, block):
        if len(self.paths()) == num_blocks:
            raise KeyboardInterrupt
        add(self, block)

    monkeypatch.setattr(BuildJournal, "add", interrupt)


@pytest.mark.parametrize("variant", ["global_run", "both_run"])
def test_a_dataset_and_the_folder_of_its_images_have_the_same_embeddings(
    runs, make_index, tmp_path, variant
):
    run = getattr(runs, variant)
    of_dataset = embeddings_by_name(make_index(run=run, output=tmp_path / "one"))
    of_folder = embeddings_by_name(make_index(runs.images, run=run, output=tmp_path / "two"))
    assert len(of_dataset) == len(of_folder) == NUM_IMAGES
    for name, rows in of_dataset.items():
        np.testing.assert_allclose(of_folder[f"{name}.png"], rows, atol=2e-5)
    rows = np.concatenate(list(of_dataset.values()))
    assert np.abs(rows[:1] - rows[1:]).max() > 1e-3  # so that not all are the same


def test_an_index_holds_every_tile_of_every_distinct_image(make_index, folder, capsys):
    index = make_index(folder)
    assert (
        "5 images in 18 tiles; distinct images: 4 new, 0 kept, 0 removed; flat, exact"
        in capsys.readouterr().err
    )
    rows = embeddings_by_name(index)
    assert {name: len(tiles) for name, tiles in rows.items()} == {
        "a.png": 1, "deep/twin.png": 1, "deep/b.png": 1, "deep/c.tif": 1, "large.png": 15
    }  # fmt: skip
    assert np.array_equal(rows["a.png"], rows["deep/twin.png"])
    np.testing.assert_allclose(np.linalg.norm(embeddings(index), axis=1), 1, atol=1e-5)
    tiles = open_index(index).tile_records(range(18))
    assert tiles[0].name == "a.png" and tiles[0].other_names == ("deep/twin.png",)
    assert {tile.window[2:] for tile in tiles if tile.name == "large.png"} == {(40, 40)}
    manifest = json.loads((index / "index.json").read_text())
    assert manifest["sources"] == [
        {"kind": "folder", "path": "../mine", "pixels": {"bands": None, "range": None}}
    ]
    assert manifest["ann"] == {
        "kind": "flat", "effort": 0,
        "recall": {"at_10": 1.0, "queries": 18, "of": "rows of the index with noise"},
    }  # fmt: skip
    assert not (index / ".journal").exists()


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_an_interrupted_build_continues_to_the_same_bits(
    make_index, folder, tmp_path, monkeypatch, num_blocks
):
    monkeypatch.setattr(sources, "BLOCK_ROWS", 4)
    for number in range(6):
        write_image(folder / f"z{number}.png", 200 + number)
    (folder / "m.png").write_text("no image")
    uninterrupted = contents(make_index(folder, output=tmp_path / "whole"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_builds(patched, num_blocks)
        make_index(folder, output=tmp_path / "cut")
    with pytest.raises(StoreError, match="holds no index"):
        open_index(tmp_path / "cut")
    embedded = record_embedded(monkeypatch)
    assert contents(make_index(folder, output=tmp_path / "cut")) == uninterrupted
    assert 0 < len(embedded) < 24 - 3 * num_blocks


def test_an_interrupted_build_of_a_dataset_continues_to_the_same_bits(
    make_index, tmp_path, monkeypatch
):
    monkeypatch.setattr(sources, "BLOCK_ROWS", 5)
    uninterrupted = contents(make_index(output=tmp_path / "whole"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_builds(patched, 1)
        make_index(output=tmp_path / "cut")
    assert contents(make_index(output=tmp_path / "cut")) == uninterrupted


def test_an_update_embeds_new_images_alone(make_index, folder, monkeypatch, capsys):
    index = make_index(folder)
    before, embedded = embeddings_by_name(index), record_embedded(monkeypatch)
    make_index(folder)
    assert "0 new, 4 kept, 0 removed" in capsys.readouterr().err.splitlines()[-1]
    assert embedded == []
    write_image(folder / "new.png", 300)
    write_image(folder / "deep/b.png", 301)  # another image under an old name
    shutil.move(folder / "a.png", folder / "moved.png")
    (folder / "deep/c.tif").unlink()
    make_index(folder)
    assert "2 new, 2 kept, 2 removed" in capsys.readouterr().err.splitlines()[-1]
    assert len(embedded) == 2
    after = embeddings_by_name(index)
    assert set(after) == {"deep/b.png", "deep/twin.png", "large.png", "moved.png", "new.png"}
    for new, old in (
        ("moved.png", "a.png"),
        ("deep/twin.png", "a.png"),
        ("large.png", "large.png"),
    ):
        assert np.array_equal(after[new], before[old])
    assert not np.allclose(after["deep/b.png"], before["deep/b.png"])
    assert len([path for path in index.iterdir() if path.is_dir()]) == 1


def test_a_second_source_is_added_to_the_first(make_index, folder, tmp_path):
    index = make_index()
    alone = embeddings_by_name(make_index(folder, output=tmp_path / "alone"))
    make_index(folder)
    both = embeddings_by_name(index)
    assert len(both) == NUM_IMAGES + 5
    for name, rows in alone.items():
        np.testing.assert_allclose(both[name], rows, atol=1e-6)
    kinds = [source["kind"] for source in open_index(index).manifest["sources"]]
    assert kinds == ["dataset", "folder"]
    assert len(embeddings_by_name(make_index())) == NUM_IMAGES + 5


def test_another_tiling_replaces_the_tiles(make_index, folder):
    index = make_index(folder)
    make_index(folder, "--tile", 64)
    assert len(embeddings_by_name(index)["large.png"]) == 6


def test_changing_the_kind_embeds_nothing(make_index, folder, monkeypatch, capsys):
    index = make_index(folder)
    before, embedded = embeddings(index), record_embedded(monkeypatch)
    make_index(folder, "--ann", "hnsw")
    assert embedded == [] and np.array_equal(embeddings(index), before)
    assert "hnsw, recall@10 1.000 of 18 rows of the index with noise" in capsys.readouterr().err
    assert make_index(folder) == index and open_index(index).manifest["ann"]["kind"] == "hnsw"
    with pytest.raises(ConfigError, match="ivfpq is trained on at least"):
        make_index(folder, "--ann", "ivfpq")
    assert open_index(index).manifest["ann"]["kind"] == "hnsw"


def test_unreadable_images_are_skipped_and_listed(make_index, folder, capsys):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "deep/pointer.tif").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "notes.txt").write_text("no image by its suffix, so that it is not listed")
    cut = (folder / "large.png").read_bytes()
    (folder / "cut.png").write_bytes(cut[: len(cut) // 2])
    index = make_index(folder)
    listed = f"4 images could not be read; they are listed in {index / 'skipped.csv'}"
    assert listed in capsys.readouterr().err
    with (index / "skipped.csv").open() as file:
        reasons = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {"broken.jpg", "deep/pointer.tif", "gone.png", "cut.png"}
    assert (
        "pointer of Git LFS" in reasons["deep/pointer.tif"]
        and "No such file" in reasons["gone.png"]
    )
    assert len(embeddings_by_name(index)) == 5
    write_image(folder / "cut.png", 400)  # a repaired image is not skipped again
    make_index(folder)
    assert "cut.png" in embeddings_by_name(index)


def test_a_raster_that_is_cut_short_leaves_no_tile(make_index, folder):
    pixels = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "cut.tif")
    cut = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(cut[: len(cut) * 2 // 3])
    index = make_index(folder)
    assert len(embeddings(index)) == 18 and "cut.tif" not in embeddings_by_name(index)
    assert "cut.tif" in (index / "skipped.csv").read_text()


def test_a_folder_without_images_leaves_the_index_as_it_was(make_index, folder, tmp_path):
    index = make_index(folder)
    before = contents(index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        make_index(tmp_path / "empty")
    (tmp_path / "empty/a.png").write_text("no image")
    with pytest.raises(DataError, match="nowhere is no folder"):
        make_index(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"none of the 1 images in .* could be read, for example a.png"
    ):
        make_index(tmp_path / "empty", output=tmp_path / "other")
    assert contents(index) == before


def test_embeddings_that_are_not_finite_are_an_error(make_index, folder, monkeypatch, tmp_path):
    embed = TileEncoder.embed
    monkeypatch.setattr(TileEncoder, "embed", lambda self, images: embed(self, images) * np.nan)
    with pytest.raises(DataError, match="are not finite numbers"):
        make_index(folder)
    assert not (tmp_path / "index/.journal").exists()


def test_a_run_with_another_checkpoint_cannot_update_an_index(runs, make_index, folder):
    index = make_index(folder)
    before = contents(index)
    with pytest.raises(ConfigError, match=r"was made by checkpoint \w+ \(small, global, fold 0\)"):
        make_index(folder, run=runs.other_run)
    assert contents(index) == before


def test_a_run_with_another_checkpoint_cannot_finish_an_interrupted_build(
    runs, make_index, folder, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(BuildJournal, "clear", lambda self: None)
        index = make_index(folder)
    (index / "index.json").unlink()
    with pytest.raises(StoreError, match="unfinished work of another run"):
        make_index(folder, run=runs.other_run)


@pytest.mark.parametrize("name", ["embeddings.npy", "vectors.faiss", "names.h5", "bank.npy"])
def test_files_of_another_index_are_an_error(runs, make_index, folder, tmp_path, name):
    one = make_index(folder)
    two = make_index(runs.images, run=runs.other_run, output=tmp_path / "two")

    def find(index):
        generation = "" if name == "bank.npy" else open_index(index).manifest["generation"]
        return index / generation / name

    path = find(one)
    shutil.copy(find(two), path)
    with pytest.raises(StoreError, match=f"{name} has changed since .* do not belong together"):
        open_index(one)
    path.unlink()
    with pytest.raises(StoreError, match=f"{name} is missing"):
        open_index(one)


def test_files_with_different_numbers_of_rows_are_an_error(make_index, folder):
    index = make_index(folder)
    manifest = json.loads((index / "index.json").read_text())
    path = index / manifest["generation"] / "embeddings.npy"
    np.save(path, np.load(path)[:-1])
    manifest["files"] = {}
    (index / "index.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="rows of embeddings 17, FAISS 18, names 18"):
        open_index(index)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(StoreError, match="is damaged or no table"):
        open_index(index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"kind": "index", "version": 9}', "format 9 of index"),
    ],
)
def test_a_damaged_index_json_is_an_error(make_index, folder, text, message):
    index = make_index(folder)
    (index / "index.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        open_index(index)


def test_another_detector_than_that_of_the_graphs_is_an_error(runs, make_index, folder, tmp_path):
    other = tmp_path / "random.yaml"
    other.write_text(runs.detector.read_text().replace("score: 0.0", "score: 0.5"))
    with pytest.raises(ConfigError, match="is not the detector that found the regions"):
        make_index(folder, "--detector", other, run=runs.both_run)
    with pytest.raises(DataError, match="are not the weights"):
        make_index(folder, "--weights", runs.global_run / "checkpoint.pt", run=runs.both_run)
    with pytest.raises(DataError, match="is missing, the detector's weights"):
        make_index(folder, "--weights", "nowhere.pth", run=runs.both_run)


@pytest.mark.parametrize(
    ("settings", "detector", "message"),
    [
        ({"published": "RSITMD"}, None, "the authors' published matrices"),
        ({"max_regions": 5}, {"name": "yolo", "results_sha256": "x"}, r"imported boxes \(yolo\)"),
    ],
)
def test_graphs_without_a_detector_cannot_index_a_folder(tmp_path, settings, detector, message):
    path = tmp_path / "graphs.h5"
    with Graphs.create(path, {"settings": settings, "detector": detector}) as file:
        file.write(
            names=["a"],
            representation=np.zeros((1, 2, 3)),
            adjacency=np.zeros((1, 2, 2)),
            mask=np.zeros((1, 2), bool),
            region_index=np.full((1, 2), -1),
            num_redundant=np.zeros(1, int),
        )
    with pytest.raises(ConfigError, match=message):
        load_region_detector(path, None, None, "cpu")


def test_a_run_with_changed_files_cannot_index(runs, tmp_path):
    shutil.copytree(runs.folder / "results", tmp_path / "results")
    run = tmp_path / "results/small/both/fold0"
    for name in ("both/graphs.h5", "dataset.h5"):
        path = tmp_path / "results/small" / name
        original = path.read_bytes()
        with h5py.File(path, "a") as file:
            file.attrs["touched"] = 1
        with pytest.raises(StoreError, match=r"is not the file that .* was trained on"):
            galr("index", "--run", run, "--output", tmp_path / "index")
        path.write_bytes(original)
    with pytest.raises(StoreError, match="no checkpoint at"):
        galr("index", "--run", tmp_path / "nowhere", "--output", tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tile", 0), "--tile and --max-untiled must be at least 1 pixel"),
        (("--overlap", 1), r"--overlap must be a fraction .* in \[0, 1\), got 1"),
        (("--batch", 0), "--batch must be at least 1, got 0"),
        (("--threads", 0), "--threads must be at least 1, got 0"),
    ],
)
def test_flags_out_of_range_are_an_error(runs, tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        galr("index", "--run", runs.global_run, "--output", tmp_path / "x", *words)
