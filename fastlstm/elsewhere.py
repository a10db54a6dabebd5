"""Keras' names that are not here: what to use instead, said where somebody asks for one."""

from __future__ import annotations

_TEXT = "scikit-learn's CountVectorizer or a dict of words makes ids; Embedding takes these"
_TABLES = "pandas or scikit-learn make numbers of columns; layers take arrays"
_OPS = "on symbols there are + - * / and indices such as x[:, -1]; on arrays, NumPy"
_SOUND = "scipy.signal or librosa make spectrograms; layers take (batch, time, features)"
_COMPILED = "it is compiled for this processor"

_ADVICE = {
    "fastlstm": {
        "Layer": "layers.Layer; CONTRIBUTING.md says how a new one is written",
        "Loss": "losses.Loss",
        "Metric": "metrics.Metric",
        "Optimizer": "optimizers.Optimizer",
        "applications": "its networks are for images, which recurrent layers read row by row",
        "backend": "everything runs on NumPy arrays; utils.clear_session() is in utils",
        "datasets": "scikit-learn and Hugging Face's datasets load data; fit takes arrays",
        "distribution": "all threads of one machine are used; see set_num_threads",
        "mixed_precision": "weights are float32 or float64: config.set_floatx",
        "ops": _OPS,
        "preprocessing": "pad_sequences and timeseries_dataset_from_array are in fastlstm.utils",
        "random": "numpy.random.default_rng(seed); utils.set_random_seed for draws here",
        "saving": "models.load_model and model.save",
    },
    "fastlstm.layers": {
        "CategoryEncoding": "utils.to_categorical",
        "CuDNNGRU": f"GRU; {_COMPILED}",
        "CuDNNLSTM": f"LSTM; {_COMPILED}",
        "Discretization": "numpy.digitize",
        "Hashing": _TEXT,
        "IntegerLookup": _TEXT,
        "MelSpectrogram": _SOUND,
        "Normalization": "scikit-learn's StandardScaler, or Rescaling for numbers that you know",
        "STFTSpectrogram": _SOUND,
        "StringLookup": _TEXT,
        "TextVectorization": _TEXT,
        "TFSMLayer": "weights come over with set_weights(get_weights())",
        "TorchModuleWrapper": "weights come over with set_weights",
    },
    "fastlstm.utils": {
        "FeatureSpace": _TABLES,
        "Progbar": "tqdm; fit has verbose",
        "PyDataset": "fastlstm.data.Dataset, or a generator",
        "get_file": "urllib.request.urlretrieve, or pooch",
        "text_dataset_from_directory": "read the files and make ids; fit takes lists of arrays",
    },
}
# Of layers in two and three dimensions.
_IMAGES = (
    "fastlstm.layers has no {!r}: layers here take (batch, time, features), so give an image's "
    "rows as steps, x.reshape(batch, height, width * channels)"
)


def advise(module: str, name: str) -> AttributeError:
    """The error for a name that a module does not have."""
    what = f"{module} has no {name!r}"
    advice = _ADVICE.get(module, {}).get(name)
    images = name.endswith(("2D", "3D")) or name.startswith("ConvLSTM")
    if module == "fastlstm.layers" and images:
        return AttributeError(_IMAGES.format(name))
    return AttributeError(what if advice is None else f"{what}; use instead: {advice}")
