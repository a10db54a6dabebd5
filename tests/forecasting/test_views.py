"""What a forecaster shows of itself: scores, pictures, a page."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, Forecaster, Naive, Ridge, SeasonalNaive, scores

plt = pytest.importorskip("matplotlib.pyplot")

H, SEASON = 6, 12


@pytest.fixture
def series(rng):
    t = np.arange(90)
    wave = 20 + 5 * np.sin(2 * np.pi * t / SEASON)
    return {f"s{n}": wave + 10 * n + rng.standard_normal(90) for n in range(3)}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_scores_are_those_of_forecasts_from_each_cutoff(series):
    model = Ridge(H, verbose=0).fit(series)
    rows = model.scores(n_windows=2, step_size=3)
    assert [row["model"] for row in rows] == ["Ridge", "SeasonalNaive", "Drift", "Naive"]
    errors = []
    for left in (H + 3, H):
        known = {name: one[:-left] for name, one in series.items()}
        # Learned once, at the first cutoff.
        if left == H + 3:
            fitted = Ridge(H, verbose=0).fit(known)
        said = fitted.predict(known)
        errors += [
            scores.mae(one[90 - left : 90 - left + H], f)
            for one, f in zip(series.values(), said, strict=True)
        ]
    assert rows[0]["mae"] == pytest.approx(np.mean(errors), rel=1e-12)
    assert all(0 <= row["cover 80"] <= row["cover 95"] <= 100 for row in rows)


def test_pictures_show_what_was_said(series):
    model = SeasonalNaive(H, season_length=SEASON, verbose=0).fit(series)
    figure = model.plot_forecast(["s2", "s0"], history=20)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in shown] == ["s2", "s0"]
    past, said, _ = (line.get_ydata() for line in shown[0].lines)
    np.testing.assert_array_equal(past, series["s2"][-20:])
    np.testing.assert_array_equal(said, model.predict()[2])
    assert len(shown[0].collections) == 2  # intervals
    assert shown[0].lines[2].get_xdata() == [len(series["s2"]) - 1] * 2  # known until there
    assert shown[0].get_ylabel() == "y"
    assert "the next" in figure.get_suptitle()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["the past", "95 %", "80 %", "SeasonalNaive", "known until here"]
    with pytest.raises(ValueError, match="there is no series 'x'; there are 3"):
        model.plot_forecast(["x"])
    with pytest.raises(TypeError, match=r"names of series, .*got a table; plots make forecasts"):
        model.plot_cross_validation(pytest.importorskip("pandas").DataFrame({"y": [1.0]}))
    assert model.plot_forecast("s2").axes[0].get_title(loc="left") == "s2"
    lines = model.plot_cross_validation(["s1"]).axes[0].lines
    np.testing.assert_array_equal(lines[1].get_ydata(), series["s1"][-H:])
    within = model.plot_calibration(n_windows=2).axes[0].lines[1].get_ydata()
    assert (np.diff(within) >= 0).all()
    with pytest.raises(ValueError, match="there is no training to draw"):
        model.plot_training()


def test_the_page_holds_everything(series, tmp_path):
    models = [Naive(H), MQRNN(H, units=8, max_steps=5)]
    model = Forecaster(H, level=[80], models=models, verbose=0).fit(series)
    path = tmp_path / "page.html"
    model.report(path)
    page = path.read_text()
    assert page.count("data:image/png") >= 2
    for heading in ("The choice", "What comes", "Scores on the end of the series", "Settings"):
        assert f"<h2>{heading}</h2>" in page
    assert re.search(r"<td>Naive</td><td>[\d.]+</td>", page)
    assert "<td>h</td><td>6</td>" in page
    assert 'src="http' not in page
    assert MQRNN(H, units=8, max_steps=20, verbose=0).fit(series).plot_training().axes[0].lines
