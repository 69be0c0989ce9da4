"""Every mistake that is not ours, by the room that finds it.

GalrError                 one line, exit code 2
├── ConfigError           a setting, a variant, a dataset file, a detector file
├── DataError             images, sentences, boxes: what came in
│   ├── DownloadError     an address that does not answer, an archive that is not what it was
│   └── StoreError        a file of ours: of another kind or version, cut short, of other shapes
├── ShapeError            arrays that do not belong together
├── VerifyError           a run whose numbers do not come out again
└── DeviceError           a device that this machine does not have

A message says what was found, what was expected, and what to do.
"""


class GalrError(Exception):
    """A mistake we can explain; printed as one line, never as a traceback."""


class ConfigError(GalrError):
    """A setting no experiment could mean."""


class DataError(GalrError):
    """Input that is missing, damaged or contradicts itself."""


class DownloadError(DataError):
    """An archive that cannot be had, or is not the one it was."""


class StoreError(DataError):
    """One of our own files, unusable."""


class ShapeError(GalrError):
    """Arrays whose shapes or values contradict each other."""


class VerifyError(GalrError):
    """A result that says one thing where its own making, repeated, says another."""


class DeviceError(GalrError):
    """A device that was asked for and is not there."""
