"""The `model` section of a detector file for a network that is small enough to train and run in a test."""

TINY_DETECTOR = {  # two thirds of RTMDet-tiny's width, and two levels finer than its own
    "config": "rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
    "overrides": {
        "backbone": {
            "init_cfg": None,
            "widen_factor": 0.25,
            "arch_ovewrite": [[64, 128, 3, True, False], [128, 256, 6, True, False]],
            "out_indices": [1, 2],
        },
        "neck": {"in_channels": [32, 64], "out_channels": 32},
        "bbox_head": {
            "in_channels": 32,
            "feat_channels": 32,
            "exp_on_reg": True,
            "loss_cls": {"beta": 1.0},
            "anchor_generator": {"strides": [4, 8]},
        },
    },
}
