import random
import threading
import time
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from galr.commands import regions as stage
from galr.errors import DataError, DeviceError, StoreError
from galr.io.formats import Dataset, Regions
from galr.io.images import load_rgb
from galr.regions import network
from galr.regions.detect import SliceBatch, detect, detect_slices, has_spare_core, iter_batches
from galr.regions.detector_spec import InferenceConfig, SliceConfig, read_network_spec

CPU = torch.device("cpu")
WHOLE = InferenceConfig(input=(64, 64), batch=4, score=0.3, overlap=0.5, regions=20)


@pytest.fixture(scope="module")
def model(trained):
    return network.load_network(read_network_spec(trained.file), trained.checkpoint, CPU)


@pytest.fixture(scope="module")
def pictures(trained):
    return [load_rgb(trained.folder / "images" / f"{number}.png") for number in range(6)]


def opening(pictures):
    """What opens pictures that are open already."""
    return [partial(Image.Image.copy, each) for each in pictures]


def test_batching_changes_no_box(model, pictures):
    mixed = [
        pictures[0],
        pictures[1].resize((40, 56)),
        *pictures[2:5],
        pictures[5].resize((128, 96)),
    ]
    alone = [next(detect(model, opening([each]), WHOLE)) for each in mixed]
    assert sum(len(each.scores) for each in alone) >= 6
    for batched, single in zip(detect(model, opening(mixed), WHOLE), alone, strict=True):
        np.testing.assert_allclose(batched.boxes, single.boxes, atol=1e-3)
        np.testing.assert_allclose(batched.scores, single.scores, atol=1e-5)
        np.testing.assert_array_equal(batched.classes, single.classes)


def test_boxes_are_in_pixels_of_the_picture_as_it_came(model, pictures):
    for picture in pictures:
        (small,) = detect(model, opening([picture]), WHOLE)
        twice = picture.resize((128, 128), Image.Resampling.NEAREST)
        (large,) = detect(model, opening([twice]), WHOLE)
        np.testing.assert_allclose(large.boxes / 2, small.boxes, atol=1)
        np.testing.assert_array_equal(large.classes, small.classes)


def test_invariants_hold_for_every_picture(model, pictures):
    for found in detect(model, opening(pictures), InferenceConfig((64, 64), 4, 0.01, 1.0, 1000)):
        assert len(found.scores) > 2
        assert (found.boxes >= 0).all()
        assert (found.boxes <= 64).all()
        assert ((found.boxes[:, 2:] - found.boxes[:, :2]) > 0).all()
        assert (np.diff(found.scores) <= 0).all()
        assert found.scores.min() >= 0.01
        assert found.scores.max() <= 1
        assert set(found.classes) <= {0, 1}


def test_a_detector_file_asks_for_suppression_across_classes(model, pictures):
    """With every pair of boxes touching at 0, one region a place is left, whatever its class."""
    loose = InferenceConfig((64, 64), 4, 0.01, 1.0, 100)
    strict = InferenceConfig((64, 64), 4, 0.01, 1.0, 100, agnostic_overlap=0.0)
    for many, few in zip(
        detect(model, opening(pictures), loose),
        detect(model, opening(pictures), strict),
        strict=True,
    ):
        assert 0 < len(few.scores) < len(many.scores)
        overlaps = box_iou(torch.tensor(few.boxes), torch.tensor(few.boxes))
        assert overlaps.count_nonzero() == len(few.scores)  # each with itself


