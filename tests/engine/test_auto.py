from dataclasses import replace

import numpy as np
import pytest

from reseen.cluster.density import MANY
from reseen.cluster.survey import survey
from reseen.engine.auto import EPOCHS_IN_A_ROUND, RULES
from reseen.errors import counted
from tests.cluster.test_survey import crops


@pytest.fixture(scope="module")
def values():
    """What the rules give for N images of so many people each."""

    def of(size, people, rules=RULES):
        found = survey(crops([size] * people, d=32))
        return {name: rule(found)[0] for name, rule in rules.items()}

    return of


def test_three_images_can_be_asked_for(values):
    found = values(1, 3)
    assert found["k1"] == 2 and found["people"] >= 2 and found["iterations"] >= 1
    assert found["clusters"] >= 2 and found["p"] >= 2 and 0 < found["share"] <= 0.5


def test_thirty_images(values):
    found = values(5, 6)
    assert 5 <= found["k1"] <= 15 and found["people"] * found["views"] <= 30
    assert found["iterations"] <= 10


def test_a_site(values):
    found = values(9, 61)
    assert 10 <= found["k1"] <= 18 and found["people"] == 32 and found["views"] == 4
    looks = found["iterations"] * found["people"] * found["views"] / 549
    assert looks == pytest.approx(2, rel=0.1)
    assert 61 < found["clusters"] < 122


def test_a_benchmark_comes_near_what_is_published(values):
    found = values(16, 625)  # Market-1501: 17 images a person
    assert 20 <= found["k1"] <= 30 and 4 <= found["k2"] <= 6
    assert found["share"] == pytest.approx(1.6e-3, rel=0.5)
    assert found["p"] == pytest.approx(20, abs=3)
    assert found["clusters"] == pytest.approx(4 / 3 * 625, rel=0.2)
    assert found["epochs"] > values(9, 61)["epochs"]


def test_epochs_of_a_round_show_each_image_once(values):
    whole, parts = values(9, 61), values(9, 61, EPOCHS_IN_A_ROUND)
    assert parts["iterations"] * parts["epochs"] == pytest.approx(whole["iterations"], rel=0.15)


@pytest.mark.parametrize("size", [1, 1.4, 2, 3, 5.5, 7.1, 10, 17, 24.5])
def test_buc_ends_near_the_clusters_that_are_expected(size):
    rate, why = RULES["merge_rate"](replace(survey(crops([4] * 10)), per_person=size, images=9000))
    rounds = int(1 / rate) - 2  # as BUC counts them
    left = 9000 - rounds * int(9000 * rate)
    assert left == pytest.approx(min(9000 / size, 6000), rel=0.3)
    assert why.startswith(f"{counted(rounds, 'round')} leave about")


def test_the_published_merge_rate_is_that_of_ten_images_a_person():
    found = survey(crops([5] * 60), per_person=10)
    assert RULES["merge_rate"](found)[0] == 0.05


def test_every_rule_gives_its_reason():
    found = survey(crops([4] * 10))
    for rule in RULES.values():
        value, reason = rule(found)
        assert (
            (isinstance(value, str) or np.isfinite(value)) and reason and not reason.endswith(".")
        )


def test_many_images_need_approximate_neighbours():
    found = survey(crops([4] * 10))
    few, many = (RULES["neighbours"](replace(found, images=n))[0] for n in (MANY - 1, MANY))
    assert (few, many) == ("exact", "approximate")
