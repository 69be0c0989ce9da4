"""Templates of self-contained pages; everything they print is escaped, and a misspelt name fails."""

from pathlib import Path

import jinja2


def template_environment(*folders: Path) -> jinja2.Environment:
    """The templates in some folders, the first that has one first."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
