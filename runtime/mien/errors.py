"""What can go wrong. Each error is also a builtin one, and its message says what to do next."""


class MienError(Exception):
    """Base of every error that mien raises on purpose."""


class InputError(MienError, ValueError):
    """An argument, image or frame that cannot be used as it is."""


class SourceError(MienError, OSError):
    """A picture, video or camera that cannot be opened or read."""


class OutputError(MienError, OSError):
    """A file that cannot be written."""


class ModelNotFound(MienError, FileNotFoundError):
    """No model bundle of that name or at that path."""


class ModelInvalid(MienError, ValueError):
    """A bundle whose card or files are incomplete, altered or not understood."""


class TrainingStopped(MienError, RuntimeError):
    """A training that was told when to stop early, and came to it."""


class EngineUnavailable(MienError, ImportError):
    """The engine, device or precision that was asked for cannot be had on this machine."""


class LibraryBroken(MienError, ImportError):
    """A library that mien cannot do without is missing, or only half there."""


class EnrolmentRefused(MienError, ValueError):
    """Examples of an expression that cannot be learned, or not without harm to those that are known."""
