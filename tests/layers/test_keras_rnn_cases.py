"""What Keras' own tests of recurrent layers say, said of ours.

The tests of Keras 3 in ``keras/src/layers/rnn`` and what stands for them here:

===========================  =====================================================================
``lstm_test``, ``gru_test``  basics: ``test_shapes_and_weights``, penalties in
                             ``models/test_penalties``; correctness, statefulness, initial states,
                             return_state, masking: the tables below. Without counterpart: cuDNN
                             dispatch, symbolic batches and in-place states of backends, of which
                             there is one here.
``simple_rnn_test``          the same table
``bidirectional_test``       the tables below, and ``test_bidirectional`` for shapes of all modes
``rnn_test``                 cells there are classes with a ``call`` in Python; here a cell is
                             compiled, and ``tests/example`` adds one. What is asked of them
                             (shapes, states, backwards) ``test_cells`` asks of every cell, and
                             ``test_rnn`` of ``RNN``
``stacked_rnn_cells_test``   ``test_rnn``, with Keras' own cells; of cells in Python: as above
``time_distributed_test``    ``test_dense`` and the table below; layers for images are not here
``dropout_rnn_cell_test``    ``test_dropout``, ``test_recurrent_dropout``
``conv_lstm*_test``          none: convolutional recurrence is not here
===========================  =====================================================================
"""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.initializers import Constant
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, SimpleRNN, TimeDistributed

INITIAL = {
    "kernel_initializer": Constant(0.01),
    "recurrent_initializer": Constant(0.02),
    "bias_initializer": Constant(0.03),
}
MASK = np.array([[True, True, False, True], [True, False, False, True]])


