"""The names that users build on: one that comes or goes is a decision, not an accident."""

from __future__ import annotations

import importlib
from operator import attrgetter

import numpy as np
import pytest

import fastlstm

NAMES = {
    "fastlstm": """
        Input Model Sequential __version__ activations callbacks config constraints crf ctc data
        generation get_num_threads initializers layers losses metrics models optimizers
        regularizers set_num_threads utils vjp
    """,
    "fastlstm.layers": """
        Activation ActivityRegularization Add AdditiveAttention Attention Average
        AveragePooling1D AvgPool1D BatchNormalization Bidirectional CRF Concatenate Conv1D
        CoupledLSTM Cropping1D Dense Divide Dot Dropout ELU Embedding Flatten GRU GRUCell
        GaussianNoise GetItem GlobalAveragePooling1D GlobalAvgPool1D GlobalMaxPool1D
        GlobalMaxPooling1D Input InputLayer LSTM LSTMCell Lambda Layer LayerNormLSTM
        LayerNormLSTMCell LayerNormalization LeakyReLU Masking MaxPool1D MaxPooling1D Maximum
        MinGRU MinLSTM Minimum MultiHeadAttention Multiply PeepholeLSTM Permute ProjectedLSTM
        RNN ReLU RepeatVector Rescaling Reshape SLSTM SimpleRNN SimpleRNNCell Slice Softmax
        SpatialDropout1D StackedRNNCells Subtract TimeDistributed ZeroPadding1D add average
        concatenate dot maximum minimum multiply subtract
    """,
    "fastlstm.activations": """
        celu elu exponential gelu gelu_tanh get glu hard_shrink hard_sigmoid hard_silu
        hard_swish hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu
        sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
        squareplus swish tanh tanh_shrink threshold
    """,
    "fastlstm.models": """
        Ensemble Model Sequential clone_model load_model model_from_json vjp
    """,
    "fastlstm.optimizers": """
        Adagrad Adam AdamW Adamax Lion Nadam Optimizer RMSprop SGD get schedules
    """,
    "fastlstm.optimizers.schedules": """
        CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule
        OneCycle PiecewiseConstantDecay PolynomialDecay get
    """,
    "fastlstm.losses": """
        BinaryCrossentropy BinaryFocalCrossentropy CRF CTC CategoricalCrossentropy
        CategoricalFocalCrossentropy CategoricalHinge CosineSimilarity Gaussian Hinge Huber
        KLDivergence LogCosh Loss MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
        MeanSquaredLogarithmicError NegativeBinomial Poisson Quantile
        SparseCategoricalCrossentropy SquaredHinge StudentT
        binary_crossentropy binary_focal_crossentropy categorical_crossentropy
        categorical_focal_crossentropy categorical_hinge cosine_similarity ctc get hinge huber
        kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error
        mean_squared_error mean_squared_logarithmic_error poisson quantile
        sparse_categorical_crossentropy squared_hinge
    """,
    "fastlstm.metrics": """
        AUC Accuracy BinaryAccuracy BinaryCrossentropy CategoricalAccuracy
        CategoricalCrossentropy CategoricalHinge ConfusionMatrix CosineSimilarity F1Score
        FBetaScore FalseNegatives FalsePositives FunctionMetric Hinge KLDivergence
        LabelErrorRate LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError
        MeanMetricWrapper MeanSquaredError MeanSquaredLogarithmicError Metric Perplexity Poisson
        Precision R2Score Recall RootMeanSquaredError SparseCategoricalAccuracy
        SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SquaredHinge
        TopKCategoricalAccuracy TrueNegatives TruePositives get
    """,
    "fastlstm.callbacks": """
        CSVLogger Callback CallbackList EarlyStopping GradientFlow History LambdaCallback
        LearningRateScheduler ModelCheckpoint ReduceLROnPlateau TensorBoard TerminateOnNaN
    """,
    "fastlstm.initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity Initializer LecunNormal
        LecunUniform Ones Orthogonal RandomNormal RandomUniform TruncatedNormal Zeros get
    """,
    "fastlstm.regularizers": """
        L1 L1L2 L2 OrthogonalRegularizer Regularizer get l1 l1_l2 l2 orthogonal_regularizer
    """,
    "fastlstm.constraints": """
        Constraint MaxNorm MinMaxNorm NonNeg UnitNorm get max_norm min_max_norm non_neg unit_norm
    """,
    "fastlstm.data": "Batch Dataset sliding_windows timeseries_dataset_from_array",
    "fastlstm.ctc": "ctc_beam_search_decode ctc_greedy_decode ctc_loss ctc_value_and_grad",
    "fastlstm.config": "floatx set_floatx",
    "fastlstm.generation": """
        Generated ScheduledSampling beam_search exponential_decay greedy inverse_sigmoid_decay
        linear_decay sample shift_right take_rows
    """,
    "fastlstm.crf": """
        CRFGradients crf_log_likelihood crf_marginals crf_value_and_grad crf_viterbi_decode
    """,
    "fastlstm.utils": """
        clear_session pad_sequences plot_model set_random_seed timeseries_dataset_from_array
        to_categorical
    """,
    "fastlstm.sklearn": "SequenceClassifier SequenceRegressor",
}
# Imported by those who want them; with what they need.
OPTIONAL = {"fastlstm.sklearn": "sklearn"}


def _import(module):
    if module in OPTIONAL:
        pytest.importorskip(OPTIONAL[module])
    return importlib.import_module(module)


def _exported(module):
    """What a module lists, or else the public functions and classes that it defines."""
    defined = [name for name, value in vars(module).items()
               if getattr(value, "__module__", None) == module.__name__]  # fmt: skip
    return getattr(module, "__all__", [name for name in defined if not name.startswith("_")])


@pytest.mark.parametrize("module", NAMES)
def test_exported_names(module):
    imported = _import(module)
    assert sorted(_exported(imported)) == sorted(NAMES[module].split())


@pytest.mark.parametrize("module", NAMES)
def test_every_exported_name_is_documented(module):
    imported = _import(module)
    assert imported.__doc__
    for name in _exported(imported):
        assert name == "__version__" or getattr(imported, name).__doc__, name


def test_modules_are_reached_as_attributes():
    for module in NAMES:
        if module != "fastlstm" and module not in OPTIONAL:
            assert attrgetter(module.partition(".")[2])(fastlstm).__name__ in (
                module, "fastlstm.training.callbacks"
            )  # fmt: skip


METHODS = """
    add build compile fit evaluate predict train_on_batch test_on_batch value_and_grad summary
    get_weights set_weights save save_weights load_weights reset_states get_config get_layer
    memory_report gradient_flow plot_gradient_flow
"""


def test_methods_of_a_model():
    for name in METHODS.split():
        assert getattr(fastlstm.Sequential, name).__doc__, name


def test_the_tutorial_needs_no_more_than_another_import():
    """``import fastlstm as keras``, and the program runs."""
    namespace: dict = {"np": np}
    exec(
        """
import fastlstm as keras
from fastlstm.models import Sequential
from fastlstm.layers import LSTM, Dense
model = keras.Sequential()
model.add(LSTM(5, input_shape=(4, 3), return_sequences=True))
model.add(keras.layers.LSTM(5))
model.add(Dense(2, activation="softmax"))
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01),
              loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(np.zeros((6, 4, 3)), np.eye(2)[[0, 1] * 3], epochs=2, batch_size=4,
                    verbose=0, callbacks=[keras.callbacks.EarlyStopping(monitor="loss")])
""",
        namespace,
    )
    assert sorted(namespace["history"].history) == ["accuracy", "loss"]
