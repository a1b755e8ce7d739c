"""Folders that cannot be published are refused, each by one line, before anything is sent."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from hfmix.hub.upload.publish import push_to_hub
from hfmix.hub.upload.run_checks import check_finished_run, check_weights


def truncate(path):
    path.write_bytes(path.read_bytes()[:-8])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def link_out(path):
    outside = path.parent.parent / f"outside_{path.name}"
    shutil.move(path, outside)
    path.symlink_to(outside)


def weights(run, dtype=torch.float32, value=1.0, rows=10):
    weight = torch.ones(rows, 64, dtype=dtype)
    weight[rows // 2, 3] = value
    save_file({"conv.weight": torch.ones(8, dtype=torch.int64), "fc.weight": weight}, run / "model.safetensors")


BROKEN = {
    "figures are NaN": (lambda run: edit(run / "robustness.json", "0.97", "NaN"), "robustness.json holds NaN"),
    "figures are infinite": (lambda run: edit(run / "robustness.json", "360", "-Infinity"), "holds -Infinity"),
    "nothing was measured": (
        lambda run: (run / "robustness.json").write_text('{"schema_version": 1, "axes": {}}'),
        "robustness.json has no figures: measure the model",
    ),
    "truncated JSON": (lambda run: truncate(run / "environment.json"), "environment.json is not JSON"),
    "no metadata": (lambda run: (run / "README.md").write_text("# A card\n"), "README.md has no metadata"),
    "YAML that breaks": (
        lambda run: edit(run / "README.md", "tags:", 'tags: "not closed'),
        "README.md: its metadata is not YAML, while scanning",
    ),
    "metadata that are a list": (
        lambda run: (run / "README.md").write_text("---\n- hfmix\n---\n"),
        "its metadata is not a mapping",
    ),
    "a card without figures": (
        lambda run: (run / "README.md").write_text("---\ntags: [hfmix]\n---\n"),
        "README.md has no figures in its model-index",
    ),
    "a card with a figure that is NaN": (
        lambda run: edit(run / "README.md", "value: 0.97", "value: .nan"),
        "model-index holds nan, which is no figure",
    ),
    "a card with a figure in words": (
        lambda run: edit(run / "README.md", "value: 0.97", "value: high"),
        "model-index holds 'high'",
    ),
    "a model-index of another form": (
        lambda run: edit(run / "README.md", "metrics:", "scores:"),
        "its model-index is not made of results",
    ),
    "truncated weights": (lambda run: truncate(run / "model.safetensors"), "model.safetensors cannot be read, "),
    "weights that are no weights": (
        lambda run: (run / "model.safetensors").write_bytes(b"PK\x03\x04"),
        "model.safetensors cannot be read, ",
    ),
    "NaN among the weights": (
        lambda run: weights(run, value=float("nan")),
        "fc.weight is not finite: the training diverged",
    ),
    "infinite bfloat16": (
        lambda run: weights(run, torch.bfloat16, float("-inf")),
        "fc.weight is not finite",
    ),
    "another head": (
        lambda run: weights(run, rows=9),
        "has 10 classes (num_classes), and no tensor of the weights has as many rows",
    ),
    "a config against itself": (
        lambda run: (run / "config.json").write_text('{"num_classes": 10, "label_names": ["a", "b"]}'),
        "contradicts itself on the number of classes: 2 by label_names, 10 by num_classes",
    ),
    "a link out of the folder": (lambda run: link_out(run / "config.json"), "config.json leads out of the folder"),
    "a folder that is a link": (lambda run: link_out(run / "figures"), "leads out of the folder"),
    "an index that leads out": (
        lambda run: (
            (run / "model.safetensors").unlink(),
            (run / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"fc.weight": "../other/model.safetensors"}})
            ),
        ),
        "names '../other/model.safetensors', which is not a file of the folder",
    ),
}


@pytest.mark.parametrize(("break_it", "line"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_in_one_line(run, break_it, line):
    check_finished_run(run)
    break_it(run)
    with pytest.raises(ValueError, match=re.escape(line)) as caught:
        push_to_hub(run, "me/digits", token="hf_none")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_numbers_are_finite(run, dtype):
    weights(run, dtype, torch.finfo(dtype).max)
    check_weights(run)
    weights(run, dtype, torch.inf)
    with pytest.raises(ValueError, match=r"fc\.weight is not finite"):
        check_weights(run)


def test_a_link_within_the_folder_and_an_empty_tensor_are_fine(run):
    (run / "preprocessor_config.json").unlink()
    (run / "preprocessor_config.json").symlink_to("environment.json")
    save_file({"none": torch.ones(0), "fc.weight": torch.ones(10, 3)}, run / "model.safetensors")
    assert "preprocessor_config.json" in check_finished_run(run)
