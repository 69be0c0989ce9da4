"""Search: an index of any images, and its answers to sentences or to images.

A sentence is answered without loading the whole model or a detector; only embedding images needs them.
"""

from pathlib import Path
from typing import Literal

from galr.errors import StoreError

MANIFEST = "index.json"  # describes an index

# What FAISS keeps of the embeddings; here, because the options of `galr index` must not load FAISS.
IndexKind = Literal["flat", "hnsw", "ivfpq"]


def check_index_exists(folder: Path) -> None:
    """Check that a folder holds an index; here, because a missing one is refused before FAISS is loaded.

    Raises:
        StoreError: it holds none.
    """
    if not (folder / MANIFEST).is_file():
        raise StoreError(f"{folder} holds no index; make one with galr index --output {folder}")
