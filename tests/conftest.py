"""Settings of all tests: the environment variables that `galr` sets, and Hypothesis without deadlines."""

from hypothesis import settings

import galr.__main__  # noqa: F401  sets them before torch is imported

settings.register_profile("galr", deadline=None)  # a test may be slow on a busy machine
settings.load_profile("galr")
