"""The algorithms as published code has them, over N x N arrays: what the kernels are held against.

Two forms of the labelling: `published_*` keeps the published structure (flat search, a Python loop
over rows, dense arrays, scikit-learn's DBSCAN on the dense matrix); `tuned_*` is what a careful
programmer makes of it with numpy, still dense.
"""

import numpy as np
from numba import njit
from sklearn.cluster import DBSCAN

STEP = 1024


def flat_search(features: np.ndarray, k: int) -> np.ndarray:
    """Exact search as flat indexes do it: a block of products at a time, then the best of each."""
    ranks = np.empty((len(features), k), np.int64)
    for start in range(0, len(features), STEP):
        near = -(features[start : start + STEP] @ features.T)
        best = np.argpartition(near, k, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(near, best, axis=1), axis=1, kind="stable")
        ranks[start : start + STEP] = np.take_along_axis(best, order, axis=1)
    return ranks


def published_distances(features, ranks, k1, k2):
    """Weighted, expanded k-reciprocal Jaccard distances, a Python loop over rows for each step."""
    n = len(features)

    def reciprocal(i, k):
        forward = ranks[i, :k]
        return forward[(ranks[forward, :k] == i).any(1)]

    half = round(k1 / 2) + 1
    wide = [reciprocal(i, k1) for i in range(n)]
    narrow = [reciprocal(i, half) for i in range(n)]
    weights = np.zeros((n, n), np.float32)
    for i in range(n):
        members = wide[i]
        for j in wide[i]:
            if len(np.intersect1d(narrow[j], wide[i])) > 2 / 3 * len(narrow[j]):
                members = np.append(members, narrow[j])
        members = np.unique(members)
        power = np.exp(2 * (features[members] @ features[i]) - 2)
        weights[i, members] = power / power.sum()
    if k2 > 1:
        averaged = np.empty_like(weights)
        for i in range(n):
            averaged[i] = weights[ranks[i, :k2]].mean(0)
        weights = averaged
    return published_jaccard(weights, np.arange(n))


def published_jaccard(weights, rows):
    """Distances of some rows to all, by an inverted index of the columns."""
    n = len(weights)
    holders = [np.flatnonzero(weights[:, j]) for j in range(n)]
    distances = np.empty((len(rows), n), np.float32)
    for r, i in enumerate(rows):
        overlap = np.zeros(n, np.float32)
        for j in np.flatnonzero(weights[i]):
            overlap[holders[j]] += np.minimum(weights[i, j], weights[holders[j], j])
        distances[r] = 1 - overlap / (2 - overlap)
    return np.maximum(distances, 0, out=distances)


def tuned_distances(features, ranks, k1, k2):
    """The same distances: reciprocity by a table look-up, the rest by numpy on whole rows."""
    n, half = len(features), round(k1 / 2) + 1
    inside = np.zeros((n, n), bool)
    np.put_along_axis(inside, ranks[:, :k1], True, axis=1)
    wide = inside[ranks[:, :k1], np.arange(n)[:, None]]
    inside[:] = False
    np.put_along_axis(inside, ranks[:, :half], True, axis=1)
    narrow = inside[ranks[:, :half], np.arange(n)[:, None]]
    del inside
    weights = np.zeros((n, n), np.float32)
    mark = np.zeros(n, bool)
    for i in range(n):
        members = ranks[i, :k1][wide[i]]
        mark[members] = True
        lists, known = ranks[members, :half], narrow[members]
        joins = 3 * (mark[lists] & known).sum(1) > 2 * known.sum(1)
        mark[lists[joins][known[joins]]] = True
        members = np.flatnonzero(mark)
        mark[members] = False
        power = np.exp(2 * (features[members] @ features[i]) - 2)
        weights[i, members] = power / power.sum()
    if k2 > 1:
        averaged = weights[ranks[:, 0]]
        for place in range(1, k2):
            for start in range(0, n, STEP):
                averaged[start : start + STEP] += weights[ranks[start : start + STEP, place]]
        weights = np.divide(averaged, k2, out=averaged)
    columns, holders = np.nonzero(weights.T)
    shares = weights[holders, columns]
    cuts = np.searchsorted(columns, np.arange(n + 1))
    distances = np.empty((n, n), np.float32)
    for i in range(n):
        entries = np.flatnonzero(weights[i])
        parts = [slice(cuts[j], cuts[j + 1]) for j in entries]
        sizes = [part.stop - part.start for part in parts]
        least = np.minimum(
            np.concatenate([shares[part] for part in parts]), np.repeat(weights[i, entries], sizes)
        )
        found = np.concatenate([holders[part] for part in parts])
        overlap = np.bincount(found, least, minlength=n)
        distances[i] = 1 - overlap / (2 - overlap)
    return np.maximum(distances, 0, out=distances)


