"""The only imports of mmdet, mmengine and mmcv, without their warnings and with our operators in place.

Importing this module registers what mmdet offers and provides the names that the other modules of this room use.

mmcv calls its operators through the module `mmcv._ext`, which mmcv-lite lacks. Here it is made of `mmcv_ops` and
`mmcv_deformable_ops`, so that mmdet runs wherever torchvision does. A compiled mmcv keeps its own.
"""

import contextlib
import importlib.util
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

from galr.regions import mmcv_deformable_ops, mmcv_ops

EXTENSION_NAME = "mmcv._ext"
OPS = (
    mmcv_ops.nms,
    mmcv_ops.softnms,
    mmcv_ops.roi_align_forward,
    mmcv_ops.roi_align_backward,
    mmcv_deformable_ops.deform_conv_forward,
    mmcv_deformable_ops.deform_conv_backward_input,
    mmcv_deformable_ops.deform_conv_backward_parameters,
    mmcv_deformable_ops.modulated_deform_conv_forward,
    mmcv_deformable_ops.modulated_deform_conv_backward,
    mmcv_ops.sigmoid_focal_loss_forward,
    mmcv_ops.sigmoid_focal_loss_backward,
    mmcv_deformable_ops.ms_deform_attn_forward,
    mmcv_deformable_ops.ms_deform_attn_backward,
)

# Warnings about the code of these packages, at import or later, that a user can do nothing about.
KNOWN_WARNINGS = (
    ("`torch.jit", DeprecationWarning),  # functions that mmdet and torchvision still use
    ("``MultiScaleDeformableAttention`` has been moved", ImportWarning),
    ("invalid escape sequence", DeprecationWarning),
    ("invalid escape sequence", SyntaxWarning),  # the same from Python 3.12 on
    ("pkg_resources is deprecated", UserWarning),
    ("`torch.cuda.amp.autocast", FutureWarning),
    ("torch.meshgrid", UserWarning),
    ("The arguments `dropout` in MultiheadAttention", DeprecationWarning),  # DINO's config has it
    ("'pkgutil.find_loader' is deprecated", DeprecationWarning),  # from Python 3.12 on
)


class FallbackOps(ModuleType):
    """A replacement for `mmcv._ext`.

    mmcv looks up every operator when it is imported, so that each name must exist; those that are not in `OPS` raise
    an error when they are called.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, __doc__)
        for operator in OPS:
            setattr(self, operator.__name__, operator)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Return a function that raises an error, for an operator that is not in `OPS`."""
        if name.startswith("__"):
            raise AttributeError(name)
        return partial(mmcv_ops.raise_missing, name)


def install_ops() -> None:
    """Provide `mmcv._ext`, unless a compiled mmcv has it or it is provided already."""
    if importlib.util.find_spec(EXTENSION_NAME) is None:
        module = FallbackOps(EXTENSION_NAME)
        module.__spec__ = ModuleSpec(EXTENSION_NAME, loader=None, origin=__name__)
        sys.modules[EXTENSION_NAME] = module


@contextlib.contextmanager
def suppress_output() -> Iterator[None]:
    """Suppress what these packages print and the warnings in `KNOWN_WARNINGS`, but no others."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        for message, category in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


with suppress_output():
    install_ops()

    import mmdet
    from mmcv.transforms import Compose
    from mmdet.datasets.api_wrappers import COCO, COCOeval
    from mmdet.models.detectors import BaseDetector
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.hooks import Hook
    from mmengine.logging import HistoryBuffer, MMLogger
    from mmengine.model import revert_sync_batchnorm
    from mmengine.runner import Runner, set_random_seed

    register_all_modules()
    MMLogger.get_instance("galr", log_level="ERROR")  # else a line for each initialised layer

__all__ = [
    "COCO",
    "EXTENSION_NAME",
    "MODELS",
    "OPS",
    "BaseDetector",
    "COCOeval",
    "Compose",
    "Config",
    "FallbackOps",
    "HistoryBuffer",
    "Hook",
    "Runner",
    "install_ops",
    "mmdet",
    "revert_sync_batchnorm",
    "set_random_seed",
    "suppress_output",
]
