"""Threads, forked workers and copies: the same bits as alone, and failures leave what there was."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, DeepAR, Forecaster, Naive, Ridge, SegRNN
from fastlstm.models import Model
from tests.forecasting.small import make, same, series

SOME = [Naive, Ridge, MQRNN, DeepAR, Forecaster]
LEARNERS = [MQRNN, SegRNN, DeepAR, Forecaster]


def _said(model):
    return model.predict(level=[80])


@pytest.mark.parametrize("kind", SOME)
def test_one_object_forecasts_in_several_threads(kind, rng):
    model = make(kind).fit(series(rng))
    alone = _said(model)
    with ThreadPoolExecutor(4) as pool:
        for made in pool.map(_said, [model] * 8):
            same(made, alone)


@pytest.mark.skipif(sys.platform != "linux", reason="processes fork on Linux")
def test_forked_workers_forecast_and_learn(rng):
    known = series(rng)
    models = [make(kind).fit(known) for kind in SOME]
    alone = [_said(model) for model in models]

    def work(results):
        made = [_said(model) for model in models]
        results.put((made, [_said(make(kind).fit(known)) for kind in SOME]))

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    worker = context.Process(target=work, args=(results,))
    worker.start()
    for made in results.get(timeout=300):
        for one, other in zip(made, alone, strict=True):
            same(one, other)
    worker.join()


@pytest.mark.parametrize("kind", SOME)
def test_copies_that_are_not_fitted_learn_the_same(kind, rng):
    known = series(rng)
    fitted = make(kind).fit(known)
    copies = [copy.deepcopy(make(kind)), pickle.loads(pickle.dumps(make(kind)))]
    try:
        from sklearn.base import clone
    except ImportError:
        pass
    else:
        copies.append(clone(fitted))
    for made in copies:
        assert not hasattr(made, "panel_")
        same(_said(made.fit(known)), _said(fitted))


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("stopped", [False, True])
def test_a_fit_that_fails_leaves_the_one_before(kind, stopped, rng, monkeypatch):
    known, options = series(rng), {"level": [80]}
    if kind is Forecaster:
        options["models"] = [make(MQRNN)]
    model = make(kind, **options).fit(known)
    alone, notes = _said(model), model.notes_
    calls, step = [], Model.train_on_batch

    def failing(self, *args, **options):
        calls.append(0)
        if len(calls) % 3 == 0:
            if stopped:
                signal.raise_signal(signal.SIGINT)
            raise FloatingPointError("the loss is not finite")
        return step(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "train_on_batch", failing)
        for attempt in (
            lambda: model.fit([2 * y[:60] for y in known[:2]]),
            lambda: model.cross_validation(n_windows=2, refit=True),
        ):
            with pytest.raises(KeyboardInterrupt if stopped else FloatingPointError):
                attempt()
    same(_said(model), alone)
    assert (model.notes_, len(model.panel_)) == (notes, 3)
    rest = [y[:2] for y in known]
    other = make(kind, **options).fit(known).update(rest)
    same(_said(model.update(rest)), _said(other))
    np.testing.assert_array_equal(model.panel_.y, other.panel_.y)
