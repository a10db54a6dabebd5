"""What a fitted forecaster holds, as plain values and arrays, and back from these.

Values are those of JSON, or ``{"is": kind, ...}``. Arrays and weights stand beside them, by number.
What comes back is trusted in nothing: the only classes that are made are those of
``fastlstm.forecasting``, of the layers, and those that the caller names; nothing is imported.
"""

from __future__ import annotations

import datetime
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.parameters import Parameters
from fastlstm.forecasting.writing import Kind
from fastlstm.models import Ensemble, Model, Sequential
from fastlstm.models.saving import ModelFileError, put_together, taken_apart

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

_PACKAGE = "fastlstm.forecasting"
# Types of columns that have no arguments.
_TYPES = (
    "Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128",
    "Float32", "Float64", "Boolean", "String", "Categorical", "Date", "Object", "Unknown",
)  # fmt: skip


class Encoder:
    """Makes plain values, and collects arrays.

    Attributes
    ----------
    tensors : dict of str to ndarray
        The arrays so far, by names that are numbers.
    """

    def __init__(self) -> None:
        self.tensors: Tensors = {}

    def encode(self, value: Any, where: str = "") -> Any:
        """The plain value; ``where`` it stands is told by errors."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        if isinstance(value, np.generic):
            return {"is": "number", "of": self._array(np.asarray(value), where)}
        if isinstance(value, datetime.date):
            kind = "datetime" if isinstance(value, datetime.datetime) else "date"
            return {"is": kind, "of": value.isoformat()}
        if isinstance(value, (Model, Sequential)):
            return self._model(value)
        if isinstance(value, Ensemble):
            weights = [self._array(weight, where) for weight in value.get_weights()]
            architecture = self._model(value._model)
            return {"is": "ensemble", "of": architecture, "count": value.count, "weights": weights}
        if isinstance(value, np.random.Generator):
            return {"is": "generator", "of": self.encode(value.bit_generator.state, where)}
        if isinstance(value, Kind):
            return {"is": "kind", "of": _of_kind(value, self, where)}
        if type(value) in (list, tuple, set, frozenset):
            # In an order that does not change from one process to the next.
            items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            parts = [self.encode(item, f"{where}[{n}]") for n, item in enumerate(items)]
            return {"is": type(value).__name__, "of": parts}
        if isinstance(value, Mapping):
            pairs = [
                [self.encode(key, where), self.encode(item, f"{where}[{key!r}]")]
                for key, item in value.items()
            ]
            return {"is": "dict", "of": pairs}
        return self._object(value, where)

    def _array(self, array: Array, where: str) -> Any:
        kind = array.dtype.kind
        if kind == "O":
            parts = [self.encode(item, where) for item in array.ravel().tolist()]
            return {"is": "objects", "shape": list(array.shape), "of": parts}
        if kind == "U":
            return {"is": "strings", "dtype": array.dtype.str, "of": array.tolist()}
        plain = array.view(np.int64) if kind in "mM" else array
        if plain.dtype.kind not in "biuf" or plain.dtype.itemsize > 8:
            raise TypeError(f"{where} is an array of {array.dtype}, which no file can hold")
        plain = plain.astype(plain.dtype.newbyteorder("="), copy=False)
        place = self._put(np.ascontiguousarray(plain).reshape(array.shape))
        return {"is": "array", "dtype": array.dtype.str.lstrip("<>=|"), "of": place}

    def _put(self, array: Array) -> str:
        name = str(len(self.tensors))
        self.tensors[name] = array
        return name

    def _model(self, model: Any) -> Any:
        config, tensors = taken_apart(model)
        places = {name: self._put(np.ascontiguousarray(array)) for name, array in tensors.items()}
        return {"is": "model", "config": config, "tensors": places}

    def _object(self, value: Any, where: str) -> Any:
        """What has attributes; its class says by ``_state`` which of them, or all are kept."""
        cls = type(value)
        name = _name(cls)
        if name is None:
            raise TypeError(
                f"{where} holds {value!r:.200}, a {cls.__name__}, which no file can hold: files "
                "hold numbers, strings, arrays, and objects of fastlstm.forecasting"
            )
        if isinstance(value, tuple):
            state = dict(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
        else:
            state = value._state() if hasattr(value, "_state") else vars(value)
        parts = {key: self.encode(item, f"{where}.{key}") for key, item in state.items()}
        return {"is": "object", "class": name, "of": parts}


class Decoder:
    """Makes again what an ``Encoder`` made plain.

    Parameters
    ----------
    tensors : dict of str to ndarray
    path : Path
        The file that they are from, for errors.
    custom : iterable of type
        Classes of the user's own that may be made.
    """

    def __init__(self, tensors: Tensors, path: Path, custom: Iterable[type] = ()) -> None:
        self._tensors, self._path = tensors, path
        self._classes: dict[str, list[type]] = {}
        for cls in [*_own_classes(), *custom]:
            self._classes.setdefault(cls.__name__, []).append(cls)

    def decode(self, plain: Any) -> Any:
        """The value.

        Raises
        ------
        ModelFileError
            For classes that are not known, and for what no encoder makes.
        """
        if plain is None or isinstance(plain, (bool, int, float, str)):
            return plain
        kind, of = plain["is"], plain.get("of")
        if kind in ("list", "tuple", "set", "frozenset"):
            make = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
            return make(map(self.decode, of))
        if kind == "dict":
            return {self.decode(key): self.decode(value) for key, value in of}
        if kind == "array":
            array = self._tensors[of].copy()  # of bytes, which nobody may write to
            dtype = np.dtype(plain["dtype"])
            return array.view(dtype) if dtype.kind in "mM" else array
        if kind == "number":
            return self.decode(of)[()]
        if kind == "objects":
            objects = np.empty(len(of), object)
            objects[:] = [self.decode(item) for item in of]
            return objects.reshape(plain["shape"])
        if kind == "strings":
            return np.array(of, np.dtype(plain["dtype"]))
        if kind in ("date", "datetime"):
            return getattr(datetime, kind).fromisoformat(of)
        if kind == "model":
            return self._model(plain)
        if kind == "ensemble":
            made = Ensemble(self._model(of), plain["count"])
            made.set_weights([self.decode(weight) for weight in plain["weights"]])
            return made
        if kind == "generator":
            generator = np.random.default_rng()
            generator.bit_generator.state = self.decode(of)
            return generator
        if kind == "kind":
            return _kind_of(of, self)
        if kind == "object":
            return self._object(plain["class"], of)
        raise ModelFileError(f"{self._path} holds {kind!r}, which this version does not know")

    def _model(self, plain: Any) -> Any:
        tensors = {name: self._tensors[place] for name, place in plain["tensors"].items()}
        return put_together(plain["config"], tensors, self._path)

    def _object(self, name: str, of: Any) -> Any:
        found = self._classes.get(name, [])
        if len(found) != 1 or inspect.isabstract(found[0]):
            raise ModelFileError(
                f"{self._path} holds a {name!r}, which is no class of fastlstm.forecasting; for "
                f"one of your own: load(path, custom_objects={{{name!r}: {name}}})"
            )
        state = {str(key): self.decode(item) for key, item in of.items()}
        cls: Any = found[0]
        if issubclass(cls, tuple):
            return cls(**state)
        made = cls.__new__(cls)
        if isinstance(made, Parameters):
            # What an older version did not have.
            for parameter in inspect.signature(cls.__init__).parameters.values():
                if parameter.default is not parameter.empty:
                    state.setdefault(parameter.name, parameter.default)
        if hasattr(made, "_restore"):
            made._restore(state)
        else:
            made.__dict__.update(state)
        return made


def _own_classes() -> Iterable[type]:
    """Classes that the modules of the package define, as far as they are imported."""
    modules = [m for name, m in sorted(sys.modules.items()) if name.startswith(f"{_PACKAGE}.")]
    for module in modules:
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == module.__name__:
                yield cls


def _name(cls: type) -> str | None:
    """Name of a class in files; None of one that has no place there."""
    inside = cls.__module__.startswith(f"{_PACKAGE}.")
    return cls.__name__ if inside or issubclass(cls, Parameters) else None


# -- tables of other libraries -----------------------------------------------------------------


def _of_kind(kind: Kind, encoder: Encoder, where: str) -> Any:
    return {
        "backend": kind.backend.value,
        "dtypes": {name: _of_dtype(dtype, name) for name, dtype in kind.dtypes.items()},
        "own": {name: _of_own(dtype) for name, dtype in kind.own.items()},
        "first": encoder.encode(kind.first, where),
        "zones": kind.zones,
    }


def _kind_of(plain: Any, decoder: Decoder) -> Kind:
    backend = nw.Implementation.from_backend(plain["backend"])
    own = {}
    if plain["own"]:
        try:
            library: Any = backend.to_native_namespace()
        except ImportError as error:
            raise ImportError(
                f"this forecaster learned from a table of {plain['backend']}, whose kind its "
                f"forecasts have; it is not installed: pip install {plain['backend']}"
            ) from error
        own = {name: _own_of(given, library, decoder) for name, given in plain["own"].items()}
    dtypes = {name: _dtype_of(given) for name, given in plain["dtypes"].items()}
    return Kind(backend, dtypes, own, decoder.decode(plain["first"]), dict(plain["zones"]))


def _of_dtype(dtype: Any, column: str) -> Any:
    if isinstance(dtype, nw.Datetime):
        return ["Datetime", dtype.time_unit, dtype.time_zone]
    if isinstance(dtype, nw.Enum):
        return ["Enum", list(dtype.categories)]
    if str(dtype) not in _TYPES:
        raise TypeError(f"column {column!r} is of {dtype}, which no file of a forecaster can hold")
    return [str(dtype)]


def _dtype_of(plain: Any) -> Any:
    name, *arguments = plain
    if name not in (*_TYPES, "Datetime", "Enum"):
        raise ModelFileError(f"the file has a column of type {name!r}, which is not known")
    return getattr(nw, name)(*arguments)


def _of_own(dtype: Any) -> Any:
    """A type of pandas, by its name or its categories."""
    categories = getattr(dtype, "categories", None)
    if categories is None:
        return {"name": str(dtype)}
    inner = Encoder()
    return {"categories": inner.encode(categories.tolist()), "ordered": bool(dtype.ordered)}


def _own_of(plain: Any, library: Any, decoder: Decoder) -> Any:
    if "categories" in plain:
        return library.CategoricalDtype(decoder.decode(plain["categories"]), plain["ordered"])
    return library.api.types.pandas_dtype(str(plain["name"]))
