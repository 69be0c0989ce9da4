"""The HDF5 formats of the pipeline: one class a file, one attribute a table."""

import numpy as np

from galr.io.hdf5 import Array, HDF5File, Subgroup, TableGroup, Text


class Dataset(HDF5File):
    """`results/<dataset>/dataset.h5`: every image at one size, its sentences and its split."""

    kind, version, command = "dataset", 1, "galr data"

    images = Array("uint8", "image", "size", "size", 3, meaning="RGB pixels; one chunk an image")
    names = Text("image", meaning="name of each image, unique")
    files = Text("image", meaning="path of its file below the dataset's folder")
    sizes = Array("int32", "image", 2, meaning="width and height of the original, pixels")
    splits = Text("image", meaning="`train`, `val` or `test`")
    sentences = Text("sentence", meaning="sentences as they came")
    image_of_sentence = Array(
        "int32", "sentence", meaning="row of the image of each sentence, non-decreasing"
    )

    def content_problem(self) -> str | None:
        """A sentence belongs to a row of the images."""
        return owner_problem(self.image_of_sentence[:], self.images.shape[0])


class Regions(HDF5File):
    """`results/<dataset>/regions.h5`: the regions of every image, one image after the other."""

    kind, version, command = "regions", 1, "galr regions"

    names = Text("image", meaning="name of each image, as in dataset.h5")
    sizes = Array("int32", "image", 2, meaning="width and height of the image, pixels")
    offsets = Array(
        "int64", "image + 1", meaning="image i has the regions `offsets[i]:offsets[i + 1]`"
    )
    boxes = Array("float32", "region", 4, meaning="x1, y1, x2, y2 in pixels of the original image")
    scores = Array("float32", "region", meaning="score in [0, 1], descending within an image")
    classes = Array("int32", "region", meaning="row in `class_names`")
    class_names = Text("class", meaning="name of each class")

    def content_problem(self) -> str | None:
        """The offsets divide the regions among the images."""
        offsets, regions = self.offsets[:], self.boxes.shape[0]
        if (np.diff(offsets, prepend=0, append=regions) < 0).any() or offsets[0] != 0:
            return f"has offsets that do not divide its {regions} regions among its images"
        if offsets[-1] != regions:
            return f"has offsets up to {offsets[-1]} for {regions} regions"
        return None


class Graphs(HDF5File):
    """`results/<dataset>/<variant>/graphs.h5`: what DREA made of the regions of every image."""

    kind, version, command = "graphs", 2, "galr graphs"

    names = Text("image", meaning="name of each image, as in dataset.h5")
    representation = Array(
        "float32", "image", "row", "feature",
        meaning="X: class one-hot, score, centre x and y, width, height; zero in padding",
    )  # fmt: skip
    adjacency = Array("float32", "image", "row", "row", meaning="A: symmetric, zero in padding")
    mask = Array(
        "bool", "image", "row", meaning="whether a row is a region; the others are padding"
    )
    region_index = Array(
        "int32", "image", "row",
        meaning="index of the row's region among the image's regions; -1 in padding or where not known",
    )  # fmt: skip
    num_redundant = Array("int32", "image", meaning="regions dropped as redundant")


class SplitTables(TableGroup):
    """Embeddings and similarity of one split."""

    similarity = Array("float32", "image", "sentence", meaning="cosines")
    image_embeddings = Array("float32", "image", "embedding", meaning="rows of unit length")
    sentence_embeddings = Array("float32", "sentence", "embedding", meaning="rows of unit length")
    names = Text("image", meaning="name of each image")
    sentences = Text("sentence", meaning="the sentences")
    image_of_sentence = Array("int32", "sentence", meaning="row of the image of each sentence")

    def content_problem(self) -> str | None:
        """A sentence belongs to a row of the images."""
        return owner_problem(self.image_of_sentence[:], self.similarity.shape[0])


class BankTables(TableGroup):
    """Embeddings of a fold's training images and of their distinct sentences."""

    image_embeddings = Array("float32", "image", "embedding", meaning="rows of unit length")
    sentence_embeddings = Array("float32", "sentence", "embedding", meaning="rows of unit length")


class Similarity(HDF5File, SplitTables):
    """`results/<dataset>/<variant>/fold<k>/similarity.h5`: the test split; beside it the validation images."""

    kind, version, command = "similarity", 2, "galr similarity"

    validation = Subgroup(
        SplitTables, meaning="the same six tables of the fold's validation images"
    )
    bank = Subgroup(
        BankTables,
        meaning="`image_embeddings` and `sentence_embeddings` of the fold's training images and their distinct"
        " sentences, for `qbnorm`",
        optional=True,
    )


class RankTables(TableGroup):
    """Ranks under one rerank."""

    i2t = Array("float64", "image", meaning="rank of an image's best own sentence, from 0")
    t2i = Array("float64", "sentence", meaning="rank of a sentence's image, from 0")
    i2t_hits = Array("float64", "image", 3, meaning="probability that the rank is below 1, 5, 10")
    t2i_hits = Array("float64", "sentence", 3, meaning="the same for a sentence")


class Ranks(HDF5File):
    """`results/<dataset>/<variant>/fold<k>/ranks.h5`: ranks of the test split, a group for each rerank."""

    kind, version, command = "ranks", 1, "galr evaluate"

    image_of_sentence = Array("int32", "sentence", meaning="row of the image of each sentence")

    @property
    def reranks(self) -> dict[str, RankTables]:
        """The groups by name of the rerank, in alphabetical order."""
        groups = self.group.items()
        return {name: RankTables(group) for name, group in groups if name not in self.tables()}

    def write_rerank(self, name: str, **tables: np.ndarray) -> None:
        """Write the ranks under one rerank."""
        RankTables(self.group.create_group(name)).write(**tables)

    def content_problem(self) -> str | None:
        """Every rerank has ranks for the same images and sentences."""
        owners = self.image_of_sentence[:]
        for name, tables in self.reranks.items():
            if wrong := tables.problem():
                return f"{wrong} (in the group {name})"
            if tables.t2i.shape != owners.shape:
                return f"has {name}/t2i of shape {tables.t2i.shape}, expected {owners.shape}"
            if wrong := owner_problem(owners, tables.i2t.shape[0]):
                return wrong
        return None

    @classmethod
    def describe(cls) -> list[str]:
        """The tables of the file, then those of every rerank."""
        inner = [line.replace("| `", "| `<rerank>/", 1) for line in RankTables.describe()[2:]]
        return super().describe() + inner


def owner_problem(image_of_sentence: np.ndarray, images: int) -> str | None:
    """Say which sentence belongs to no image.

    Args:
        image_of_sentence: (sentence,) row of the image of each sentence.
        images: number of images.
    """
    wrong = (image_of_sentence < 0) | (image_of_sentence >= images)
    if not wrong.any():
        return None
    first = int(wrong.argmax())
    return f"has image_of_sentence[{first}] = {image_of_sentence[first]}, expected a row of {images} images"


FORMATS: tuple[type[HDF5File], ...] = (Dataset, Regions, Graphs, Similarity, Ranks)
