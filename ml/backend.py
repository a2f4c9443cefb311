"""Keras on TensorFlow. Every module that needs Keras imports it from here, so that the choice is made once."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no notes on missing GPUs; errors are raised all the same

import keras as keras
