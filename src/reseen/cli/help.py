"""How help looks: plain text, options in groups, and two examples of every command."""

from collections.abc import Iterator
from typing import Any

from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel, InlineText
from rich.console import Console, ConsoleOptions
from rich.text import Text

COMMON = "Common options"
GROUPS = {
    COMMON: "out config variant preset epochs rounds iterations eps k1 start seed quiet json "
    "encoder.backbone encoder.weights device.name",
    "Data": "source images-per-person format pattern folders skip-broken frames evaluate-every",
    "Schedule": "pretrain first people views batch rate rate-step rate-steps rate-hold rate-end "
    "warm-up head-rate backbone-rate momentum weight-decay dropout",
    "Pseudo-labels": "labelling labels clusters p k k2 weighted min-samples share camera-aware "
    "centring stages alpha beta rescale merge-rate size-weight stop epsilon floor own parts "
    "part-weight camera-weight mining-vector camera-eps camera-quota whitening neighbours eps-gap "
    "independence compactness independent-share outliers",
    "Loss and memory": "loss margin unit normalised temperature smoothing triplet classifier "
    "both-views ce-weight triplet-weight soft-ce-weight soft-triplet-weight consistency-weight "
    "projection projected projection-init projection-unit projection-temperature memory-start "
    "memory-update memory-momentum table-momentum mean-momentum mean-ages teacher "
    "teacher-momentum prototypes refined-weight refined-own refined-radius refined-temperature "
    "refined-farther agreement-weight proxy-weight proxy-temperature proxy-negatives "
    "proxy-momentum instance-weight instances instance-start",
    "Attention": "attention width reduction gate specific levels place heads head-scale keys "
    "groups new-rate gate-rate new-decay",
    "Encoder": "encoder adapt-norm source-norm",
    "Augmentation": "augment",
    "Machine": "device memory workers",
}
"""The options of `reseen train` under their titles, by name or by what stands before the dot."""

