"""Search: an index of any images, and its answers to sentences or to images.

A sentence is answered without loading the whole model or a detector; only embedding images needs them.
"""

from typing import Literal

# What FAISS keeps of the embeddings; here, because the options of `galr index` must not load FAISS.
IndexKind = Literal["flat", "hnsw", "ivfpq"]
