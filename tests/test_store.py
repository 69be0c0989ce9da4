import h5py
import numpy as np
import pytest

from galr import store
from galr.errors import StoreError

SMALL = store.Layout("small", 2, {"numbers": "(n,) int64", "words": "(n,) text", "extra/*": ""})


def write(path, layout=SMALL):
    with store.writing(path, layout, {"seed": 1}) as file:
        store.write_arrays(file, numbers=np.arange(3))
        store.write_texts(file, "words", ["a", "", "飛行機"])


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "new" / "small.h5")
    with store.reading(tmp_path / "new" / "small.h5", SMALL) as file:
        assert file["numbers"][:].tolist() == [0, 1, 2]
        assert store.texts(file["words"]) == ["a", "", "飛行機"]
        assert store.provenance(file) == {"seed": 1}


def test_a_broken_writer_leaves_nothing_and_spoils_nothing(tmp_path):
    path = tmp_path / "small.h5"
    write(path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), store.writing(path, SMALL, {}) as file:
        store.write_arrays(file, numbers=np.arange(9))
        raise RuntimeError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_no_texts_can_be_stored(tmp_path):
    with store.writing(tmp_path / "small.h5", SMALL, {}) as file:
        store.write_texts(file, "words", [])
        assert store.texts(file["words"]) == []


def test_unusable_files_are_named_with_what_to_do(tmp_path):
    path = tmp_path / "small.h5"
    with pytest.raises(StoreError, match=r"does not exist; run: snakemake .*small\.h5"):
        store.reading(path, SMALL).__enter__()
    write(path)
    with pytest.raises(StoreError, match="holds small, expected dataset"):
        store.reading(path, store.DATASET).__enter__()
    with pytest.raises(StoreError, match="format 2 of small, this code reads 3; delete it"):
        store.reading(path, store.Layout("small", 3, {})).__enter__()
    with pytest.raises(StoreError, match="lacks more, most; delete it"):
        store.reading(path, store.Layout("small", 2, {"more": "", "most": ""})).__enter__()
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(StoreError, match="cut short or no HDF5 file"):
        store.reading(path, SMALL).__enter__()
    with h5py.File(path, "w"):
        pass
    with pytest.raises(StoreError, match="something foreign"):
        store.reading(path, SMALL).__enter__()
