"""Keras 3 on JAX as its examples do it: rows of one width with a mask, ``fit``, Adam, float32."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
from round import DROPOUT, LR, MAX_GRAD_NORM, VOCAB, answer, arguments, seconds_of, shuffled

reviews, sizes = arguments()
WIDTH = 400
keras.mixed_precision.set_global_policy(os.environ.get("PEER_POLICY", "float32"))
model = keras.Sequential(
    [
        keras.Input((WIDTH,), dtype="int32"),
        keras.layers.Embedding(VOCAB, sizes.embed, mask_zero=True),
        keras.layers.Dropout(DROPOUT),
        keras.layers.LSTM(sizes.hidden),
        keras.layers.Dropout(DROPOUT),
        keras.layers.Dense(1, activation="sigmoid", dtype="float32"),
    ]
)
model.compile(keras.optimizers.Adam(LR, clipnorm=MAX_GRAD_NORM), loss="binary_crossentropy")
rounds = shuffled(reviews, 8 * sizes.batch)


def one_round() -> float:
    chosen = next(rounds)
    inputs, labels = reviews.padded(chosen, WIDTH).astype(np.int32), reviews.labels[chosen].astype(np.float32)
    seconds = seconds_of(lambda: model.fit(inputs, labels, batch_size=sizes.batch, epochs=1, verbose=0))
    return reviews.lengths[chosen].sum() / seconds


one_round()  # compiles
answer(one_round)
