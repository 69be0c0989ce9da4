"""`mmcv._ext` without a compiler: the one module through which mmcv reaches its operators.

mmcv-lite comes without it; `install` provides it from `operators` and `deformable`, so that mmdet runs
wherever torchvision does. A compiled mmcv is left in charge.

The door to OpenMMLab: mmdet, mmengine and mmcv come in here, once, and quietly.

Importing this module puts the operators in place, registers what mmdet offers, and hands on the
names that the other modules of this room use. Nothing else in the package imports mmdet or mmcv.
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

from galr.regions import mmcv_ops

EXTENSION_NAME = "mmcv._ext"
OPS = (
    mmcv_ops.nms,
    mmcv_ops.softnms,
    mmcv_ops.roi_align_forward,
    mmcv_ops.roi_align_backward,
    mmcv_ops.deform_conv_forward,
    mmcv_ops.deform_conv_backward_input,
    mmcv_ops.deform_conv_backward_parameters,
    mmcv_ops.modulated_deform_conv_forward,
    mmcv_ops.modulated_deform_conv_backward,
    mmcv_ops.sigmoid_focal_loss_forward,
    mmcv_ops.sigmoid_focal_loss_backward,
    mmcv_ops.ms_deform_attn_forward,
    mmcv_ops.ms_deform_attn_backward,
)


def install_ops() -> None:
    """Provide `mmcv._ext`, unless a compiled mmcv brought it or it is in place already."""
    if importlib.util.find_spec(EXTENSION_NAME) is None:
        module = FallbackOps(EXTENSION_NAME)
        module.__spec__ = ModuleSpec(EXTENSION_NAME, loader=None, origin=__name__)
        sys.modules[EXTENSION_NAME] = module


class FallbackOps(ModuleType):
    """The stand-in for `mmcv._ext`.

    mmcv asks for every operator by name when it is imported, needed or not; so each name is
    there, and those that are not in `PROVIDED` refuse when they are called.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, __doc__)
        for operator in OPS:
            setattr(self, operator.__name__, operator)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Stand for an operator that is not provided."""
        if name.startswith("__"):
            raise AttributeError(name)
        return partial(mmcv_ops.raise_missing, name)


# What the three say about their own insides, at import or while they run; nothing a user can act on.
KNOWN_WARNINGS = (
    ("`torch.jit", DeprecationWarning),  # torch, of functions that mmdet and torchvision still use
    ("``MultiScaleDeformableAttention`` has been moved", ImportWarning),
    ("invalid escape sequence", DeprecationWarning),
    ("invalid escape sequence", SyntaxWarning),  # the same from Python 3.12 on
    ("pkg_resources is deprecated", UserWarning),
    ("`torch.cuda.amp.autocast", FutureWarning),
    ("torch.meshgrid", UserWarning),
    ("The arguments `dropout` in MultiheadAttention", DeprecationWarning),  # of DINO's own config
    ("'pkgutil.find_loader' is deprecated", DeprecationWarning),  # from Python 3.12 on
)


@contextlib.contextmanager
def suppress_output() -> Iterator[None]:
    """Silence what OpenMMLab prints and the warnings in `KNOWN`, and no others, while its code runs."""
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
    MMLogger.get_instance("galr", log_level="ERROR")  # or each layer tells how it was initialised

__all__ = [
    "COCO",
    "MODELS",
    "BaseDetector",
    "COCOeval",
    "Compose",
    "Config",
    "HistoryBuffer",
    "Hook",
    "Runner",
    "mmdet",
    "suppress_output",
    "revert_sync_batchnorm",
    "set_random_seed",
]
