"""The formats of the pipeline's HDF5 files, one class each; the page of formats is written from them."""

from galr.io.hdf5 import HDF5File
from galr.io.tables import NamedGroups, OptionalGroup, Strings, Table, TableGroup


class Dataset(HDF5File):
    """The images of a dataset, each decoded once, and their sentences."""

    kind = "dataset"
    version = 1
    made_by = "galr data"

    images = Table("uint8", ("images", "size", "size", 3), "pixels in RGB, a chunk for each image")
    names = Strings(("images",), "name of each image, unique")
    files = Strings(("images",), "path of its file below the dataset's folder")
    sizes = Table("int32", ("images", 2), "width and height of the original", unit="pixels")
    splits = Strings(("images",), "train, val or test")
    sentences = Strings(("sentences",), "the sentences as they were given")
    image_of_sentence = Table(
        "int32",
        ("sentences",),
        "row of the image of each sentence, never decreasing",
        index_into="images",
    )


class Regions(HDF5File):
    """The regions that a detector found in every image: boxes with class and score."""

    kind = "regions"
    version = 1
    made_by = "galr regions or galr import-regions"

    names = Strings(("images",), "names of the images, as in dataset.h5")
    sizes = Table("int32", ("images", 2), "width and height of the original", unit="pixels")
    offsets = Table(
        "int64",
        ("images+1",),
        "image i has rows offsets[i]:offsets[i+1] of the tables of regions",
        offsets_into="regions",
    )
    boxes = Table("float32", ("regions", 4), "x1, y1, x2, y2 in the original image", unit="pixels")
    scores = Table("float32", ("regions",), "score, descending within an image", unit="in [0, 1]")
    classes = Table("int32", ("regions",), "row of class_names", index_into="classes")
    class_names = Strings(("classes",), "names of the classes")


class Graphs(HDF5File):
    """The graph of every image: n regions with d features each, and the edges between them."""

    kind = "graphs"
    version = 2
    made_by = "galr graphs or galr import-graphs"

    names = Strings(("images",), "names of the images, as in dataset.h5")
    representation = Table(
        "float32",
        ("images", "n", "d"),
        "features of the regions, zero where padding; of DREA class one-hot, score, centre x and y, width, height",
        unit="in [0, 1]",
    )
    adjacency = Table(
        "float32", ("images", "n", "n"), "weights of the edges, symmetric, zero where padding"
    )
    mask = Table("bool", ("images", "n"), "False where a row is padding")
    region_index = Table(
        "int32",
        ("images", "n"),
        "which of the image's regions each row is, from 0; -1 where padding or not known",
    )
    num_redundant = Table("int32", ("images",), "number of regions suppressed as redundant")


class PooledFeatures(TableGroup):
    """One table of numbers for each view of each image."""

    pooled = Table(
        "float16",
        ("images", "views", "width"),
        "average and maximum of the channels of the last map, or CLIP's feature",
    )


class LastMap(TableGroup):
    """One map for each view of each image."""

    map = Table("float16", ("images", "views", "c", "s", "s"), "map after the network's last stage")


class FeatureMaps(TableGroup):
    """Four maps for each view of each image."""

    map4 = Table("float16", ("images", "views", "c4", "s4", "s4"), "map of 1/4 of the image")
    map8 = Table("float16", ("images", "views", "c8", "s8", "s8"), "map of 1/8")
    map16 = Table("float16", ("images", "views", "c16", "s16", "s16"), "map of 1/16")
    map32 = Table("float16", ("images", "views", "c32", "s32", "s32"), "map of 1/32")


class SentenceFeatures(TableGroup):
    """A feature for each distinct sentence."""

    sentences = Strings(("sentences",), "the distinct sentences of the dataset")
    features = Table("float16", ("sentences", "width"), "what the sentence encoder says of them")


class Features(HDF5File):
    """What a frozen encoder says of every image under each of some fixed views, or of every sentence."""

    kind = "features"
    version = 1
    made_by = "galr features"

    names = Strings(("images",), "names of the images, as in dataset.h5")
    pooled = OptionalGroup(
        PooledFeatures, "of an image encoder whose last map is pooled, or of a CLIP"
    )
    last_map = OptionalGroup(
        LastMap, "beside pooled, for a model with model.appearance or model.attention"
    )
    maps = OptionalGroup(FeatureMaps, "of an image encoder under MVSA")
    text = OptionalGroup(SentenceFeatures, "of a sentence encoder")


class SplitSimilarity(TableGroup):
    """The embeddings of one split, and their similarity matrix."""

    similarity = Table(
        "float32", ("images", "sentences"), "cosine of each image and sentence", unit="in [-1, 1]"
    )
    image_embeddings = Table("float32", ("images", "embed_dim"), "unit rows")
    sentence_embeddings = Table("float32", ("sentences", "embed_dim"), "unit rows")
    names = Strings(("images",), "names of the images")
    sentences = Strings(("sentences",), "the sentences")
    image_of_sentence = Table(
        "int32", ("sentences",), "row of the image of each sentence", index_into="images"
    )


class TrainingBank(TableGroup):
    """The embeddings of the training split, which the rerank qbnorm needs."""

    image_embeddings = Table("float32", ("training_images", "embed_dim"), "unit rows")
    sentence_embeddings = Table(
        "float32", ("training_sentences", "embed_dim"), "of the distinct sentences, unit rows"
    )


class Similarity(HDF5File, SplitSimilarity):
    """The test split of a fold, encoded by a trained model; beside it the validation and training splits."""

    kind = "similarity"
    version = 2
    made_by = "galr similarity"
    shared_axes = ("embed_dim",)

    validation = OptionalGroup(SplitSimilarity, "the same tables of the fold's validation split")
    bank = OptionalGroup(
        TrainingBank, "embeddings of the fold's training split; absent with --no-bank"
    )


class RerankRanks(TableGroup):
    """The ranks in both directions after one rerank."""

    i2t = Table("float64", ("images",), "rank of the best sentence of each image, counted from 0")
    t2i = Table("float64", ("sentences",), "rank of the image of each sentence, counted from 0")
    i2t_hits = Table(
        "float64",
        ("images", 3),
        "probability that the rank is below 1, 5 and 10, less than 1 only where ties are broken at random",
        unit="in [0, 1]",
    )
    t2i_hits = Table("float64", ("sentences", 3), "the same of each sentence", unit="in [0, 1]")
    i2t_expected_hits = Table(
        "float64",
        ("images", 3),
        "the hits with ties broken at random, whatever the tie rule of the others is",
        unit="in [0, 1]",
    )
    t2i_expected_hits = Table(
        "float64", ("sentences", 3), "the same of each sentence", unit="in [0, 1]"
    )


class Ranks(HDF5File):
    """The ranks of all queries of the test split, for each rerank."""

    kind = "ranks"
    version = 2
    made_by = "galr evaluate"
    shared_axes = ("images", "sentences")

    image_of_sentence = Table("int32", ("sentences",), "row of the image of each sentence")
    reranks = NamedGroups(RerankRanks, "rerank", "a group for each rerank: none, mr-paper, …")


FORMATS: tuple[type[HDF5File], ...] = (Dataset, Regions, Graphs, Features, Similarity, Ranks)
