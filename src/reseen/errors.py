"""The errors this package raises on purpose: each says what was found, where, and what to do."""


class ReseenError(Exception):
    """The root: catch it to catch every error that a user can cause."""


class DataError(ReseenError):
    """Something is wrong with images, folders or manifests."""


class SettingsError(ReseenError):
    """A setting is unknown, impossible, or contradicts another one."""


class ClusteringError(ReseenError):
    """A round of clustering gave nothing that can be learnt from."""


class CheckpointError(ReseenError):
    """A file of weights or a run folder cannot be read, or belongs to something else."""
