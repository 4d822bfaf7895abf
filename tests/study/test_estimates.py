import numpy as np
import pytest
from scipy import stats

from moe_tutorial.study import estimate
from moe_tutorial.study.estimates import Figure


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=12)
    figure = estimate(values)
    expected = stats.t.interval(0.95, 11, loc=values.mean(), scale=values.std(ddof=1) / np.sqrt(12))
    np.testing.assert_allclose([figure.low, figure.high], expected)


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (-0.0, "0"), (1.5, "1.500"), (0.0004, "4e-04"), (2e-16, "2e-16"), (3e7, "3e+07")]
)
def test_only_a_true_zero_prints_as_zero(number, text):
    assert str(estimate(number)) == text
    assert Figure.read(text) == Figure(float(text), float(text), float(text), text)


def test_rounding_error_beside_its_interval_prints_as_zero():
    assert str(estimate([-0.1, 0.1, -6e-9])) == "0.000 [-0.248, 0.248]"
    assert str(estimate([1e-15, 3e-15])).startswith("2e-15 [")  # there is nothing larger beside it


@pytest.mark.parametrize("values", [[0.1, 0.2], [-3e-16, 8e-15, 1e-15], [-2e6, 5e6], [0.5, 0.5], [0.5, 0.5000001]])
def test_what_is_printed_is_read(values):
    figure = estimate(values)
    read = Figure.read(figure.text)
    assert (read.text, read.has_interval) == (figure.text, figure.has_interval)
    tiny = 6e-4 if max(abs(figure.low), abs(figure.high)) > 1e-3 else 0
    for name in ("mean", "low", "high"):  # three decimals, or one digit of a power of ten
        assert getattr(read, name) == pytest.approx(getattr(figure, name), rel=0.34, abs=tiny)


@pytest.mark.parametrize(
    ("text", "mean", "interval"),
    [
        ("9.999 [9.612, 10.386]", "10.0", "9.6 to 10.4"),
        ("1.980 [1.900, 2.060]", "1.98", "1.90 to 2.06"),
        ("61.234 [48.100, 74.368]", "61", "48 to 74"),
        ("-0.200 [-9.600, 9.200]", "0", "-10 to 9"),
        ("0.119 [0.119, 0.119]", "0.119", "0.119 to 0.119"),
        ("3e-05 [1e-05, 5e-05]", "3e-05", "1e-05 to 5e-05"),
        ("0.887", "0.887", ""),
        ("41.653", "41.7", ""),
        ("0", "0", ""),
    ],
)
def test_a_figure_has_no_more_decimals_than_its_interval_warrants(text, mean, interval):
    assert Figure.read(text).rounded == (mean, interval)
