"""A trained model for use from Python: images and sentences in, embeddings out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from galr.data.subwords import AnyVocabulary, open_vocabulary
from galr.devices import resolve_device
from galr.errors import ConfigError, DataError, ShapeError, StoreError, printable
from galr.graphs import drea
from galr.graphs.detections import Detections
from galr.graphs.edges import EdgeConfig
from galr.io.images import DecodedImage, load_resized, resize_image
from galr.io.pixel_options import PixelOptions
from galr.model.checkpoint import EXPORT_SUFFIX, load_checkpoint, load_safetensors
from galr.model.galr import GaLR, GraphBatch
from galr.train.embed import embed_images_in_memory, embed_sentences
from galr.train.graph_store import empty_graphs

ImageInput = (
    str | Path | Image.Image | np.ndarray
)  # path, PIL image, or (height, width, 3) uint8 RGB
RegionInput = tuple[
    ArrayLike, ArrayLike, ArrayLike
]  # boxes, scores and classes of an image's regions
CLASS_PREFIX = "class "  # of the names of a representation's class columns


@dataclass(frozen=True, eq=False)
class Encoder:
    """Embeds images and sentences in one space, in which the cosine is their similarity.

    Attributes:
        model: in evaluation mode, on `device`.
        architecture: the arguments that the model was built from.
        vocabulary: the words it knows; all others share one token id.
        max_words: longer sentences are cut, with a warning.
        provenance: all that the weights follow from.
        device: where it computes.
        batch: images or sentences at a time.
    """

    model: GaLR
    architecture: Mapping[str, Any]
    vocabulary: AnyVocabulary
    max_words: int
    provenance: Mapping[str, Any]
    device: torch.device
    batch: int

    @property
    def name(self) -> str:
        """Dataset, variant and fold of its training: `rsitmd, corrected, fold 0`."""
        provenance = self.provenance
        return f"{provenance['dataset']}, {provenance['variant']}, fold {provenance['fold']}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its regions' classes, in order; empty if DREA did not make its graphs here."""
        columns = (self.provenance["graphs"] or {}).get("columns", ())
        return tuple(
            name.removeprefix(CLASS_PREFIX) for name in columns if name.startswith(CLASS_PREFIX)
        )

    def encode_images(
        self,
        images: Sequence[ImageInput],
        graphs: Mapping[str, ArrayLike] | None = None,
        *,
        regions: Sequence[RegionInput] | None = None,
        bands: Sequence[int] | None = None,
        range: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Encode images of any sizes, each resized as those of its dataset were.

        A model with a local branch also needs the regions of the images, as graphs or as regions.

        Args:
            images: (B,) paths, PIL images, or (height, width, 3) uint8 RGB arrays, in any mixture.
            graphs: DREA's graphs of the same images in the same order: `representation` (B, n, d),
                `adjacency` (B, n, n) and `mask` (B, n); a graphs.h5 opened with h5py is such a mapping.
            regions: for each image boxes (regions, 4) as x1 y1 x2 y2 in its pixels, scores (regions,)
                in [0, 1] and classes (regions,) int, indices into `classes`; DREA builds the graphs with the
                settings of the model's training.
            bands: numbers, from 1, of the bands for red, green and blue of TIFF files, or of one for grey; None
                reads them as those of the training were, which leaves it to each file unless its dataset says
                otherwise.
            range: the values that become black and white in images of more than 8 bits; None reads them as those of
                the training were, by percentiles of each image unless its dataset says otherwise.

        Returns:
            (B, embed_dim) float32, unit rows.

        Raises:
            ConfigError: graphs or regions are missing, or the model does not use them.
            ShapeError: they do not match the images or the model.
            DataError: an image cannot be decoded, or a region contradicts itself.
        """
        if isinstance(images, str | Path | Image.Image):
            raise ConfigError("encode_images takes a list of images, got one; put it in brackets")
        self._check_inputs(graphs, regions)
        pixels = PixelOptions.from_dict(self.provenance.get("pixels")).override(bands, range)
        tables = None if graphs is None else self._load_graphs(graphs, len(images))
        if regions is not None and len(regions) != len(images):
            raise ShapeError(
                f"regions of {len(regions)} images were given with {len(images)} images;"
                " give those of each image, empty for an image without regions"
            )
        embeddings = [np.empty((0, self.architecture["embed_dim"]), np.float32)]
        for start in np.arange(0, len(images), self.batch).tolist():  # `range` is an argument
            some = slice(start, start + self.batch)
            resized = [
                _resize_input(image, self.provenance["size"], pixels) for image in images[some]
            ]
            if tables is not None:
                graph = GraphBatch(*(table[some] for table in tables))
            elif regions is not None:
                graph = self._build_graphs(regions[some], resized)
            else:
                graph = empty_graphs(len(resized))
            embeddings.append(
                embed_images_in_memory(
                    self.model,
                    [image.pixels for image in resized],
                    graph,
                    edges=self._edges(),
                    input_size=self.architecture["input_size"],
                    device=self.device,
                )
            )
        return np.concatenate(embeddings)

    def encode_sentences(self, sentences: str | Sequence[str]) -> np.ndarray:
        """Encode sentences of any lengths.

        Args:
            sentences: (B,) texts, or one text, which gives one row; case and punctuation are ignored.

        Returns:
            (B, embed_dim) float32, unit rows.

        Raises:
            ConfigError: a sentence is no text, or has no word or none of the vocabulary, as in `galr search`; or
                what is given is no list.
        """
        given: object = sentences
        if isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
            raise ConfigError(
                f"encode_sentences takes a sentence or a list of sentences, got {printable(repr(given))}"
            )
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        for position, text in enumerate(texts):
            try:
                self.vocabulary.check_query(text)
            except ConfigError as error:
                raise ConfigError(f"sentences[{position}]: {error}") from None
        if not texts:
            return np.empty((0, self.architecture["embed_dim"]), np.float32)
        token_ids = self.vocabulary.encode(texts, self.max_words)
        return embed_sentences(self.model, token_ids, batch_size=self.batch, device=self.device)

    def _edges(self) -> EdgeConfig | None:
        """How DREA weighs edges; None where it did not make the graphs of the training."""
        settings = (self.provenance["graphs"] or {}).get("settings", {})
        return EdgeConfig.from_options(settings) if "proximity" in settings else None

    def _check_inputs(self, graphs: object, regions: object) -> None:
        """Check that graphs or regions are given to a model that needs them, and to no other.

        Raises:
            ConfigError: they are missing, given twice or not needed; the message says what to give.
        """
        local = self.architecture["branches"] != "global"
        if not local and (graphs is not None or regions is not None):
            raise ConfigError(f"{self.name} uses no regions; leave graphs and regions out")
        if local and (graphs is None) == (regions is None):
            given = "neither was given" if graphs is None else "both were given"
            raise ConfigError(
                f"{self.name} uses regions, so it needs graphs or regions of the images, and {given};"
                " give regions=[(boxes, scores, classes), …], or graphs= the graphs.h5 that `galr graphs"
                " --boxes results.json --images folder --output graphs.h5` writes; with the run's own"
                " detector `galr index --run …` embeds a folder"
            )
        if regions is not None and not self.classes:
            raise ConfigError(
                f"{self.name} was trained on the authors' published matrices, and how to compute such"
                " matrices from regions is unknown; give graphs="
            )

    def _load_graphs(self, graphs: Mapping[str, ArrayLike], count: int) -> GraphBatch:
        """Read given graphs of a number of images.

        Raises:
            ShapeError: a table is missing, or its shape does not match the images or the model.
        """
        n, d = self.architecture["max_regions"], self.architecture["node_dim"]
        shapes = {"representation": (count, n, d), "adjacency": (count, n, n), "mask": (count, n)}
        tables = []
        for name, shape in shapes.items():
            if name not in graphs:
                raise ShapeError(f"graphs lack {name}; expected {', '.join(shapes)}")
            table = np.asarray(graphs[name], bool if name == "mask" else np.float32)
            if table.shape != shape:
                raise ShapeError(
                    f"{name} of the graphs is {table.shape}, expected {shape}: {count} images,"
                    f" {n} regions each, {d} features a region"
                )
            tables.append(torch.from_numpy(table))
        return GraphBatch(*tables)

    def _build_graphs(
        self, regions: Sequence[RegionInput], images: Sequence[DecodedImage]
    ) -> GraphBatch:
        """Build the graphs of some images from their regions with DREA."""
        boxes, scores, classes = zip(*(_region_arrays(*each) for each in regions), strict=True)
        graphs = drea.build_graphs(
            Detections(
                offsets=np.cumsum([0, *map(len, boxes)]),
                boxes=np.concatenate(boxes),
                scores=np.concatenate(scores),
                classes=np.concatenate(classes),
                sizes=np.array([(image.width, image.height) for image in images], np.int32),
            ),
            len(self.classes),
            **drea.build_kwargs(self.provenance["graphs"]["settings"]),
        )
        tables = (graphs.representation, graphs.adjacency, graphs.mask)
        return GraphBatch(*(torch.from_numpy(table) for table in tables))


def open_encoder(path: Path, *, device: str, batch: int) -> Encoder:
    """Open a trained model.

    Args:
        path: a run's folder, its checkpoint.pt, or an export of `galr export`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch: images or sentences at a time.

    Raises:
        StoreError: the model is missing, damaged, foreign, or of another version.
        DeviceError: this machine has no such device.
        ConfigError: batch is less than 1.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    if not path.exists():
        raise StoreError(
            f"there is nothing at {path}; give a run's folder, its checkpoint.pt, or the .safetensors"
            " that galr export writes"
        )
    file = path / "checkpoint.pt" if path.is_dir() else path
    checkpoint = load_safetensors(file) if file.suffix == EXPORT_SUFFIX else load_checkpoint(file)
    resolved = resolve_device(device)
    return Encoder(
        checkpoint.build_model().to(resolved),
        checkpoint.architecture,
        open_vocabulary(checkpoint.vocabulary, checkpoint.tokenizer),
        checkpoint.max_words,
        checkpoint.provenance,
        resolved,
        batch,
    )


def _resize_input(image: ImageInput, size: int, pixels: PixelOptions) -> DecodedImage:
    """Decode and resize an image as `galr data` does.

    Args:
        image: a path, a PIL image, or a (height, width, 3) uint8 RGB array.
        size: side of the result in pixels.
        pixels: its bands and range.

    Raises:
        DataError: it is no image, or cannot be decoded.
    """
    if isinstance(image, str | Path):
        return load_resized(Path(image), size, pixels)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise DataError(
                f"an image is an array of {image.dtype} {image.shape}, expected uint8 (height, width, 3),"
                " RGB"
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise DataError(
            f"an image is of type {type(image).__name__}; give a path, a PIL image or a uint8 array"
        )
    return resize_image(image, size, pixels)


def _region_arrays(
    boxes: ArrayLike, scores: ArrayLike, classes: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert the regions of an image to arrays; all empty for an image without regions.

    Args:
        boxes: (regions, 4), x1 y1 x2 y2 in pixels.
        scores: (regions,) in [0, 1].
        classes: (regions,) int.

    Raises:
        ShapeError: their lengths differ, or a box is not four numbers.
    """
    score_array, class_array = np.asarray(scores, np.float32), np.asarray(classes, np.int32)
    box_array = np.asarray(boxes, np.float32)
    if box_array.size == 0:
        box_array = box_array.reshape(0, 4)
    count = len(box_array)
    shapes = (box_array.shape, score_array.shape, class_array.shape)
    if shapes != ((count, 4), (count,), (count,)):
        raise ShapeError(
            f"regions of an image are boxes {shapes[0]}, scores {shapes[1]} and classes {shapes[2]};"
            " expected (regions, 4), (regions,) and (regions,)"
        )
    return box_array, score_array, class_array
