"""The door to OpenMMLab: mmdet, mmengine and mmcv come in here, once, and quietly.

Importing this module puts the operators in place, registers what mmdet offers, and hands on the
names that the other modules of this room use. Nothing else in the package imports mmdet or mmcv.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator

from galr.regions import extension

# What the three say about their own insides, at import or while they run; nothing a user can act on.
KNOWN = (
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
def quiet() -> Iterator[None]:
    """Silence what OpenMMLab prints and the warnings in `KNOWN`, and no others, while its code runs."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        for message, category in KNOWN:
            warnings.filterwarnings("ignore", message, category)
        yield


with quiet():
    extension.install()

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
    "quiet",
    "revert_sync_batchnorm",
    "set_random_seed",
]
