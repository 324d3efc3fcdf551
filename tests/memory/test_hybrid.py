import numpy as np
import torch
import torch.nn.functional as F

from reseen.losses.contrastive import cluster_nce
from reseen.memory.hybrid import HybridMemory

IDS = np.array([1, -1, 0, 1, -1, 0, 0])


def rows(count, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 5, generator=draw, dtype=dtype))


def memory():
    kept = HybridMemory(2, len(IDS), 5, momentum=0.2)
    kept.start(rows(7).numpy(), 3 * rows(2, seed=1).numpy())
    kept.assign(IDS)
    return kept


def test_classes_are_the_source_then_clusters_then_images_alone():
    kept = memory()
    assert kept.classes.tolist() == [0, 1, 3, 4, 2, 3, 5, 2, 2]
    torch.testing.assert_close(kept.rows[:2], rows(2, seed=1))
    np.testing.assert_allclose(kept.instances, rows(7).numpy(), rtol=1e-6)
    for k in range(6):
        torch.testing.assert_close(kept.centres[k], kept.rows[kept.classes == k].mean(0))


def test_the_loss_is_that_of_the_paper_written_out():
    """Eq. 1 in float64: w of the source, c of the clusters, v of the images alone."""
    kept = memory()
    kept.rows = kept.rows.double()
    vectors, targets = rows(4, seed=2, dtype=torch.float64), [0, 3, 2, 5]
    w, v = kept.rows[:2], kept.rows[2:]
    c = [v[torch.from_numpy(k == IDS)].mean(0) for k in range(2)]
    against = [*w, *c, v[1], v[4]]
    terms = []
    for f, own in zip(vectors, targets, strict=True):
        similar = [torch.exp(f @ z / 0.05) for z in against]
        terms.append(-torch.log(similar[own] / sum(similar)))
    found = cluster_nce(vectors, kept.centres, torch.tensor(targets), 0.05)
    torch.testing.assert_close(found, sum(terms) / len(terms))


def test_an_update_moves_each_row_by_its_images_in_turn_and_no_other():
    kept = memory()
    expected, vectors = kept.rows.clone(), rows(4, seed=3)
    places = [3, 1, 3, 8]  # a class of the source, and two images of which one comes twice
    for x, place in zip(vectors, places, strict=True):
        expected[place] = F.normalize(0.2 * expected[place] + 0.8 * x, dim=0)
    kept.update(vectors, torch.tensor(places))
    torch.testing.assert_close(kept.rows, expected)
    kept.assign(np.full(7, -1))
    assert kept.classes.tolist() == list(range(9)) and len(kept.centres) == 9


def test_what_is_kept_brings_it_back():
    kept, other = memory(), HybridMemory(2, len(IDS), 5, momentum=0.2)
    other.load_state_dict(kept.state_dict())
    assert torch.equal(other.rows, kept.rows)
