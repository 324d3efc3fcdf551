"""CMC, mAP and mINP from blocks of distances: one pass per query, without sorting the gallery.

Protocol of Zheng et al., Scalable Person Re-identification: A Benchmark (Market-1501), ICCV 2015.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from reseen.errors import DataError, SettingsError
from reseen.kernels.compile import njit
from reseen.kernels.neighbours import BLOCK_BYTES, check_rows, similarity_blocks
from reseen.kernels.threads import spread
from reseen.records import JUNK, Ranking


def cosine_blocks(
    query: np.ndarray, gallery: np.ndarray, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the cosine distances of all queries to the gallery, in blocks of queries.

    Args:
        query: (Q, D) unit rows.
        gallery: (G, D) unit rows.
        block_bytes: memory for one block, in bytes; a block has at least one query.

    Yields:
        start, and (b, G) float32 distances 1 - cos of queries start .. start + b, which the next
        block overwrites.

    Raises:
        DataError: features are not finite unit rows, or differ in D.

    Memory: O(block_bytes).
    """
    query, gallery = check_rows(query, "query"), check_rows(gallery, "gallery")
    for start, similarities in similarity_blocks(query, gallery, block_bytes):
        yield start, np.subtract(1, similarities, out=similarities)


def rank(
    blocks: Iterable[tuple[int, np.ndarray]],
    *,
    query_person: np.ndarray,
    gallery_person: np.ndarray,
    query_camera: np.ndarray | None = None,
    gallery_camera: np.ndarray | None = None,
    query_itself: np.ndarray | None = None,
    top: int = 10,
) -> Ranking:
    """Evaluate each query by the ranks of its person in the gallery.

    Three kinds of gallery images are removed first: JUNK, images of the query's person from the
    query's camera, and the query image itself. At equal distances, wrong images precede correct
    ones, so that the order of files cannot help.

    Args:
        blocks: (start, (b, G) distances) in the order of the queries (see `cosine_blocks`).
        query_person: (Q,) int, the person on each query.
        gallery_person: (G,) int, or JUNK. Give unknown people a number that no query has: they
            count as wrong.
        query_camera: (Q,) int, -1 if unknown; an unknown camera equals no other. None: all unknown.
        gallery_camera: (G,) int, likewise.
        query_itself: (Q,) int, gallery position of the query image itself, -1 for none.
        top: number of nearest images to list for each query.

    Returns:
        A `Ranking`; queries without a correct image are skipped and counted. AP is the mean over
        correct images of (correct images up to it) / (its rank), in float64.

    Raises:
        DataError: no query can be evaluated, distances contain NaN, or sizes do not fit.
        SettingsError: top is below 1.

    Source: Zheng et al., ICCV 2015, Sec. 4; INP of Ye et al., TPAMI 2021, Sec. 2.4.
    Memory: O(Q top) and one block.
    """
    if top < 1:
        raise SettingsError(f"top is {top}, but at least one image must be listed. Give 1 or more.")
    queries, images = len(query_person), len(gallery_person)
    asked = _numbers(
        queries, query_person=query_person, query_camera=query_camera, query_itself=query_itself
    )
    shown = _numbers(images, gallery_person=gallery_person, gallery_camera=gallery_camera)
    scores = np.zeros((queries, 3))
    listed = np.full((queries, top), -1, np.int64)
    right = np.zeros((queries, top), np.bool_)
    seen = 0
    for start, distances in blocks:
        part = slice(start, start + len(distances))
        if start != seen or part.stop > queries or distances.shape[1:] != (images,):
            raise DataError(
                f"A block of distances starts at query {start} with shape {distances.shape}, but "
                f"query {seen} of {queries} and {images} gallery images are next. Give one row for "
                "each query, in order, with one distance for each gallery image."
            )
        block = np.ascontiguousarray(distances, np.float32)
        answers = [scores[part], listed[part], right[part]]
        spread(_judge, block, *(column[part] for column in asked), *shown, *answers)
        seen = part.stop
    _check(seen, queries, scores)
    judged = np.flatnonzero(scores[:, 1])
    precision, first, penalty = scores[judged].T
    return Ranking(
        queries=judged,
        skipped=queries - len(judged),
        average_precision=precision.copy(),
        first_match=first.astype(np.int64),
        inverse_penalty=penalty.copy(),
        top=listed[judged],
        right=right[judged],
    )


