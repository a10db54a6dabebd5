"""The label sequences that connectionist temporal classification reads out of a network.

Sources: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification", ICML
2006, section 3.2, for the best path; Hannun, Maas, Jurafsky and Ng, "First-pass large vocabulary
continuous speech recognition using bi-directional recurrent DNNs", 2014, for the search over
prefixes.

Arrays are in the public order, batch first, and threads take sequences. Probabilities are
logarithms in float64.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import exp_row, load_or, max_lanes, row_max
from fastlstm.kernels.simd import lanes
from fastlstm.kernels.team import take

# What ends a label sequence that is shorter than its row.
END = -1

# Rows of ``floats``. Of each prefix in the beam: the probability of its alignments, of those that
# end on a blank and on its last label, and both after this step; then of what is chosen for the
# next beam, and of the likeliest classes.
_TOTAL, _BLANK, _LABEL, _NEXT_BLANK, _NEXT_LABEL, _CHOSEN, _CLASS, _FLOAT_ROWS = range(8)
# Rows of ``ints``. Of each prefix: its node, the first in the beam that is one label longer, the
# next such one beside it; what is chosen: a prefix, and a class after it or END; the likeliest
# classes; nodes of the next beam.
_NODE, _LONGER, _BESIDE, _CHOSEN_PREFIX, _CHOSEN_CLASS, _CLASS_ID, _NEXT_NODE, _INT_ROWS = range(8)
# Rows of ``trie``, a node for each prefix that ever was in the beam, the empty one first.
_PARENT, _LAST, _FIRST_CHILD, _NEXT_CHILD, _SLOT, _TRIE_ROWS = range(6)


@kernel
def greedy(sequences, log_probabilities, y_pred, input_lengths, blank, merge_repeated, crew):
    """The labels of each step's likeliest class.

    sequences : (B, T) int32, labels without blanks, and END
    log_probabilities : (B,) float64, of this one alignment
    y_pred : (B, T, C), logits
    input_lengths : (B,) int32
    merge_repeated : bool, whether a label that is the same as the step's before is left out
    """
    steps, columns = y_pred.shape[1:]
    b = take(crew, -1)
    while b < y_pred.shape[0]:
        count, before, log_probability = 0, END, 0.0
        for t in range(input_lengths[b]):
            high, log_norm = _scale_of(y_pred, b, t)
            log_probability -= log_norm
            best = 0
            while best < columns - 1 and y_pred[b, t, best] != high:
                best += 1
            if best != blank and not (merge_repeated and best == before):
                sequences[b, count] = best
                count += 1
            before = best
        for t in range(count, steps):
            sequences[b, t] = END
        log_probabilities[b] = log_probability
        b = take(crew, b)


@inline
def _scale_of(y_pred, b, t):
    """A step's largest logit, and log Σ e**(logit - largest)."""
    columns = y_pred.shape[2]
    at = (b * y_pred.shape[1] + t) * columns
    high = row_max(y_pred, at, columns)
    return high, np.log(exp_row(y_pred, False, y_pred, at, columns, high))


def scratch_shapes(
    threads: int, steps: int, classes: int, beam_width: int
) -> list[tuple[int, ...]]:
    """Shapes of what ``beam_search`` needs: ``floats``, ``ints``, ``marks`` and ``trie``."""
    return [
        (threads, _FLOAT_ROWS, beam_width + 1),
        (threads, _INT_ROWS, beam_width + 1),
        (threads, classes),
        (threads, _TRIE_ROWS, steps * beam_width + 1),
    ]


