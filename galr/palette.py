"""The colours that drawings and pages share: `galr graphs --show`, the report, and the page of search results."""

PAPER, INK = "#faf9f5", "#1b2322"  # of a page and of its text, in light surroundings
# Classes of regions on a photograph, the most frequent one first. More colours could not be told apart there.
COLOURS = ("#ffd60a", "#27e1ff", "#ff6bb8", "#86ff4a", "#ff9a2e", "#c3a6ff", "#ff5a4f")
OTHER_COLOUR = "#ffffff"  # of the classes after these
