"""A card's ways of loading the model work as printed; sound is in ``tests/acceptance/test_train_of_sound.py``."""

import ast
import json

import pytest
import torch
from PIL import Image
from printed import outputs_of

from hfmix import load_pretrained


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_ways_of_loading_an_image_model_agree(finished_run, tmp_path, apart):
    """The pipeline's best class, transformers' and timm's own, and hfmix's."""
    image = Image.linear_gradient("L").rotate(30).resize((8, 8))
    image.save(tmp_path / "image.png")
    by_pipeline, by_transformers, by_timm, by_hfmix = outputs_of(finished_run, tmp_path, apart)
    model, processor, report = load_pretrained(finished_run)
    with torch.no_grad():
        probs = model.eval()(**processor(image.convert("RGB"), return_tensors="pt")).logits.softmax(1)[0]
    label = model.config.id2label[probs.argmax().item()]
    best = ast.literal_eval(by_pipeline)[0]
    assert best["label"] == label and abs(best["score"] - probs.max().item()) < 1e-5
    said, *clean = by_hfmix.splitlines()
    assert by_transformers.strip() == by_timm.strip() == said == label
    assert ast.literal_eval("\n".join(clean)) == json.loads(json.dumps(report.axes["clean"]))
