"""CLIP's towers against open_clip's own network: weights in every published form, templates, and what is refused."""

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from galr.data.subwords import ClipVocabulary, open_vocabulary
from galr.errors import ConfigError, StoreError
from galr.model.clip import ClipFeature, ClipImageTower, ClipText, ClipTextTower
from galr.model.clip_config import (
    check_input_size,
    check_prompts,
    check_text_tower,
    image_tower_config,
    list_architectures,
    read_clip_config,
    text_tower_config,
)
from galr.model.clip_weights import load_clip
from galr.model.text import pad_tokens

from ..clip import ARCHITECTURE, SIZE, WIDTH, reference_network, write_architecture  # isort: skip

SENTENCES = ["a plane", "Two white ships lie beside the big harbor, near houses!", "!", "a  PLANE"]
PROMPTS = ["{}", "a satellite photo of {}.", "an aerial image: {}"]
PLAIN = ["{}"]


def build_towers(prompts=PLAIN, config=ARCHITECTURE):
    torch.manual_seed(1)
    image = ClipImageTower("tiny", image_tower_config(config), SIZE)
    return image.eval(), ClipTextTower(text_tower_config(config, prompts)).eval()


def encode(tower, vocabulary, sentences=SENTENCES, max_words=77):
    with torch.inference_mode():
        return tower(*pad_tokens(vocabulary.encode(sentences, max_words)))


def published_forms(network):
    """The same weights as their authors publish them: file name, and what is in the file."""
    state = network.state_dict()
    parallel = {f"module.{name}": value for name, value in state.items()}
    custom = open_clip.model.convert_to_custom_text_state_dict(dict(state))
    optimizer = torch.optim.AdamW(network.parameters()).state_dict()
    openai = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77)}
    return {
        "bare.pt": state,  # RemoteCLIP, GeoRSCLIP
        "training.pt": {  # SkyCLIP: what open_clip's training saves
            "epoch": 20, "name": "sky", "state_dict": parallel, "optimizer": optimizer, "scaler": {"scale": 2.0},
        },
        "custom.pt": custom,
        "half.pt": {name: value.half() for name, value in state.items()} | openai,
        "weights.safetensors": {name: value.contiguous() for name, value in state.items()},
    }  # fmt: skip


@pytest.mark.parametrize("name", published_forms(reference_network()))
def test_every_published_form_gives_open_clips_own_features(tmp_path, name):
    network = reference_network()
    path = tmp_path / name
    content = published_forms(network)[name]
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    image, text = build_towers()
    load_clip(str(path), "tiny", ARCHITECTURE, image=image, text=text)
    pixels = torch.randn(5, 3, SIZE, SIZE)
    tolerance = {"rtol": 0, "atol": 2e-3 if "half" in name else 1e-6}
    with torch.inference_mode():
        expected_image = network.encode_image(pixels, normalize=True)
        expected_text = network.encode_text(open_clip.tokenize(SENTENCES), normalize=True)
        torch.testing.assert_close(image(pixels)[0], expected_image, **tolerance)
    torch.testing.assert_close(
        encode(text, ClipVocabulary.of_prompts(PLAIN)), expected_text, **tolerance
    )


def load_reference(tmp_path, prompts, **changes):
    network, config = reference_network(**changes), ARCHITECTURE | changes
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    image, text = build_towers(prompts, config)
    load_clip(str(tmp_path / "weights.pt"), "tiny", config, image=image, text=text)
    return network, image, text


def test_a_sentences_feature_is_the_mean_over_its_templates(tmp_path):
    network, _, text = load_reference(tmp_path, PROMPTS)
    with torch.inference_mode():
        each = [
            network.encode_text(
                open_clip.tokenize([prompt.format(s) for s in SENTENCES]), normalize=True
            )
            for prompt in PROMPTS
        ]
    found = encode(text, ClipVocabulary.of_prompts(PROMPTS))
    torch.testing.assert_close(found, normalize(sum(each)), rtol=0, atol=1e-6)
    plain = encode(build_and_share(text, PLAIN), ClipVocabulary.of_prompts(PLAIN))
    assert (plain - found).abs().max() > 1e-3


def build_and_share(text, prompts):
    """The same tower over other templates."""
    other = ClipTextTower(text_tower_config(ARCHITECTURE, prompts)).eval()
    other.load_state_dict(text.state_dict())
    return other


