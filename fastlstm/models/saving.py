"""Models on disk: one safetensors file, whose metadata hold the configuration as JSON.

Nothing in a file is executed or imported: class names go through an allow-list, and names, shapes
and types of all tensors are checked against the layers before memory is taken for them.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize_tensors

from fastlstm import losses, metrics, optimizers
from fastlstm.models import structure
from fastlstm.registry import serialize
from fastlstm.validation import all_finite

if TYPE_CHECKING:
    from fastlstm.models.goals import Goal
    from fastlstm.models.model import Model

_FORMAT = "fastlstm 1"
_OPTIMIZER = "optimizer/"
# A configuration is a few kilobytes; a header that claims more is not one of ours.
_LARGEST_HEADER = 16 * 2**20


class ModelFileError(ValueError):
    """The file is damaged, or not a model of this library."""


class Weighted(Protocol):
    """What has weights: a model, or many."""

    @property
    def weight_names(self) -> list[str]:
        """Names of the weights, such as "lstm/kernel"."""

    def get_weights(self) -> list[np.ndarray]:
        """Copies of them, in the same order."""

    def set_weights(self, weights: Any) -> None:
        """Replace all of them."""


# -- writing ---------------------------------------------------------------------------------


def save_model(model: Model, filepath: Any, *, overwrite: bool) -> None:
    """Write configuration, weights and the optimizer's state."""
    config, tensors = taken_apart(model)
    _write(filepath, tensors, config, overwrite=overwrite)


