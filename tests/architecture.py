"""The arguments of a small GaLR: one place, so that a new argument is added once."""

SMALL_GALR = {
    "backbone": "resnet18", "input_size": 32, "views": 1, "global_feature": "mvsa", "max_regions": 3, "node_dim": 4,
    "vocab_size": 20, "embed_dim": 16, "head": "mlp", "head_dim": 24, "head_dropout": 0.0, "text_encoder": "bigru",
    "text_config": None, "word_dim": 8, "gru_hidden": 12, "text_dropout": 0.0, "heads": 4, "ffn_dim": 32,
    "dropout": 0.1, "fusion": "midf", "branches": "both", "freeze": [],
}  # fmt: skip
