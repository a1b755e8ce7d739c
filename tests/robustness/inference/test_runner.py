"""An evaluation that is interrupted, or shared among processes, gives the same as one in a single go."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets
from launching import launch
from pictures import NAMES, pictures
from torch import nn

from hfmix import evaluate_robustness, load_backbone
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.data.splits import as_labelled
from hfmix.robustness.inference import sharding as shards
from hfmix.robustness.inference.runner import Runner


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return load_backbone("test_vit", NAMES, pretrained=False, image_size=32)


def settings(**others):
    return {
        "ood": {"other": pictures(20, seed=1)},
        "shift": {"later": pictures(20, seed=2)},
        "validation": pictures(20, seed=3),
        "reference": pictures(60, seed=4),
        "corruptions": ["gaussian_noise", "contrast"],
        "batch_size": 4,
        "progress": False,
        **others,
    }


class StoppedError(Exception):
    pass


def test_a_stopped_evaluation_goes_on_from_its_last_piece(backbone, tmp_path, monkeypatch):
    """StoppedError in the corruptions, it runs the model on what is missing alone, and the report is the same."""
    model, processor = backbone
    monkeypatch.setattr("hfmix.robustness.inference.runner._BATCHES_A_PIECE", 2)
    whole = evaluate_robustness(model, processor, pictures(), **settings())
    forward, seen = Runner.forward, []

    def counted(self, inputs, *rest):
        seen.append(len(next(iter(inputs.values()))))
        if len(seen) == stop_after:
            raise StoppedError
        return forward(self, inputs, *rest)

    monkeypatch.setattr(Runner, "forward", counted)
    stop_after = 60
    with pytest.raises(StoppedError):
        evaluate_robustness(model, processor, pictures(), **settings(keep=tmp_path / "pieces"))
    assert list((tmp_path / "pieces").glob("*.npz"))
    before, stop_after = sum(seen), None
    seen.clear()
    again = evaluate_robustness(model, processor, pictures(), **settings(keep=tmp_path / "pieces"))
    assert again == whole
    total = 30 + 20 + 20 + 20 + 60 + 30 * 2 * 5
    assert total <= before + sum(seen) < total + 2 * 4 * 10 + 4  # what is lost is one piece of two batches at most
    assert not (tmp_path / "pieces").exists()


def test_pieces_of_other_weights_data_or_settings_are_not_taken(backbone, tmp_path, monkeypatch):
    model, processor = backbone
    monkeypatch.setattr("hfmix.robustness.inference.cache.ResultCache.clear", lambda self: None)
    kept = tmp_path / "pieces"

    def accuracy(data, **others):
        arguments = {"axes": ["clean", "corruptions"], "corruptions": ["contrast"], "progress": False}
        return evaluate_robustness(model, processor, data, **{**arguments, **others}, keep=kept).axes

    first = accuracy(pictures())
    count = len(list(kept.iterdir()))
    assert accuracy(pictures()) == first and len(list(kept.iterdir())) == count
    same_labels = pictures(seed=5).remove_columns("label").add_column("label", pictures()["label"][:])
    same_labels = same_labels.cast_column("label", pictures().features["label"])
    assert accuracy(same_labels)["clean"]["nll"] != first["clean"]["nll"]
    assert accuracy(pictures(), mode="corrected")["corruptions"]["mode"] == "corrected"
    assert len(list(kept.iterdir())) == count + 3
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    try:
        assert accuracy(pictures())["clean"]["nll"] != first["clean"]["nll"]
    finally:
        with torch.no_grad():
            next(model.parameters()).div_(1.5)
    from_grey = lambda images, return_tensors: processor(  # noqa: E731
        images=[image.convert("L").convert("RGB") for image in images], return_tensors=return_tensors
    )
    of_grey = evaluate_robustness(model, from_grey, pictures(), axes=["clean"], progress=False, keep=kept)
    assert of_grey.axes["clean"]["nll"] != first["clean"]["nll"]
    damaged = next(kept.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:40])
    assert accuracy(pictures())["clean"]["accuracy"] == first["clean"]["accuracy"]


def test_pieces_of_another_number_of_processes_are_not_taken_for_more_than_they_are(
    backbone, tmp_path, monkeypatch
):
    """The first of two processes stops after its share of eight batches: fewer than a piece of one alone holds."""
    model, processor = backbone
    given = {"axes": ["clean"], "batch_size": 4, "progress": False}
    whole = evaluate_robustness(model, processor, pictures(), **given)

    def stop(*_):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_place", lambda: (0, 2))
        patch.setattr("hfmix.robustness.inference.runner.gather_rows", stop)
        with pytest.raises(StoppedError):
            evaluate_robustness(model, processor, pictures(), **given, keep=tmp_path)
    assert list(tmp_path.glob("*.npz"))
    assert evaluate_robustness(model, processor, pictures(), **given, keep=tmp_path) == whole


def measured_alike():
    """The report of a net whose weights are the same in each process, in one thread."""
    torch.manual_seed(0)
    net, processor = load_backbone("test_vit", NAMES, pretrained=False, image_size=32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return evaluate_robustness(net, processor, pictures(), **settings()).to_dict()
    finally:
        torch.set_num_threads(threads)


SHARED = """
import json, os, sys
from pathlib import Path
from accelerate import PartialState
from test_runner import measured_alike
state = PartialState(cpu=True)
found = json.dumps([state.num_processes, measured_alike()])
Path(sys.argv[1], f"{state.process_index}.json").write_text(found)
state.wait_for_everyone()
os._exit(0)
"""


def test_two_processes_measure_what_one_does(tmp_path):
    """30, 20 and 60 examples in batches of 4: eight, five and fifteen of them, so that shares are uneven."""
    script = tmp_path / "shared.py"
    script.write_text(f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]\n" + SHARED)
    launch(2, script, tmp_path)
    (processes, first), (_, second) = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert processes == 2 and first == second
    _same(json.loads(json.dumps(measured_alike())), first)


def _same(ours, theirs, at=""):
    """The same counts and texts, and numbers equal to 1e-6 relative."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), at
        for key in ours:
            _same(ours[key], theirs[key], f"{at}/{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), at
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            _same(*pair, f"{at}/{i}")
    elif isinstance(ours, float):
        assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-9), at
    else:
        assert ours == theirs, at