@pytest.mark.parametrize(
    "changes",
    [
        {"quick_gelu": True},
        {"text_cfg": ARCHITECTURE["text_cfg"] | {"no_causal_mask": True}},
        {"vision_cfg": ARCHITECTURE["vision_cfg"] | {"layers": (1, 1, 1, 1), "width": 8}},
    ],
    ids=["quick_gelu", "no_causal_mask", "resnet"],
)
def test_other_architectures_give_open_clips_own_features_too(tmp_path, changes):
    network, image, text = load_reference(tmp_path, PLAIN, **changes)
    pixels = torch.randn(3, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected = network.encode_image(pixels, normalize=True)
        torch.testing.assert_close(image(pixels)[0], expected, rtol=0, atol=1e-6)
        expected = network.encode_text(open_clip.tokenize(SENTENCES), normalize=True)
    found = encode(text, ClipVocabulary.of_prompts(PLAIN))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_without_heads_similarity_is_clips_own_cosine_and_a_linear_head_begins_there(tmp_path):
    network, image, text = load_reference(tmp_path, PLAIN)
    pixels, sizes = torch.randn(3, 3, SIZE, SIZE), {"head_dim": 8, "dropout": 0.0}
    token_ids, lengths = pad_tokens(ClipVocabulary.of_prompts(PLAIN).encode(SENTENCES, 77))
    with torch.inference_mode():
        logits, _ = network.get_logits(pixels, open_clip.tokenize(SENTENCES))
        for head in ("none", "linear"):
            images = ClipFeature(
                "tiny", image_tower_config(ARCHITECTURE), SIZE, WIDTH, head=head, **sizes
            ).eval()
            sentences = ClipText(
                text_tower_config(ARCHITECTURE, PLAIN), WIDTH, head=head, **sizes
            ).eval()
            images.backbone.load_state_dict(image.state_dict())
            sentences.network.load_state_dict(text.state_dict())
            found = images(*images.features(pixels))
            cosine = found @ sentences(sentences.features(token_ids, lengths)).T
            torch.testing.assert_close(
                cosine, logits / network.logit_scale.exp(), rtol=0, atol=1e-6
            )


def test_the_tokenizer_is_open_clips_and_cuts_before_the_last_token():
    vocabulary = open_vocabulary((), ClipVocabulary.of_prompts(PLAIN).json)
    rows = vocabulary.encode(SENTENCES, 77)
    for row, expected in zip(rows, open_clip.tokenize(SENTENCES), strict=True):
        assert row == expected[: len(row)].tolist()
        assert not expected[len(row) :].any()
    with pytest.warns(UserWarning, match="1 sentences of more than 6 tokens were cut"):
        cut = vocabulary.encode(SENTENCES, 6)
    assert cut[1] == open_clip.tokenize(SENTENCES, context_length=6)[1].tolist()
    assert len(vocabulary) == 49408
    assert vocabulary.unknown_words("qwertz zzz") == []
    vocabulary.check_query("a zeppelin")
    with pytest.raises(ConfigError):
        vocabulary.check_query(" ")


def test_templates_keep_braces_and_quotes_of_a_sentence():
    vocabulary = ClipVocabulary.of_prompts(['a "photo" of {}', "ein Luftbild, groß: {}"])
    again = open_vocabulary((), vocabulary.json)
    assert again.prompts == ['a "photo" of {}', "ein Luftbild, groß: {}"]
    row = again.encode(["{0} {x}"], 20)[0]
    expected = open_clip.tokenize(['a "photo" of {0} {x}'], context_length=20)[0].tolist()
    assert row[:20] == expected
    assert len(row) == 40


def test_pixel_statistics_are_those_of_the_weights():
    config = image_tower_config(ARCHITECTURE)
    clip = ClipImageTower("ViT-B-32", config, SIZE)
    assert np.allclose(clip.pixel_mean, (0.48145466, 0.4578275, 0.40821073))
    siglip = ClipImageTower("ViT-B-16-SigLIP", config, SIZE)
    assert np.allclose(siglip.pixel_mean, 0.5)


def test_every_architecture_is_read_without_open_clip():
    assert list_architectures() == sorted(open_clip.list_models())
    assert read_clip_config("RN50") == open_clip.get_model_config("RN50")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("ViT-B/32", "has no architecture 'ViT-B/32'; did you mean ViT-B-32"),
        ("vit-b-32", "did you mean ViT-B-32"),
        ("resnet18.tv_in1k", "for example"),
        ("coca_ViT-B-32", "is a CoCa"),
        ("missing.json", "no file missing.json"),
    ],
)
def test_an_unknown_architecture_is_refused_with_near_names(backbone, message):
    with pytest.raises(ConfigError, match=message):
        read_clip_config(backbone)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("{}", "has no embed_dim")])
def test_a_file_that_is_no_architecture_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_clip_config(str(tmp_path / "a.json"))


def test_a_wrong_size_is_refused_unless_the_network_has_no_positions():
    with pytest.raises(ConfigError, match="reads images of 224 pixels alone; set input_size to"):
        check_input_size("ViT-B-32", read_clip_config("ViT-B-32"), 256)
    check_input_size("convnext_base", read_clip_config("convnext_base"), 320)
    with pytest.raises(ConfigError, match="multiple of 32"):
        check_input_size("convnext_base", read_clip_config("convnext_base"), 300)


