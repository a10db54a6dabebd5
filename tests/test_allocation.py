"""After the first step of a shape nothing is allocated: neither by NumPy nor in kernels."""

from __future__ import annotations

import gc
import tracemalloc

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from fastlstm import Input, Model, Sequential
from fastlstm.kernels.jit import body
from fastlstm.layers import (
    CRF,
    GRU,
    LSTM,
    RNN,
    Activation,
    Add,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling1D,
    GRUCell,
    LayerNormalization,
    LayerNormLSTM,
    LSTMCell,
    Masking,
    MaxPooling1D,
    PeepholeLSTM,
    ProjectedLSTM,
    RepeatVector,
    Reshape,
    SimpleRNN,
    Slice,
    TimeDistributed,
    ZeroPadding1D,
)
from fastlstm.losses import CTC
from fastlstm.optimizers import RMSprop
from fastlstm.optimizers.schedules import CosineDecay

if numba.config.DISABLE_JIT:
    pytest.skip("plain Python allocates what it likes", allow_module_level=True)

B, T, D, C = 64, 20, 16, 10

# The smallest array of a step is (B, units) = 16 KB, the tape of one layer 1.3 MB; what is left are
# Python's own objects: views, tuples, a few numbers.
LARGEST = 12_000
# Whether 65536 numbers at a time are finite takes a byte each.
VALIDATION = 65_536


