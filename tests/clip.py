"""A CLIP small enough for tests: its architecture as a file, and the reference network of open_clip itself."""

import json

import open_clip
import torch

SIZE, WIDTH = 32, 16
ARCHITECTURE = {
    "embed_dim": WIDTH,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}  # fmt: skip


def write_architecture(folder, **changes):
    """Write the architecture as a JSON file, and return its path as text."""
    path = folder / "tiny.json"
    path.write_text(json.dumps(ARCHITECTURE | changes), encoding="utf-8")
    return str(path)


def reference_network(seed=0, **changes):
    """open_clip's own CLIP of this architecture, with random weights."""
    torch.manual_seed(seed)
    network = open_clip.CLIP(**ARCHITECTURE | changes).eval()
    with torch.no_grad():  # as trained ones have: what begins as 0 or 1 takes part
        for weight in network.parameters():
            weight += 0.02 * torch.randn_like(weight)
    return network
