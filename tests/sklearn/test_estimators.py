"""The estimators: scikit-learn's own contract, and what they promise besides."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_score,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastlstm
from fastlstm import randomness
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import GRU, Dense, Input
from fastlstm.models import Model, Sequential
from fastlstm.sklearn import SequenceClassifier, SequenceRegressor
from tests.marks import needs_jit

# In float64 for the check that a weight of 2 is as good as a sample twice, to 1e-7. Its samples,
# repeated or not, are one batch of 32: with several, the order would make a difference.
CHECKED = [
    SequenceClassifier(16, learning_rate=0.02, epochs=12, dtype="float64"),
    SequenceRegressor(16, learning_rate=0.02, epochs=100, dtype="float64"),
    SequenceClassifier(16, learning_rate=0.02, epochs=20, patience=5, layer="GRU", layers=2),
]
NOT_BY_WEIGHT = {
    "check_sample_weight_equivalence_on_dense_data": "which samples are held out depends on all"
}


def _expected_to_fail(estimator):
    return {} if estimator.patience is None else NOT_BY_WEIGHT


@needs_jit
@pytest.mark.filterwarnings("default")
@parametrize_with_checks(CHECKED, expected_failed_checks=_expected_to_fail)
def test_contract(estimator, check):
    check(estimator)


def _sequences(rng, count=90, steps=8, features=2):
    """Sequences, whether their last steps rise, and by how much."""
    x = rng.standard_normal((count, steps, features))
    rise = x[:, -2:, 0].sum(axis=1)
    return x, np.where(rise > 0, "up", "down"), rise


QUICK = {"units": 8, "learning_rate": 0.02, "epochs": 15, "random_state": 0}


@needs_jit
def test_it_learns_sequences(rng):
    x, labels, rise = _sequences(rng, 240)
    classifier = SequenceClassifier(**QUICK).fit(x[:160], labels[:160])
    assert list(classifier.classes_) == ["down", "up"]
    assert classifier.score(x[160:], labels[160:]) > 0.85
    shares = classifier.predict_proba(x[160:])
    assert shares.shape == (80, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(classifier.predict(x), classifier.classes_[
        classifier.predict_proba(x).argmax(axis=1)])  # fmt: skip
    regressor = SequenceRegressor(**QUICK).fit(x[:160], rise[:160])
    assert regressor.score(x[160:], rise[160:]) > 0.8
    # Sequences of another length, as the equations do not mind.
    assert regressor.predict(x[:, :5]).shape == (240,)


@needs_jit
def test_the_scale_of_the_data_does_not_matter(rng):
    """The units of inputs and targets are a matter of the estimator's scaling."""
    x, _, rise = _sequences(rng)
    one = SequenceRegressor(**QUICK, dtype="float64").fit(x, rise)
    other = SequenceRegressor(**QUICK, dtype="float64").fit(1e5 + 1e3 * x, 1e6 + 1e-2 * rise)
    expected = 1e6 + 1e-2 * one.predict(x)
    np.testing.assert_allclose(other.predict(1e5 + 1e3 * x), expected, rtol=1e-12)


@needs_jit
def test_columns_are_steps_of_one_feature(rng):
    x, labels, _ = _sequences(rng, features=1)
    flat = SequenceClassifier(**QUICK).fit(x[..., 0], labels)
    deep = SequenceClassifier(**QUICK).fit(x, labels)
    np.testing.assert_array_equal(flat.predict_proba(x[..., 0]), deep.predict_proba(x))
    assert flat.n_features_in_ == 8
    assert flat.input_shape_ == (8, 1)
    assert deep.n_features_in_ == 1
    assert deep.input_shape_ == (None, 1)