@pytest.mark.parametrize(("batches", "world"), [(8, 2), (5, 2), (1, 3), (7, 3)])
def test_every_batch_has_one_process(batches, world, monkeypatch):
    shares = []
    for rank in range(world):
        monkeypatch.setattr(shards, "_place", lambda rank=rank: (rank, world))
        shares.append(list(shards.own_batches(range(batches))))
    assert [batch for share in shares for batch in share] == list(range(batches))


def test_features_are_what_the_last_layer_is_given(backbone):
    model, processor = backbone
    from tqdm.auto import tqdm

    from hfmix.robustness.inference.cache import ResultCache

    runner = Runner(model, ImagePreprocessor(processor), 8, ResultCache(None, model))
    with tqdm(disable=True) as bar:
        outputs = runner.outputs(as_labelled(pictures()), bar, with_features=True)
    head = model.timm_model.get_classifier()
    expected = outputs.features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(outputs.logits, expected, atol=1e-5)


class Fails(nn.Module):
    def forward(self, x):
        raise StoppedError


@pytest.mark.parametrize("fails", [False, True])
def test_an_evaluation_puts_each_module_back_into_its_own_mode(backbone, fails):
    """A normalisation that is frozen in training, which is fine-tuning as usual, stays frozen."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    if fails:
        net.append(Fails())
    net.train()
    net[1].eval()
    net[0].requires_grad_(False)
    modes = [module.training for module in net.modules()]
    learnt = [parameter.requires_grad for parameter in net.parameters()]
    for axes in (["clean"], ["interpolation"]):
        with pytest.raises(StoppedError) if fails else nullcontext():
            evaluate_robustness(net, backbone[1], pictures(6), axes=axes, pairs=4, progress=False)
        assert [module.training for module in net.modules()] == modes, axes
        assert [parameter.requires_grad for parameter in net.parameters()] == learnt, axes


def test_shifted_sets_temperature_groups_and_features_are_measured(backbone):
    model, processor = backbone
    report = evaluate_robustness(
        model,
        processor,
        pictures(),
        groups={"near": ["other"], "far": ["other", "third"]},
        **settings(ood={"other": pictures(20, seed=1), "third": pictures(25, seed=9)}),
    )
    axes = report.axes
    assert axes["shift"]["later"]["accuracy"]["n"] == 20 and axes["shift"]["later"]["num_classes"] == 3
    assert axes["calibration"]["temperature_scaled"]["temperature"] == report.temperature > 0
    assert {"msp", "max_logit", "energy", "knn", "mahalanobis"} <= set(axes["ood"]["third"])
    near, far = axes["ood_groups"]["near"]["msp"]["auroc"], axes["ood_groups"]["far"]["msp"]["auroc"]
    each = [axes["ood"][name]["msp"]["auroc"]["value"] for name in ("other", "third")]
    assert near["value"] == pytest.approx(each[0]) and far["value"] == pytest.approx(np.mean(each))
    assert axes["ood_full_spectrum"]["other"]["msp"]["auroc"]["n"] == 30 + 20 + 20
    assert "selective" in axes and axes["selective"]["aurc"]["n"] == 30


def test_a_shifted_set_of_some_classes_is_measured_among_them(backbone):
    """Of rows that hold classes "a" and "c" alone, a set that knows these two is judged by their logits alone."""
    model, processor = backbone
    data = pictures(40, seed=6)
    some = data.filter(lambda row: row["label"] != 1)
    from datasets import ClassLabel

    labels = ["c" if label == 2 else "a" for label in some["label"][:]]
    subset = (
        some.remove_columns("label").add_column("label", labels).cast_column("label", ClassLabel(names=["a", "c"]))
    )
    found = evaluate_robustness(
        model, processor, pictures(), axes=["shift"], shift={"some": subset, "all": some}, progress=False
    ).axes["shift"]
    with torch.no_grad():
        logits = model.eval()(processor(images=some["image"][:], return_tensors="pt")["pixel_values"]).logits
    truth = torch.tensor(some["label"][:])
    among_two = torch.tensor([0, 2])[logits[:, [0, 2]].argmax(1)]
    assert found["some"]["accuracy"]["value"] == pytest.approx(float((among_two == truth).float().mean()))
    assert found["all"]["accuracy"]["value"] == pytest.approx(float((logits.argmax(1) == truth).float().mean()))
    assert (found["some"]["num_classes"], found["all"]["num_classes"]) == (2, 3)


def test_the_time_is_said_before_it_starts(backbone, capsys, monkeypatch):
    """An evaluation of hours, by a clock that runs fast."""
    from hfmix.robustness import timing as estimate

    ticks = iter(range(0, 10_000_000, 1_000))
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(ticks))
    many = concatenate_datasets([pictures()] * 2)
    evaluate_robustness(*backbone, many, axes=["clean"], batch_size=16)
    said = capsys.readouterr().err
    assert "robustness: this takes about 31 min" in said  # 1,000 s for 32 examples, 60 of them
