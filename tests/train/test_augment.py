import numpy as np
import pytest
import torch
from PIL import Image

from galr.train.augment import (
    CPU_CHUNK,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ViewParams,
    resize,
    rotate_crop,
    sample_views,
)

VIEWS = sample_views(2 * CPU_CHUNK + 1, 24 / 40, 90, torch.Generator().manual_seed(1))


def raw(pixels):
    """Undo the normalisation."""
    return (
        pixels * torch.tensor(IMAGENET_STD).view(3, 1, 1)
        + torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    ) * 255


def pictures(count=2, size=40):
    """Smooth pictures, so that resampling by another road agrees."""
    random = np.random.default_rng(0).integers(0, 255, (count, 5, 5, 3), dtype=np.uint8)
    grown = [
        np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BICUBIC))
        for each in random
    ]
    return torch.from_numpy(np.stack(grown)).permute(0, 3, 1, 2)


def view(images, crop, degrees, generator):
    """Draw how to turn, and turn."""
    views = sample_views(len(images), crop / images.shape[2], degrees, generator)
    return rotate_crop(images, views, crop)


def test_turning_is_rotation_about_the_centre_then_a_crop(monkeypatch):
    draws = iter([torch.tensor([0.5, 0.0]), torch.tensor([[0.5, 0.5], [0.5, 0.5]])])
    monkeypatch.setattr(torch, "rand", lambda *a, **k: next(draws))
    images = pictures()
    out = raw(view(images, 24, 60, torch.Generator()))
    for image, angle, got in zip(images, (30, 0), out, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        expected = picture.rotate(angle, Image.Resampling.BILINEAR).crop((8, 8, 32, 32))
        difference = np.abs(np.asarray(expected, dtype=float) - got.permute(1, 2, 0).numpy())
        assert difference.mean() < 2 and np.quantile(difference, 0.95) < 6


def test_crops_stay_inside_and_reach_the_border():
    image = torch.full((200, 3, 40, 40), 200, dtype=torch.uint8)
    out = raw(view(image, 30, 0.0, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(out, torch.full_like(out, 200.0), atol=0.01, rtol=0)
    ramp = torch.arange(40, dtype=torch.uint8).view(1, 1, 1, 40).expand(400, 3, 40, 40)
    left = raw(view(ramp, 30, 0.0, torch.Generator().manual_seed(0)))[:, 0, 0, 0]
    assert left.min() < 0.5 and left.max() > 9.5


def test_same_seed_same_pixels():
    one, two = (view(pictures(), 32, 90, torch.Generator().manual_seed(seed)) for seed in (3, 3))
    assert torch.equal(one, two)
    assert not torch.equal(one, view(pictures(), 32, 90, torch.Generator().manual_seed(4)))


def test_resizing_agrees_with_pillow():
    image = pictures(1, 96)
    picture = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    expected = np.asarray(picture.resize((64, 64), Image.Resampling.BILINEAR), dtype=float)
    got = raw(resize(image, 64))[0].permute(1, 2, 0).numpy()
    assert np.abs(expected - got).max() <= 1.5  # Pillow rounds to whole values twice


def test_normalisation_is_imagenets():
    black = resize(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 2)
    assert black[0, :, 0, 0].tolist() == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )


@pytest.mark.parametrize("make", [resize, lambda images, crop: rotate_crop(images, VIEWS, crop)])
def test_many_pictures_are_each_as_if_alone_and_channels_last(make):
    images = pictures(2 * CPU_CHUNK + 1)
    together = make(images, 24)
    assert together.is_contiguous(memory_format=torch.channels_last)
    for row in range(len(images)):
        views = ViewParams(
            VIEWS.rotation[row : row + 1], VIEWS.offset[row : row + 1], VIEWS.crop_fraction
        )
        one = images[row : row + 1]
        alone = resize(one, 24) if make is resize else rotate_crop(one, views, 24)
        assert torch.equal(together[row : row + 1], alone)


@pytest.mark.parametrize("make", [resize, lambda images, crop: rotate_crop(images, VIEWS, crop)])
def test_training_in_bfloat16_sees_the_same_pixels(make):
    images = pictures(2 * CPU_CHUNK + 1)
    with torch.autocast("cpu", torch.bfloat16):
        low = make(images, 24)
    assert torch.equal(low, make(images, 24))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("make", [resize, lambda images, crop: rotate_crop(images, VIEWS, crop)])
def test_a_gpu_sees_the_same_pixels_and_nobody_waits(make):
    images = pictures(2 * CPU_CHUNK + 1)
    there = images.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = make(there, 24)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.cpu(), make(images, 24), atol=1e-3, rtol=0)
