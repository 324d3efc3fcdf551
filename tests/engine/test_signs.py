import pytest

from reseen.engine.signs import best_round, progress, signs


def run(**columns):
    """Rows of a healthy run, with some columns replaced."""
    healthy = dict(
        clusters=[70, 64, 62, 60],
        noise=[0.2, 0.1, 0.08, 0.08],
        stability=[None, 0.7, 0.8, 0.85],
        loss=[1.2, 0.8, 0.7, 0.6],
    )
    rows = [
        dict(zip(healthy | columns, values, strict=True))
        for values in zip(*(healthy | columns).values(), strict=True)
    ]
    return [
        {"round": i} | {k: v for k, v in row.items() if v is not None}
        for i, row in enumerate(rows, start=1)
    ]


def kinds(rows, expected=(30.0, 120.0)):
    return [sign.kind for sign in signs(rows, 550, expected)]


def test_a_healthy_run_shows_nothing():
    rows = run()
    for end in range(len(rows) + 1):
        assert kinds(rows[:end]) == []
    assert kinds([{"round": 0, "mAP": 0.2}, *rows[:-1], rows[-1] | {"mAP": 0.4}]) == []


def test_one_cluster_without_noise_says_lower_k1():
    (sign,) = signs([{"round": 1, "clusters": 1, "noise": 0.0}], 30, (3.0, 12.0))
    assert sign.kind == "clusters" and "1 cluster in 30 images" in sign.said
    assert "lower --k1" in sign.cure and "--eps 0.05" not in sign.cure


def test_no_cluster_of_noise_says_raise_eps():
    (sign,) = signs([{"round": 1, "clusters": 0, "noise": 1.0}], 30)
    assert sign.kind == "clusters" and "Raise --eps" in sign.cure


@pytest.mark.parametrize(
    "clusters, cure", [(11, "lower --k1"), (400, "raise --k1")], ids=["mixed", "torn"]
)
def test_clusters_far_from_what_is_expected(clusters, cure):
    rows = run(clusters=[clusters] * 4)
    assert kinds(rows) == ["clusters"] and kinds(rows, None) == []
    sign = signs(rows, 550, (30.0, 120.0))[0]
    assert cure in sign.cure and "30 to 120" in sign.said and str(clusters) in sign.said


def test_mostly_noise():
    rows = run(noise=[0.8, 0.7, 0.65, 0.6])
    assert kinds(rows) == ["noise"]
    assert "60% of 550 images" in signs(rows, 550)[0].said


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"share": 1.6e-3, "eps": 0.0}, "--share auto --images-per-person"),
        ({"share": "auto", "eps": 0.0}, "or use --eps 0.5"),
        ({"share": 1.6e-3, "eps": 0.5}, "Raise --eps"),
        ({"labelling": "two-stage", "eps": 0.6}, "--clusters auto --p auto --images-per-person"),
        ({"labelling": "dbscan", "eps": 0.6}, "Raise --eps"),
    ],
)
def test_the_cure_of_noise_is_that_of_the_method(settings, cure):
    for clusters in (60, 12, 1):  # as expected, too few, hardly any
        rows = run(clusters=[clusters] * 4, noise=[0.7] * 4)
        assert all(cure in sign.cure for sign in signs(rows, 550, (30.0, 120.0), settings))


def test_buc_begins_with_a_cluster_an_image():
    rows = run(clusters=[550, 550, 500, 450], noise=[0.0] * 4)
    assert signs(rows, 550, (30.0, 120.0), {"merge_rate": "auto"}) == []


def test_few_clusters_because_of_noise_are_not_mixed_people():
    rows = run(clusters=[12] * 4, noise=[0.9] * 4)
    cures = " ".join(sign.cure for sign in signs(rows, 550, (30.0, 120.0)))
    assert kinds(rows) == ["clusters", "noise"] and "aise --eps" in cures and "k1" not in cures


def test_falling_stability():
    assert kinds(run(stability=[None, 0.6, 0.35, 0.2])) == ["stability"]
    assert kinds(run(stability=[None, 0.2, 0.35, 0.45])) == []
    assert kinds(run(stability=[None, 0.9, 0.85, 0.7])) == []


def test_rising_loss():
    assert kinds(run(loss=[1.1, 1.4, 1.9, 2.4])) == ["loss"]
    assert kinds(run(loss=[1.0, 0.9, 1.0, 0.95])) == []
    rows = run(loss=[0.11, 0.14, 0.19, 0.24])  # of the hardest triplets, which become harder
    assert signs(rows, 550, None, {"loss": "triplet"}) == []
    assert [sign.kind for sign in signs(rows, 550, None, {"loss": "memory"})] == ["loss"]


def test_no_better_than_the_start():
    rows = [{"round": 0, "mAP": 0.771}, *run()]
    rows[-1]["mAP"] = 0.714
    assert kinds(rows) == ["start"]
    assert "71.4%" in signs(rows, 550)[0].said and "77.1%" in signs(rows, 550)[0].said


def test_no_better_than_the_start_without_labels():
    rows = run(shared_neighbours=[0.5, 0.49, 0.48, 0.47])
    assert kinds(rows) == ["start"] and "47%, 50% before" in signs(rows, 550)[0].said
    assert kinds(run(shared_neighbours=[0.5, 0.55, 0.6, 0.62])) == []
    assert progress(rows) == [0.5, 0.49, 0.48, 0.47]


@pytest.mark.parametrize(
    ("scores", "instead"),
    [
        ([0.4, 0.5, 0.6], None),
        ([0.4, 0.6, 0.5], 1),
        ([0.4, 0.3, 0.2], 0),
        ([0.4, 0.6, 0.595], None),
    ],
)
def test_the_last_round_is_the_result_unless_training_did_harm(scores, instead):
    rows = [{"round": i, "shared_neighbours": score} for i, score in enumerate(scores)]
    assert best_round(rows) == instead
    assert best_round([{"round": 1, "loss": 2.0}]) is None
