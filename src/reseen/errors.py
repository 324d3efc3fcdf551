"""The errors this package raises on purpose: each says what was found, where, and what to do.

Beside them stand `counted`, with which every message writes its numbers, and `needs`.
"""

from importlib.util import find_spec


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


class StoreError(ReseenError):
    """A gallery or its store cannot be read, belongs to something else, or refuses what is asked."""


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with the words it counts: 1 image, 1,200 images, 1 picture is, 2 pictures are.

    Args:
        number: how many there are.
        one: the words for a single one.
        many: the words for any other number; by default `one` and an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def needs(module: str, extra: str) -> None:
    """Demand a module that an extra of this package brings.

    Args:
        module: as it is imported.
        extra: such as `video`.

    Raises:
        SettingsError: it is not installed.
    """
    if find_spec(module) is None:
        raise SettingsError(
            f"This needs {module}, which is not installed: pip install 'reseen[{extra}]'."
        )


def installed(*modules: str) -> bool:
    """Say whether modules that extras bring are all there."""
    return all(find_spec(module) for module in modules)
