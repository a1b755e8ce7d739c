"""A run loads without hfmix: in timm, transformers and a pipeline, with the same logits and names."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from hfmix import load_pretrained

WITHOUT_HFMIX = """
import sys, json, torch, timm
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
run, picture = sys.argv[1:]
image = Image.open(picture).convert("RGB")
model = AutoModelForImageClassification.from_pretrained(run).eval()
pixels = AutoImageProcessor.from_pretrained(run)(images=image, return_tensors="pt")["pixel_values"]
plain = timm.create_model("local-dir:" + run, pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(plain), is_training=False)
with torch.no_grad():
    logits = {
        "transformers": model(pixels).logits[0].tolist(),
        "timm": plain(transform(image)[None])[0].tolist(),
    }
found = pipeline("image-classification", run)(image, top_k=10)
assert not any(name.startswith("hfmix") for name in sys.modules)
print(json.dumps({
    "logits": logits,
    "pipeline": {entry["label"]: entry["score"] for entry in found},
    "id2label": model.config.id2label,
    "timm_names": list(plain.pretrained_cfg["label_names"]),
}))
"""


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    pixels = np.random.default_rng(0).integers(256, size=(8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_it_loads_without_hfmix(finished_run, picture):
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_HFMIX, str(finished_run), str(picture)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    model, processor, report = load_pretrained(finished_run)
    with torch.no_grad():
        image = Image.open(picture).convert("RGB")
        ours = model.eval()(processor(images=image, return_tensors="pt")["pixel_values"]).logits[0]
    for logits in found["logits"].values():
        torch.testing.assert_close(torch.tensor(logits), ours, rtol=1e-5, atol=1e-5)
    names = [str(i) for i in range(10)]
    assert list(found["id2label"].values()) == found["timm_names"] == names
    for name, probability in zip(names, ours.softmax(0).tolist(), strict=True):
        assert found["pipeline"][name] == pytest.approx(probability, abs=1e-5)
    assert report.axes["clean"]["accuracy"]["n"] == 60


@pytest.mark.parametrize(("name", "message"), [("a/b/c", "no folder"), (".", "not a finished run")])
def test_what_is_no_run_is_named(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_pretrained(name)


def test_without_a_network_it_is_one_line(no_network):
    with pytest.raises(ConnectionError, match="no connection to the Hub"):
        load_pretrained("org/model")