@needs_jit
@pytest.mark.parametrize("more", [{}, {"dropout": 0.3, "patience": 2, "layers": 2}])
def test_the_same_seed_gives_the_same_bits(rng, more):
    """Whatever was drawn before, in however many threads, and whoever else is fitting."""
    x, labels, _ = _sequences(rng)
    estimator = SequenceClassifier(**QUICK, **more)
    expected = clone(estimator).fit(x, labels).predict_proba(x)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that nothing touches it
    randomness.rng().random(5)
    before = randomness.rng().bit_generator.state
    for threads in (1, 2):
        set_num_threads(threads)
        np.testing.assert_array_equal(clone(estimator).fit(x, labels).predict_proba(x), expected)
    with ThreadPoolExecutor(3) as pool:
        for got in pool.map(lambda _: clone(estimator).fit(x, labels).predict_proba(x), range(3)):
            np.testing.assert_array_equal(got, expected)
    assert randomness.rng().bit_generator.state == before
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    other = clone(estimator).set_params(random_state=1).fit(x, labels)
    assert np.any(other.predict_proba(x) != expected)


@needs_jit
def test_without_a_seed_numpys_decides(rng):
    x, labels, _ = _sequences(rng)
    estimator = SequenceClassifier(4, epochs=1)
    results = []
    for seed in (3, 3, 4):
        np.random.seed(seed)  # noqa: NPY002 - what scikit-learn's users do
        results.append(clone(estimator).fit(x, labels).predict_proba(x))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.any(results[0] != results[2])


@needs_jit
def test_in_searches_and_pipelines(rng):
    x, labels, rise = _sequences(rng, features=1)
    table = x[..., 0]
    estimator = SequenceClassifier(**QUICK)
    scores = cross_val_score(estimator, x, labels, cv=KFold(3))
    np.testing.assert_array_equal(scores, cross_val_score(estimator, x, labels, cv=KFold(3)))
    assert scores.mean() > 0.6
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator),
        {"sequenceclassifier__units": [2, 6], "sequenceclassifier__layer": ["GRU", "LSTM"]},
        cv=2,
    ).fit(table, labels)
    assert (
        search.best_estimator_[-1].model_.layers[0].units
        == (search.best_params_["sequenceclassifier__units"])
    )
    sizes, train, test = learning_curve(
        SequenceRegressor(**QUICK), x, rise, train_sizes=[0.3, 1.0], cv=2
    )
    assert sizes.tolist() == [13, 45]
    assert train.shape == test.shape == (2, 2)
    assert test[1].mean() > test[0].mean()


@needs_jit
def test_pickle(rng):
    x, labels, _ = _sequences(rng)
    fitted = SequenceClassifier(**QUICK).fit(x, labels)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(x), fitted.predict_proba(x))


@needs_jit
def test_weights_are_repetitions(rng):
    x, _, rise = _sequences(rng, 20)
    weight = rng.integers(0, 3, 20)
    options = {**QUICK, "batch_size": 64, "dtype": "float64"}
    weighted = SequenceRegressor(**options).fit(x, rise, sample_weight=weight)
    repeated = SequenceRegressor(**options).fit(x.repeat(weight, axis=0), rise.repeat(weight))
    np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), rtol=1e-8)
    thrice = SequenceRegressor(**options).fit(x, rise, sample_weight=3.0 * weight)
    np.testing.assert_allclose(thrice.predict(x), weighted.predict(x), rtol=1e-8)


@needs_jit
def test_several_numbers_a_sequence(rng):
    x, _, rise = _sequences(rng, 200)
    y = np.stack([rise, -2 * rise, x[:, -1, 1]], axis=1)
    regressor = SequenceRegressor(**{**QUICK, "epochs": 30}).fit(x, y)
    assert regressor.predict(x).shape == (200, 3)
    assert regressor.score(x, y) > 0.8
    assert regressor.fit(x, y[:, :1]).predict(x).shape == (200, 1)


@needs_jit
def test_early_stopping_goes_back_to_the_best(rng):
    """Random labels: what is learned by heart makes the samples held out worse."""
    x = rng.standard_normal((60, 6, 3))
    labels = rng.integers(0, 3, 60)
    options = {**QUICK, "learning_rate": 0.05, "epochs": 200}
    stopped = SequenceClassifier(**options, patience=3, validation_fraction=0.3).fit(x, labels)
    losses = stopped.history_["val_loss"]
    assert stopped.n_iter_ == len(losses) < 200
    assert np.argmin(losses) == len(losses) - 4
    whole = SequenceClassifier(**{**options, "epochs": 2}).fit(x, labels)
    assert whole.n_iter_ == 2
    assert list(whole.history_) == ["loss"]