EXAMPLES = {
    "": ("reseen data check crops/", "reseen train cluster-contrast crops/ -o runs/first"),
    "train": (
        "reseen train cluster-contrast crops/ -o runs/first",
        "reseen train cluster-contrast --help",
    ),
    "train cluster-contrast": (
        "reseen train cluster-contrast crops/ -o runs/first --epochs 20 --k1 10",
        "reseen train cluster-contrast crops/ -o runs/next --start runs/first",
    ),
    "train adtc": (
        "reseen train adtc crops/ -o runs/adtc --clusters 200 --p 8",
        "reseen train adtc crops/ -o runs/modern --variant modern",
    ),
    "train conslearn": (
        "reseen train conslearn crops/ -o runs/conslearn --epochs 20",
        "reseen train conslearn crops/ -o runs/next --start runs/other --eps 0.5",
    ),
    "train mla": (
        "reseen train mla crops/ -o runs/mla --epochs 20",
        "reseen train mla crops/ -o runs/pixel --levels pixel",
    ),
    "train mmt": (
        "reseen train mmt crops/ -o runs/mmt --epochs 20",
        "reseen train mmt crops/ -o runs/next --start runs/other --labelling k-means",
    ),
    "train spcl": (
        "reseen train spcl crops/ -o runs/spcl --epochs 20",
        "reseen train spcl crops/ --source labelled/ -o runs/both",
    ),
    "train ssl": (
        "reseen train ssl crops/ -o runs/ssl --k 4",
        "reseen train ssl crops/ -o runs/full --variant full",
    ),
    "train buc": (
        "reseen train buc crops/ -o runs/buc --merge-rate 0.1",
        "reseen train buc crops/ -o runs/tracklets --variant video",
    ),
    "train daal": (
        "reseen train daal crops/ --source labelled/ -o runs/both",
        "reseen train daal crops/ --source labelled/ --start runs/other -o runs/next",
    ),
    "train house": (
        "reseen train house crops/ -o runs/house",
        "reseen train house crops/ -o runs/plain --variant cluster-contrast",
    ),
    "train supervised": (
        "reseen train supervised labelled/ -o runs/other --epochs 60",
        "reseen train supervised crops/ -o runs/named --pattern '{person}/{_}.jpg'",
    ),
    "demo": ("reseen demo", "reseen demo -o first-look --no-serve"),
    "evaluate": (
        "reseen evaluate runs/first Market-1501-v15.09.15/",
        "reseen evaluate runs/first Market-1501-v15.09.15/ --rerank --json",
    ),
    "attention-share": (
        "reseen attention-share runs/first town/",
        "reseen attention-share runs/first town/ --best",
    ),
    "search": (
        "reseen search runs/first yard/a.jpg --in crops/ -o found.html",
        "reseen search reseen-tiny wanted/ --in crops/ --top 5 --json",
    ),
    "serve": (
        "reseen serve yard/",
        "reseen serve yard/ --host 0.0.0.0 --certificate site.pem --blur-faces",
    ),
    "extract": (
        "reseen extract runs/first crops/ -o features.npz",
        "reseen extract runs/first crops/ -o features.npz --pattern '{camera}_{_}.jpg'",
    ),
    "export": (
        "reseen export runs/first --for boxmot -o first.onnx --judge labelled/",
        "reseen export --check first.onnx",
    ),
    "choose-eps": (
        "reseen choose-eps features.npz",
        "reseen choose-eps reseen-tiny crops/ --at 0.4 --at 0.5 --k1 10",
    ),
    "report": (
        "reseen report runs/first crops/",
        "reseen report runs/first runs/second crops/ -o both.html --blur",
    ),
    "video": (
        "reseen video door.mp4 -o crops/",
        "reseen video recordings/ --watch -o crops/ --min-height 96",
    ),
    "methods": ("reseen methods", "reseen methods adtc"),
    "data": ("reseen data check crops/", "reseen data invent -o town/"),
    "data check": (
        "reseen data check crops/",
        "reseen data check crops/ --pattern '{camera}_{person}_{_}.jpg'",
    ),
    "data invent": (
        "reseen data invent -o town/",
        "reseen data invent -o station/ --town town-b --people 50 --seed 7",
    ),
    "gallery": (
        "reseen gallery create site/ --run runs/first",
        "reseen gallery add site/ crops/",
    ),
    "gallery create": (
        "reseen gallery create site/ --run runs/first",
        "reseen gallery create site/ --run reseen-tiny --store postgresql:///reid",
    ),
    "gallery add": (
        "reseen gallery add site/ crops/",
        "reseen gallery add site/ new/ --camera gate --time 2026-11-28T10:00",
    ),
    "gallery search": (
        "reseen gallery search site/ somebody.jpg",
        "reseen gallery search site/ a.jpg --camera gate --since 2h -o found.html",
    ),
    "gallery enrol": (
        "reseen gallery enrol site/ anna/ --as Anna",
        "reseen gallery enrol site/ a.jpg b.jpg --as 'Anna Nym'",
    ),
    "gallery people": (
        "reseen gallery people site/",
        "reseen gallery people site/ --unknown --min-crops 5 --json",
    ),
    "gallery seen": (
        "reseen gallery seen site/ Anna",
        "reseen gallery seen site/ somebody.jpg --since 2026-11-28T08:00 --json",
    ),
    "gallery calibrate": (
        "reseen gallery calibrate site/",
        "reseen gallery calibrate site/ --false-match-rate 0.001",
    ),
    "gallery name": (
        "reseen gallery name site/ Anna 0f3c5a",
        "reseen gallery name site/ 'Anna Nym' 0f3c5a 9b21d7",
    ),
    "gallery accept": (
        "reseen gallery accept site/ Anna 3",
        "reseen gallery accept site/ 'Anna Nym' 3 17",
    ),
    "gallery unname": (
        "reseen gallery unname site/ 0f3c5a",
        "reseen gallery unname site/ 0f3c5a 9b21d7",
    ),
    "gallery deny": (
        "reseen gallery deny site/ Anna 0f3c5a",
        "reseen gallery deny site/ Anna 0f3c5a 9b21d7",
    ),
    "gallery allow": (
        "reseen gallery allow site/ Anna 0f3c5a",
        "reseen gallery allow site/ Anna 0f3c5a 9b21d7",
    ),
    "gallery ignore": (
        "reseen gallery ignore site/ Anna",
        "reseen gallery ignore site/ 0f3c5a 9b21d7",
    ),
    "gallery unignore": (
        "reseen gallery unignore site/ Anna",
        "reseen gallery unignore site/ 0f3c5a 9b21d7",
    ),
    "gallery merge": (
        "reseen gallery merge site/ Ana Anna",
        "reseen gallery merge site/ 'man in red' Carl",
    ),
    "gallery split": (
        "reseen gallery split site/ Anna Berta 0f3c5a",
        "reseen gallery split site/ Anna Berta 0f3c5a 9b21d7",
    ),
    "gallery rename": (
        "reseen gallery rename site/ Ana Anna",
        "reseen gallery rename site/ 'man in red' Carl",
    ),
    "gallery undo": (
        "reseen gallery undo site/",
        "reseen gallery undo site/ --quiet",
    ),
    "gallery forget": (
        "reseen gallery forget site/ Anna",
        "reseen gallery forget site/ 'Anna Nym' --json",
    ),
    "gallery expire": (
        "reseen gallery expire site/ --older-than 30d",
        "reseen gallery expire site/ --older-than 12h --keep-named",
    ),
    "gallery rebuild": (
        "reseen gallery rebuild site/ runs/second",
        "reseen gallery rebuild site/ runs/second --centring off",
    ),
    "gallery export": (
        "reseen gallery export site/ site.csv",
        "reseen gallery export site/ site.npz",
    ),
    "gallery info": (
        "reseen gallery info site/",
        "reseen gallery info site/ --json",
    ),
    "gallery check": (
        "reseen gallery check site/",
        "reseen gallery check site/ --json",
    ),
    "bench": (
        "reseen bench table adtc-2 market/ -o runs/table",
        "reseen bench sweep cluster-contrast eps 0.4,0.5,0.6 market/ -o runs/sweep",
    ),
    "bench table": (
        "reseen bench table adtc-2 market/ -o runs/table --start runs/duke",
        'reseen bench table ssl-1 market/ -o runs/ssl --settings "--rounds 5"',
    ),
    "bench sweep": (
        "reseen bench sweep cluster-contrast eps 0.4,0.5,0.6 market/ -o runs/sweep",
        "reseen bench sweep adtc margin 0.1,0.3 market/ -o runs/m --plot margin.png",
    ),
    "bench all": (
        "reseen bench all market/ msmt17/ -o runs/all --write docs/table.md",
        "reseen bench all market/ -o runs/two --only cluster-contrast buc",
    ),
}
"""Two command lines a command, by its words."""


