"""A trained model as people use it from Python: pictures and sentences in, embeddings out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from galr.data.vocabulary import Vocabulary
from galr.devices import resolve_device
from galr.errors import ConfigError, DataError, ShapeError, StoreError
from galr.graphs import drea
from galr.graphs.detections import Detections
from galr.io.images import DecodedImage, load_resized, to_rgb
from galr.model import checkpoint
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR, GraphBatch
from galr.train.embed import embed_images_in_memory, embed_sentences, empty_graphs

ImageInput = (
    str | Path | Image.Image | np.ndarray
)  # a picture, in the forms in which people have it
RegionInput = tuple[
    ArrayLike, ArrayLike, ArrayLike
]  # boxes, scores and classes of a picture's regions
CLASS_PREFIX = "class "  # how the columns of a representation that stand for a class are named


@dataclass(frozen=True, eq=False)
class Encoder:
    """Puts images and sentences into one space, where the cosine is likeness.

    Attributes:
        model: in evaluation mode, on `device`.
        architecture: what the model was built from.
        vocabulary: the words it knows; all others are one to it.
        max_words: longer sentences are cut, with a warning.
        provenance: what the weights follow from.
        device: where it computes.
        batch: images or sentences at a time.
    """

    model: GaLR
    architecture: Mapping[str, Any]
    vocabulary: Vocabulary
    max_words: int
    provenance: Mapping[str, Any]
    device: torch.device
    batch: int

    @property
    def name(self) -> str:
        """What it was trained on and as: `rsitmd, corrected, fold 0`."""
        said = self.provenance
        return f"{said['dataset']}, {said['variant']}, fold {said['fold']}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of its regions, in order; empty where it was not DREA that made its graphs."""
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
    ) -> np.ndarray:
        """Encode pictures of any sizes, each resized as those of its dataset were.

        A model with a local branch also needs to know what is in them: either graphs or regions.

        Args:
            pictures: (B,) paths, PIL images, or (height, width, 3) uint8 RGB arrays, mixed at will.
            graphs: what DREA made of the same pictures in the same order: `representation` (B, n, d),
                `adjacency` (B, n, n) and `mask` (B, n); a graphs.h5 opened with h5py is such a mapping.
            regions: of each picture boxes (regions, 4) as x1 y1 x2 y2 in its pixels, scores (regions,)
                in [0, 1] and classes (regions,) as places in `classes`; DREA makes the graphs with the
                choices that the model was trained with.

        Returns:
            (B, embedding) float32, unit rows.

        Raises:
            ConfigError: graphs or regions are missing, or have no use.
            ShapeError: they do not belong to these pictures or to this model.
            DataError: a picture cannot be decoded, or a region contradicts itself.
        """
        if isinstance(images, str | Path | Image.Image):
            raise ConfigError("encode_images takes a list of pictures, got one; put it in brackets")
        self._check_inputs(graphs, regions)
        tables = None if graphs is None else self._load_graphs(graphs, len(images))
        if regions is not None and len(regions) != len(images):
            raise ShapeError(
                f"regions of {len(regions)} pictures came with {len(images)} pictures;"
                " give those of each picture, empty where nothing is in it"
            )
        rows = [np.empty((0, self.architecture["embedding"]), np.float32)]
        for start in range(0, len(images), self.batch):
            some = slice(start, start + self.batch)
            shown = [_resize_input(each, self.provenance["size"]) for each in images[some]]
            if tables is not None:
                graph = GraphBatch(*(table[some] for table in tables))
            else:
                graph = (
                    empty_graphs(len(shown))
                    if regions is None
                    else self._build_graphs(regions[some], shown)
                )
            rows.append(
                embed_images_in_memory(
                    self.model,
                    [each.pixels for each in shown],
                    graph,
                    input_size=self.architecture["crop"],
                    device=self.device,
                )
            )
        return np.concatenate(rows)

    def encode_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """Encode sentences of any lengths.

        Args:
            sentences: (B,) text; case and punctuation mean nothing.

        Returns:
            (B, embedding) float32, unit rows.

        Raises:
            ConfigError: one string instead of a list of them.
        """
        if isinstance(sentences, str):
            raise ConfigError(
                "encode_sentences takes a list of sentences, got one; put it in brackets"
            )
        if not len(sentences):
            return np.empty((0, self.architecture["embedding"]), np.float32)
        numbers = self.vocabulary.encode(sentences, self.max_words)
        return embed_sentences(self.model, numbers, batch_size=self.batch, device=self.device)

    def _check_inputs(self, graphs: object, regions: object) -> None:
        """Refuse too little or too much to encode images with.

        Raises:
            ConfigError: says what to give.
        """
        local = self.architecture["branches"] != "global"
        if not local and (graphs is not None or regions is not None):
            raise ConfigError(f"{self.name} looks at no regions; leave graphs and regions out")
        if local and (graphs is None) == (regions is None):
            given = "neither came" if graphs is None else "both came"
            raise ConfigError(
                f"{self.name} looks at regions, so it needs graphs or regions of the pictures, and {given};"
                " give regions=[(boxes, scores, classes), …], or graphs= the graphs.h5 that `galr graphs"
                " --boxes results.json --images folder --output graphs.h5` makes; with the run's own"
                " detector `galr index --run …` embeds a folder"
            )
        if regions is not None and not self.classes:
            raise ConfigError(
                f"{self.name} was trained on the authors' published matrices, and nothing is known that"
                " makes such matrices of regions; give graphs="
            )

    def _load_graphs(self, graphs: Mapping[str, ArrayLike], count: int) -> GraphBatch:
        """Read ready graphs.

        Raises:
            ShapeError: they are of other pictures, or of another shape than the model's.
        """
        n, d = self.architecture["regions"], self.architecture["features"]
        shapes = {"representation": (count, n, d), "adjacency": (count, n, n), "mask": (count, n)}
        found = {}
        for name, shape in shapes.items():
            if name not in graphs:
                raise ShapeError(f"graphs lack {name}; expected {', '.join(shapes)}")
            found[name] = np.asarray(graphs[name], bool if name == "mask" else np.float32)
            if found[name].shape != shape:
                raise ShapeError(
                    f"{name} of the graphs is {found[name].shape}, expected {shape}: {count} pictures,"
                    f" {n} regions each, {d} numbers a region"
                )
        return GraphBatch(*(torch.from_numpy(table) for table in found.values()))

    def _build_graphs(
        self, regions: Sequence[RegionInput], shown: Sequence[DecodedImage]
    ) -> GraphBatch:
        """Let DREA make the graphs of some pictures."""
        boxes, scores, classes = zip(*(_region_arrays(*each) for each in regions), strict=True)
        made = drea.build_graphs(
            Detections(
                offsets=np.cumsum([0, *map(len, boxes)]),
                boxes=np.concatenate(boxes),
                scores=np.concatenate(scores),
                classes=np.concatenate(classes),
                sizes=np.array([(each.width, each.height) for each in shown], np.int32),
            ),
            len(self.classes),
            **drea.build_kwargs(self.provenance["graphs"]["settings"]),
        )
        found = (made.representation, made.adjacency, made.mask)
        return GraphBatch(*(torch.from_numpy(table) for table in found))


