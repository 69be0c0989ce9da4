"""A trained model for use from Python: images and sentences in, embeddings and similarities out."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from galr.data.subwords import AnyVocabulary, open_vocabulary
from galr.devices import resolve_device
from galr.encoder.inputs import (
    ImageInput,
    OpenedImages,
    RegionInput,
    as_embeddings,
    as_graphs,
    as_images,
    as_regions,
)
from galr.errors import ConfigError, DataError, StoreError, printable
from galr.evaluate.tiled_products import compute_similarity
from galr.graphs.edges import EdgeConfig
from galr.io.pixel_options import PixelOptions
from galr.model.checkpoint import EXPORT_SUFFIX, load_checkpoint, load_safetensors
from galr.model.galr import GaLR, GraphBatch
from galr.progress import ProgressBar
from galr.regions.detector import ImageDetections
from galr.search.region_detector import (
    DETECTOR_FILE,
    DetectorFiles,
    RegionDetector,
    build_graph_batch,
    explain_no_detector,
    open_region_detector,
)
from galr.train.embed import embed_images_in_memory, embed_sentences
from galr.train.graph_store import empty_graphs

CLASS_PREFIX = "class "  # of the names of a representation's class columns
WAYS = "galr.load(…, detector=…)", "galr.load(…, weights=…)"  # to give a detector's files
GIVE_GRAPHS = "graphs= the graphs.h5 that `galr graphs --boxes results.json --images folder --output graphs.h5` writes"


@dataclass(eq=False, repr=False)
class Encoder:
    """Embeds images and sentences in one space, in which the cosine is their similarity.

    Attributes:
        model: in evaluation mode, on `device`.
        architecture: the arguments that the model was built from.
        vocabulary: the words it knows; all others share one token id.
        max_words: longer sentences are cut, with a warning.
        provenance: all that the weights follow from.
        device: where it computes; `to` changes it.
        batch: images or sentences at a time, which bounds the memory; may be changed.
        detector_files: where the detector of its regions is looked for.
    """

    model: GaLR
    architecture: Mapping[str, Any]
    vocabulary: AnyVocabulary
    max_words: int
    provenance: Mapping[str, Any]
    device: torch.device
    batch: int
    detector_files: DetectorFiles
    _detector: RegionDetector | None = field(default=None, init=False)  # opened when needed

    def __repr__(self) -> str:
        """Return one line: name, device, width of the embeddings, parameters."""
        parameters = sum(table.numel() for table in self.model.parameters())
        return (
            f"<galr.Encoder {self.name}: {self.device}, embed_dim {self.architecture['embed_dim']},"
            f" {parameters:,} parameters>"
        )

    def to(self, device: str | torch.device) -> Self:
        """Move the model, and the detector of its regions, to `auto`, `cpu`, `cuda` or `cuda:N`.

        Returns:
            The encoder itself.

        Raises:
            DeviceError: this machine has no such device.
        """
        self.device = resolve_device(str(device))
        self.model.to(self.device)
        self._detector = None  # opened again, there
        return self

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
        images: ImageInput | Iterable[ImageInput],
        graphs: Mapping[str, ArrayLike] | None = None,
        *,
        regions: Sequence[RegionInput] | RegionInput | None = None,
        bands: Sequence[int] | None = None,
        range: Sequence[float] | None = None,
        batch: int | None = None,
    ) -> np.ndarray:
        """Encode images of any sizes, each resized as those of its dataset were.

        A model with a local branch finds the regions of the images by the detector of its training, as
        `galr index` does, unless their regions or graphs are given. The detector is opened when it is first needed.

        Args:
            images: (B,) paths, PIL images, or (height, width, 3) uint8 RGB arrays, in any mixture; an array
                (B, height, width, 3); or one image, which gives one row. At most `batch` of them are decoded at a time.
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
            batch: images at a time; None means the encoder's.

        Returns:
            (B, embed_dim) float32, unit rows.

        Raises:
            ConfigError: the model does not use what is given, or the detector is missing or another one, or its
                regions are of no detector that runs here.
            ShapeError: graphs or regions do not match the images or the model.
            DataError: an image cannot be decoded; `images[3]: …` says which. Or a region contradicts itself, or the
                detector's weights are missing or others.
        """
        some, one = as_images(images)
        self._check_inputs(graphs, regions)
        pixels = PixelOptions.from_dict(self.provenance.get("pixels")).override(bands, range)
        if (graphs is not None or regions is not None) and not isinstance(some, Sized):
            some = list(some)
        tables, given = None, None
        if graphs is not None:
            assert isinstance(some, Sized)
            n, d = self.architecture["max_regions"], self.architecture["node_dim"]
            tables = as_graphs(graphs, len(some), n, d, one)
        elif regions is not None:
            assert isinstance(some, Sized)
            given = as_regions(regions, len(some), one)

        def embed(start: int, batch: Sequence[ImageInput]) -> np.ndarray:
            rows = slice(start, start + len(batch))
            opened = OpenedImages(start, batch, pixels, self.provenance["size"])
            if tables is not None:
                graph = GraphBatch(*(table[rows] for table in tables))
            elif given is not None:
                graph = self._build_graphs(given[rows], opened)
            elif self.uses_regions:
                found = self._open_detector().find(opened.loaders())
                graph = self._build_graphs(found, opened)
            else:
                graph = empty_graphs(len(batch))
            return embed_images_in_memory(
                self.model,
                opened.resized(),
                graph,
                edges=self._edges(),
                input_size=self.architecture["input_size"],
                device=self.device,
            )

        embeddings = self._map_batches(embed, some, batch, "encoding images")
        width = self.architecture["embed_dim"]
        return _check_finite(np.concatenate([np.empty((0, width), np.float32), *embeddings]))

    def find_regions(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        bands: Sequence[int] | None = None,
        range: Sequence[float] | None = None,
        batch: int | None = None,
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Find the regions of images by the detector of the model's training; `encode_images` takes them as `regions`.

        Args:
            images: as for `encode_images`.
            bands: likewise.
            range: likewise.
            batch: likewise.

        Returns:
            For each of the B images boxes (regions, 4) float32 as x1 y1 x2 y2 in its pixels, scores (regions,) float32
            in [0, 1], and classes (regions,) int32, indices into `classes`.

        Raises:
            ConfigError: the model uses no regions, or as for `encode_images`.
            DataError: as for `encode_images`.
        """
        if not self.uses_regions:
            raise ConfigError(f"{self.name} uses no regions, so it has no detector")
        some, _ = as_images(images)
        pixels = PixelOptions.from_dict(self.provenance.get("pixels")).override(bands, range)

        def find(start: int, batch: Sequence[ImageInput]) -> list[ImageDetections]:
            opened = OpenedImages(start, batch, pixels, self.provenance["size"])
            return self._open_detector().find(opened.loaders())

        found = self._map_batches(find, some, batch, "finding regions")
        return [(each.boxes, each.scores, each.classes) for part in found for each in part]

    def encode_sentences(
        self, sentences: str | Iterable[str], *, batch: int | None = None
    ) -> np.ndarray:
        """Encode sentences of any lengths.

        Args:
            sentences: (B,) texts, or one text, which gives one row; case and punctuation are ignored.
            batch: sentences at a time; None means the encoder's.

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
        batch_size = self._batch_size(batch)
        if not texts:
            return np.empty((0, self.architecture["embed_dim"]), np.float32)
        token_ids = self.vocabulary.encode(texts, self.max_words)
        return _check_finite(
            embed_sentences(self.model, token_ids, batch_size=batch_size, device=self.device)
        )

    def similarity(
        self,
        images: ImageInput | Iterable[ImageInput] | torch.Tensor,
        sentences: str | Iterable[str] | np.ndarray | torch.Tensor,
    ) -> np.ndarray:
        """Compare images and sentences.

        Args:
            images: (images, embed_dim) embeddings, floating-point; or images as for `encode_images`.
            sentences: (sentences, embed_dim) embeddings, or sentences as for `encode_sentences`. One embedding may be
                given as (embed_dim,).

        Returns:
            (images, sentences) float32, the cosine of each pair, in [-1, 1] but for rounding; of embeddings that
            the encoder made, the same numbers as in similarity.h5.

        Raises:
            ShapeError: embeddings have another width, or are not finite, or are zero.
            ConfigError: as for `encode_images` and `encode_sentences`.
            DataError: as for `encode_images`.
        """
        width = self.architecture["embed_dim"]
        rows = as_embeddings(images, "images", width)
        columns = as_embeddings(sentences, "sentences", width)
        if columns is None:  # first, since it is quick to refuse
            columns = self.encode_sentences(sentences)  # type: ignore[arg-type]  # no embeddings
        if rows is None:
            rows = self.encode_images(images)  # type: ignore[arg-type]  # no embeddings
        if not len(rows) or not len(columns):
            return np.empty((len(rows), len(columns)), np.float32)
        return compute_similarity(rows, columns, torch.device("cpu"))

    @property
    def uses_regions(self) -> bool:
        """Whether the model has a local branch."""
        return bool(self.architecture["branches"] != "global")

    def _batch_size(self, batch: int | None) -> int:
        """Images or sentences at a time.

        Raises:
            ConfigError: less than 1.
        """
        batch = self.batch if batch is None else batch
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, got {batch}")
        return batch

    def _map_batches(
        self,
        function: Callable[[int, Sequence[ImageInput]], Any],
        images: Iterable[ImageInput],
        batch: int | None,
        title: str,
    ) -> list[Any]:
        """Call a function with the position and the images of each batch, under a progress bar of that title."""
        size = self._batch_size(batch)
        total = len(images) if isinstance(images, Sized) else None
        results, start, iterator = [], 0, iter(images)
        with ProgressBar(total=total, desc=title, unit="image", leave=False, delay=2) as bar:
            while some := list(islice(iterator, size)):
                results.append(function(start, some))
                start += len(some)
                bar.update(len(some))
        return results

    def _open_detector(self) -> RegionDetector:
        """Open the detector of the regions of the training, once.

        Raises:
            ConfigError: its file is missing or another one, or the regions are of no detector that runs here.
            DataError: its weights are missing or others.
        """
        if self._detector is None:
            graphs = self.provenance["graphs"]
            if reason := explain_no_detector(graphs):
                ways = ["regions=[(boxes, scores, classes), …]", GIVE_GRAPHS]
                if "published" in graphs["settings"]:  # how they follow from regions is unknown
                    ways = ["graphs="]
                raise ConfigError(
                    f"{self.name} uses regions, and the graphs.h5 of its training {reason}; give {', or '.join(ways)}"
                )
            self._detector = open_region_detector(graphs, self.detector_files, self.device)
        return self._detector

    def _edges(self) -> EdgeConfig | None:
        """How DREA weighs edges; None where it did not make the graphs of the training."""
        settings = (self.provenance["graphs"] or {}).get("settings", {})
        return EdgeConfig.from_options(settings) if "proximity" in settings else None

    def _check_inputs(self, graphs: object, regions: object) -> None:
        """Check that graphs or regions are given to a model that uses them, and not both.

        Raises:
            ConfigError: they are given twice, or not needed, or how to use the regions is unknown.
        """
        if not self.uses_regions and (graphs is not None or regions is not None):
            raise ConfigError(f"{self.name} uses no regions; leave graphs and regions out")
        if graphs is not None and regions is not None:
            raise ConfigError("graphs and regions were given; give one of them, or neither")
        if regions is not None and not self.classes:
            raise ConfigError(
                f"{self.name} was trained on the authors' published matrices, and how to compute such"
                " matrices from regions is unknown; give graphs="
            )

    def _build_graphs(self, found: Sequence[ImageDetections], images: "OpenedImages") -> GraphBatch:
        """Build the graphs of some images from their regions with DREA."""
        settings = self.provenance["graphs"]["settings"]
        return build_graph_batch(found, images.sizes(), len(self.classes), settings)


def _check_finite(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings if they are numbers.

    Raises:
        DataError: the weights are of a training that failed.
    """
    if not np.isfinite(embeddings).all():
        raise DataError("the model's embeddings are not finite numbers; train it again")
    return embeddings


def open_encoder(
    path: Path,
    *,
    device: str,
    batch: int,
    detector: Path | None = None,
    weights: Path | None = None,
) -> Encoder:
    """Open a trained model.

    Args:
        path: a run's folder, its checkpoint.pt, or an export of `galr export`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch: images or sentences at a time.
        detector: the detector file of its regions; None finds it.
        weights: the detector's weights; None finds them.

    Raises:
        StoreError: the model is missing, damaged, foreign, or of another version.
        DeviceError: this machine has no such device.
        ConfigError: batch is less than 1, or a detector is given to a model without regions.
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
    encoder = Encoder(
        checkpoint.build_model().to(resolved),
        checkpoint.architecture,
        open_vocabulary(checkpoint.vocabulary, checkpoint.tokenizer),
        checkpoint.max_words,
        checkpoint.provenance,
        resolved,
        batch,
        DetectorFiles(
            [file], detector, weights, checkpoint.provenance.get(DETECTOR_FILE), ways=WAYS
        ),
    )
    if (detector or weights) and not encoder.uses_regions:
        raise ConfigError(f"{encoder.name} uses no regions; leave detector and weights out")
    return encoder
