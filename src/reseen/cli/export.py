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
    """Export the encoder of a run to a file that other programs can load, with a card next to it.

    The card (FILE.json, and for ONNX also the metadata of the file) describes the input of the
    file, and holds the features of two test images by which --check can verify it.
    docs/how-to/export.md lists the settings for each program.

    Parameters
    ----------
    run
        Folder of a run, one of its checkpoints, or reseen-tiny, the encoder that comes with reseen.
    consumer
        Program to export for: plain (ONNX, pixels normalised with ImageNet's mean and standard
        deviation), boxmot (the same), ultralytics (pixels 0 to 1), deepstream (0 to 255), openvino
        (.xml, 0 to 255, BGR, batches of one image), torch (.pt2 of torch.export, 0 to 255), or
        pretrained (a folder with safetensors, config and model card, for reseen itself).
    out
        The file to write: .onnx, .xml or .pt2; for pretrained, a new folder.
    check
        Verify this file instead of writing one: compare its features of the two test images with
        those on its card.
    scale
        Range of the input pixels: plain (normalised), unit (0 to 1) or pixel (0 to 255). By default
        the one that the program uses.
    order
        Order of the colour channels: rgb or bgr. By default the one that the program uses.
    batch
        Batch size; 0 allows any. By default the one that the program uses.
    precision
        float32, float16 or int8, which requires --calibrate.
    calibrate
        Folder of crops for the calibration of int8, ideally from the site where it will be used.
    judge
        Labelled data set with queries and a gallery: measure the mAP of the run and of the file,
        and write a threshold to the card at which 1 % of the pairs of different people match.
    threshold
        Cosine similarity from which two crops count as the same person, to write to the card.
    trained_on
        A sentence that describes the training data, to write to the card.
    best
        Use the checkpoint that was best on the test set instead of the one of the last round.
    format
        Format of the data given to --calibrate and --judge: auto, folder, tracklets, or a
        benchmark.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    if check is not None:
        if run is not None or out is not None:
            raise SettingsError("--check only verifies a file. Leave out RUN and --out.")
        return _check(check, as_json)
    if run is None or out is None:
        raise SettingsError(
            "RUN and --out are required to write a file: reseen export RUN --for boxmot --out "
            "FILE.onnx. To verify a file: reseen export --check FILE."
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
        said = f"{out} holds the encoder and its model card. Load it by reseen.load."
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
        f"{out}: {size / 1e6:.1f} MB, features of {counted(card.dimensions, 'dimension')}",
        f"Input: {_takes(file)}. Card: {beside(out)}",
    ]
    if labelled and crops is not None and before is not None:
        after, _ = judging.judge(file, crops, labelled, screen)
        numbers |= {"mAP": {"run": before.mean_ap, "file": after.mean_ap}}
        said.append(
            f"mAP on {labelled.name}: {before.mean_ap:.2%} with the run, {after.mean_ap:.2%} with "
            f"the file ({100 * (after.mean_ap - before.mean_ap):+.2f})"
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
        f"{path} is correct: its features of the two test images match its card (cosine "
        f"similarity {near:.5f})",
        f"Written for {card.consumer} by reseen {card.version}. Input: {_takes(file)}",
        as_json=as_json,
    )


def _takes(file: Exported) -> str:
    card = file.card
    scale = {
        "plain": "0 to 1, normalised by ImageNet's mean and std",
        "unit": "0 to 1",
        "pixel": "0 to 255",
    }[card.scale]
    many = f"batch size {card.batch}" if card.batch else "any batch size"
    return (
        f"{card.height} x {card.width} pixels (height x width), {card.order.upper()}, {scale}, "
        f"{many}, {card.precision}"
    )


def _trained_on(run: Path) -> str:
    """Say what an encoder was trained on, as far as its run tells."""
    if training.is_shipped(run):
        return "19,200 drawn crops of 800 invented people by 24 cameras (reseen-tiny)."
    if not run.is_dir() or pretrained.is_pretrained(run):
        return ""
    facts = read_facts(run)
    start = f", started from {Path(facts['start']).name}" if facts.get("start") else ""
    count = facts.get("data", {}).get("images", 0)
    return f"{counted(count, 'crop')}, by {facts['method']}{start}."