def open_encoder(path: Path, *, device: str, batch: int) -> Encoder:
    """Open a trained model.

    Args:
        path: a run's folder, its checkpoint.pt, or what `galr export` wrote.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch: images or sentences at a time.

    Raises:
        StoreError: there is none, or it is damaged, foreign, or of another version.
        DeviceError: this machine has no such device.
        ConfigError: no batch.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    if not path.exists():
        raise StoreError(
            f"there is nothing at {path}; give a run's folder, its checkpoint.pt, or the .safetensors"
            " that galr export writes"
        )
    file = path / "checkpoint.pt" if path.is_dir() else path
    held = (
        checkpoint.load_safetensors(file)
        if file.suffix == checkpoint.EXPORT_SUFFIX
        else checkpoints.load_checkpoint(file)
    )
    where = resolve_device(device)
    return Encoder(
        held.build_model().to(where),
        held.architecture,
        Vocabulary(tuple(held.vocabulary)),
        held.max_words,
        held.provenance,
        where,
        batch,
    )


def _resize_input(shown: ImageInput, size: int) -> DecodedImage:
    """Decode and resize a picture as the stage data does.

    Raises:
        DataError: it is no picture, or cannot be decoded.
    """
    if isinstance(shown, str | Path):
        return load_resized(Path(shown), size)
    if isinstance(shown, np.ndarray):
        if shown.dtype != np.uint8 or shown.ndim != 3 or shown.shape[2] != 3 or 0 in shown.shape:
            raise DataError(
                f"a picture is an array of {shown.dtype} {shown.shape}, expected uint8 (height, width, 3),"
                " red first"
            )
        shown = Image.fromarray(shown)
    if not isinstance(shown, Image.Image):
        raise DataError(
            f"a picture is a {type(shown).__name__}; give a path, a PIL image or a uint8 array"
        )
    small = to_rgb(shown).resize((size, size), Image.Resampling.BILINEAR)
    return DecodedImage(np.asarray(small), *shown.size)


def _region_arrays(
    boxes: ArrayLike, scores: ArrayLike, classes: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the regions of a picture for arrays; nothing at all is no region.

    Raises:
        ShapeError: they do not belong together.
    """
    found = np.asarray(scores, np.float32), np.asarray(classes, np.int32)
    corners = np.asarray(boxes, np.float32)
    corners = corners.reshape(0, 4) if corners.size == 0 else corners
    if not (
        corners.shape == (len(corners), 4) and found[0].shape == found[1].shape == (len(corners),)
    ):
        raise ShapeError(
            f"regions of a picture are boxes {corners.shape}, scores {found[0].shape} and classes"
            f" {found[1].shape}; expected (regions, 4), (regions,) and (regions,)"
        )
    return corners, *found
