"""Why LSTMs: a gradient that vanishes over 200 steps, one that does not, and one that explodes.

Run: pip install ".[examples]" && python examples/vanishing_gradients.py

The task: the first of 200 numbers is to be told at the end; all others are noise. What the network
should learn, it can only learn from the first step, 199 steps before the loss. How much of the
gradient arrives there is what ``GradientFlow`` records.

Sources: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997;
Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013.
"""

import argparse
from time import perf_counter

import numpy as np

from fastlstm.callbacks import GradientFlow
from fastlstm.figures import gradient_flow
from fastlstm.initializers import Identity
from fastlstm.layers import LSTM, Dense, Input, SimpleRNN
from fastlstm.models import Sequential
from fastlstm.optimizers import SGD, Adam
from fastlstm.utils import set_random_seed

STEPS, UNITS, EPOCHS = 200, 32, 20
GAIN = 1.03


def samples(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of noise, and what is to be remembered: -1 or 1, the first number."""
    x = rng.standard_normal((count, STEPS, 1))
    x[:, 0, 0] = rng.choice([-1.0, 1.0], count)
    return x, x[:, 0].copy()


def build(layer: SimpleRNN | LSTM, optimizer: SGD | Adam) -> Sequential:
    """One recurrent layer, whose last state a ``Dense`` reads."""
    model = Sequential([Input((STEPS, 1)), layer, Dense(1)])
    model.compile(optimizer, loss="mse")
    return model


def keep_for_long(layer: LSTM, rng: np.random.Generator) -> None:
    """Start with forget gates that keep their cells for 1 to 200 steps.

    Source: Tallec and Ollivier, "Can recurrent neural networks warp time?", ICLR 2018.
    """
    kernel, recurrent_kernel, bias = layer.get_weights()
    bias[UNITS : 2 * UNITS] = np.log(rng.uniform(1, STEPS - 1, UNITS))
    bias[:UNITS] = -bias[UNITS : 2 * UNITS]  # input gates: as rarely open as forget gates close
    layer.set_weights([kernel, recurrent_kernel, bias])


def remember(layer: SimpleRNN | LSTM, rng: np.random.Generator) -> np.ndarray:
    """Train on the first number; say what arrives there, and return the gradient before."""
    x, y = samples(1000, rng)
    x_test, y_test = samples(500, rng)
    model = build(layer, Adam(5e-3, global_clipnorm=1.0))
    if layer.name.endswith("for long"):
        keep_for_long(layer, rng)
    watch = GradientFlow(x[:64], y[:64], every=EPOCHS)
    model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[watch])
    before, after = watch.history[layer.name]
    right = np.mean((model.predict(x_test, verbose=0) > 0) == (y_test > 0))
    print(f"{layer.name}:")
    print(f"  of the gradient at the last step, {before[-1] / before[0]:.0e} arrives at the first,")
    print(f"  and {after[-1] / after[0]:.0e} after {EPOCHS} epochs;", end=" ")
    print(f"{100 * right:.0f} % of new sequences are told right")
    return before


def explode(rng: np.random.Generator, clip: float | None) -> dict[str, np.ndarray]:
    """Train a network that makes all longer that goes through it; return its gradients."""
    set_random_seed(0)
    x, _ = samples(1000, rng)
    y = x.sum(axis=1) / np.sqrt(STEPS)
    start = Identity(gain=GAIN)
    layer = SimpleRNN(UNITS, activation="relu", recurrent_initializer=start, name="relu")
    model = build(layer, SGD(3e-3, global_clipnorm=clip))
    watch = GradientFlow(x[:64], y[:64], every=EPOCHS)
    losses = []
    try:
        losses = model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[watch]).history["loss"]
    except FloatingPointError as error:
        print(f"  without clipping, training ends in its first epoch: {str(error).split(';')[0]}")
    else:
        print(f"  with global_clipnorm={clip:g} the loss falls from {losses[0]:.3g}", end=" ")
        print(f"in the first epoch to {losses[-1]:.2g} in epoch {EPOCHS} (guessing: 1)")
    names = ["before", f"after {EPOCHS} epochs, clipped"]
    return dict(zip(names, watch.history["relu"], strict=False))


def main() -> None:
    """Train, tell, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", help="where the picture goes, such as flow.png")
    arguments = parser.parse_args()
    start = perf_counter()
    set_random_seed(0)

    print(f"The task: tell the first of {STEPS} numbers at the end.")
    layers = [
        SimpleRNN(UNITS, name="SimpleRNN"),
        LSTM(UNITS, name="LSTM"),
        LSTM(UNITS, name="LSTM that keeps for long"),
    ]
    vanishing = {layer.name: remember(layer, np.random.default_rng(0)) for layer in layers}

    print(f"The task: their sum, by a SimpleRNN of ReLUs that starts with U = {GAIN:g} I:")
    exploding = explode(np.random.default_rng(0), None)
    growth = exploding["before"][-1] / exploding["before"][0]
    print(f"  on its way to the first step the gradient grows by a factor of {growth:.0e}")
    exploding = explode(np.random.default_rng(0), 1.0)
    print(f"({perf_counter() - start:.0f} s in all)")
    if arguments.output:
        draw(arguments.output, vanishing, exploding)


def draw(path: str, vanishing: dict[str, np.ndarray], exploding: dict[str, np.ndarray]) -> None:
    """Both figures side by side."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    gradient_flow(vanishing, title="Vanishing: before training", ax=left)
    gradient_flow(exploding, title=f"Exploding: ReLUs, U = {GAIN:g} I at first", ax=right)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
