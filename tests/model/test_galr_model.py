import math

import pytest
import torch

from galr.errors import ConfigError, StoreError
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR, Graph
from galr.model.gcn import LocalBranch
from galr.model.midf import MIDF
from galr.model.mvsa import GlobalBranch, Pyramid
from galr.model.text import SentenceEncoder, pad

ARCHITECTURE = {
    "backbone": "resnet18",
    "crop": 64,
    "regions": 6,
    "features": 8,
    "words": 20,
    "embedding": 16,
    "word_size": 8,
    "text_size": 12,
    "heads": 4,
    "feed_forward": 32,
    "dropout": 0.1,
}


def build(branches="both"):
    torch.manual_seed(0)
    return GaLR(**ARCHITECTURE, branches=branches).eval()


def graph(images, kept):
    """Graphs whose first `kept` rows are regions; the adjacency is normalised over them."""
    mask = torch.arange(6) < torch.tensor(kept)[:, None]
    both = (mask[:, None] & mask[:, :, None]).float()
    adjacency = both / both.sum(-1, keepdim=True).clamp(min=1)
    return Graph(torch.rand(images, 6, 8) * mask.unsqueeze(-1), adjacency, mask)


def batch(images=3, kept=(6, 2, 0)):
    torch.manual_seed(1)
    words, lengths = pad([[2, 3, 4], [5], [6, 7]])
    return torch.randn(images, 3, 64, 64), graph(images, kept), words, lengths


def test_local_branch_is_the_formula():
    local = LocalBranch(regions=6, features=8, embedding=16)
    _, (x, a, mask), _, _ = batch()
    nodes = x
    for layer in local.layers:
        w = layer.nn.weight.T
        nodes = torch.stack([(a[i] @ (nodes[i] @ w)).relu() for i in range(3)])
    raw = nodes.reshape(3, -1) @ local.project.weight.T + local.project.bias
    expected = raw / raw.norm(dim=1, keepdim=True)
    torch.testing.assert_close(local(x, a, mask), expected)
    assert [layer.nn.weight.shape for layer in local.layers] == [(8, 8), (4, 8), (8, 4)]
    assert all(layer.nn.bias is None for layer in local.layers)


def test_global_branch_is_the_formula():
    torch.manual_seed(0)
    branch = GlobalBranch("resnet18", crop=64, embedding=16).eval()
    pixels = torch.randn(2, 3, 64, 64)
    f1, f2, f3, f4 = branch.pyramid(pixels)
    assert [tuple(f.shape[1:]) for f in (f1, f2, f3, f4)] == [
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
        (512, 2, 2),
    ]
    twice = torch.nn.Upsample(scale_factor=2, mode="bilinear")
    low = branch.lower(torch.cat([f1, twice(f2)], 1))
    high = branch.higher(torch.cat([f3, twice(f4)], 1))
    z = torch.cat([low, high], 1)
    z = z + (high[:, 0] + high[:, 1] + high[:, 2])[:, None] / 3
    u, a = branch.unit(z), branch.attention(z).sigmoid()
    gate = torch.sigmoid(branch.gate((u * a).reshape(2, -1)))
    v = branch.solo(f4.mean(-1).mean(-1)) * gate
    torch.testing.assert_close(branch(pixels), v / v.norm(dim=1, keepdim=True))


def test_recomputing_the_stem_changes_no_gradient_and_no_statistics():
    torch.manual_seed(0)
    light, plain = Pyramid("resnet18"), Pyramid("resnet18")
    plain.load_state_dict(light.state_dict())
    plain._light_stem = plain._stem
    pixels = torch.randn(3, 3, 64, 64)
    for pyramid in (light, plain):
        sum(each.square().mean() for each in pyramid(pixels)).backward()
    for (name, one), two in zip(light.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad), name
    for (name, one), two in zip(light.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, two), name


def test_fusion_weights_sum_to_one_and_matter():
    torch.manual_seed(0)
    fusion = MIDF(width=16, heads=4, inner=32, dropout=0.0).eval()
    seen, found = torch.randn(2, 5, 16).unbind()
    even = fusion(seen, found)
    last = fusion.balance[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([100.0, -100.0]))  # only the first view
        first = fusion(seen, found)
        last.bias.copy_(torch.tensor([-100.0, 100.0]))  # only the second
        second = fusion(seen, found)
        last.bias.zero_()
        torch.testing.assert_close(fusion(seen, found), (first + second) / 2)
    cosine = torch.nn.functional.cosine_similarity(first, second)
    assert (cosine < 0.99).all() and not torch.allclose(even, first)


def test_embeddings_are_unit_rows_even_without_regions():
    model, (pixels, graphs, words, lengths) = build(), batch()
    seen, said = model.encode_images(pixels, graphs), model.encode_sentences(words, lengths)
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(said.norm(dim=1), torch.ones(3))
    assert model(pixels, graphs, words, lengths).abs().max() <= 1 + 1e-6


