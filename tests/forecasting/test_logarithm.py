"""Which series are taken by their logarithms, and back."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting.logarithm import logarithms, powers, switches
from fastlstm.forecasting.panel import Panel

SERIES = {
    "far": [5.0, 7.0, np.nan, 6.0],
    "zero": [0.0, 7.0, 6.0],
    "near": [100.0, 0.5, 120.0],
    "below": [-3.0, -2.0],
}


def test_only_series_well_above_zero_are_taken():
    panel = Panel.of_arrays(SERIES)
    assert switches(panel, None).tolist() == [True, False, False, False]
    assert not switches(panel, False).any()


def test_all_of_them_where_asked_for_and_an_error_names_those_that_cannot():
    panel = Panel.of_arrays({"far": SERIES["far"], "near": SERIES["near"]})
    assert switches(panel, True).all()
    with pytest.raises(ValueError, match=r"2 series have others: 'zero', 'below'"):
        switches(Panel.of_arrays(SERIES), True)


def test_powers_are_what_logarithms_stood_for():
    panel = Panel.of_arrays(SERIES)
    taken = switches(panel, None)
    changed = logarithms(panel, taken)
    np.testing.assert_allclose(changed.series(0), np.log(SERIES["far"]))
    for s in range(1, 4):
        np.testing.assert_array_equal(changed.series(s), panel.series(s))
    np.testing.assert_array_equal(panel.series(0), SERIES["far"])
    values = np.stack([changed.series(s)[:2] for s in range(4)])
    back = powers(values, taken)
    np.testing.assert_allclose(back, [SERIES[name][:2] for name in SERIES])
