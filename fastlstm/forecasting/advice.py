"""Arguments that forecasters of other libraries take: what to use instead, said to who tries."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_FUTURE, _HISTORIC = "fit(df, futr_exog=[...])", "fit(df, hist_exog=[...])"
_STATIC = "fit(df, static_exog=[...], static_df=...)"

# Columns are named where the data are given.
_IN_FIT = {
    "future_covariates": _FUTURE,
    "futr": _FUTURE,
    "futr_exog": _FUTURE,
    "futr_exog_list": _FUTURE,
    "hist": _HISTORIC,
    "hist_exog": _HISTORIC,
    "hist_exog_list": _HISTORIC,
    "past_covariates": _HISTORIC,
    "stat_exog_list": _STATIC,
    "static_covariates": _STATIC,
    "static_exog": _STATIC,
    "static_df": _STATIC,
    **{name: f"fit(df, {name}=...)" for name in ("id_col", "time_col", "target_col")},
}
_SAME = {
    "h": ("horizon", "output_chunk_length", "prediction_length", "steps"),
    "input_size": ("context_length", "input_chunk_length", "lags", "look_back", "window"),
    "freq": ("frequency",),
    "level": ("levels", "likelihood", "loss", "quantiles"),
    "seed": ("random_seed", "random_state"),
    "verbose": ("enable_progress_bar", "progress_bar"),
    "scaler": ("local_scaler_type", "scaler_type"),
    "season_length": ("m", "period", "seasonality"),
    "units": ("decoder_hidden_size", "encoder_hidden_size", "hidden_dim", "hidden_size"),
    "layers": ("encoder_n_layers", "n_layers", "n_rnn_layers", "num_layers"),
    "max_steps": ("epochs", "max_epochs", "n_epochs"),
    "batch_size": ("valid_batch_size", "windows_batch_size"),
    "patience": ("early_stop_patience_steps",),
    "learning_rate": ("lr",),
    "dropout": ("decoder_dropout", "encoder_dropout"),
    "n_paths": ("num_samples", "trajectory_samples"),
    "segment": ("segment_length",),
}
_HERE = {other: name for name, others in _SAME.items() for other in others}


def no_such_argument(kind: type[Any], name: str, names: Collection[str]) -> TypeError:
    """The error for an argument that a forecaster's constructor does not have."""
    here = _HERE.get(name)
    instead = _IN_FIT.get(name) or (here if here in names else None)
    what = f"{kind.__name__} has no argument {name!r}"
    if instead is None:
        return TypeError(f"{what}; it has {', '.join(names)}")
    return TypeError(f"{what}; use instead: {instead}")
