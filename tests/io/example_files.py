"""Small valid files of every format, written from the declarations of its tables."""

import numpy as np

from galr.io.tables import OptionalGroup, Strings

# Every axis has its own length, so that no table fits the declaration of another one by chance.
LENGTHS = {
    "images": 3,
    "size": 11,
    "sentences": 6,
    "regions": 5,
    "classes": 2,
    "n": 4,
    "d": 7,
    "embed_dim": 8,
    "training_images": 9,
    "training_sentences": 10,
    "views": 12,
    "width": 13,
    "c": 14,
    "s": 15,
    **{f"c{step}": 15 + place for place, step in enumerate((4, 8, 16, 32), start=1)},
    **{f"s{step}": 19 + place for place, step in enumerate((4, 8, 16, 32), start=1)},
}
RERANKS = ("mr-paper", "none")  # HDF5 lists groups in this order


def shape_of(table):
    """The shape of a table in an example."""
    return tuple(
        axis
        if isinstance(axis, int)
        else LENGTHS[axis.partition("+")[0]] + int(axis.partition("+")[2] or 0)
        for axis in table.axes
    )


def values_of(table):
    """Valid values of a table, other than those of any other table where possible."""
    shape = shape_of(table)
    if isinstance(table, Strings):
        return [f"{table.name} {row} é" for row in range(shape[0])]
    if table.offsets_into:
        return np.linspace(0, LENGTHS[table.offsets_into], shape[0]).astype(table.dtype)
    if table.index_into:
        return (np.arange(shape[0]) % LENGTHS[table.index_into]).astype(table.dtype)
    random = np.random.default_rng(len(table.name))
    return random.integers(0, 2, shape).astype(table.dtype)


def fill(group):
    """Write all tables of a group, and its groups."""
    group.write(**{name: values_of(table) for name, table in type(group).tables().items()})
    for spec in type(group).groups().values():
        if isinstance(spec, OptionalGroup):
            fill(spec.create(group))
        else:
            for name in RERANKS:
                fill(spec.create(group, name))


def write_example(kind, path):
    """Write a file of a format, and return its path."""
    with kind.create(path, {"seed": 1}) as file:
        fill(file)
    return path


def declared_tables(content, prefix=""):
    """Path in an example and declaration of every table of a format."""
    tables = [(f"{prefix}{name}", table) for name, table in content.tables().items()]
    for name, spec in content.groups().items():
        for member in [name] if isinstance(spec, OptionalGroup) else RERANKS:
            tables += declared_tables(spec.content, f"{prefix}{member}/")
    return tables
