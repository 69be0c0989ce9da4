"""The drawn samples are frozen: the same seed gives the same pixels, boxes and sentences.

The digests were recorded before the drawing code was renamed and merged. They also hold with
NumPy's AVX2 and AVX-512 code switched off, so on x86 a difference comes from the code or from a
library and not from the processor.
"""

import hashlib
import json

import pytest

from galr.demo.samples import render_sample


@pytest.mark.parametrize(
    ("seed", "size", "count", "pixels", "annotations"),
    [
        (
            0,
            64,
            30,
            "8938960d9e51103f2d7d89f9ecde7be63540256370c12c8703dd331a6f4995c8",
            "0fb063db0903e1978bf9b3b82f1c746e2032aae3d65e4467e63b39f6c4263665",
        ),
        (
            7,
            100,
            30,
            "836d561811bd7f240637d535598f504fac0f2fd2349ccb374668e8b9ba0d0f9d",
            "f1336431fbcba2e2eca3190194407084cebabfcc2e90f7704e875d3703aaa5f1",
        ),
        (
            7,
            256,
            12,
            "b9df60a230189887796ba4036cf9317e6b7919cd1749777ee8c395b9d9155cd1",
            "16e9ea14dea8204d0cf1e695f8a02788fd759de5cb46f7f75fd4808c627103ba",
        ),
        (
            2024,
            301,
            6,
            "1403a45060e8f8fa13801bd4c5d3369a7118ee1b72e489d23d951b6f6b8360d0",
            "4c876ff12b384638762ca2b2d52a2ac43ec5495cb3ee94160f0d526c20f9b3e3",
        ),
    ],
    ids=["size-64", "size-100", "size-256", "size-301"],
)
def test_samples_are_the_recorded_ones(seed, size, count, pixels, annotations):
    image_digest, annotation_digest = hashlib.sha256(), hashlib.sha256()
    for index in range(count):
        image, sample = render_sample(seed, index, size=size, sentences=7)
        image_digest.update(image.tobytes())
        annotation_digest.update(
            json.dumps([sample.kinds, sample.boxes, sample.sentences]).encode()
        )
    assert image_digest.hexdigest() == pixels
    assert annotation_digest.hexdigest() == annotations
