"""The network that goes on from its own forecasts: trained on sequences, run step by step."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastlstm.layers import LSTM, Add, Dense, Input
from fastlstm.models import Model

# Names by which the layers are found again in a model that was trained.
_RECURRENT, _HEAD = "recurrent_{}", "parameters"
STEPS, OFFSETS = "steps", "offsets"


class Parts(NamedTuple):
    """Two views of a trained network, which share its weights.

    Attributes
    ----------
    encoder : Model
        From steps, (batch, time, features), to parameters after each one, and the states after the
        last one, (batch, units), h and c of each layer.
    stepper : Model
        From steps and states before the first one to parameters: what ``stream`` runs.
    state_names : list of str
        The stepper's inputs that are those states.
    """

    encoder: Model
    stepper: Model
    state_names: list[str]


def network(
    features: int, parameters: int, *, units: int, layers: int, dropout: float, offsets: bool
) -> Model:
    """LSTM layers over steps, and the parameters of a distribution after each step.

    Parameters
    ----------
    features, parameters : int
        Columns of a step, and of what it becomes.
    units, layers : int
        Size of each layer, and their number.
    dropout : float
        Of what goes from one layer to the next.
    offsets : bool
        Whether there is a second input of each step, which is added to the parameters.
    """
    recurrent = [
        LSTM(
            units,
            return_sequences=True,
            return_state=True,
            dropout=dropout if n else 0.0,
            name=_RECURRENT.format(n),
        )
        for n in range(layers)
    ]
    steps = Input((None, features), name=STEPS)
    made, _ = _through(recurrent, steps, None)
    return _with_head(steps, made, [], Dense(parameters, name=_HEAD), offsets, [])


def parts(model: Model) -> Parts:
    """The encoder and the stepper of a ``network``."""
    recurrent = [layer for layer in model.layers if isinstance(layer, LSTM)]
    features = dict(zip(model.input_names, model.inputs, strict=True))[STEPS].shape[-1]
    head, offsets = model.get_layer(_HEAD), OFFSETS in model.input_names
    steps = Input((None, features), name=STEPS)
    encoder = _with_head(steps, *_through(recurrent, steps, None), head, offsets, [])
    starts = [
        Input((layer.units,), name=f"{layer.name}_{state}")
        for layer in recurrent
        for state in ("h", "c")
    ]
    steps = Input((None, features), name=STEPS)
    made, _ = _through(recurrent, steps, starts)
    stepper = _with_head(steps, made, [], head, offsets, starts)
    return Parts(encoder, stepper, [start.name for start in starts])


def _through(recurrent: list[Any], made: Any, starts: list[Any] | None) -> tuple[Any, list[Any]]:
    """The last layer's output at each step, and the last states of all."""
    states = []
    for n, layer in enumerate(recurrent):
        start = None if starts is None else starts[2 * n : 2 * n + 2]
        made, h, c = layer(made, initial_state=start)
        states += [h, c]
    return made, states


def _with_head(
    steps: Any, made: Any, states: list[Any], head: Any, offsets: bool, starts: list[Any]
) -> Model:
    """The model that gives parameters, and states where there are any."""
    out, inputs = head(made), [steps]
    if offsets:
        inputs.append(Input((None, out.shape[-1]), name=OFFSETS))
        out = Add()([out, inputs[1]])
    return Model([*inputs, *starts], [out, *states] if states else out)
