"""Operations of a row: by hand for a small one, and none that are not done."""

import pytest

from bench.shapes import ROWS, Row
from fastlstm.layers import LSTM, Embedding
from fastlstm.layers.vocabulary import shared_vocabulary


def test_products_are_counted():
    row = Row("small", 2, 3, 4, (5, 7), outputs=6)
    inputs, rest = 2 * 6 * 4 * 20, 2 * 6 * (5 * 20 + (5 + 7) * 28) + 2 * 2 * 7 * 6
    assert row.flops("forward") == inputs + rest
    assert row.flops("train") == 2 * inputs + 3 * rest


def test_what_is_looked_up_is_not_counted_forward():
    plain, looked_up = (
        Row("words", 2, 3, 4, (5,), vocabulary=9, looked_up=flag) for flag in (False, True)
    )
    assert plain.flops("forward") - looked_up.flops("forward") == 2 * 6 * 4 * 20
    assert plain.flops("train") == looked_up.flops("train")


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if row.vocabulary], ids=lambda r: r.name
)
def test_rows_say_what_is_looked_up(row):
    embedding, layer = Embedding(row.vocabulary, row.features), LSTM(row.units[0])
    embedding.build((row.steps,))
    layer.build((row.steps, row.features))
    found = shared_vocabulary(embedding, layer)
    assert (found is not None) == row.looked_up
