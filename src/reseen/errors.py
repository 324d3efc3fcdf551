"""The errors that users can cause: each says what was found, where, and what to do.

Also `counted`, for numbers in messages, and `needs`, for optional packages.
"""

from importlib.util import find_spec


class ReseenError(Exception):
    """Base class of all errors that a user can cause."""


class DataError(ReseenError):
    """Something is wrong with images, folders or manifests."""


class SettingsError(ReseenError):
    """A setting is unknown, invalid, or contradicts another one."""


class ClusteringError(ReseenError):
    """A round found no clusters to train on."""


class CheckpointError(ReseenError):
    """A file of weights or a run folder cannot be read, or belongs to something else."""


class StoreError(ReseenError):
    """A gallery cannot be read, belongs to something else, or refuses a request."""


def counted(number: int, one: str, many: str = "") -> str:
    """Format a number with its noun: 1 image, 1,200 images, 1 picture is, 2 pictures are.

    Args:
        number: how many there are.
        one: the singular.
        many: the plural; by default `one` and an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def needs(module: str, extra: str) -> None:
    """Require a module that belongs to an extra of this package.

    Args:
        module: its name in an import.
        extra: such as `video`.

    Raises:
        SettingsError: it is not installed.
    """
    if find_spec(module) is None:
        raise SettingsError(
            f"This needs {module}, which is not installed: pip install 'reseen[{extra}]'."
        )


def installed(*modules: str) -> bool:
    """Return whether modules that belong to extras are all installed."""
    return all(find_spec(module) for module in modules)
