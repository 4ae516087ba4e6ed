"""The errors a user can meet. Every message is one line: what was given, what is allowed, what to do next."""


class LmtutorError(ValueError):
    """Base of all errors that lmtutor raises on purpose; the command line prints them without a traceback."""


class ConfigError(LmtutorError):
    """A setting or an argument that contradicts itself, another one, or the machine."""


class DataError(LmtutorError):
    """Data that cannot be used as they are: missing columns, no rows, one class, too few examples."""


class AssetError(LmtutorError):
    """A file that could not be had, verified, unpacked or stored."""


class TrainingError(LmtutorError):
    """Training that had to stop; the last good checkpoint is kept."""
