"""Matrices that hypothesis draws by `st.from_type(SimilarityMatrix)`, with few values and so with many ties."""

import numpy as np
from hypothesis import strategies as st

from galr.evaluate.ranks import SimilarityMatrix


@st.composite
def pairs(draw):
    """Any number of sentences an image, in any order, with repeated images and sentences."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = draw(st.integers(1, 12))
    counts = random.integers(1, draw(st.integers(1, 4)) + 1, size=images)
    image_of_sentence = random.permutation(np.repeat(np.arange(images), counts))
    values = draw(st.sampled_from([1, 2, 5, 50]))
    similarity = (
        random.integers(-values, values + 1, size=(images, len(image_of_sentence))) / values
    )
    if draw(st.booleans()):
        similarity[-1] = similarity[0]
    if draw(st.booleans()):
        similarity[:, -1] = similarity[:, 0]
    return SimilarityMatrix(
        similarity.astype(draw(st.sampled_from([np.float32, np.float64]))), image_of_sentence
    )


st.register_type_strategy(SimilarityMatrix, pairs())
