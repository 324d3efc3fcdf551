import numpy as np
import torch
import torch.nn.functional as F

from reseen.memory.table import LookupTable

CLASSES = np.array([2, 0, 1, 0, 2, 2])


def unit_rows(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 4, generator=draw))


def test_one_row_an_image_then_the_mean_of_what_was_merged():
    features = unit_rows(6)
    table = LookupTable(features.numpy())
    torch.testing.assert_close(table.rows, features)
    table.start(features.numpy(), CLASSES)
    for c in range(3):
        mean = features[torch.from_numpy(c == CLASSES)].mean(0)
        torch.testing.assert_close(table.rows[c], F.normalize(mean, dim=0))


def test_an_update_moves_the_rows_of_the_images_classes_and_no_others():
    """The index that the withdrawn numbers had wrong: positions are not classes."""
    features = unit_rows(6)
    table = LookupTable(features.numpy(), CLASSES, momentum=0.5)
    expected = table.rows.clone()
    vectors, positions = unit_rows(3, seed=1), torch.tensor([5, 3, 0])
    for x, c in zip(vectors, (2, 0, 2), strict=True):
        expected[c] = F.normalize((expected[c] + x) / 2, dim=0)
    before = table.rows.clone()
    table.update(vectors, positions)
    torch.testing.assert_close(table.rows, expected)
    assert torch.equal(table.rows[1], before[1])


def test_what_is_kept_brings_it_back():
    features = unit_rows(6)
    table, other = LookupTable(features.numpy(), CLASSES), LookupTable(features.numpy())
    other.load_state_dict(table.state_dict())
    assert torch.equal(other.rows, table.rows) and torch.equal(other.classes, table.classes)
