"""Options of commands: a field is written once and is the value, the flag and the flag's help."""

import argparse
import shlex
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, Self


def option(help: str, *, default: Any = MISSING, positional: bool = False) -> Any:  # noqa: ANN401  a dataclass field, typed at its line
    """Declare one field of an `OptionGroup`.

    Args:
        help: what the option means, as the command's help shows it.
        default: the value without the flag; without a default the flag is required.
        positional: whether it is a word of its own on the command line instead of a flag.
    """
    return field(default=default, metadata={"help": help, "positional": positional})


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Base class of options: every field becomes a command-line flag.

    A field without a default is a required flag. `bool` becomes `--x | --no-x`, `Literal` a choice,
    `tuple[T, ...]` one or more values. `T | None` accepts the word `none`; a positional field takes
    `none` as an ordinary word, and any number of words where it is a tuple.
    """

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add one flag for each field, in the order of the class."""
        hints = typing.get_type_hints(cls)
        for field_ in fields(cls):
            required = field_.default is MISSING
            shown = "" if required or field_.default == () else " (default: %(default)s)"
            help_text = field_.metadata["help"] + shown
            if field_.metadata["positional"]:
                parser.add_argument(
                    field_.name,
                    help=help_text,
                    **_positional_type(hints[field_.name], field_.default),
                )
                continue
            arguments = _argument_type(hints[field_.name])
            if field_.default == ():  # may be left empty
                arguments["nargs"] = "*"
            parser.add_argument(
                f"--{field_.name.replace('_', '-')}",
                required=required,
                default=None if required else field_.default,
                help=help_text,
                **arguments,
            )

    @classmethod
    def parse(cls, parser: argparse.ArgumentParser, words: Sequence[str]) -> Self:
        """Read the options from the words of a command line."""
        return cls.from_args(parser.parse_args(words))

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """Build the options from parsed arguments; arguments of other groups are ignored."""
        values = {field_.name: getattr(args, field_.name) for field_ in fields(cls)}
        lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list) and v != [None]}
        nones = {k: None for k, v in values.items() if v == [None]}
        return cls(**values | lists | nones)


def as_flags(section: Mapping[str, Any]) -> str:
    """Write a section of a config as quoted command-line flags, sorted by key."""
    return " ".join(as_flag(f"--{key.replace('_', '-')}", section[key]) for key in sorted(section))


def as_flag(flag: str, value: Any) -> str:  # noqa: ANN401  any value of a config
    """Write one value as a flag: `--x`, `--no-x`, `--x 1 2 3`, `--x none` or `--x value`."""
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    values = value if isinstance(value, list) else ["none" if value is None else value]
    return " ".join([flag, *(shlex.quote(str(item)) for item in values)])


def _argument_type(hint: Any) -> dict[str, Any]:  # noqa: ANN401  a type hint has no common type
    """Give the keyword arguments of `add_argument` for a flag of this type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _argument_type(next(part for part in parts if part is not type(None)))
        return inner | {"type": _or_none(inner.get("type", str))}
    if origin is Literal:
        return {"choices": parts}
    if origin is tuple:
        return {"nargs": "+"} | _argument_type(parts[0])
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _positional_type(hint: Any, default: Any) -> dict[str, Any]:  # noqa: ANN401  as above
    """Give the keyword arguments of `add_argument` for a positional word; it is optional if it has a default."""
    if typing.get_origin(hint) is tuple:
        return {"type": typing.get_args(hint)[0], "nargs": "*", "default": default}
    given = [part for part in typing.get_args(hint) or (hint,) if part is not type(None)]
    return {"type": given[0]} | ({} if default is MISSING else {"nargs": "?", "default": default})


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a parser of values that also accepts the word `none`."""

    def parse_or_none(text: str) -> Any:  # noqa: ANN401  whatever the type is
        return None if text.lower() == "none" else parse(text)

    return parse_or_none