@kernel
def beam_search(
    sequences, log_probabilities, floats, ints, marks, trie, y_pred, input_lengths, beam_width,
    blank, crew,
):  # fmt: skip
    """The likeliest label sequences, each with the probability of its alignments, summed.

    A beam holds the likeliest prefixes of label sequences. Each step makes them longer by every
    class, and keeps the ``beam_width`` likeliest of what comes out. Where none is ever dropped, the
    probabilities are exact. Ties go to the prefix that was the likelier one before, and to the
    lower class.

    sequences : (top paths, B, T) int32, labels, and END; only END where there is no such path
    log_probabilities : (B, top paths) float64, falling; -infinity where there is no such path
    floats : float64, scratch, of ``scratch_shapes`` as the next three
    ints, marks, trie : int32
    y_pred : (B, T, C), logits
    input_lengths : (B,) int32
    """
    b = take(crew, -1)
    while b < y_pred.shape[0]:
        m = crew.member
        for k in range(marks.shape[1]):
            marks[m, k] = 0
        _add_node(trie, m, 0, END, END)
        trie[m, _SLOT, 0] = 0
        ints[m, _NODE, 0] = 0
        floats[m, _TOTAL, 0], floats[m, _BLANK, 0], floats[m, _LABEL, 0] = 0.0, 0.0, -np.inf
        size, nodes = 1, 1
        for t in range(input_lengths[b]):
            high, log_norm = _scale_of(y_pred, b, t)
            scale = np.float64(high) + log_norm
            classes = _likeliest(floats, ints, m, y_pred, b, t, beam_width + 1, blank, scale)
            _stay(floats, ints, trie, m, y_pred, b, t, size, blank, scale)
            first_mark = t * beam_width + 1
            chosen = _choose(floats, ints, marks, trie, m, size, classes, beam_width, first_mark)
            nodes = _renew(floats, ints, trie, m, size, chosen, nodes)
            size = chosen
        for path in range(sequences.shape[0]):
            node = ints[m, _NODE, path] if path < size else 0
            _write(sequences, path, b, trie, m, node)
            log_probabilities[b, path] = floats[m, _TOTAL, path] if path < size else -np.inf
        b = take(crew, b)


@inline
def _add_node(trie, m, node, parent, last):
    trie[m, _PARENT, node], trie[m, _LAST, node] = parent, last
    trie[m, _FIRST_CHILD, node], trie[m, _NEXT_CHILD, node] = END, END
    trie[m, _SLOT, node] = END


@body
def _likeliest(floats, ints, m, y_pred, b, t, wanted, blank, scale):
    """The likeliest classes but the blank, best first; their number.

    With one more of them than there are prefixes in a beam, none is missed: after any prefix, a
    class beyond these has beam_width others before it, its own last label not counted.
    """
    columns = y_pred.shape[2]
    step = lanes(y_pred)
    at = (b * y_pred.shape[1] + t) * columns
    found, least = 0, -np.inf
    for k0 in range(0, columns, step):
        count = min(step, columns - k0)
        if not max_lanes(load_or(y_pred, at + k0, count, -np.inf)) > least:
            continue
        for k in range(k0, k0 + count):
            value = np.float64(y_pred[b, t, k])
            if k == blank or not value > least:
                continue
            place = min(found, wanted - 1)
            while place > 0 and floats[m, _CLASS, place - 1] < value:
                floats[m, _CLASS, place] = floats[m, _CLASS, place - 1]
                ints[m, _CLASS_ID, place] = ints[m, _CLASS_ID, place - 1]
                place -= 1
            floats[m, _CLASS, place], ints[m, _CLASS_ID, place] = value, k
            found = min(found + 1, wanted)
            if found == wanted:
                least = floats[m, _CLASS, wanted - 1]
    for place in range(found):
        floats[m, _CLASS, place] -= scale
    return found


@body
def _stay(floats, ints, trie, m, y_pred, b, t, size, blank, scale):
    """Probabilities of the beam's prefixes after this step, as they are or from shorter ones."""
    log_blank = np.float64(y_pred[b, t, blank]) - scale
    for s in range(size):
        ints[m, _LONGER, s] = END
    for s in range(size):
        node = ints[m, _NODE, s]
        floats[m, _NEXT_BLANK, s] = floats[m, _TOTAL, s] + log_blank
        floats[m, _NEXT_LABEL, s] = -np.inf
        if node == 0:
            continue
        last = trie[m, _LAST, node]
        log_last = np.float64(y_pred[b, t, last]) - scale
        value = floats[m, _LABEL, s] + log_last
        shorter = trie[m, _SLOT, trie[m, _PARENT, node]]
        if shorter != END:
            value = _log_add(value, _followed(floats, ints, trie, m, shorter, last) + log_last)
            ints[m, _BESIDE, s] = ints[m, _LONGER, shorter]
            ints[m, _LONGER, shorter] = s
        floats[m, _NEXT_LABEL, s] = value


@inline
def _followed(floats, ints, trie, m, s, label):
    """Probability of the alignments of a prefix that another label can follow at once."""
    same = trie[m, _LAST, ints[m, _NODE, s]] == label
    return floats[m, _BLANK, s] if same else floats[m, _TOTAL, s]


