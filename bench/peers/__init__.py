"""The frameworks that fastlstm is compared with, one file each.

Each module offers ``prepare(threads) -> str``, which loads the framework, limits its threads and
says its version, and one function for each mode it has: ``forward(row)``, ``train(row)`` and
``step(row)``. They return ``(run, to_array)``: ``run()`` does the work once and comes back when
it is done, ``to_array`` turns what it returned into NumPy, outside the timing: outputs in
(batch, time, features) order, or the loss.
"""