def _sequences(rng):
    model = Sequential(
        [
            LSTM(64, return_sequences=True, input_shape=(T, D)),
            Dropout(0.2),
            SimpleRNN(64, return_sequences=True),
            Dense(C, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    return model, x, rng.integers(0, C, (B, T)).astype(np.int32)


def _words(rng):
    model = Sequential([Embedding(500, 64, input_shape=(T,)), LSTM(64), Dense(1, "sigmoid")])
    model.compile(optimizer="sgd", loss="binary_crossentropy", metrics=["accuracy", "mae"])
    y = rng.integers(0, 2, (B, 1)).astype(np.float32)
    return model, rng.integers(0, 500, (B, T)).astype(np.int32), y


def _padded(rng):
    """Both ways over padding, and on to a sequence of its own."""
    model = Sequential(
        [
            Embedding(500, 64, mask_zero=True, input_shape=(T,)),
            Bidirectional(LSTM(64, return_sequences=True)),
            Bidirectional(GRU(64), merge_mode="ave"),
            RepeatVector(T),
            LSTM(64, return_sequences=True, go_backwards=True),
            TimeDistributed(Dense(C, activation="softmax")),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    ids = rng.integers(0, 500, (B, T)).astype(np.int32)
    return model, ids, rng.integers(0, C, (B, T)).astype(np.int32)


def _plain(rng):
    """Layers of one input and one output, those that work step by step and those that do not."""
    model = Sequential(
        [
            Embedding(500, 64, mask_zero=True, input_shape=(T,)),
            LayerNormalization(),
            GaussianNoise(0.1),
            LSTM(64, return_sequences=True),
            Activation("relu"),
            Conv1D(64, 3, padding="causal"),
            MaxPooling1D(2),
            Reshape((T, 32)),
            ZeroPadding1D(1),
            Slice(step=2),
            GlobalAveragePooling1D(keepdims=True),
            Flatten(),
            Dense(C, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    ids = rng.integers(0, 500, (B, T)).astype(np.int32)
    return model, ids, rng.integers(0, C, B).astype(np.int32)


def _stacked(rng):
    """Cells of several kinds as one layer."""
    cells = [LSTMCell(64), GRUCell(64), LSTMCell(64)]
    model = Sequential([RNN(cells, return_sequences=True, input_shape=(T, D)), Dense(1)])
    model.compile("adam", "mse")
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    return model, x, rng.standard_normal((B, T, 1)).astype(np.float32)


def _averaged(rng):
    """Every option of an optimizer; one of its updates is for two batches."""
    model = Sequential([LSTM(64, input_shape=(T, D)), Dense(1)])
    optimizer = RMSprop(
        CosineDecay(0.01, 1000), momentum=0.9, centered=True, weight_decay=0.1, clipnorm=1.0,
        use_ema=True, ema_overwrite_frequency=2, gradient_accumulation_steps=2,
    )  # fmt: skip
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse")
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    return model, x, rng.standard_normal((B, 1)).astype(np.float32)


def _bounded(rng):
    """A layer that is frozen, moments of the batch, penalties, and bounds."""
    rules = {"kernel_regularizer": "l2", "recurrent_constraint": "max_norm"}
    model = Sequential(
        [
            Dense(D, input_shape=(T, D), trainable=False),
            LSTM(64, return_sequences=True, **rules),
            BatchNormalization(),
            LSTM(64, bias_regularizer="l1", kernel_constraint="non_neg"),
            BatchNormalization(gamma_constraint="unit_norm"),
            Dense(1),
        ]
    )
    model.compile(RMSprop(global_clipnorm=1.0), "mse")
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    return model, x, rng.standard_normal((B, 1)).astype(np.float32)


def _labelled(rng):
    """Labels that nobody has aligned, for sequences of unequal length."""
    model = Sequential(
        [
            Masking(input_shape=(T, D)),
            Bidirectional(LSTM(64, return_sequences=True)),
            Dense(C),
        ]
    )
    model.compile(loss=CTC("mean_with_sample_weight"))
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    x[::3, T // 2 :] = 0
    return model, x, rng.integers(1, C, (B, 5)).astype(np.int32)


def _tagged(rng):
    """Tags that depend on one another, of sequences of unequal length."""
    layers = [LSTM(64, return_sequences=True), Dense(C), CRF(C)]
    model = Sequential([Masking(input_shape=(T, D)), *layers])
    model.compile(loss="crf", metrics=["accuracy"])
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    x[::3, T // 2 :] = 0
    return model, x, rng.integers(0, C, (B, T)).astype(np.int32)


def _texts(rng):
    """Sentences of words, each of which goes through an encoder."""
    encoder = Sequential([Embedding(500, 64, mask_zero=True, input_shape=(5,)), LSTM(64)])
    model = Sequential([TimeDistributed(encoder, input_shape=(T, 5)), GRU(64), Dense(1)])
    model.compile("adam", "mse")
    ids = rng.integers(0, 500, (B, T, 5)).astype(np.int32)
    return model, ids, rng.standard_normal((B, 1)).astype(np.float32)


def _peak(step):
    """Bytes that ``step`` holds at once beyond what is there before."""
    gc.collect()
    tracemalloc.start()
    try:
        step()  # tracing starts: dictionaries and free lists may grow
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before, after - before


def _options(rng):
    """Cells with a product more, or weights of their own; dropout and zoneout between steps."""
    options = {"return_sequences": True, "recurrent_dropout": 0.2, "dropout": 0.1, "zoneout": 0.1}
    model = Sequential(
        [
            PeepholeLSTM(64, input_shape=(T, D), **options),
            GRU(64, reset_after=False, **options),
            ProjectedLSTM(64, 64, zoneout_cell=0.2, **options),
            LayerNormLSTM(64, zoneout_cell=0.2, **options),
            Bidirectional(SimpleRNN(64, **options)),
            Dense(C, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    return model, x, rng.integers(0, C, (B, T)).astype(np.int32)


def _apart(rng):
    """Two directions that go on apart, and whose states others start from."""
    ids = Input((T,))
    known = Embedding(500, 64, mask_zero=True)(ids)
    layer = Bidirectional(LSTM(64, return_sequences=True, return_state=True), merge_mode=None)
    ahead, back, *states = layer(known)
    both = Bidirectional(LSTM(64))(Add()([ahead, known]), initial_state=states)
    model = Model(ids, Dense(C, activation="softmax")(Concatenate()([both, LSTM(64)(back)])))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x = rng.integers(0, 500, (B, T)).astype(np.int32)
    return model, x, rng.integers(0, C, B).astype(np.int32)


def _branching(rng):
    """Connections past recurrent layers."""
    x = Input((None, D))
    y = Dense(64)(x)
    for _ in range(2):
        y = Add()([y, LSTM(64, return_sequences=True)(y)])
    y = Concatenate()([y, GRU(64, return_sequences=True)(x)])
    model = Model(x, Dense(C, activation="softmax")(y))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return (model,)


MODELS = [
    _sequences,
    _words,
    _padded,
    _plain,
    _stacked,
    _options,
    _texts,
    _averaged,
    _bounded,
    _labelled,
    _tagged,
    _apart,
]


@pytest.mark.parametrize("make", MODELS)
def test_a_warm_training_step(make, rng):
    model, x, y = make(rng)
    for _ in range(2):
        model.train_on_batch(x, y)
    peak, kept = _peak(lambda: model.train_on_batch(x, y))
    assert peak < LARGEST + min(VALIDATION, x.size)
    assert kept < 4000


@pytest.mark.parametrize("make", MODELS)
def test_a_warm_training_step_that_the_loop_takes(make, rng):
    """Samples are validated once before; then only the chosen rows are gathered."""
    model, x, y = make(rng)
    data = model.prepare(x, y, np.ones(B, np.float32))
    index = np.arange(B)[::-1].copy()
    for _ in range(2):
        model.train_step(data, index)
        model.test_step(data, index)
    peak, _ = _peak(lambda: model.train_step(data, index))
    assert peak < LARGEST
    peak, _ = _peak(lambda: model.test_step(data, index))
    assert peak < LARGEST


@pytest.mark.parametrize("make", [_sequences, _branching])
@pytest.mark.parametrize("bptt", ["checkpoint", 7])
def test_a_warm_training_step_in_segments_or_windows(bptt, make, rng):
    """Of eight times as many steps; the last segment, or window, is shorter."""
    model, *_ = make(rng)
    x = rng.standard_normal((B, 8 * T, D)).astype(np.float32)
    data = model.prepare(x, rng.integers(0, C, (B, 8 * T)))
    index = np.arange(B)
    for _ in range(2):
        model.train_step(data, index, bptt)
    peak, _ = _peak(lambda: model.train_step(data, index, bptt))
    assert peak < LARGEST


@pytest.mark.parametrize("make", [_sequences, _words])
def test_a_warm_prediction_allocates_its_result(make, rng):
    model, x, _ = make(rng)
    index = np.arange(B)
    samples = model.prepare_inputs(x)
    for _ in range(2):
        (result,) = model.predict_step(samples, index)
    peak, _ = _peak(lambda: model.predict_step(samples, index))
    assert peak < LARGEST + result.nbytes


@pytest.fixture
def allocations():
    """Counts what Numba's runtime allocates."""
    _nrt_python.memsys_enable_stats()
    yield lambda: rtsys.get_allocation_stats().mi_alloc
    _nrt_python.memsys_disable_stats()


@pytest.mark.parametrize("make", MODELS)
def test_kernels_allocate_nothing(make, rng, allocations):
    model, x, y = make(rng)
    model.train_on_batch(x, y)
    model.predict(x, verbose=0)
    before = allocations()
    model.train_on_batch(x, y)
    model.predict(x, verbose=0)
    assert allocations() == before


def test_an_allocation_would_be_noticed(allocations):
    before = allocations()
    _allocate(100)
    assert allocations() == before + 1


@body
def _allocate(n):
    return np.zeros(n)


def test_shapes_that_come_back_find_their_memory(rng):
    """As the last, smaller batch of every epoch does."""
    model, x, y = _sequences(rng)
    for _ in range(2):
        for size in (B, B - 7, 5):
            model.train_on_batch(x[:size], y[:size])
    for size in (B, B - 7, 5):
        part_x, part_y = x[:size].copy(), y[:size].copy()
        peak, _ = _peak(lambda part_x=part_x, part_y=part_y: model.train_on_batch(part_x, part_y))
        assert peak < LARGEST + min(VALIDATION, part_x.size)
