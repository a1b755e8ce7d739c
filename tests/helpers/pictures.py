"""Pictures of noise in three classes."""

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage

NAMES = ["a", "b", "c"]


def pictures(n=30, seed=0) -> Dataset:
    rng = np.random.default_rng(seed)
    images = [PILImage.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)) for _ in range(n)]
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    return Dataset.from_dict({"image": images, "label": rng.integers(3, size=n).tolist()}, features=features)
