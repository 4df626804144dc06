"""Errors a user may see. Every message is one sentence that names the cause and the cure."""


class PavasError(ValueError):
    """Base of every error raised on purpose; its text is shown to the user as it is."""


class MediaError(PavasError):
    """A video or audio file cannot be read or written as asked."""


class PhysicsError(PavasError):
    """A physical value, name or edit is impossible or does not fit the scene."""


class WeightsError(PavasError):
    """A file of weights is missing, damaged, or not what it is needed for."""


class Cancelled(Exception):
    """The user stopped the job. Not a PavasError: nothing is wrong with the input."""
