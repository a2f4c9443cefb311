"""Trains a network by a recipe, averages its weights, and can be interrupted at any time."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml import networks
from ml.augment import augmentation
from ml.backend import keras
from ml.card import KERAS_FILE, ModelError
from ml.dataset import DatasetError, Patches
from ml.evaluate import figures
from ml.recipe import Recipe

THRESHOLD = 0.5
LOG, RECIPE_FILE, CHECKPOINTS = "log.jsonl", "recipe.json", "checkpoints"
LEARNER_FILE, AVERAGE_FILE, STATE_FILE = "learner.weights.h5", "average.weights.h5", "state.json"


def patch_weights(patches: Patches, *, patient_exponent: float, balance_classes: bool) -> NDArray[np.float32]:
    """Weight of each patch in the loss [n], mean 1.

    A patient with m patches weighs m ** patient_exponent in all (1: every patch the same; 0: every patient
    the same). With balance_classes the weights of each class add up to the same.
    """
    _, patient, counts = np.unique(patches.patients, return_inverse=True, return_counts=True)
    weights = counts[patient] ** (patient_exponent - 1.0)
    if balance_classes:
        for label in (0, 1):
            of_label = patches.labels == label
            weights[of_label] /= max(weights[of_label].sum(), 1e-12)
    return np.asarray(weights / weights.mean(), np.float32)


class AveragedWeights(keras.callbacks.Callback):
    """Averages the network over its steps; after each epoch scores the average and leaves a checkpoint.

    Batch statistics are averaged together with the weights: statistics of the live weights do not fit the
    averaged ones.
    """

    def __init__(
        self, network: keras.Model, average: keras.Model, held_out: Patches, recipe: Recipe, run: Path
    ) -> None:
        super().__init__()
        self.network, self.average, self.held_out = network, average, held_out
        self.recipe, self.run = recipe, run
        self.steps = 0
        self.log: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.started, self.epochs_here = time.monotonic(), 0

    @tf.function(jit_compile=False)
    def _blend(self, decay: tf.Tensor) -> None:
        for mean, live in zip(self.average.weights, self.network.weights, strict=True):
            mean.assign(decay * mean + (1.0 - decay) * live)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.steps += 1
        # The first steps are hardly worth remembering: the average starts short and grows long.
        self._blend(tf.constant(min(self.recipe.averaging, self.steps / (self.steps + 10)), tf.float32))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        probabilities = self.average.predict(self.held_out.pixels, batch_size=256, verbose=0)[:, 0]
        scores = asdict(figures(self.held_out.labels, probabilities, threshold=THRESHOLD))
        self.log.append({"epoch": epoch + 1, "loss": (logs or {})["loss"], **scores})
        self.save()
        self.epochs_here += 1
        each = (time.monotonic() - self.started) / self.epochs_here
        left = each * (self.recipe.epochs - epoch - 1) / 60
        print(
            f"\nepoch {epoch + 1}/{self.recipe.epochs}: AUC {scores['auc']:.4f}, balanced accuracy "
            f"{scores['balanced_accuracy']:.4f}, F1 {scores['f1']:.4f}; {each / 60:.1f} min an epoch, "
            f"about {left:.0f} min left",
            flush=True,
        )

    def save(self) -> None:
        """Leave a checkpoint of the epoch that ended.

        It gets its name when it is complete, and only then the one before goes: whenever the run is killed, a whole
        one is there. `keras.callbacks.BackupAndRestore` writes over its only one, and knows nothing of the average.
        """
        unfinished, finished = _checkpoint(self.run, "unfinished"), _checkpoint(self.run, f"epoch{len(self.log):04}")
        for folder in (unfinished, finished):
            shutil.rmtree(folder, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.model.save_weights(unfinished / LEARNER_FILE)
        self.average.save_weights(unfinished / AVERAGE_FILE)
        (unfinished / STATE_FILE).write_text(json.dumps({"steps": self.steps, "log": self.log}))
        unfinished.rename(finished)
        for older in _finished_checkpoints(self.run)[:-1]:
            shutil.rmtree(older)
        _write_log(self.run, self.log)

    def restore(self, learner: keras.Model) -> int:
        """Go back to the last checkpoint; return how many epochs it has behind it, 0 without one."""
        found = _finished_checkpoints(self.run)
        if not found:
            return 0
        learner.optimizer.build(learner.trainable_variables)
        learner.load_weights(found[-1] / LEARNER_FILE)
        self.average.load_weights(found[-1] / AVERAGE_FILE)
        state = json.loads((found[-1] / STATE_FILE).read_text())
        self.steps, self.log = state["steps"], state["log"]
        _write_log(self.run, self.log)
        return len(self.log)


def _checkpoint(run: Path, name: str) -> Path:
    return run / CHECKPOINTS / name


def _finished_checkpoints(run: Path) -> list[Path]:
    return sorted((run / CHECKPOINTS).glob("epoch*"))


def _write_log(run: Path, entries: list[dict[str, Any]]) -> None:
    unfinished = run / f"{LOG}.unfinished"
    unfinished.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    unfinished.replace(run / LOG)


def read_log(run: Path) -> list[dict[str, Any]]:
    """What each finished epoch of a run wrote: loss and the validation figures of the averaged network."""
    log = run / LOG
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _begin(recipe: Recipe, training: Patches, run: Path, weights: str | None) -> None:
    """Write down what is trained with what, or prove that a run which exists is of the same."""
    run.mkdir(parents=True, exist_ok=True)
    now = {"recipe": asdict(recipe), "patches": len(training), "started_from": weights or "random weights"}
    path = run / RECIPE_FILE
    if not path.exists():
        path.write_text(json.dumps(now, indent=2) + "\n")
        return
    try:
        before = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON. Begin in another folder.") from error
    if before != now:
        raise ModelError(f"{run} is a run of another recipe, or of other patches. Begin in another folder.")


def train(
    recipe: Recipe, training: Patches, held_out: Patches, run: Path, *, weights: str | None = None
) -> keras.Model:
    """Train on `training`, score every epoch on `held_out`, return the network after the last epoch.

    It is the average of the weights over the steps. No epoch is chosen: `held_out` is only looked at.
    `run` receives recipe.json, log.jsonl, model.keras and what is needed to go on after an interruption: the same
    call again resumes after the last finished epoch. weights: "imagenet" starts from Keras' published weights.

    Raises:
        DatasetError: no patch to train on, or none held out.
        ModelError: the weights cannot be had, or the run that `run` holds is another one.
    """
    if not len(training) or not len(held_out):
        raise DatasetError("Training needs patches of training and of validation patients; see ml/splits/.")
    keras.utils.set_random_seed(recipe.seed)

    keras.config.set_dtype_policy(recipe.precision)
    try:
        network = networks.build(recipe.network, dropout=recipe.dropout, weights=weights)
    finally:
        keras.config.set_dtype_policy("float32")
    average = networks.build(recipe.network, dropout=recipe.dropout)
    average.set_weights(network.get_weights())
    _begin(recipe, training, run, weights)  # after `build`: weights that cannot be had begin no run
    learner = keras.Sequential(
        [keras.Input(network.input_shape[1:]), augmentation(recipe.augment, seed=recipe.seed), network]
    )
    steps = -(-len(training) // recipe.batch_size)
    learner.compile(
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=recipe.label_smoothing),
        jit_compile=False,  # XLA takes ten times as long for this network on a CPU
    )
    averaging = AveragedWeights(network, average, held_out, recipe, run)
    done = averaging.restore(learner)
    # The shuffles of a run that goes on are not those of its first epochs again.
    keras.utils.set_random_seed(recipe.seed + done)
    learner.fit(
        training.pixels,
        training.labels.astype(np.float32)[:, None],
        sample_weight=patch_weights(
            training, patient_exponent=recipe.patient_exponent, balance_classes=recipe.balance_classes
        ),
        batch_size=recipe.batch_size,
        initial_epoch=done,
        epochs=recipe.epochs,
        callbacks=[averaging],
        verbose=1 if sys.stdout.isatty() else 2,  # a bar for who watches, a line an epoch for a file
    )
    average.save(run / KERAS_FILE)
    return average


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    if recipe.decay == "constant":
        return keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    warmup = int(recipe.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 100,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(recipe.epochs * steps - warmup, 1),
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