def test_permuting_a_batch_permutes_the_scores():
    model, (pixels, graphs, words, lengths) = build(), batch()
    order, other = torch.tensor([2, 0, 1]), torch.tensor([1, 2, 0])
    scores = model(pixels, graphs, words, lengths)
    permuted = model(
        pixels[order], Graph(*(part[order] for part in graphs)), words[other], lengths[other]
    )
    torch.testing.assert_close(permuted, scores[order][:, other], atol=1e-5, rtol=1e-5)


def test_padding_rows_of_a_graph_are_silent():
    model, (pixels, graphs, _, _) = build(), batch()
    noisy = graphs.representation + (~graphs.mask).unsqueeze(-1) * 7.0
    torch.testing.assert_close(
        model.encode_images(pixels, graphs),
        model.encode_images(pixels, graphs._replace(representation=noisy)),
    )


def test_padding_words_changes_nothing():
    encoder = SentenceEncoder(words=20, word_size=8, hidden=12, embedding=16).eval()
    words, lengths = pad([[2, 3, 4, 5, 6, 7], [8, 9]])
    alone, alone_length = pad([[8, 9]])
    torch.testing.assert_close(encoder(words, lengths)[1:], encoder(alone, alone_length))


def test_sentence_encoder_averages_directions_and_steps():
    torch.manual_seed(0)
    encoder = SentenceEncoder(words=20, word_size=8, hidden=12, embedding=16).eval()
    words, lengths = pad([[2, 3, 4]])
    steps = encoder.gru(encoder.words(words))[0]
    mean = sum((steps[0, i, :12] + steps[0, i, 12:]) / 2 for i in range(3)) / 3
    raw = encoder.project(mean)
    torch.testing.assert_close(encoder(words, lengths)[0], raw / raw.norm())


@pytest.mark.parametrize("branches", ["both", "global", "local"])
def test_gradients_reach_every_parameter_of_what_is_live(branches):
    model, inputs = build(branches).train(), batch()
    model(*inputs).sum().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None}
    assert silent == set()
    rooms = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert (
        rooms
        == {"text"}
        | {
            "both": {"seen", "found", "fusion"},
            "global": {"seen"},
            "local": {"found"},
        }[branches]
    )


def test_ablated_branches_do_not_look():
    pixels, graphs, _, _ = batch()
    other = Graph(*(part.flip(0) for part in graphs))
    seen = build("global")
    torch.testing.assert_close(
        seen.encode_images(pixels, graphs), seen.encode_images(pixels, other)
    )
    found = build("local")
    torch.testing.assert_close(
        found.encode_images(pixels, graphs), found.encode_images(-pixels, graphs)
    )
    both = build()
    assert not torch.allclose(both.encode_images(pixels, graphs), both.encode_images(pixels, other))


def test_paper_sizes():
    model = GaLR(
        **ARCHITECTURE | {"crop": 256, "regions": 20, "features": 20, "embedding": 512, "heads": 8},
        branches="both",
    )
    assert [layer.nn.weight.shape[0] for layer in model.found.layers] == [20, 10, 20]
    assert model.found.project.in_features == 400
    assert model.seen.gate.in_features == 256
    assert model.seen.lower.in_channels == 192 and model.seen.higher.in_channels == 768


def test_unknown_backbone_and_odd_crop_are_named():
    with pytest.raises(ConfigError, match=r"resnet19.*choose from.*resnet18"):
        GaLR(**ARCHITECTURE | {"backbone": "resnet19"}, branches="both")
    with pytest.raises(ConfigError, match="multiple of 32, got 65"):
        GaLR(**ARCHITECTURE | {"crop": 65}, branches="both")


def saved(path, **changes):
    model = build()
    held = {
        "architecture": ARCHITECTURE | {"branches": "both"},
        "state": model.state_dict(),
        "words": ["plane"],
        "max_words": 9,
        "epoch": 3,
        "mr": math.pi,
        "provenance": {"fold": 0},
    }
    checkpoints.save(path, checkpoints.Checkpoint(**held | changes))
    return model


def test_checkpoint_gives_the_same_scores(tmp_path):
    model, inputs = saved(tmp_path / "checkpoint.pt"), batch()
    loaded = checkpoints.load(tmp_path / "checkpoint.pt")
    assert torch.equal(loaded.model()(*inputs), model(*inputs))
    assert (loaded.words, loaded.epoch, loaded.mr) == (["plane"], 3, math.pi)


def test_damaged_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(StoreError, match="no checkpoint at"):
        checkpoints.load(path)
    saved(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StoreError, match="damaged"):
        checkpoints.load(path)
    saved(path, architecture=ARCHITECTURE | {"branches": "both", "embedding": 32})
    with pytest.raises(StoreError, match="other shapes"):
        checkpoints.load(path)
    torch.save({"kind": "checkpoint", "version": 99}, path)
    with pytest.raises(StoreError, match="format 99 of checkpoint, this code reads 1"):
        checkpoints.load(path)
    torch.save([1], path)
    with pytest.raises(StoreError, match="no checkpoint of ours"):
        checkpoints.load(path)
