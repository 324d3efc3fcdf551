"""`reseen export RUN --for PROGRAM --out FILE`: one file that another program loads."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from reseen import training
from reseen.cli.output import AsJson, Quiet, give
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine import extract as extraction
from reseen.engine.device import Device
from reseen.engine.files import check_out, refuse_inside
from reseen.engine.folder import read_facts
from reseen.engine.pretrained import save_pretrained
from reseen.engine.progress import Screen
from reseen.errors import SettingsError, counted
from reseen.export import Exported
from reseen.export import export as write
from reseen.export import judge as judging
from reseen.export.card import beside
from reseen.export.contract import SUFFIXES, contract_for
from reseen.nets import pretrained
from reseen.records import distinct


def export(
    run: Path | None = None,
    /,
    *,
    consumer: Annotated[str, Parameter(name="--for")] = "plain",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    check: Path | None = None,
    scale: str | None = None,
    order: str | None = None,
    batch: int | None = None,
    precision: str = "float32",
    calibrate: Path | None = None,
    judge: Path | None = None,
    threshold: float | None = None,
    trained_on: str | None = None,
    best: bool = False,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Write the encoder of a run as one file that another program loads, with a card beside it.

    The card (FILE.json; for ONNX inside the file too) says what the file takes, and holds the
    vectors of two drawn pictures by which it can be tested. docs/how-to/export.md has the
    settings of each program.

    Parameters
    ----------
    run
        Folder of a run, one of its checkpoints, or reseen-tiny (ships, is used untrained).
    consumer
        plain (ONNX, pixels normalised by ImageNet's mean and std), boxmot (the same), ultralytics
        (0 to 1), deepstream (0 to 255), openvino (.xml, 0 to 255, BGR, one picture at a time),
        torch (.pt2 of torch.export, 0 to 255), or pretrained (a folder with safetensors, config and
        model card, for reseen itself).
    out
        The file to write: .onnx, .xml or .pt2; for pretrained a new folder.
    check
        Test this file instead of writing one: embed the two drawn pictures and compare with its
        card.
    scale
        plain, unit (0 to 1) or pixel (0 to 255), where it is to be another than the program's own.
    order
        Order of the colours, rgb or bgr, likewise.
    batch
        Pictures at a time, 0 for any number, likewise.
    precision
        float32, float16 or int8 (needs --calibrate).
    calibrate
        Folder of crops of the site, by which int8 finds the range of its numbers.
    judge
        Labelled folder with queries and a gallery: the mAP of run and file is measured, and a
        threshold for the card (1 % of the pairs of different people match).
    threshold
        Similarity (cosine) from which two crops count as the same person, for the card.
    trained_on
        A sentence on the pictures that it was trained on, for the card.
    best
        Use the round that was best on the test set instead of the last one.
    format
        How --calibrate and --judge are read: auto, folder, tracklets, or a benchmark.
    pattern
        How file names are made, for a plain folder: {camera}_{person}_{_}.jpg.
    folders
        What each sub-folder of a plain folder is: person, camera, or auto, which guesses.
    """
    if check is not None:
        if run is not None or out is not None:
            raise SettingsError("--check tests a file and writes none: leave out RUN and --out.")
        return _check(check, as_json)
    if run is None or out is None:
        raise SettingsError(
            "RUN and --out are needed to write a file: reseen export RUN --for boxmot --out "
            "FILE.onnx. To test one: reseen export --check FILE."
        )
    screen = Screen(quiet)
    how: Any = dict(format=format, pattern=pattern, folders=folders)
    folder = consumer == "pretrained"
    contract = None
    if not folder:
        contract = contract_for(consumer, precision, scale=scale, order=order, batch=batch)
    check_out(out, "" if folder else SUFFIXES.get(consumer, ".onnx"), screen)
    for data in filter(None, (calibrate, judge)):
        refuse_inside(out, data)
    labelled, pictures = judge and read(judge, **how), calibrate and read(calibrate, **how)
    encoder = training.load(run, best=best, device=Device(name="cpu", precision="float32"))
    told = trained_on or _trained_on(run)
    if folder:
        save_pretrained(encoder, out, data=told)
        said = f"{out} is an encoder that reseen.load reads, with its model card"
        give({"folder": str(out)}, said, as_json=as_json)
        return
    before, chosen, crops = None, judging.given(threshold), None
    if labelled:
        images = distinct(labelled.query, labelled.gallery)
        crops = extraction.load(images, encoder, loading, screen)
        before, features = judging.judge(encoder, crops, labelled, screen)
        chosen = chosen or judging.threshold(features, crops, labelled)
    seen = distinct(pictures.train, pictures.gallery, pictures.query) if pictures else ()
    card = write(
        encoder,
        out,
        consumer,
        contract=contract,
        calibrate=seen,
        run=run.resolve().name,
        data=told,
        threshold=chosen,
        loading=loading,
        screen=screen,
    )
    file = Exported(out)
    size = sum(path.stat().st_size for path in (out, out.with_suffix(".bin")) if path.exists())
    numbers: dict[str, Any] = {"file": str(out), "card": str(beside(out)), "bytes": size}
    said = [
        f"{out}: {size / 1e6:.1f} MB, {counted(card.dimensions, 'number')} a picture",
        f"It takes {_takes(file)}. Card: {beside(out)}",
    ]
    if labelled and crops is not None and before is not None:
        after, _ = judging.judge(file, crops, labelled, screen)
        numbers |= {"mAP": {"run": before.mean_ap, "file": after.mean_ap}}
        said.append(
            f"mAP on {labelled.name}: {before.mean_ap:.2%} by the run, {after.mean_ap:.2%} by the "
            f"file ({100 * (after.mean_ap - before.mean_ap):+.2f})"
        )
    if chosen:
        numbers |= {"threshold": chosen}
        said.append(f"threshold: similarity {chosen['similarity']} ({chosen['source']})")
    give(numbers, *said, as_json=as_json)


def _check(path: Path, as_json: bool) -> None:
    file = Exported(path)
    card, near = file.card, file.likeness
    numbers = {"file": str(path), "likeness": near, "for": card.consumer, "digest": card.digest}
    give(
        numbers,
        f"{path} is sound: the vectors of the two drawn pictures are those of its card (cosine "
        f"{near:.5f})",
        f"written for {card.consumer} by reseen {card.version}; it takes {_takes(file)}",
        as_json=as_json,
    )


def _takes(file: Exported) -> str:
    card = file.card
    scale = {
        "plain": "0 to 1, normalised by ImageNet's mean and std",
        "unit": "0 to 1",
        "pixel": "0 to 255",
    }[card.scale]
    many = f"{card.batch} at a time" if card.batch else "any number at a time"
    return (
        f"{card.height} x {card.width} pixels (height x width), {card.order.upper()}, {scale}, "
        f"{many}, {card.precision}"
    )


def _trained_on(run: Path) -> str:
    """Say what an encoder was trained on, as far as its run tells."""
    if training.is_shipped(run):
        return "19,200 drawn crops of 800 people who do not exist, by 24 cameras (reseen-tiny)."
    if not run.is_dir() or pretrained.is_pretrained(run):
        return ""
    facts = read_facts(run)
    start = f", begun with {Path(facts['start']).name}" if facts.get("start") else ""
    count = facts.get("data", {}).get("images", 0)
    return f"{counted(count, 'crop')}, by {facts['method']}{start}."