@inline
def _log_add(x, y):
    """log(e**x + e**y)."""
    high, low = max(x, y), min(x, y)
    return high if low == -np.inf else high + np.log1p(np.exp(low - high))


@body
def _choose(floats, ints, marks, trie, m, size, classes, beam_width, first_mark):
    """The likeliest prefixes of the next beam, best first; their number."""
    chosen = 0
    for s in range(size):
        value = _log_add(floats[m, _NEXT_BLANK, s], floats[m, _NEXT_LABEL, s])
        chosen = _insert(floats, ints, m, chosen, beam_width, value, s, END)
    for s in range(size):
        longer = ints[m, _LONGER, s]
        while longer != END:  # these have been counted already
            marks[m, trie[m, _LAST, ints[m, _NODE, longer]]] = first_mark + s
            longer = ints[m, _BESIDE, longer]
        for place in range(classes):
            label, log_class = ints[m, _CLASS_ID, place], floats[m, _CLASS, place]
            least = floats[m, _CHOSEN, beam_width - 1] if chosen == beam_width else -np.inf
            if not floats[m, _TOTAL, s] + log_class > least:
                break  # nor will any class after it be chosen
            if marks[m, label] != first_mark + s:
                value = _followed(floats, ints, trie, m, s, label) + log_class
                chosen = _insert(floats, ints, m, chosen, beam_width, value, s, label)
    return chosen


@inline
def _insert(floats, ints, m, chosen, most, value, s, label):
    """Put a prefix among those chosen, if it belongs there; their number."""
    place = chosen
    if place == most:
        place -= 1
        if not value > floats[m, _CHOSEN, place]:
            return chosen
    elif value == -np.inf:
        return chosen
    while place > 0 and floats[m, _CHOSEN, place - 1] < value:
        floats[m, _CHOSEN, place] = floats[m, _CHOSEN, place - 1]
        ints[m, _CHOSEN_PREFIX, place] = ints[m, _CHOSEN_PREFIX, place - 1]
        ints[m, _CHOSEN_CLASS, place] = ints[m, _CHOSEN_CLASS, place - 1]
        place -= 1
    floats[m, _CHOSEN, place] = value
    ints[m, _CHOSEN_PREFIX, place], ints[m, _CHOSEN_CLASS, place] = s, label
    return min(chosen + 1, most)


@body
def _renew(floats, ints, trie, m, size, chosen, nodes):
    """Make the beam of what was chosen; returns the number of nodes that there are now."""
    for s in range(size):
        trie[m, _SLOT, ints[m, _NODE, s]] = END
    for place in range(chosen):
        s, label = ints[m, _CHOSEN_PREFIX, place], ints[m, _CHOSEN_CLASS, place]
        node = ints[m, _NODE, s]
        floats[m, _TOTAL, place] = floats[m, _CHOSEN, place]
        if label == END:
            floats[m, _BLANK, place] = floats[m, _NEXT_BLANK, s]
            floats[m, _LABEL, place] = floats[m, _NEXT_LABEL, s]
        else:
            floats[m, _BLANK, place] = -np.inf
            floats[m, _LABEL, place] = floats[m, _CHOSEN, place]
            parent, node = node, _child(trie, m, node, label)
            if node == END:
                node, nodes = nodes, nodes + 1
                _add_node(trie, m, node, parent, label)
                trie[m, _NEXT_CHILD, node] = trie[m, _FIRST_CHILD, parent]
                trie[m, _FIRST_CHILD, parent] = node
        ints[m, _NEXT_NODE, place] = node
    for place in range(chosen):
        ints[m, _NODE, place] = ints[m, _NEXT_NODE, place]
        trie[m, _SLOT, ints[m, _NODE, place]] = place
    return nodes


@inline
def _child(trie, m, node, label):
    """The node with one more label, if there has been one."""
    child = trie[m, _FIRST_CHILD, node]
    while child != END and trie[m, _LAST, child] != label:
        child = trie[m, _NEXT_CHILD, child]
    return child


@body
def _write(sequences, path, b, trie, m, node):
    """Labels from a node up to the root, in reading order."""
    length, above = 0, node
    while above != 0:
        length, above = length + 1, trie[m, _PARENT, above]
    for k in range(length, sequences.shape[2]):
        sequences[path, b, k] = END
    while node != 0:
        length -= 1
        sequences[path, b, length] = trie[m, _LAST, node]
        node = trie[m, _PARENT, node]
