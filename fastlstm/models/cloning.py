"""The same model once more, or as text: what it is made of, without its weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastlstm.models import structure

if TYPE_CHECKING:
    from fastlstm.models.model import Model


def clone_model(model: Model) -> Any:
    """A new model of the same layers, with weights of its own that are drawn anew.

    Parameters
    ----------
    model : Model
        What to make again. ``copy.deepcopy(model)`` also takes over the weights and the optimizer.

    Returns
    -------
    Model
        Not compiled.
    """
    return structure.from_config(model.get_config())


def to_json(model: Model, **options: Any) -> str:
    """What ``model_from_json`` reads; ``options`` are those of ``json.dumps``."""
    return json.dumps(structure.serialized(model), **options)


def model_from_json(json_string: str) -> Any:
    """A new model of what ``model.to_json()`` described, with weights that are drawn anew.

    Parameters
    ----------
    json_string : str
        The description; it may come from anywhere, as it can name nothing but layers.

    Returns
    -------
    Model
        Not compiled.

    Raises
    ------
    ValueError
        If it describes no model of this library.
    """
    try:
        described = json.loads(json_string)
        return structure.from_config(described["config"])
    except RecursionError:
        raise ValueError("the description is nested deeper than any model") from None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"expected the text that model.to_json() gives, which this is not: {error}"
        ) from error
