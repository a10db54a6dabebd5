"""Connectionist temporal classification: learn and read label sequences that nobody has aligned.

A network gives each step the logits of all classes, one of which, the blank, means "no label". An
alignment is a class for each step; it stands for the label sequence that is left when repeated
classes are merged and blanks taken out. The loss is -log of the probability of all alignments that
stand for the right sequence. A model is trained with it by ``compile(loss="ctc")``; here are the
functions on arrays, and what reads label sequences out of a model's predictions.

Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", ICML 2006.
"""

from __future__ import annotations

from fastlstm.ctc.decode import ctc_beam_search_decode, ctc_greedy_decode
from fastlstm.ctc.loss import ctc_loss, ctc_value_and_grad

__all__ = [
    "ctc_beam_search_decode",
    "ctc_greedy_decode",
    "ctc_loss",
    "ctc_value_and_grad",
]
