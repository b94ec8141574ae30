import numpy as np
import pytest

from vixml.core.seeding import numpy_generator
from vixml.evaluation.significance import Bootstrap, paired_bootstrap, resampled_means
from vixml.metrics.ranking import QueryMetrics


def generator():
    return numpy_generator(0, "test")


def test_resampled_means_are_means_of_rows_drawn_with_replacement(monkeypatch):
    columns = generator().normal(size=(37, 3))
    whole = resampled_means(columns, samples=50, generator=generator())
    rows = generator().integers(37, size=(50, 37))
    np.testing.assert_allclose(whole, columns[rows].mean(axis=1), atol=1e-12)
    monkeypatch.setattr("vixml.evaluation.significance._BLOCK_VALUES", 37 * 7)  # blocks of 7 samples, the last of 1
    np.testing.assert_allclose(resampled_means(columns, samples=50, generator=generator()), whole, atol=1e-12)


def test_no_query_at_all_gives_zeros():
    assert resampled_means(np.zeros((0, 2)), samples=3, generator=generator()).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("ratio", [False, True], ids=["mean", "ratio of sums"])
def test_95_percent_intervals_cover_the_truth_93_to_97_percent_of_the_time(ratio):
    """3,000 simulated runs on 250 queries each; sharing the resampled queries makes one matrix product of it."""
    draw, num_runs, num_queries = numpy_generator(1, "simulation"), 3000, 250
    best = draw.gamma(4.0, 0.25, size=(num_runs, num_queries)) if ratio else np.ones((num_runs, num_queries))
    # a query's share of what it can reach depends on how much that is, so that a mean of ratios would be wrong
    share = draw.beta(1 + best, 2.0)
    name = "PSP@1" if ratio else "P@1"
    runs = {
        str(run): QueryMetrics({name: best[run] * share[run]}, {name: best[run]} if ratio else {})
        for run in range(num_runs)
    }
    truth = true_ratio(draw) if ratio else 0.5  # the mean of beta(2, 2)
    found = paired_bootstrap(runs, [name], samples=1000, confidence=0.95, generator=generator())
    low, high = found.interval(name)
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97


def true_ratio(draw):
    best = draw.gamma(4.0, 0.25, size=4_000_000)
    return np.mean(best * draw.beta(1 + best, 2.0)) / best.mean()


def test_a_difference_is_judged_on_the_same_queries():
    """Two runs that are equal on hard and on easy queries alike, but for a small constant gain."""
    easy = generator().random(500)
    runs = {"old": QueryMetrics({"P@1": easy}, {}), "new": QueryMetrics({"P@1": easy + 0.01}, {})}
    found = paired_bootstrap(runs, ["P@1"], samples=500, confidence=0.95, generator=generator())
    low, high = found.interval("P@1")
    assert low[1] < high[0], "the runs' own intervals overlap"
    pairs = found.pairs("P@1")
    assert pairs["difference"][1][0] == pytest.approx(0.01)
    assert (pairs["low"][1][0], pairs["high"][1][0]) == pytest.approx((0.01, 0.01))
    assert pairs["p"][1][0] == pytest.approx(1 / 500)
    assert pairs["p"][0][0] == 1.0


def test_pairs_are_antisymmetric_and_equal_runs_do_not_differ():
    draw = generator()
    values = {name: QueryMetrics({"P@1": draw.random(200)}, {}) for name in ("a", "b")}
    values["c"] = values["a"]
    pairs = paired_bootstrap(values, ["P@1"], samples=300, confidence=0.9, generator=draw).pairs("P@1")
    difference = np.array(pairs["difference"])
    np.testing.assert_allclose(difference, -difference.T)
    np.testing.assert_allclose(np.array(pairs["low"]), -np.array(pairs["high"]).T)
    assert difference[0][2] == 0
    assert pairs["p"][0][2] == 1.0


def test_a_ratio_is_achieved_over_achievable_and_nothing_achievable_is_zero():
    top, best = np.array([1.0, 0.0, 2.0]), np.array([2.0, 1.0, 2.0])
    runs = {
        "a": QueryMetrics({"PSP@1": top}, {"PSP@1": best}),
        "b": QueryMetrics({"PSP@1": top * 0}, {"PSP@1": best * 0}),
    }
    found = paired_bootstrap(runs, ["PSP@1"], samples=200, confidence=0.95, generator=generator())
    assert isinstance(found, Bootstrap)
    assert found.means["PSP@1"].tolist() == [pytest.approx(3 / 5), 0.0]
    assert found.means["PSP@1"][0] == pytest.approx(runs["a"].mean()["PSP@1"])
    assert np.isfinite(found.samples["PSP@1"]).all()