def test_a_text_tower_of_another_library_is_refused():
    for name in ("roberta-ViT-B-32", "ViT-B-16-SigLIP"):
        with pytest.raises(ConfigError, match="set text_encoder to transformer"):
            check_text_tower(name, read_clip_config(name))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [([], "is empty"), (["a photo"], "must have {} once"), (["{}", "{}"], "twice")],
)
def test_templates_that_mean_nothing_are_refused(prompts, message):
    with pytest.raises(ConfigError, match=message):
        check_prompts(prompts)


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: without(without(s, "visual.proj"), "text_projection"),
            r"2 of its \d+ tensors are missing, 0 are unknown and 0 have other shapes, first: visual.proj is missing",
        ),
        (
            lambda s: s | {"visual.extra": torch.ones(1), "text_decoder.x": torch.ones(1)},
            "0 of its .* 2 are unknown .*first: visual.extra is unknown",
        ),
        (
            lambda s: s | {"visual.proj": torch.ones(3, 4)},
            r"1 have other shapes, first: visual.proj is \(3, 4\) and should be \(32, 16\)",
        ),
        (lambda s: {"state_dict": s | {"visual.proj": "text"}}, "entry visual.proj is no tensor"),
        (lambda s: [1, 2], "holds list, and not the state dict"),
        (lambda s: {}, "holds dict, and not the state dict"),
    ],
    ids=["missing", "unknown", "shape", "entry", "list", "empty"],
)
def test_foreign_weights_are_refused_by_number_and_name(tmp_path, change, message):
    path = tmp_path / "weights.pt"
    torch.save(change(reference_network().state_dict()), path)
    image, text = build_towers()
    with pytest.raises(StoreError, match=message):
        load_clip(str(path), "tiny", ARCHITECTURE, image=image, text=text)


class Pickled:
    """Stands for any object of another program's."""


def test_a_file_with_code_damage_or_nothing_is_refused(tmp_path):
    image, _ = build_towers()
    (tmp_path / "damaged.pt").write_bytes(b"PK\x03\x04 damaged")
    (tmp_path / "text.safetensors").write_bytes(b"not safe")
    torch.save({"state_dict": {}, "args": Pickled()}, tmp_path / "code.pt")
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(tmp_path / "jit.pt"))
    for name, message in (
        ("damaged.pt", "is not a file of weights"),
        ("text.safetensors", "is not a file of weights"),
        ("code.pt", "holds Python objects beside its tensors"),
        ("jit.pt", "save the state dict of the model"),
    ):
        with pytest.raises(StoreError, match=message):
            load_clip(str(tmp_path / name), "tiny", ARCHITECTURE, image=image, text=None)
    with pytest.raises(ConfigError, match=r"no file .*missing.pt; download it"):
        load_clip(str(tmp_path / "missing.pt"), "tiny", ARCHITECTURE, image=image, text=None)


def test_tags_of_other_networks_and_activations_are_refused_before_any_download():
    config = read_clip_config("ViT-B-32")
    for weights, message in (
        ("pretrained:laion2b_s34b_b79", "has no weights .* choose from laion2b_s34b_b79k"),
        ("pretrained:openai", "set model.backbone to ViT-B-32-quickgelu"),
        ("package", "is not for a CLIP"),
        ("pretrained", "is not for a CLIP"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_clip(weights, "ViT-B-32", config, image=None, text=None)


def test_without_a_network_one_line_names_the_file_and_its_place(monkeypatch):
    def offline(*arguments, **options):
        raise OSError("no network\nwith a long story")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(ConfigError) as caught:
        load_clip(
            "pretrained:laion2b_s34b_b79k",
            "ViT-B-32",
            read_clip_config("ViT-B-32"),
            image=None,
            text=None,
        )
    assert "\n" not in str(caught.value)
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in str(caught.value)
    assert "set model.weights to its path" in str(caught.value)


def test_a_tag_gives_the_weights_that_open_clip_loads(monkeypatch):
    network = reference_network()
    monkeypatch.setattr(open_clip, "create_model", lambda *arguments, **options: network)
    image, text = build_towers()
    load_clip("pretrained:laion2b_s34b_b79k", "ViT-B-32", ARCHITECTURE, image=image, text=text)
    assert torch.equal(image.network.proj, network.visual.proj)
    assert torch.equal(text.network.text_projection, network.text_projection)


def test_weights_none_leave_the_random_ones(tmp_path):
    image, _ = build_towers()
    before = {name: value.clone() for name, value in image.state_dict().items()}
    load_clip("none", "tiny", ARCHITECTURE, image=image, text=None)
    assert all(torch.equal(before[name], value) for name, value in image.state_dict().items())
    assert read_clip_config(write_architecture(tmp_path)) == ARCHITECTURE