def _counting(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def _rows(*values, units=3):
    """Rows of equal numbers: all units start alike."""
    return np.repeat(np.array(values)[:, None], units, axis=1)


CORRECT = {
    "lstm": (LSTM, {}, (0.6288687, 0.86899155, 0.9460773)),
    "lstm backwards": (LSTM, {"go_backwards": True}, (0.35622165, 0.74789524, 0.8872726)),
    "lstm unrolled": (LSTM, {"unroll": True}, (0.6288687, 0.86899155, 0.9460773)),
    "lstm, plain forget bias": (
        LSTM, {"unit_forget_bias": False}, (0.57019705, 0.8661914, 0.9459622)
    ),
    "lstm without bias": (LSTM, {"use_bias": False}, (0.54986924, 0.86226785, 0.9443936)),
    "gru": (GRU, {}, (0.5217289, 0.6371659, 0.39384964)),
    "gru backwards": (GRU, {"go_backwards": True}, (0.24406259, 0.611516, 0.3928808)),
    "gru, reset before": (GRU, {"reset_after": False}, (0.51447755, 0.6426879, 0.40208298)),
    "gru without bias": (GRU, {"use_bias": False}, (0.49988455, 0.64701194, 0.4103359)),
}  # fmt: skip


@pytest.mark.parametrize("case", CORRECT)
def test_correctness(case):
    kind, options, expected = CORRECT[case]
    for implementation in (1, 2):
        layer = kind(3, implementation=implementation, **INITIAL, **options)
        got = layer(_counting(3, 6, 4))
        np.testing.assert_allclose(got, _rows(*expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(LSTM, (0.3124785, 0.6863672)), (GRU, (0.29542392, 0.5885018))],
    ids=["lstm", "gru"],
)
def test_statefulness(kind, expected):
    layer, x = kind(4, stateful=True, **INITIAL), _counting(2, 3, 4)
    for _ in range(2):
        layer(x)
        np.testing.assert_allclose(layer(x), _rows(*expected, units=4), atol=1e-5, rtol=1e-5)
        layer.reset_state()


@pytest.mark.parametrize(
    ("kind", "backwards", "expected"),
    [
        (LSTM, False, [[0.20574439, 0.3558822], [0.64930826, 0.66276]]),
        (LSTM, True, [[0.13281618, 0.2790356], [0.5839337, 0.5992567]]),
        (GRU, False, [[0.23774096, 0.33508456], [0.83659905, 1.0227708]]),
        (GRU, True, [[0.13486053, 0.23261218], [0.78257304, 0.9691353]]),
    ],
)
def test_initial_states_and_final_ones(kind, backwards, expected):
    state = _counting(2, 2)
    states = [state, state] if kind is LSTM else state
    layer = kind(2, go_backwards=backwards, return_state=True, **INITIAL)
    output, h, *_ = layer(_counting(2, 4, 3), initial_state=states)
    np.testing.assert_allclose(output, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(h, output)


def test_masking():
    x = _counting(2, 4, 3)
    got = GRU(2, **INITIAL)(x, mask=MASK)
    np.testing.assert_allclose(got, _rows(0.19393763, 0.30818558, units=2), atol=1e-5)
    got = GRU(2, return_sequences=True, **INITIAL)(x, mask=MASK)
    steps = [[0.03606692, 0.09497581, 0.09497581, 0.19393763],
             [0.16051409, 0.16051409, 0.16051409, 0.30818558]]  # fmt: skip
    np.testing.assert_allclose(got[..., 0], steps, atol=1e-5)
    got = GRU(2, return_sequences=True, zero_output_for_mask=True, **INITIAL)(x, mask=MASK)
    np.testing.assert_allclose(got[..., 1], np.where(MASK, steps, 0.0), atol=1e-5)
    got = GRU(2, go_backwards=True, **INITIAL)(x, mask=MASK)
    np.testing.assert_allclose(got, _rows(0.11669192, 0.28380975, units=2), atol=1e-5)
    tail = np.array([[True, True, True, False], [True, True, False, False]])
    got = LSTM(2, return_sequences=True, **INITIAL)(x, mask=tail)
    steps = [[0.01588910, 0.05552048, 0.11755939, 0.11755939],
             [0.14185596, 0.28556206, 0.28556206, 0.28556206]]  # fmt: skip
    np.testing.assert_allclose(got[..., 1], steps, atol=1e-5)
    got = LSTM(2, go_backwards=True, **INITIAL)(x, mask=tail[:, ::-1])
    np.testing.assert_allclose(got, _rows(0.15341201, 0.3844719, units=2), atol=1e-5)


BOTH = {
    "concat": (SimpleRNN(2, **INITIAL), None, (0.39687276, 0.10004295), (0.7237238, 0.53391594)),
    "ave": (SimpleRNN(2, **INITIAL), None, (0.24845785,), (0.6288199,)),
    "mul": (
        SimpleRNN(2, **INITIAL),
        SimpleRNN(
            2,
            kernel_initializer=Constant(0.03),
            recurrent_initializer=Constant(0.02),
            bias_initializer=Constant(0.01),
            go_backwards=True,
        ),
        (0.08374989,),
        (0.6740834,),
    ),
}


@pytest.mark.parametrize("mode", BOTH)
def test_both_directions(mode):
    forward, backward, *expected = BOTH[mode]
    layer = Bidirectional(forward, merge_mode=mode, backward_layer=backward)
    got = layer(_counting(2, 3, 4))
    np.testing.assert_allclose(got, np.repeat(expected, 2, axis=1), atol=1e-5)
    if mode == "concat":
        apart = Bidirectional(SimpleRNN(2, **INITIAL), merge_mode=None)(_counting(2, 3, 4))
        np.testing.assert_allclose(np.concatenate(apart, axis=1), got, atol=1e-6)


def test_both_directions_of_sequences_states_and_masks():
    got = Bidirectional(GRU(2, return_sequences=True, **INITIAL), "sum")(_counting(2, 3, 4))
    steps = [[0.20937867, 0.34462988, 0.40290534], [0.59829646, 0.6734641, 0.6479671]]
    np.testing.assert_allclose(got[..., 0], steps, atol=1e-5)

    x = _counting(2, 4, 3)
    layer = Bidirectional(LSTM(2, stateful=True, **INITIAL))
    for _ in range(2):
        layer(x)
        expected = [[0.26234663, 0.16959146], [0.6137073, 0.5381646]]
        np.testing.assert_allclose(layer(x), np.repeat(expected, 2, axis=1), atol=1e-5)
        layer.reset_state()

    states = [_counting(2, 2) * factor for factor in (1, 2, 3, 4)]
    got = Bidirectional(LSTM(2, **INITIAL))(x, initial_state=states)
    expected = [[0.20794602, 0.4577124, 0.14046375, 0.48191673],
                [0.6682636, 0.6711909, 0.60943645, 0.60950446]]  # fmt: skip
    np.testing.assert_allclose(got, expected, atol=1e-5)

    got = Bidirectional(GRU(2, **INITIAL))(x, mask=MASK)
    expected = [[0.19393763, 0.11669192], [0.30818558, 0.28380975]]
    np.testing.assert_allclose(got, np.repeat(expected, 2, axis=1), atol=1e-5)

    _, *states = Bidirectional(LSTM(2, return_state=True, **INITIAL))(x)
    ends = [(0.1990008, 0.52335435), (0.35567185, 1.0492687),
            (0.12659755, 0.44717982), (0.2501858, 0.941473)]  # fmt: skip
    for state, end in zip(states, ends, strict=True):
        np.testing.assert_allclose(state, _rows(*end, units=2), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "columns"), [(LSTM, 4), (GRU, 3), (SimpleRNN, 1)], ids=["lstm", "gru", "simple"]
)
def test_shapes_and_weights(kind, columns):
    for options, shape in (
        ({"dropout": 0.5}, (3, 3)),
        ({"dropout": 0.5, "recurrent_dropout": 0.5}, (3, 3)),
        ({"return_sequences": True, "bias_regularizer": "l1", "kernel_regularizer": "l2"},
         (3, 2, 3)),
    ):  # fmt: skip
        layer = kind(3, **options)
        assert layer(np.ones((3, 2, 4)), training=True).shape == shape
        assert len(layer.trainable_weights) == 3
        assert not layer.non_trainable_weights
        assert layer.get_weights()[0].shape == (4, 3 * columns)
        again = kind.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()


def test_time_distributed():
    layer = TimeDistributed(Dense(1, kernel_initializer=Constant(0.01), use_bias=False))
    expected = [[[0.06], [0.22]], [[0.38], [0.54]], [[0.7], [0.86]]]
    np.testing.assert_allclose(layer(_counting(3, 2, 4)), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"mask expects shape \(batch, time\)"):
        layer(np.zeros((4, 5, 4)), mask=np.ones((4, 6), bool))
