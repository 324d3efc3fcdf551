"""The rows of the papers' tables: what each changes in its method, and the published numbers."""

from reseen.published import (
    adtc,
    buc,
    cluster_contrast,
    conslearn,
    daal,
    house,
    mla,
    mmt,
    spcl,
    ssl,
)

VARIANTS = {
    "cluster-contrast": cluster_contrast.VARIANTS,
    "adtc": adtc.VARIANTS,
    "conslearn": conslearn.VARIANTS,
    "mla": mla.VARIANTS,
    "mmt": mmt.VARIANTS,
    "spcl": spcl.VARIANTS,
    "ssl": ssl.VARIANTS,
    "buc": buc.VARIANTS,
    "daal": daal.VARIANTS,
    "house": house.VARIANTS,
}
"""The rows of each method's published tables, by the names of `methods.METHODS`."""

GAINS = daal.GAINS
"""The row over which all others of a table are given as gains, for tables that are printed so."""
