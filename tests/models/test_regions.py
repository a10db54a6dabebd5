"""Which layers go through sequences together, and in what order."""

from __future__ import annotations

import pytest

from fastlstm import Input, Model
from fastlstm.layers import (
    LSTM,
    Add,
    Attention,
    Bidirectional,
    Concatenate,
    Dense,
    Embedding,
    GlobalMaxPooling1D,
    Multiply,
    RepeatVector,
)
from fastlstm.models.regions import find_regions

D = 4


def _lstm(name, **options):
    return LSTM(D, return_sequences=True, name=name, **options)


def _residual():
    x = Input((None, D))
    y = Add(name="add")([_lstm("first")(x), x])
    return Model(x, Dense(1, name="out")(LSTM(D, name="last")(y)))


def _apart():
    """Two layers on one input that do not meet, and one on the whole of it."""
    x = Input((None, D))
    parts = [LSTM(D, name="a")(x), GlobalMaxPooling1D(name="pool")(x), LSTM(D, name="b")(x)]
    return Model(x, Concatenate(name="join")(parts))


def _translator():
    source, target = Input((None,)), Input((None, D))
    known = Embedding(9, D, name="words")(source)
    seen, *states = _lstm("encoder", return_state=True)(known)
    made = _lstm("decoder")(target, initial_state=states)
    return Model([source, target], Attention(name="look")([made, seen]))


def _repeated():
    x = Input((None, D))
    y = RepeatVector(3, name="repeat")(LSTM(D, name="encoder")(x))
    return Model(x, _lstm("decoder")(y))


def _towers():
    """One layer on two inputs."""
    a, b = Input((None, D)), Input((None, D))
    shared = LSTM(D, name="shared")
    return Model([a, b], Multiply(name="join")([shared(a), shared(b)]))


def _crossed():
    """The later call of a layer is on what comes first."""
    a, b = Input((None, D)), Input((None, D))
    hidden, shared = _lstm("a")(a), Dense(D, name="shared")
    first = shared(Dense(D, name="b")(b))
    return Model([a, b], [shared(hidden), first])


def _both_ways():
    x = Input((None, D))
    return Model(x, LSTM(D, name="above")(Bidirectional(_lstm("lstm"), name="both")(x)))


def _on_itself():
    x = Input((None, D))
    layer = _lstm("shared")
    return Model(x, layer(layer(x)))


def _from_itself():
    x = Input((None, D))
    y, *states = _lstm("encoder", return_state=True)(x)
    return Model(x, _lstm("decoder")(y, initial_state=states))


# What goes by segments is in a list of its own.
REGIONS = {
    "residual": (_residual, [["first", "add", "last"], "out"]),
    "apart": (_apart, [["a"], "pool", ["b"], "join"]),
    "translator": (_translator, [["words", "encoder"], ["decoder"], "look"]),
    "repeated": (_repeated, [["encoder"], "repeat", "decoder"]),
    "towers": (_towers, [["shared"], ["shared"], "join"]),
    "crossed": (_crossed, [["a", "shared"], ["b", "shared"]]),
    "on itself": (_on_itself, [["shared", "shared"]]),
}
REFUSED = {
    "both ways": (_both_ways, "'both' needs all of them", ["both", "above"]),
    "from itself": (_from_itself, "'decoder' starts from states", [["encoder"], "decoder"]),
}


def _found(make):
    model = make()
    graph = model.graph
    regions, refused, mixed = find_regions(graph, model.input_shapes, graph.inputs)
    shown = []
    for places, by_segments in regions:
        names = [graph.steps[place].layer.name for place in places]
        assert by_segments or len(names) == 1
        shown.append(names if by_segments else names[0])
    return shown, refused, sorted(layer.name for layer in mixed)


@pytest.mark.parametrize("name", REGIONS)
def test_what_goes_together(name):
    make, expected = REGIONS[name]
    mixed = ["shared"] if name in ("crossed", "on itself") else []
    assert _found(make) == (expected, [], mixed)


@pytest.mark.parametrize("name", REFUSED)
def test_recurrent_layers_that_do_not(name):
    make, reason, expected = REFUSED[name]
    found, refused, _ = _found(make)
    assert found == expected
    assert reason in refused[0]


def test_what_is_not_long_enough_to_be_streamed():
    model = _towers()
    regions, refused, _ = find_regions(model.graph, model.input_shapes, model.graph.inputs[1:])
    assert [region.by_segments for region in regions] == [False, True, False]
    assert refused == []
