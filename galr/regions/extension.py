"""`mmcv._ext` without a compiler: the one module through which mmcv reaches its operators.

mmcv-lite comes without it; `install` provides it from `operators` and `deformable`, so that mmdet runs
wherever torchvision does. A compiled mmcv is left in charge.
"""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

from galr.regions import deformable, operators

NAME = "mmcv._ext"
PROVIDED = (
    operators.nms,
    operators.softnms,
    operators.roi_align_forward,
    operators.roi_align_backward,
    deformable.deform_conv_forward,
    deformable.deform_conv_backward_input,
    deformable.deform_conv_backward_parameters,
    deformable.modulated_deform_conv_forward,
    deformable.modulated_deform_conv_backward,
    operators.sigmoid_focal_loss_forward,
    operators.sigmoid_focal_loss_backward,
    deformable.ms_deform_attn_forward,
    deformable.ms_deform_attn_backward,
)


def install() -> None:
    """Provide `mmcv._ext`, unless a compiled mmcv brought it or it is in place already."""
    if importlib.util.find_spec(NAME) is None:
        module = Operators(NAME)
        module.__spec__ = ModuleSpec(NAME, loader=None, origin=__name__)
        sys.modules[NAME] = module


class Operators(ModuleType):
    """The stand-in for `mmcv._ext`.

    mmcv asks for every operator by name when it is imported, needed or not; so each name is
    there, and those that are not in `PROVIDED` refuse when they are called.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, __doc__)
        for operator in PROVIDED:
            setattr(self, operator.__name__, operator)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Stand for an operator that is not provided."""
        if name.startswith("__"):
            raise AttributeError(name)
        return partial(operators.refuse, name)
