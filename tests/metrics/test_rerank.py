import numpy as np
import pytest

from reseen.errors import SettingsError
from reseen.metrics.ranking import cosine_blocks, rank
from reseen.metrics.rerank import rerank_blocks


def people(n, seed, persons=10, d=24, spread=0.9):
    draw = np.random.default_rng(seed)
    who = draw.integers(persons, size=n)
    rows = draw.standard_normal((persons, d))[who] + spread * draw.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), who


def published(query, gallery, k1, k2, lam):
    """Zhong's re-ranking, dense: every step over (Q + G) x (Q + G)."""
    features = np.concatenate([query, gallery])
    n = len(features)
    squared = 2 - 2 * (features @ features.T)
    original = (squared / squared.max(0)).T
    ranks = np.argsort(original, axis=1, kind="stable")

    def reciprocal(i, k):
        forward = ranks[i, : k + 1]
        return forward[[i in ranks[j, : k + 1] for j in forward]]

    weights = np.zeros((n, n), np.float32)
    for i in range(n):
        wide = members = reciprocal(i, k1)
        for j in wide:
            narrow = reciprocal(j, int(np.around(k1 / 2)))
            if len(np.intersect1d(narrow, wide)) > 2 / 3 * len(narrow):
                members = np.append(members, narrow)
        members = np.unique(members)
        power = np.exp(-original[i, members])
        weights[i, members] = power / power.sum()
    if k2 != 1:
        weights = np.stack([weights[ranks[i, :k2]].mean(0) for i in range(n)])
    overlap = np.stack([np.minimum(row, weights).sum(1) for row in weights[: len(query)]])
    jaccard = 1 - overlap / (2 - overlap)
    return ((1 - lam) * jaccard + lam * original[: len(query)])[:, len(query) :]


@pytest.mark.parametrize(("queries", "images"), [(30, 150), (7, 9), (1, 60)])
@pytest.mark.parametrize(("k1", "k2", "lam"), [(20, 6, 0.3), (7, 1, 0.0), (11, 3, 1.0)])
@pytest.mark.parametrize("copies", [False, True])
def test_equals_the_published_dense_algorithm(queries, images, k1, k2, lam, copies):
    query, gallery = people(queries, 1)[0], people(images, 2)[0]
    if copies:
        gallery[: queries // 2] = query[: queries // 2]
    blocks = [
        (start, block.copy())
        for start, block in rerank_blocks(
            query, gallery, k1=k1, k2=k2, lam=lam, block_bytes=4 * images * 8
        )
    ]
    found = np.concatenate([block for _, block in blocks])
    assert [start for start, _ in blocks] == list(range(0, queries, 8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, published(query, gallery, k1, k2, lam), atol=1e-5)


def test_scaling_by_the_farthest_leaves_the_order_of_each_row():
    features, _ = people(80, 3)
    squared = 2 - 2 * (features @ features.T)
    scaled = (squared / squared.max(0)).T
    np.testing.assert_array_equal(
        np.argsort(scaled, axis=1, kind="stable")[:, :21],
        np.argsort(squared, axis=1, kind="stable")[:, :21],
    )


def test_it_ranks_clustered_people_better_than_cosine():
    features, who = people(300, 4, spread=1.3)
    query, gallery = features[:40], features[40:]
    people_of = {"query_person": who[:40], "gallery_person": who[40:]}
    plain = rank(cosine_blocks(query, gallery), **people_of).mean_ap
    assert rank(rerank_blocks(query, gallery), **people_of).mean_ap > plain + 0.02


def test_all_alike_gives_finite_distances():
    same = np.tile(np.eye(1, 8, dtype=np.float32), (30, 1))
    ((_, distances),) = rerank_blocks(same[:5], same)
    assert np.isfinite(distances).all()


@pytest.mark.parametrize("bad", [{"k1": 0}, {"k2": 0}, {"lam": -0.1}, {"lam": 1.1}])
def test_impossible_settings_are_refused(bad):
    features, _ = people(9, 5)
    (name,) = bad
    with pytest.raises(SettingsError, match=f"{name} is"):
        next(rerank_blocks(features, features, **bad))
