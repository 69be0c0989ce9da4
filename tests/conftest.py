"""What every test shares: the same manners towards other programs as `galr` itself, see its __main__."""

from hypothesis import settings

import galr.__main__  # noqa: F401  says so before torch is loaded

settings.register_profile("galr", deadline=None)  # a busy machine is no failure
settings.load_profile("galr")