def _numbers(size: int, **columns: np.ndarray | None) -> list[np.ndarray]:
    """Return each column as int64, with -1 everywhere if it is None."""
    for name, column in columns.items():
        if column is not None and np.shape(column) != (size,):
            raise DataError(f"{name} has shape {np.shape(column)}. Give one number each: ({size},)")
    return [
        np.full(size, -1, np.int64) if column is None else np.ascontiguousarray(column, np.int64)
        for column in columns.values()
    ]


def _check(seen: int, queries: int, scores: np.ndarray) -> None:
    if seen != queries:
        raise DataError(f"There are distances of {seen} of {queries} queries. Give all.")
    if np.isnan(scores).any():
        lost = int(np.isnan(scores).any(1).sum())
        raise DataError(f"Distances of {lost} queries are NaN. Check whether training diverged.")
    if not scores[:, 1].any():
        raise DataError(
            f"No query of {queries} has its person in the gallery on another camera. "
            "Check that persons and cameras are read from the right part of the file names."
        )


@njit(nogil=True, cache=True)
def _judge(t, threads, distances, person, camera, itself, persons, cameras, *answers):
    scores, listed, right = answers
    for q in range(t, len(distances), threads):
        kind = _sort_out(person[q], camera[q], itself[q], persons, cameras)
        scores[q] = _score(distances[q], kind)
        _list_nearest(distances[q], kind, listed[q], right[q])


# The next two loops have no branches, so that the compiler can vectorise them.
@njit(cache=True)
def _sort_out(person, camera, itself, persons, cameras):
    """Mark each gallery image: 1 correct, 0 wrong, -1 removed."""
    kind = np.empty(len(persons), np.int8)
    known = camera != -1
    for g in range(len(persons)):
        same = persons[g] == person
        out = (persons[g] == JUNK) | (same & known & (cameras[g] == camera))
        kind[g] = -1 if out else same
    if itself >= 0:
        kind[itself] = -1
    return kind


@njit(cache=True)
def _score(row, kind):
    """Return AP, rank of the first match and INP; zeros without a match, NaN if a distance is."""
    wrong, lost = np.empty_like(row), 0
    for g in range(len(row)):
        lost += row[g] != row[g]
        wrong[g] = row[g] if kind[g] == 0 else np.nan
    if lost:
        return np.full(3, np.nan)
    matches = np.sort(row[kind == 1])
    if len(matches) == 0:
        return np.zeros(3)
    precision, first, place = 0.0, 0, 0
    for hits in range(1, len(matches) + 1):
        place = hits
        for g in range(len(wrong)):
            place += wrong[g] <= matches[hits - 1]  # never for NaN
        precision += hits / place
        first = place if hits == 1 else first
    return np.array([precision / len(matches), first, len(matches) / place])


@njit(cache=True)
def _list_nearest(row, kind, listed, right):
    """Store the nearest images in order of distance, wrong before correct, then index."""
    nearest = np.full(len(listed), np.inf, np.float32)
    size = 0
    for g in range(len(row)):
        full = size == len(listed)
        if kind[g] < 0 or (full and row[g] > nearest[-1]):
            continue
        place = size
        while place > 0 and _precedes(row[g], kind[g], nearest[place - 1], right[place - 1]):
            place -= 1
        if place == len(listed):
            continue
        size = min(size + 1, len(listed))
        for other in range(size - 1, place, -1):
            nearest[other] = nearest[other - 1]
            listed[other] = listed[other - 1]
            right[other] = right[other - 1]
        nearest[place], listed[place], right[place] = row[g], g, kind[g] == 1


@njit(cache=True)
def _precedes(distance, kind, other, other_right):
    return distance < other or (distance == other and kind == 0 and other_right)
