"""The words of the sentences: nouns, numbers, places and manners, none of which a turned picture belies."""

from galr.data.scenes.scene import Group

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
NOUNS = {  # singular and plural; the first is the most common
    "plane": (("plane", "planes"), ("airplane", "airplanes"), ("aircraft", "aircraft")),
    "ship": (("ship", "ships"), ("boat", "boats"), ("vessel", "vessels")),
    "court": (("tennis court", "tennis courts"), ("court", "courts")),
    "tank": (("storage tank", "storage tanks"), ("tank", "tanks")),
    "vehicle": (("car", "cars"), ("vehicle", "vehicles")),
    "building": (("building", "buildings"),),
}
HOUSE = ("house", "houses")  # a building with a pitched roof
VERBS: dict[str, tuple[tuple[str, str], ...]] = {  # singular and plural
    "plane": (("stands", "stand"), ("is parked", "are parked")),
    "ship": (("lies", "lie"), ("floats", "float")),
    "court": (("lies", "lie"),),
    "tank": (("stands", "stand"),),
    "vehicle": (("stands", "stand"), ("is parked", "are parked")),
    "building": (("stands", "stand"),),
}
ROADS = ("road", "track")  # places where a vehicle drives
DRIVES: tuple[tuple[str, str], ...] = (("drives", "drive"),)
SCENES = {  # as a thing to show, and as a place to be in
    "island": (("an island", "an island in the sea"), ("at an island", "near an island")),
    "coast": (("a coast", "the seaside"), ("at the coast", "by the sea")),
    "harbour": (("a harbour", "a port"), ("in a harbour", "in a port")),
    "river": (("a river", "a river bank"), ("at a river", "by a river")),
    "airport": (("an airport",), ("at an airport",)),
    "farmland": (("farmland", "a farm"), ("on farmland", "on a farm")),
    "desert": (("a desert", "a sandy desert"), ("in a desert", "in the desert")),
    "town": (("a residential area",), ("in a residential area",)),
    "parking lot": (("a parking lot",), ("at a parking lot", "in a parking lot")),
    "sports ground": (("a sports ground", "a running track"), ("at a sports ground",)),
    "depot": (("an industrial area", "a depot"), ("in an industrial area", "at a depot")),
}
PLACES = {
    "water": ("on the water",),
    "island": ("on the island", "on the grass"),
    "beach": ("on the beach", "on the sand"),
    "grass": ("on the grass",),
    "quay": ("on the quay",),
    "bank": ("on the bank", "on the grass"),
    "apron": ("on the apron",),
    "runway": ("on the runway",),
    "field": ("on the field", "among the crops"),
    "track": ("on the dirt track",),
    "sand": ("on the sand",),
    "road": ("on the road",),
    "asphalt": ("on the asphalt",),
    "infield": ("inside the running track",),
    "yard": ("in the yard",),
}
MANNERS = {
    "row": ("in a row", "in a line"),
    "rows": ("in two rows",),
    "ring": ("in a ring", "in a circle"),
    "together": ("close together", "close to each other"),
    "scattered": ("scattered", "spread out"),
    "along": ("along the",),
    "around": ("around",),
    "between": ("between",),
    "beside": ("beside", "next to"),
}


def nouns_of(group: Group) -> tuple[tuple[str, str], ...]:
    """What the things of a group may be called, singular and plural."""
    pitched = group.kind == "building" and all(thing.style < 2 for thing in group.things)
    return NOUNS[group.kind] + ((HOUSE,) if pitched else ())


def with_article(phrase: str) -> str:
    """A singular phrase with `a` or `an` before it."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def listed(phrases: list[str]) -> str:
    """Phrases as a list: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def tokens_of(sentence: str) -> list[str]:
    """The lower-case words of a sentence of ours; commas and the full stop are dropped."""
    return sentence.lower().replace(",", "").replace(".", "").split()
