"""Export of the data of a gallery to a file for other programs."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path

import numpy as np

from reseen.engine.files import check_out, write_text, written
from reseen.errors import SettingsError
from reseen.gallery.records import Crop
from reseen.gallery.store import Store

KINDS = (".csv", ".json", ".npz")


def write(out: Path, crops: Sequence[Crop], store: Store) -> int:
    """Write crops as a table, a list, or arrays with their vectors; see `Gallery.export`."""
    kind = out.suffix.lower()
    if kind not in KINDS:
        raise SettingsError(f"{out} does not end in one of {', '.join(KINDS)}. Use one of these.")
    check_out(out, kind)
    rows = [asdict(crop) for crop in crops]
    if kind == ".json":
        write_text(out, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    elif kind == ".csv":
        text = StringIO()
        table = csv.DictWriter(text, [field.name for field in fields(Crop)], lineterminator="\n")
        table.writeheader()
        for row in rows:
            box = None if row["box"] is None else " ".join(map(str, row["box"]))
            table.writerow(row | {"box": box})
        write_text(out, text.getvalue())
    else:
        vectors, ids = store.vectors([crop.id for crop in crops])
        by_id = {crop.id: crop for crop in crops}
        kept = [by_id[id] for id in ids]
        with written(out) as file:
            np.savez(
                file,
                features=vectors,
                ids=np.array(ids, str),
                cameras=np.array([crop.camera or "" for crop in kept], str),
                times=np.array([np.nan if c.time is None else c.time for c in kept], np.float64),
                people=np.array([crop.person or "" for crop in kept], str),
                sources=np.array([crop.source for crop in kept], str),
            )
    return len(rows)