@needs_jit
def test_more_samples_train_on(rng):
    """Call by call: as epochs over all of them where a call has them all."""
    x, labels, rise = _sequences(rng, 240)
    options = {**QUICK, "epochs": 1}
    classifier, regressor = SequenceClassifier(**options), SequenceRegressor(**options)
    for _ in range(15):
        for rows in (slice(0, 80), slice(80, 160)):
            classifier.partial_fit(x[rows], labels[rows], classes=["up", "down"])
            regressor.partial_fit(x[rows], rise[rows])
    assert list(classifier.classes_) == ["down", "up"]
    assert classifier.score(x[160:], labels[160:]) > 0.85
    assert regressor.score(x[160:], rise[160:]) > 0.8
    assert classifier.n_iter_ == len(classifier.history_["loss"]) == 30
    # A first call with samples of one class; later ones need not say the classes again.
    ups = x[labels == "up"]
    one = SequenceClassifier(**options).partial_fit(ups, ["up"] * len(ups), ["up", "down", "even"])
    assert one.partial_fit(x, labels).predict_proba(x).shape == (240, 3)


@needs_jit
def test_more_samples_go_on_where_fit_was(rng):
    x, labels, rise = _sequences(rng)
    for make, y in ((SequenceClassifier, labels), (SequenceRegressor, rise)):
        fitted = make(**QUICK).fit(x, y)
        before, model = fitted.predict(x[:5]), fitted.model_
        again = pickle.loads(pickle.dumps(fitted))
        fitted.partial_fit(x, y)
        assert fitted.model_ is model
        assert fitted.n_iter_ == len(fitted.history_["loss"]) == 16
        # The same bits, whoever trains on; and nothing of it is left in another fit.
        again.partial_fit(x, y)
        np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
        np.testing.assert_array_equal(fitted.fit(x, y).predict(x[:5]), before)


@needs_jit
def test_weights_of_more_samples(rng):
    x, _, rise = _sequences(rng, 20)
    weight = rng.integers(0, 3, 20)
    options = {**QUICK, "batch_size": 64, "dtype": "float64"}
    weighted, repeated = SequenceRegressor(**options), SequenceRegressor(**options)
    for _ in range(3):
        weighted.partial_fit(x, rise, sample_weight=weight)
        repeated.partial_fit(x.repeat(weight, axis=0), rise.repeat(weight))
    np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), rtol=1e-8)


@needs_jit
def test_more_samples_of_another_kind(rng):
    x, labels, rise = _sequences(rng)
    classifier = SequenceClassifier(4)
    with pytest.raises(ValueError, match="in the first call"):
        classifier.partial_fit(x, labels)
    with pytest.raises(ValueError, match="at least two classes"):
        classifier.partial_fit(x, labels, classes=["up"])
    with pytest.raises(ValueError, match="the label 'up', which is none of"):
        classifier.partial_fit(x, labels, classes=["down", "even"])
    classifier.partial_fit(x, labels, classes=["down", "up"])
    with pytest.raises(ValueError, match="they stay the same"):
        classifier.partial_fit(x, labels, classes=["down", "even"])
    with pytest.raises(ValueError, match=r"fitted to X of shape \(n, time, 2\)"):
        classifier.partial_fit(x[..., 0], labels)
    with pytest.raises(ValueError, match="1 features a step"):
        classifier.partial_fit(x[..., :1], labels)
    regressor = SequenceRegressor(4).partial_fit(x, rise)
    with pytest.raises(ValueError, match="was fitted to y of shape"):
        regressor.partial_fit(x, np.stack([rise, rise], axis=1))


