"""Compiling, training and evaluating a model, in Keras' words."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from fastlstm import figures, optimizers
from fastlstm.losses.base import prepare_weights
from fastlstm.metrics import Metric
from fastlstm.models import gradient_flow
from fastlstm.models.bptt import chain_kind, check_bptt, of_window, train_windows, window_steps
from fastlstm.models.goals import Goal, make_goals
from fastlstm.models.named import by_name
from fastlstm.models.network import Network
from fastlstm.models.options import check_options
from fastlstm.models.supervised import Supervised
from fastlstm.models.targets import label_counts, prepare_targets
from fastlstm.models.weights import weigh_classes
from fastlstm.training import loop
from fastlstm.training.data import Data
from fastlstm.training.history import History


class Trainer(Network):
    """A network that learns: what ``compile`` sets up, and all that uses it."""

    def _start_untrained(self) -> None:
        self.stop_training = False
        self.history: History | None = None
        self.optimizer: optimizers.Optimizer | None = None
        self.goals: list[Goal] = []

    # -- compiling ----------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        **rest: Any,
    ) -> None:
        """Choose how the model is trained; arguments stand in Keras' order.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "sgd", "rmsprop" and so on, or an instance with options; see
            ``fastlstm.optimizers``.
        loss : str or Loss, or a list or dict of them
            Such as "mse" or "sparse_categorical_crossentropy"; for several outputs one each, in
            a list or by name, or one for all.
        loss_weights : list or dict of float, optional
            What the losses of several outputs weigh in their sum.
        metrics : list of str, Metric, Loss or callable, optional
            Such as ["accuracy"]; a function ``fn(y_true, y_pred)`` is called after each batch with
            copies. Without weights, as in Keras. For several outputs a list for each, in a list
            or by name.
        weighted_metrics : list, optional
            The same, with sample and class weights. One that has the name of an entry of
            ``metrics`` is called "weighted_..." in logs.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted as in Keras; they change no result here.
        **rest
            What Keras had once; an error says what to do instead.
        """
        check_options("compile", rest, Trainer.compile)
        # All of it or nothing: a name that is not known leaves the model as it was.
        chosen = optimizers.get(optimizer)
        goals = make_goals(self.output_names, loss, loss_weights, metrics, weighted_metrics)
        if self.built:
            self._build_optimizer(chosen)
        self.optimizer, self.goals = chosen, goals
        self._runner.forget()

    def _build_optimizer(self, optimizer: optimizers.Optimizer) -> None:
        segments, at = [], 0
        for name, (layer, place) in self._named_weights().items():
            size = layer.weights[place].size
            segments.append((name, at, size))
            at += size
        optimizer.build(segments, at, self.all_layers[0].dtype)
        self.tell_frozen(optimizer, self.flat_weights[0])

    @property
    def loss(self) -> Any:
        """The loss; of several outputs, a list; None before ``compile``."""
        chosen: list[Any] = [goal.loss for goal in self.goals]
        return chosen if len(chosen) > 1 else (chosen or [None])[0]

    @property
    def metrics(self) -> list[Metric]:
        """All metrics; of several outputs their losses too."""
        means = [goal.mean for goal in self.goals if goal.mean is not None]
        return [*means, *(metric for goal in self.goals for metric in goal.metrics)]  # type: ignore[list-item]

    def _compiled(self, what: str) -> tuple[optimizers.Optimizer, list[Goal]]:
        if self.optimizer is None or not self.goals:
            raise RuntimeError(
                f"{what} needs a loss and an optimizer: call "
                "model.compile(optimizer='adam', loss='mse') first"
            )
        return self.optimizer, self.goals

    # -- what the training loop asks for ------------------------------------------------------

    def prepare(self, x: Any, y: Any, sample_weight: Any = None, mask: Any = None) -> Data:
        """Validated samples, targets, weights, and which steps count."""
        _, goals = self._compiled("fit, evaluate and train_on_batch")
        samples, outputs = self._check_inputs(x)
        several, dtype = len(goals) > 1, self.all_layers[0].dtype
        if several and y is None:
            raise ValueError("targets are missing: expected y beside x")
        targets, weights = [], []
        given = by_name(y, self.output_names, "y")
        for goal, array, shape in zip(goals, given, outputs, strict=True):
            what = f"y[{goal.name!r}]" if several else "y"
            targets.append(prepare_targets(goal.loss, array, shape, samples[0].shape, dtype, what))
        if sample_weight is not None:
            each = self._weight_of_each(sample_weight)
            for goal, weight, shape in zip(goals, each, outputs, strict=True):
                weights.append(prepare_weights(weight, goal.loss.weight_shape(shape), dtype))
        steps = None if mask is None else self.prepare_mask(mask, samples)
        self._make_familiar(samples, outputs)
        return Data(samples, tuple(targets), tuple(weights) or None, steps)

    def _weight_of_each(self, sample_weight: Any) -> list[Any]:
        """Weights of the samples for each output; one array stands for all."""
        if isinstance(sample_weight, (list, tuple, dict)) and len(self.output_names) > 1:
            return by_name(sample_weight, self.output_names, "sample_weight")
        return [sample_weight] * len(self.output_names)

    def weigh_classes(self, data: Data, class_weight: Any) -> Data:
        """The data with weights times those of the targets' classes."""
        _, goals = self._compiled("class_weight")
        if len(goals) > 1:
            raise ValueError(
                "class_weight is for models with one output; use sample_weight={name: weights}"
            )
        if goals[0].loss.of_sequences:
            raise ValueError(
                f"class_weight weighs rows by their classes, and {goals[0].loss.name} is a loss of "
                "whole sequences; use sample_weight, one for each sequence"
            )
        classes, dtype = int(self.output_shape[-1] or 0), self.all_layers[0].dtype
        return weigh_classes(data, class_weight, classes, goals[0].loss.sparse, dtype)

    def check_bptt(self, bptt: Any) -> str | int:
        """The argument ``bptt`` of ``fit``, if this model can be trained so; an error otherwise."""
        checked = check_bptt(bptt, self)
        whole = [goal.loss.name for goal in self.goals if goal.loss.of_sequences]
        if whole and isinstance(checked, int):
            raise ValueError(
                f"bptt={bptt!r} updates after each window of {bptt} steps, but {whole[0]} is a "
                "loss of whole sequences; use bptt='full' or 'checkpoint'"
            )
        return checked

    def _step(
        self,
        data: Data,
        index: np.ndarray,
        task: str,
        bptt: str | int = "full",
        window: tuple[int, int] | None = None,
    ) -> Supervised:
        """What computes a batch, or a window of its steps: the first one, and how many."""
        self.follow_freezing(self.optimizer, self.flat_weights[0])
        shapes = self.batch_shapes(data.x, index.size)
        kind = chain_kind(bptt, self.graph, shapes)
        start = 0
        if window is not None:
            start, steps = window
            shapes = of_window(shapes, self.graph.takes_ids, steps)
        given = {"weighted": data.weight is not None, "masked": data.mask is not None}
        given |= label_counts(self.goals, data.y)
        chain = self._runner.chain(shapes, kind, model=self, task=task, **given)
        chain.load(data, index, start)
        return chain

    def train_step(self, data: Data, index: np.ndarray, bptt: str | int = "full") -> float:
        """One update from the samples ``index``, or one a window; returns their loss.

        A loss that is not finite updates nothing; nor does a gradient, for which NaN is returned.
        """
        with self.lock:
            if isinstance(bptt, int):
                return train_windows(
                    lambda *window: self._step(data, index, "train", window=window),
                    window_steps(data.x, self.graph.takes_ids, bptt),
                    bptt,
                )
            chain = self._step(data, index, "train", bptt)
            loss = chain.train()
            if np.isfinite(loss):
                chain.commit()
            return loss

    def test_step(self, data: Data, index: np.ndarray) -> float:
        """Loss and metrics of the samples ``index``."""
        with self.lock:
            chain = self._step(data, index, "test")
            loss = chain.test()
            chain.commit()
            return loss

    def finalize_weights(self) -> None:
        """Put the optimizer's running mean of the weights in their place, where it keeps one."""
        optimizer, _ = self._compiled("finalize_weights")
        with self.lock:
            optimizer.finalize_variable_values(self.flat_weights[0])
            for layer in self.all_layers:
                layer.changed()

    # -- training and using -------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        **options: Any,
    ) -> History:
        """Train the model; see ``fastlstm.training.loop.fit`` for all arguments.

        Those of Keras stand in its order; ``mask``, ``lengths`` and ``bptt`` go by name.

        Returns
        -------
        History
            ``history.history`` has a list for the loss and each metric, one value an epoch.
        """
        self._compiled("fit")
        options = self._with_mask(x, check_options("fit", options, loop.fit))
        return loop.fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
            **options,
        )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **options: Any,
    ) -> Any:
        """Loss and metrics on arrays; see ``fastlstm.training.loop.evaluate``."""
        self._compiled("evaluate")
        options = self._with_mask(x, check_options("evaluate", options, loop.evaluate))
        return loop.evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
            **options,
        )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        **options: Any,
    ) -> Any:
        """Output for arrays, in batches; see ``fastlstm.training.loop.predict``."""
        options = self._with_mask(x, check_options("predict", options, loop.predict))
        outputs = loop.predict(
            self,
            x,
            batch_size=batch_size,
            verbose=verbose,
            steps=steps,
            callbacks=callbacks,
            **options,
        )
        return self._hand_out(outputs)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        *,
        mask: Any = None,
        lengths: Any = None,
        bptt: Any = "full",
    ) -> Any:
        """One update from one batch, or one for each window of ``bptt`` steps, as in ``fit``.

        ``class_weight`` is a dict of weights by class, and ``mask`` or ``lengths`` say which steps
        count, as in ``fit``.

        Returns
        -------
        float, list or dict
            The loss; with metrics a list [loss, *metrics], or a dict where ``return_dict``.
        """
        self._compiled("train_on_batch")
        data = x  # that of ``prepare``, from a loop of this package that has checked it
        if not isinstance(x, Data):
            data = self.prepare(x, y, sample_weight, self.mask_for(x, mask, lengths))
        if class_weight is not None:
            data = self.weigh_classes(data, class_weight)
        bptt = self.check_bptt(bptt)
        self._reset_metrics()
        loss = self.train_step(data, np.arange(len(data)), bptt)
        if not np.isfinite(loss):
            since = "" if isinstance(bptt, str) else " from that window on"
            raise FloatingPointError(
                f"the loss of this batch, or its gradient, is {loss}; nothing was updated{since}. "
                "Lower the learning rate, set clipnorm on the optimizer, or check the scale of the "
                "data"
            )
        return self._results(loss, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        return_dict: bool = False,
        *,
        mask: Any = None,
        lengths: Any = None,
    ) -> Any:
        """Loss and metrics of one batch, as ``train_on_batch`` takes it and returns them."""
        self._compiled("test_on_batch")
        data = self.prepare(x, y, sample_weight, self.mask_for(x, mask, lengths))
        self._reset_metrics()
        return self._results(self.test_step(data, np.arange(len(data))), return_dict)

    def _with_mask(self, x: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Options of ``fit`` and the like: lengths of the first of several inputs as its mask."""
        if options.get("lengths") is None or len(self.graph.inputs) == 1:
            return options
        mask = self.mask_for(x, options.get("mask"), options["lengths"])
        return {**options, "mask": mask, "lengths": None}

    def _reset_metrics(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def _results(self, loss: float, as_dict: bool) -> Any:
        values = {"loss": loss, **{metric.name: metric.result() for metric in self.metrics}}
        if as_dict:
            return values
        return list(values.values()) if self.metrics else loss

    def value_and_grad(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        bptt: Any = "full",
    ) -> tuple[float, list[np.ndarray]]:
        """Loss of a batch and its gradient; updates nothing.

        Dropout is active, as in training; states of stateful layers stay as they are. With
        ``bptt="checkpoint"`` it takes less memory, and ``mask`` or ``lengths`` say which steps
        count, as in ``fit``.

        Returns
        -------
        loss : float
        grads : list of ndarray
            Gradients in the order and shapes of ``get_weights``, of frozen weights too.
        """
        self._compiled("value_and_grad")
        data = self.prepare(x, y, sample_weight, self.mask_for(x, mask, lengths))
        bptt = check_bptt(bptt, self, windows=False)
        with self.lock:
            chain = self._step(data, np.arange(len(data)), "gradient", bptt)
            loss = chain.evaluate()
            chain.backward()
            return loss, [grad.copy() for layer in self.all_layers for grad in layer.grads()]

    def gradient_flow(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
    ) -> dict[str, np.ndarray]:
        """How the gradient of the loss fares on its way back through time; updates nothing.

        Returns
        -------
        dict of str to ndarray
            For each recurrent layer, (time,): entry k is the norm of the gradient of the batch's
            loss with respect to all states h (batch, units) k steps before the last one. See
            ``fastlstm.models.gradient_flow``.
        """
        self._compiled("gradient_flow")
        return gradient_flow.norms(self, x, y, sample_weight, self.mask_for(x, mask, lengths))

    def plot_gradient_flow(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        ax: Any = None,
    ) -> Any:
        """Draw ``gradient_flow`` with matplotlib: a line a layer; see ``fastlstm.figures``."""
        norms = self.gradient_flow(x, y, sample_weight, mask=mask, lengths=lengths)
        return figures.gradient_flow(norms, ax=ax)

    @abstractmethod
    def save(self, filepath: Any, overwrite: bool = True, **rest: Any) -> None:
        """Write everything to one file."""