def examples(command: str) -> str:
    """Give the end of a command's help."""
    return "\n".join(["Examples:", *(f"  {line}" for line in EXAMPLES[command])])


class PlainHelp(DefaultFormatter):
    """Shows what stands in the source, word for word; line ends in paragraphs are spaces."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel."""
        entries = [
            entry.copy(
                description=_flowing(entry.description),
                default=_short(entry.default),
            )
            for entry in panel.entries
        ]
        super().__call__(console, options, panel.copy(entries=entries))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any):
        """Print what a command does."""
        super().render_description(console, options, _flowing(description))


class GroupedHelp(PlainHelp):
    """Shows the options of `reseen train` in GROUPS; what belongs to none comes last."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel, or one a group."""
        if panel.title != "Parameters":
            return super().__call__(console, options, panel)
        for title, entries in _grouped(panel.entries):
            super().__call__(console, options, panel.copy(title=title, entries=entries))


def group_of(option: str) -> str:
    """Give the title under which an option of `reseen train` stands."""
    name = option.lstrip("-")
    homes = {word: title for title, words in GROUPS.items() for word in words.split()}
    return homes.get(name) or homes.get(name.split(".")[0]) or "More"


def _grouped(entries: list[HelpEntry]) -> Iterator[tuple[str, list[HelpEntry]]]:
    titles = [group_of(entry.names[0]) for entry in entries]
    order = GROUPS[COMMON].split()
    for title in (*GROUPS, "More"):
        found = [entry for entry, of in zip(entries, titles, strict=True) if of == title]
        if title == COMMON:
            found.sort(key=lambda entry: order.index(entry.names[0].lstrip("-")))
        if found:
            yield title, found


def _short(default: str | None) -> str | None:
    """Write a default as one would type it; one that only says "nothing" is left out."""
    if default in (None, "False", "()", "{}", '""'):
        return None
    return (
        default.strip("(),").replace(", ", " ").replace("'", "") if default[0] == "(" else default
    )


def _flowing(text: Any) -> Any:
    """Join the lines of each paragraph, so that they break where the terminal ends."""
    if not isinstance(text, InlineText) or not isinstance(text.primary_renderable, Text):
        return text
    paragraphs = text.primary_renderable.plain.split("\n\n")
    joined = "\n\n".join(" ".join(part.split()) for part in paragraphs)
    flowing = InlineText(Text(joined), force_empty_end=text.force_empty_end)
    flowing.texts = text.texts
    return flowing