@needs_jit
def test_a_model_of_ones_own(rng):
    x, labels, rise = _sequences(rng)

    def make(sample, outputs):
        assert sample == (8, 2)
        last = "softmax" if outputs == 2 else None
        return Sequential([GRU(5, input_shape=sample), Dense(outputs, activation=last)])

    classifier = SequenceClassifier(model=make, epochs=2, random_state=0).fit(x, labels)
    assert isinstance(classifier.model_.layers[0], GRU)
    assert classifier.model_.loss.name == "sparse_categorical_crossentropy"

    def graph(sample, outputs):
        given = Input(sample)
        return Model(given, Dense(outputs, activation="softmax")(GRU(3)(given)))

    assert len(SequenceClassifier(model=graph, epochs=1).fit(x, labels).predict(x)) == 90

    def compiled(sample, outputs):
        model = make(sample, outputs)
        model.compile(fastlstm.optimizers.SGD(0.1), "mae")
        return model

    regressor = SequenceRegressor(model=compiled, epochs=2, random_state=0).fit(x, rise)
    assert regressor.model_.loss.name == "mean_absolute_error"
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        SequenceClassifier(model=compiled, epochs=2).fit(x, labels)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda x, y: SequenceClassifier(layer="LTSM").fit(x, y), ValueError, ["'LTSM'", "'LSTM'"]),
        (lambda x, y: SequenceClassifier(units=0).fit(x, y), ValueError, ["units", "0"]),
        (lambda x, y: SequenceClassifier(layers=0).fit(x, y), ValueError, ["layers", "0"]),
        (lambda x, y: SequenceClassifier(epochs=0).fit(x, y), ValueError, ["epochs", "0"]),
        (lambda x, y: SequenceClassifier(batch_size=0).fit(x, y), ValueError, ["batch_size", "0"]),
        (lambda x, y: SequenceClassifier(patience=-1).fit(x, y), ValueError, ["patience", "-1"]),
        (
            lambda x, y: SequenceClassifier(patience=1, validation_fraction=1.5).fit(x, y),
            ValueError,
            ["validation_fraction", "1.5"],
        ),
        (lambda x, y: SequenceClassifier().fit(x, np.zeros(9)), ValueError, ["one class", "0.0"]),
        (lambda x, y: SequenceClassifier().fit(x[..., None], y), ValueError, ["dim 4"]),
        (
            lambda x, y: SequenceClassifier().fit(x, y, np.ones((9, 1))),
            ValueError,
            ["(9,)", "(9, 1)"],
        ),
        (lambda x, y: SequenceClassifier().fit(x, y, -np.ones(9)), ValueError, ["at least 0"]),
        (lambda x, y: SequenceRegressor().fit(np.where(x > 1, np.nan, x), y), ValueError, ["NaN"]),
        (
            lambda x, y: SequenceRegressor(model=lambda *_: Sequential([Dense(1)])).fit(x, y),
            ValueError,
            ["1 outputs for a sequence"],
        ),
        (
            lambda x, y: SequenceRegressor(model=lambda *_: Dense(1)).fit(x, y),
            TypeError,
            ["returns a Sequential or Model", "Dense"],
        ),
    ],
)
def test_what_does_not_fit_is_said(make, kind, words, rng):
    with pytest.raises(kind) as caught:
        make(rng.standard_normal((9, 5, 2)), np.arange(9) % 3)
    for word in words:
        assert word in str(caught.value)


@needs_jit
def test_samples_of_another_kind(rng):
    x, labels, _ = _sequences(rng)
    with pytest.raises(NotFittedError):
        SequenceClassifier().predict(x)
    fitted = SequenceClassifier(4, epochs=1).fit(x, labels)
    with pytest.raises(ValueError, match=r"fitted to X of shape \(n, time, 2\), got \(90, 8\)"):
        fitted.predict(x[..., 0])
    with pytest.raises(ValueError, match=r"1 features a step.*expecting 2"):
        fitted.predict(x[..., :1])
    flat = SequenceClassifier(4, epochs=1).fit(x[..., 0], labels)
    with pytest.raises(ValueError, match=r"shape \(n, 8\), got \(90, 8, 2\)"):
        flat.predict(x)


def test_it_is_imported_by_those_who_want_it():
    """Nothing else of the library imports scikit-learn; without it, an error names the extra."""
    code = """
import sys
import fastlstm
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None
try:
    import fastlstm.sklearn
except ImportError as error:
    assert "pip install 'fastlstm[sklearn]'" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
