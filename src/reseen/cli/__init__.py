"""The command line: `reseen COMMAND ...`; each command is a plain function, loaded when asked."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from reseen.errors import ReseenError, SettingsError

NOTHING = Parameter(negative="")

app = App(
    name="reseen",
    help="Find the same person again, learnt from unlabelled crops.",
    default_parameter=NOTHING,
    version_flags=["--version"],
)
app.command("reseen.cli.train:app", name="train", help="Learn from unlabelled crops.")
app.command("reseen.cli.use:evaluate", name="evaluate", help="Judge a run on a data set.")
app.command("reseen.cli.use:extract", name="extract", help="Write the features of images.")
app.command("reseen.cli.use:methods", name="methods", help="List what can be trained.")
data = App(name="data", help="Look at data before training on it.")
data.command("reseen.cli.data:check", name="check", help="Say what is there and what will hurt.")
app.command(data)


@app.meta.default
def _start(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(show=False)] = None,
) -> None:
    app.config = () if config is None else (_config(config),)
    app(words)


def _config(path: Path):
    from cyclopts.config import Json, Toml, Yaml

    kinds = {".toml": Toml, ".yaml": Yaml, ".yml": Yaml, ".json": Json}
    if path.suffix not in kinds or not path.is_file():
        raise SettingsError(f"--config {path} is not a .toml, .yaml or .json file.")
    return kinds[path.suffix](path, use_commands_as_keys=False)


def main() -> None:
    """Run one command: errors a user can mend are one line and exit 1; Ctrl-C exits 130."""
    try:
        app.meta()
    except ReseenError as error:
        print(f"reseen: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("reseen: stopped; the same command goes on from the last round.", file=sys.stderr)
        sys.exit(130)
