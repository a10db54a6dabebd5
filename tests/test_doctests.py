"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec

import fastlstm


def modules():
    yield fastlstm
    for info in pkgutil.walk_packages(fastlstm.__path__, "fastlstm."):
        if info.name == "fastlstm.sklearn" and find_spec("sklearn") is None:
            continue
        yield importlib.import_module(info.name)


def test_docstring_examples():
    attempted = 0
    for module in modules():
        result = doctest.testmod(module)
        assert result.failed == 0, module.__name__
        attempted += result.attempted
    assert attempted >= 5
