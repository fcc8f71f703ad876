"""The errors that mien raises. Each is also a builtin error, and its message says what to do next."""


class MienError(Exception):
    """Base of every error that mien raises on purpose."""


class InputError(MienError, ValueError):
    """An argument, image or frame that cannot be used."""


class SourceError(MienError, OSError):
    """A picture, video or camera that cannot be opened or read."""


class OutputError(MienError, OSError):
    """A file that cannot be written."""


class ModelNotFound(MienError, FileNotFoundError):
    """There is no model bundle of that name or at that path."""


class ModelInvalid(MienError, ValueError):
    """A bundle whose card or files are incomplete, altered or not supported."""


class EngineUnavailable(MienError, ImportError):
    """The requested engine, device or precision is not available on this machine."""


class LibraryBroken(MienError, ImportError):
    """A library that mien needs is missing or incomplete."""


class EnrolmentRefused(MienError, ValueError):
    """Examples from which an expression cannot be learned, or only at the expense of known expressions."""