def dense_dbscan(distances, eps, min_samples):
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(distances).labels_


def dense_claim(features, centroids, p, k1):
    """ADTC's second stage on plain sets: images and centroids in one dense matrix of distances."""
    n, points = len(features), np.concatenate([features, centroids])
    ranks = flat_search(points, k1)
    inside = np.zeros((len(points),) * 2, bool)
    for i in range(len(points)):
        forward = ranks[i]
        inside[i, forward[(ranks[forward] == i).any(1)]] = inside[i, i] = True
    member = inside.astype(np.float32)
    sizes = member.sum(1)
    shared = member @ member.T
    distances = (1 - shared / (sizes[:, None] + sizes[None] - shared))[n:, :n]
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :p]
    real = np.take_along_axis(distances, nearest, axis=1) < 1
    centroid = np.repeat(np.arange(len(centroids))[:, None], p, axis=1)[real]
    image = nearest[real]
    labels = np.full(n, -1)
    labels[image] = centroid
    labels[np.bincount(image, minlength=n) > 1] = -1
    return labels


def dense_rerank(query, gallery, k1, k2, lam):
    """Re-ranking over (Q + G) x (Q + G) arrays, every row sorted in full."""
    features = np.concatenate([query, gallery])
    n, queries = len(features), len(query)
    original = 2 - 2 * (features @ features.T)
    original = (original / original.max(0)).T
    ranks = np.argsort(original, axis=1).astype(np.int32)
    weights = np.zeros((n, n), np.float32)

    def reciprocal(i, k):
        forward = ranks[i, : k + 1]
        return forward[(ranks[forward, : k + 1] == i).any(1)]

    for i in range(n):
        wide = members = reciprocal(i, k1)
        for j in wide:
            narrow = reciprocal(j, round(k1 / 2))
            if len(np.intersect1d(narrow, wide)) > 2 / 3 * len(narrow):
                members = np.append(members, narrow)
        members = np.unique(members)
        power = np.exp(-original[i, members])
        weights[i, members] = power / power.sum()
    original = original[:queries]
    if k2 > 1:
        averaged = np.empty_like(weights)
        for i in range(n):
            averaged[i] = weights[ranks[i, :k2]].mean(0)
        weights = averaged
    jaccard = published_jaccard(weights, np.arange(queries))
    return ((1 - lam) * jaccard + lam * original)[:, queries:]


def python_rank(distances, person, camera, persons, cameras):
    """mAP by a sort of every row and a Python loop over queries."""
    precisions = []
    order = np.argsort(distances, axis=1)
    for q in range(len(distances)):
        row = order[q]
        kept = ~((persons[row] == person[q]) & (cameras[row] == camera[q]))
        right = (persons[row] == person[q])[kept].astype(np.int32)
        if not right.any():
            continue
        hits = right.cumsum()
        above = [hit / (place + 1.0) for place, hit in enumerate(hits)]
        precisions.append((np.asarray(above) * right).sum() / right.sum())
    return float(np.mean(precisions))


def compiled_rank(distances, person, camera, persons, cameras):
    """mAP by a compiled loop over a matrix of sorted positions."""
    order = np.argsort(distances, axis=1)
    return _mean_precision(order, person, camera, persons, cameras)


@njit(cache=True)
def _mean_precision(order, person, camera, persons, cameras):
    total, judged = 0.0, 0
    for q in range(len(order)):
        precision, hits, place = 0.0, 0, 0
        for g in order[q]:
            if persons[g] == person[q] and cameras[g] == camera[q]:
                continue
            place += 1
            if persons[g] == person[q]:
                hits += 1
                precision += hits / place
        if hits:
            total += precision / hits
            judged += 1
    return total / judged