def test_slices_find_once_what_lies_in_several(model, pictures):
    """Four pictures laid together and cut so that each object is seen in two to four slices."""
    sheet = Image.new("RGB", (128, 128))
    for place, picture in enumerate(pictures[:4]):
        sheet.paste(picture, (place % 2 * 64, place // 2 * 64))
    how = InferenceConfig((64, 64), 4, 0.3, 0.5, 100, slices=SliceConfig(64, 0.5))
    (found,) = detect(model, opening([sheet]), how)
    for place, alone in enumerate(detect(model, opening(pictures[:4]), WHOLE)):
        x, y = place % 2 * 64, place // 2 * 64
        for box in alone.boxes[:2] + np.array([x, y, x, y]):
            near = np.abs(found.boxes - box).max(axis=1) < 4
            assert near.sum() == 1


def test_pictures_come_out_in_order_however_long_each_takes_to_open(model, pictures):
    pause = random.Random(0)

    def late(picture):
        time.sleep(pause.random() / 50)
        return picture

    openings = [partial(late, each) for each in pictures * 3]
    for found, alone in zip(
        detect(model, openings, WHOLE, threads=3),
        [*detect(model, opening(pictures), WHOLE)] * 3,
        strict=True,
    ):
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("spare", [True, False])
def test_pictures_are_opened_a_little_ahead_and_no_further(
    model, pictures, monkeypatch, spare, threads
):
    monkeypatch.setattr("galr.regions.detect.has_spare_core", lambda model: spare)
    opened = []

    def note(number):
        opened.append(number)
        return pictures[0]

    found = detect(model, (partial(note, number) for number in range(100)), WHOLE, threads=threads)
    next(found)
    most = WHOLE.batch * (2 if spare else 1) + threads
    deadline = time.monotonic() + 10
    while len(opened) < most and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(opened) == list(range(most))
    found.close()
    assert len(opened) == most
    assert not working()


def test_a_network_that_takes_all_cores_is_left_alone(model, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    for threads, spare in ((2, True), (3, False)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert has_spare_core(model) is spare
    on_gpu = SimpleNamespace(parameters=lambda: iter([torch.empty(1, device="meta")]))
    assert has_spare_core(on_gpu)


def working():
    """Threads of ours that still run."""
    return [each for each in threading.enumerate() if each.name.startswith(("images", "batches"))]


def test_a_damaged_picture_is_named_and_nothing_goes_on_behind(model, pictures, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no picture")
    openings = [*opening(pictures), partial(load_rgb, damaged), *opening(pictures)]
    with pytest.raises(DataError, match=r"damaged.png cannot be decoded .*; replace or remove it$"):
        list(detect(model, openings, WHOLE, threads=2))
    assert not working()


def test_a_network_that_fails_leaves_no_thread_behind(model, pictures, monkeypatch):
    monkeypatch.setattr(model, "test_step", lambda batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(detect(model, opening(pictures * 4), WHOLE, threads=2))
    assert not working()


def test_slices_and_small_pictures_share_batches(pictures):
    large = pictures[0].resize((100, 64))  # two slices
    how = InferenceConfig((64, 64), 4, 0.3, 0.5, 9, slices=SliceConfig(64, 0.2))
    row = [pictures[0], large, pictures[1], large, pictures[2]]
    batches = list(iter_batches(opening(row), how, threads=2))
    assert [[each.image_index for each in batch.slices] for batch in batches] == [
        [0, 1, 1, 2],
        [3, 3, 4],
    ]
    assert [tuple(batch.inputs.shape) for batch in batches] == [(4, 3, 64, 64), (3, 3, 64, 64)]


def test_a_batch_reaches_the_device_in_one_piece():
    """A network on a device that cannot compute: nothing but the batch may go there."""
    arrived = []

    def answer(batch):
        arrived.append((batch["inputs"].device.type, tuple(batch["inputs"].shape)))
        found = [
            SimpleNamespace(
                bboxes=torch.full((rows, 4), rows),
                scores=torch.ones(rows),
                labels=torch.arange(rows),
            )
            for rows in (1, 0, 2)
        ]
        return [SimpleNamespace(pred_instances=each) for each in found]

    model = SimpleNamespace(
        parameters=lambda: iter([torch.empty(1, device="meta")]), test_step=answer
    )
    batch = SliceBatch([], torch.zeros((3, 3, 8, 8), dtype=torch.uint8), [])
    found = detect_slices(model, batch)
    assert arrived == [("meta", (3, 3, 8, 8))]
    assert [each.classes.tolist() for each in found] == [[0], [], [0, 1]]
    assert [each.boxes.tolist() for each in found] == [[[1] * 4], [], [[2] * 4] * 2]


def dataset_of(path, files, sizes):
    """Write what the stage reads of a dataset.h5."""
    with Dataset.create(path, {}) as file:
        file.write(
            images=np.zeros((len(files), 4, 4, 3), np.uint8),
            sizes=np.array(sizes, np.int32),
            image_of_sentence=np.zeros(0, np.int32),
            names=[f.split(".")[0] for f in files],
            files=files,
            splits=["test"] * len(files),
            sentences=[],
        )


@pytest.fixture
def flags(trained, tmp_path):
    """The stage's flags for three pictures: two drawn ones and an empty one."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for number in range(2):
        Image.open(trained.folder / "images" / f"{number}.png").save(folder / f"{number}.png")
    Image.new("RGB", (50, 30), (90, 90, 90)).save(folder / "deep" / "empty.png")
    dataset_of(
        tmp_path / "dataset.h5",
        ["0.png", "deep/empty.png", "1.png"],
        [(64, 64), (50, 30), (64, 64)],
    )

    def make(**changes):
        said = {
            "dataset": tmp_path / "dataset.h5",
            "folder": folder,
            "detector": trained.file,
            "checkpoint": trained.checkpoint,
            "output": tmp_path / "regions.h5",
            "device": "cpu",
        }
        return stage.Options(**said | changes)

    return make


def test_the_stage_writes_regions_of_every_image(flags, model, pictures):
    stage.run(flags())
    with Regions.open(flags().output) as file:
        origin = file.provenance
        assert file.names == ["0", "deep/empty", "1"]
        assert file.class_names == ["square", "bar"]
        offsets = file.offsets[:]
        boxes, scores = file.boxes[:], file.scores[:]
        strong = [(scores[a:b] > 0.3).sum() for a, b in pairwise(offsets)]
    assert strong[1] == 0
    expected = list(detect(model, opening(pictures[:2]), WHOLE))
    assert [strong[0], strong[2]] == [len(each.scores) for each in expected]
    np.testing.assert_allclose(boxes[: strong[0]], expected[0].boxes, atol=1e-3)
    assert origin["detector"]["name"] == "small"
    assert origin["dropped"] >= 0
    hashes = (
        origin["dataset_sha256"],
        *(origin["detector"][k] for k in ("config_sha256", "checkpoint_sha256")),
    )
    assert [len(each) for each in hashes] == [64, 64, 64]


def test_images_without_any_region_are_fine(flags, tmp_path):
    text = flags().detector.read_text().replace("score: 0.05", "score: 1.0")
    (tmp_path / "blind.yaml").write_text(text)
    stage.run(flags(detector=tmp_path / "blind.yaml"))
    with Regions.open(flags().output) as file:
        assert file.offsets[:].tolist() == [0, 0, 0, 0]
        assert file.boxes.shape == (0, 4)


def test_a_picture_that_changed_or_is_gone_is_named(flags, tmp_path):
    picture = tmp_path / "pictures" / "1.png"
    Image.new("RGB", (64, 48)).save(picture)
    with pytest.raises(DataError, match=r"1.png is 64 x 48 pixels, and was 64 x 64"):
        stage.run(flags())
    picture.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1.png cannot be decoded"):
        stage.run(flags())
    picture.unlink()
    with pytest.raises(DataError, match=r"1.png does not exist"):
        stage.run(flags())
    assert not (tmp_path / "regions.h5").exists()


def test_what_is_missing_is_named(flags, tmp_path):
    with pytest.raises(DataError, match="no checkpoint at"):
        stage.run(flags(checkpoint=tmp_path / "no.pth"))
    with pytest.raises(StoreError, match=r"no.h5 does not exist"):
        stage.run(flags(dataset=tmp_path / "no.h5"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named(flags):
    with pytest.raises(DeviceError, match="0 CUDA devices"):
        stage.run(flags(device="cuda"))
