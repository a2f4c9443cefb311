from __future__ import annotations

import numpy as np
import pytest

from ml import networks
from ml.backend import keras
from ml.card import ModelError
from ml.synthetic import draw_patch


def test_the_network_of_2020_has_its_exact_size() -> None:
    network = networks.build("mobilenetv2", dropout=0.3)
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    fixed = sum(int(np.prod(weight.shape)) for weight in network.non_trainable_weights)
    assert (network.count_params(), trainable, fixed) == (2_263_105, 2_228_993, 34_112)
    assert (network.input_shape, network.output_shape) == ((None, 50, 50, 3), (None, 1))
    assert network.get_layer("features").output.shape == (None, 2 * 2 * 1280)


def test_preprocessing_is_inside_the_graph_once() -> None:
    network = networks.build("mobilenetv2")
    scaled = keras.Model(network.input, network.get_layer("preprocessing").output)
    patch = draw_patch(1, cellularity=0.5)[None].astype(np.float32)
    patch[0, 0, 0], patch[0, 0, 1] = 0, 255
    found = scaled.predict(patch, verbose=0)
    np.testing.assert_allclose(found, patch / 127.5 - 1, atol=1e-6)
    assert [layer.name for layer in network.layers].count("preprocessing") == 1


def test_batch_statistics_follow_quickly_enough_for_short_runs() -> None:
    backbone = next(layer for layer in networks.build("mobilenetv2").layers if hasattr(layer, "layers"))
    norms = [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert (len(norms), {layer.momentum for layer in norms}) == (52, {0.9})


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="Unknown network 'resnet'"):
        networks.build("resnet")


def test_published_weights_that_cannot_be_had_are_said_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(keras.applications, "MobileNetV2", unreachable)
    with pytest.raises(ModelError, match=r"cannot be downloaded here \(Name or.*Connect to the network, or leave out"):
        networks.build("mobilenetv2", weights="imagenet")
    with pytest.raises(ModelError, match=r"no published weights for resnet18\. Leave out --weights"):
        networks.build("resnet18", weights="imagenet")
