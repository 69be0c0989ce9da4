"""Frozen settings: a field is written once and is the value, the flag and the flag's help."""

import argparse
import types
import typing
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, Self


def option(help: str, *, default: Any = MISSING, positional: bool = False) -> Any:  # noqa: ANN401  a dataclass field, typed at its line
    """One field of a `Settings` class: what it means, and what it is when nobody says.

    A positional field is a word of its own on the command line instead of a flag.
    """
    return field(default=default, metadata={"meaning": help, "positional": positional})


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Base of all settings: its fields are command-line flags.

    A field without a default is a required flag.
    `bool` becomes `--x | --no-x`, `Literal` a choice, `tuple[T, ...]` one or more values,
    and `T | None` accepts the word `none`, which to a positional field is a word like any other.
    """

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add one flag for each field, in the order of the class."""
        hints = typing.get_type_hints(cls)
        for each in fields(cls):
            required = each.default is MISSING
            says = each.metadata["meaning"] + ("" if required else " (default: %(default)s)")
            if each.metadata["positional"]:
                parser.add_argument(
                    each.name, help=says, **_positional_type(hints[each.name], each.default)
                )
                continue
            parser.add_argument(
                f"--{each.name.replace('_', '-')}",
                required=required,
                default=None if required else each.default,
                help=says,
                **_argument_type(hints[each.name]),
            )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """Take this class's fields out of parsed arguments."""
        values = {each.name: getattr(args, each.name) for each in fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _argument_type(hint: Any) -> dict[str, Any]:  # noqa: ANN401  a type hint has no common type
    """What argparse must know to read a value of this type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _argument_type(next(part for part in parts if part is not type(None)))
        read = inner.get("type", str)
        return inner | {"type": _or_none(read)}
    if origin is Literal:
        return {"choices": parts}
    if origin is tuple:
        return {"nargs": "+"} | _argument_type(parts[0])
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _positional_type(hint: Any, default: Any) -> dict[str, Any]:  # noqa: ANN401  as above
    """What argparse must know to read a positional word; with a default it may be left out."""
    given = [part for part in typing.get_args(hint) or (hint,) if part is not type(None)]
    return {"type": given[0]} | ({} if default is MISSING else {"nargs": "?", "default": default})


def _or_none(read: Any) -> Any:  # noqa: ANN401  any callable argparse takes as a type
    """Read a value, or the word `none`."""

    def read_or_none(text: str) -> Any:  # noqa: ANN401
        return None if text.lower() == "none" else read(text)

    return read_or_none