def taken_apart(model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Configuration, and weights and the optimizer's state by name, for a file."""
    structure.check_apart(model)
    tensors = _weight_tensors(model)
    config: dict[str, Any] = {"model": model.get_config()}
    if model.optimizer is not None and model.goals:
        goals = [_goal_config(goal) for goal in model.goals]
        config["compile"] = {
            "optimizer": serialize(model.optimizer),
            "not_decayed": model.optimizer.excluded_from_weight_decay(model.weight_names),
            **(goals[0] if len(goals) == 1 else {"goals": goals}),
            "iterations": model.optimizer.steps,
        }
        for name, moment in model.optimizer.state().items():
            tensors[f"{_OPTIMIZER}{name}"] = moment
    return config, tensors


def _goal_config(goal: Goal) -> dict[str, Any]:
    """An output's loss and metrics, but for functions of Python, which no file can hold."""
    config: dict[str, Any] = {"loss": serialize(goal.loss)}
    if goal.weight != 1.0:
        config["loss_weight"] = goal.weight
    for key, group in (("metrics", goal.plain), ("weighted_metrics", goal.weighted)):
        kept = [metric for metric in group if not metric.runs_python]
        config[key] = [{"name": metric.name, **serialize(metric)} for metric in kept]
        lost = [metric.name for metric in group if metric.runs_python]
        if lost:
            warnings.warn(
                f"the file does not hold the metrics {lost}, which are functions of Python; give "
                "them to compile() again after load_model()",
                stacklevel=5,  # the caller of model.save
            )
    return config


def save_weights(model: Weighted, filepath: Any, *, overwrite: bool) -> None:
    """Write the weights alone."""
    _write(filepath, _weight_tensors(model), {}, overwrite=overwrite)


def _weight_tensors(model: Weighted) -> dict[str, np.ndarray]:
    return dict(zip(model.weight_names, model.get_weights(), strict=True))


def _write(
    filepath: Any, tensors: dict[str, np.ndarray], config: dict[str, Any], *, overwrite: bool
) -> None:
    # safetensors sorts tensors by name; weights also have an order.
    config["weights"] = [name for name in tensors if not name.startswith(_OPTIMIZER)]
    metadata = {"format": _FORMAT, "config": json.dumps(config)}
    write_file(filepath, serialize_tensors(tensors, metadata), overwrite=overwrite)


def write_file(filepath: Any, blob: bytes, *, overwrite: bool) -> None:
    """Write a file, folders included, or leave the one that is there as it is."""
    path = Path(os.fspath(filepath)).absolute()
    if path.is_dir():
        raise IsADirectoryError(f"cannot save to {path}: it is a folder; add a file name")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already and overwrite=False")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, blob)


def write_atomically(path: Path, blob: bytes) -> None:
    """Write a file so that a crash leaves either the old one or the new one, whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode_for(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _mode_for(path: Path) -> int:
    """Permissions of the file that is replaced, or those that a plain ``open`` would give."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


# -- reading ---------------------------------------------------------------------------------


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Model:
    """Read a model that ``save`` wrote.

    Parameters
    ----------
    filepath : str or path
        The file.
    custom_objects : None
        A file names nothing but this library's layers, so there is nothing to give.
    compile : bool
        Restore the optimizer, its state, the loss and the metrics too, so that training goes on.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If the file is damaged, or not a model of this library.
    TypeError
        If there are ``custom_objects``.
    """
    if custom_objects is not None and custom_objects != {}:
        raise TypeError(
            f"load_model expects no custom_objects, since files name nothing but layers of this "
            f"library, got {custom_objects!r}; whether to restore the training is compile=True"
        )
    path = Path(os.fspath(filepath))
    header, config = _read_header(path)
    if "model" not in config:
        raise ModelFileError(
            f"{path} holds weights only; build the model and call load_weights on it"
        )
    try:
        make, expected = structure.plan_of(config["model"])
        compiled = _compile_from(config["compile"]) if compile and "compile" in config else None
    except Exception as error:  # anything that a hostile configuration makes a constructor raise
        raise ModelFileError(f"{path} has a configuration that fits no model: {error}") from error
    _check_tensors(path, header, expected)
    return _put_together(make(), _read_tensors(path), list(expected), compiled, path)


def put_together(config: dict[str, Any], tensors: dict[str, np.ndarray], path: Path) -> Model:
    """The model that ``taken_apart`` gave, from the file ``path``, which is not trusted."""
    try:
        make, expected = structure.plan_of(config["model"])
        compiled = _compile_from(config["compile"]) if "compile" in config else None
    except Exception as error:  # as in load_model
        raise ModelFileError(f"{path} has a configuration that fits no model: {error}") from error
    types = {dtype: name for name, dtype in _TYPES.items()}
    header = {
        name: {"shape": value.shape, "dtype": types.get(value.dtype)}
        for name, value in tensors.items()
    }
    _check_tensors(path, header, expected)
    return _put_together(make(), tensors, list(expected), compiled, path)


def _put_together(
    model: Model,
    tensors: dict[str, np.ndarray],
    names: list[str],
    compiled: tuple[Any, dict[str, Any], int] | None,
    path: Path,
) -> Model:
    """A new model with weights, and compiled as it was."""
    _set_weights(model, tensors, names, path)
    if compiled is not None:
        optimizer, goals, iterations = compiled
        state = {
            name.removeprefix(_OPTIMIZER): value
            for name, value in tensors.items()
            if name.startswith(_OPTIMIZER)
        }
        try:
            model.compile(optimizer, **goals)
            if state or iterations:  # a model saved before its first batch may have none
                optimizer.load_state(state, iterations)
        except ValueError as error:
            raise ModelFileError(f"{path}: {error}") from error
    return model


def load_weights(model: Weighted, filepath: Any) -> None:
    """Read weights into a model with the same layers; nothing changes unless all fit.

    Weights go by their order: the same layers made again have other default names.
    """
    path = Path(os.fspath(filepath))
    header, config = _read_header(path)
    names = _stored_names(path, header, config)
    specs = [(weight.shape, weight.dtype) for weight in model.get_weights()]
    if len(specs) != len(names):
        raise ModelFileError(
            f"{path} does not fit the model: it holds {len(names)} weights, the model has "
            f"{len(specs)}"
        )
    _check_tensors(path, header, dict(zip(names, specs, strict=True)))
    _set_weights(model, _read_tensors(path), names, path)


def _stored_names(path: Path, header: dict[str, Any], config: dict[str, Any]) -> list[str]:
    names = config.get("weights")
    found = {name for name in header if not name.startswith(_OPTIMIZER)}
    if not isinstance(names, list) or len(names) != len(found) or set(map(str, names)) != found:
        raise ModelFileError(f"{path} is damaged: its list of weights is not that of its tensors")
    return [str(name) for name in names]


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Entries of the tensors and our configuration, from the first bytes of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise ModelFileError(_foreign(path, start))
        raw = file.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=_unique)
        metadata = header.pop("__metadata__")
        if metadata["format"] != _FORMAT:
            raise ModelFileError(
                f"{path} has format {metadata['format']!r}, expected {_FORMAT!r}: it was written "
                "by another version"
            )
        config = json.loads(metadata["config"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(_foreign(path, start)) from error
    if not isinstance(config, dict):
        raise ModelFileError(_foreign(path, start))
    return header, config


def _foreign(path: Path, start: bytes) -> str:
    text = f"{path} is damaged, or not a model saved by fastlstm"
    if start.startswith(b"PK"):
        text += "; it looks like a zip archive, as Keras writes"
    elif start.startswith(b"\x89HDF"):
        text += "; it looks like an HDF5 file"
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name occurs twice")
    return out


def _compile_from(config: Any) -> tuple[Any, dict[str, Any], int]:
    """The optimizer, the other arguments of ``compile``, and how many steps it has taken."""
    entries = config.get("goals") or [config]
    goals: dict[str, list[Any]] = {
        "loss": [losses.get(entry["loss"]) for entry in entries],
        "loss_weights": [float(entry.get("loss_weight", 1.0)) for entry in entries],
    }
    for key in ("metrics", "weighted_metrics"):
        goals[key] = [[_metric_from(metric) for metric in entry.get(key, [])] for entry in entries]
    optimizer = optimizers.get(config["optimizer"])
    optimizer.exclude_from_weight_decay(config.get("not_decayed"))
    return optimizer, goals, int(config["iterations"])


def _metric_from(entry: Any) -> Any:
    metric = metrics.get({"class_name": entry["class_name"], "config": entry["config"]})
    metric.name = str(entry["name"])
    return metric


_TYPES = {"F32": np.dtype(np.float32), "F64": np.dtype(np.float64)}


def _check_tensors(path: Path, header: dict[str, Any], expected: dict[str, Any]) -> None:
    """Names, shapes and types, before anything is allocated."""
    found = {name: entry for name, entry in header.items() if not name.startswith(_OPTIMIZER)}
    if set(found) != set(expected):
        missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        raise ModelFileError(f"{path} does not fit the model: missing {missing}, unknown {extra}")
    for name, (shape, dtype) in expected.items():
        entry = found[name] if isinstance(found[name], dict) else {}
        given = (tuple(entry.get("shape") or ()), _TYPES.get(str(entry.get("dtype"))))
        if given != (tuple(shape), dtype):
            raise ModelFileError(
                f"{path} does not fit the model: {name!r} is expected as {tuple(shape)} {dtype}, "
                f"got {given[0]} {entry.get('dtype')}"
            )


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return parse(path.read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error


def _set_weights(
    model: Weighted, tensors: dict[str, np.ndarray], names: list[str], path: Path
) -> None:
    ordered = [tensors[name] for name in names]
    if not all(all_finite(value) for value in ordered):
        raise ModelFileError(f"{path} has weights that are NaN or infinite")
    model.set_weights(ordered)
