"""Tables of points, small nets for them, and what is measured in between."""

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from hfmix.data.kinds import preprocessor_for
from hfmix.data.kinds.table import TableCells
from hfmix.data.labelled import LabelledData
from hfmix.robustness.axes.interpolation import interpolation_axis
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner


def table(numbers, labels, classes=3):
    numbers = np.asarray(numbers, np.float32).reshape(len(labels), -1)
    cells = TableCells([f"c{i}" for i in range(numbers.shape[1])], numbers, {})
    rows = np.arange(len(labels))
    return LabelledData(cells, rows, np.asarray(labels), [str(c) for c in range(classes)], "train")


def as_they_are(rows, return_tensors):
    return {"x": torch.tensor([list(row.values()) for row in rows], dtype=torch.float32)}


def measure(model, data, pairs, seed=0, processor=as_they_are, batch_size=8, steps=11, keep=None):
    runner = Runner(model, preprocessor_for(data.kind, processor), batch_size, ResultCache(keep, model))
    with tqdm(disable=True) as bar:
        return interpolation_axis(runner, data, pairs, seed, bar, steps)


def mlp(classes, inputs=5):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, classes))


def many_classes(n=40, classes=15):
    rng = np.random.default_rng(0)
    return table(rng.normal(size=(n, 5)), rng.integers(classes, size=n), classes)
