import pytest

from reseen.errors import counted


@pytest.mark.parametrize(
    ("number", "words", "written"),
    [
        (1, ("cluster",), "1 cluster"),
        (0, ("cluster",), "0 clusters"),
        (2, ("query", "queries"), "2 queries"),
        (1, ("picture is", "pictures are"), "1 picture is"),
    ],
)
def test_a_number_agrees_with_its_noun(number, words, written):
    assert counted(number, *words) == written
