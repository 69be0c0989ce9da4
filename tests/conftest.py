"""What every test shares: the same manners towards other programs as `galr` itself, see its __main__."""

import galr.__main__  # noqa: F401  says so before torch is loaded
