"""Fitted forecasters on disk: one safetensors file, with the series that they go on from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize_tensors

from fastlstm.forecasting.plain import Decoder, Encoder
from fastlstm.models.saving import ModelFileError, write_file

if TYPE_CHECKING:
    from fastlstm.forecasting.base import BaseForecaster

_FORMAT, _VERSION = "fastlstm forecaster", 1
# The tensor that holds all that is no array, as JSON in bytes.
_STATE = "state"


def save(forecaster: BaseForecaster, filepath: Any, *, overwrite: bool) -> None:
    """Write a forecaster that is fitted; see ``BaseForecaster.save``."""
    write_file(filepath, packed(forecaster, _FORMAT), overwrite=overwrite)


def load(filepath: Any, custom_objects: Mapping[str, type] | None = None) -> Any:
    """Read a forecaster that ``save`` wrote.

    It goes on as if it had never been away: forecasts, scores and updates have the same bits. No
    code of the file is run.

    Parameters
    ----------
    filepath : str or path
        The file.
    custom_objects : mapping of str to type, optional
        Classes of your own that the file may name, by their names.

    Returns
    -------
    BaseForecaster
        Of the class that was saved.

    Raises
    ------
    ModelFileError
        If the file is damaged, holds something else, is of a newer version, or names a class that
        is not known.

    Examples
    --------
    >>> import tempfile
    >>> from fastlstm.forecasting import SeasonalNaive, load
    >>> path = tempfile.mkdtemp() + "/demand.safetensors"
    >>> SeasonalNaive(h=2, season_length=3).fit([1.0, 2, 3, 4, 5, 6]).save(path)
    >>> load(path).update([7.0]).predict()
    array([5., 6.])
    """
    from fastlstm.forecasting.base import BaseForecaster

    path = Path(os.fspath(filepath))
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(
            "custom_objects expects a mapping of names to classes, such as {'Mine': Mine}, got "
            f"{custom_objects!r}"
        )
    made = unpacked(path, _FORMAT, custom_objects)
    if not isinstance(made, BaseForecaster):
        raise ModelFileError(f"{path} holds no forecaster, but a {type(made).__name__}")
    return made


def packed(value: Any, form: str) -> bytes:
    """The bytes of a file that holds anything that an ``Encoder`` knows."""
    encoder = Encoder()
    state = json.dumps(encoder.encode(value, type(value).__name__)).encode()
    tensors = {_STATE: np.frombuffer(state, np.uint8), **encoder.tensors}
    return serialize_tensors(tensors, {"format": f"{form} {_VERSION}"})


def unpacked(path: Path, form: str, custom_objects: Mapping[str, type] | None = None) -> Any:
    """What a file holds."""
    blob = path.read_bytes()
    _check_format(path, blob, form)
    try:
        tensors = parse(blob)
        state = json.loads(tensors.pop(_STATE).tobytes())
        return Decoder(tensors, path, (custom_objects or {}).values()).decode(state)
    except (ModelFileError, ImportError):
        raise
    except (SafetensorError, Exception) as error:  # whatever a damaged or hostile file leads to
        raise ModelFileError(f"{path} is damaged: {error}") from error


def _check_format(path: Path, blob: bytes, form: str) -> None:
    """An error unless the header says that this version can read the file."""
    try:
        size = int.from_bytes(blob[:8], "little")
        metadata = json.loads(blob[8 : 8 + size])["__metadata__"]
        found, _, number = str(metadata["format"]).rpartition(" ")
        version = int(number)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path} is damaged, or not a file of {form}") from error
    if found == "fastlstm":
        raise ModelFileError(
            f"{path} holds a model, not a forecaster; read it by fastlstm.models.load_model"
        )
    if found != form:
        raise ModelFileError(f"{path} holds a {found!r}, expected a {form!r}")
    if version > _VERSION:
        raise ModelFileError(
            f"{path} was written by a newer version of fastlstm, in format {version}, and this one "
            f"reads up to {_VERSION}: pip install -U fastlstm"
        )
