"""What is measured in between examples: on models for which it is known, and against single predictions."""

import io

import numpy as np
import pytest
import torch
from clips import clips, tone
from in_between import as_they_are, many_classes, measure, mlp, table
from launching import launch
from pictures import NAMES, pictures
from torch import nn
from tqdm.auto import tqdm

from hfmix import load_backbone
from hfmix.data.kinds import preprocessor_for
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled
from hfmix.metrics import bootstrap_interval, wilson_interval
from hfmix.models.processors.table import TableProcessor
from hfmix.robustness.axes.interpolation import draw_pairs, interpolation_axis, passes
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner

LAMBDA = np.linspace(0, 1, 11)


class Middle(nn.Module):
    """Logits −x, x and 0.45: class 2 where |x| < 0.45."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[-1.0], [1.0], [0.0]]))

    def forward(self, x):
        return x @ self.weight.T + torch.tensor([0.0, 0.0, 0.45])


def test_a_model_with_a_class_in_the_middle():
    """Class 0 is at −1 and class 1 at 1: halfway, from λ = 0.3 to 0.7, the prediction is neither."""
    labels = np.arange(60) % 2
    data = table(2.0 * labels - 1, labels)
    axis, by_pair = measure(Middle(), data, 30)
    first, second = labels[by_pair["pair_rows"]].T
    different = first != second
    n = int(different.sum())
    assert 0 < n < 30
    misses = ((LAMBDA > 0.25) & (LAMBDA < 0.75)).astype(float)
    curves = axis["curves"]
    assert curves["lambda"] == pytest.approx(LAMBDA)
    assert curves["miss_rate_of_different_classes"]["value"] == misses.tolist()
    assert curves["miss_rate_of_same_class"]["value"] == [0.0] * 11
    assert curves["miss_rate"]["value"] == pytest.approx(misses * n / 30)
    assert curves["miss_rate"]["high"][5] == wilson_interval(n, 30)[1]
    assert axis["miss_rate_of_different_classes"]["value"] == pytest.approx(5 / 9)
    assert axis["miss_rate_of_same_class"] == {"value": 0, "ci95": [*wilson_interval(0, 30 - n)], "n": 30 - n}
    assert axis["miss_rate"]["value"] == pytest.approx(5 / 9 * n / 30) and axis["miss_rate"]["n"] == 30
    assert axis["miss_rate_at_half"]["value"] == pytest.approx(n / 30)
    assert by_pair["between/miss"] == pytest.approx(5 / 9 * different)
    interval = bootstrap_interval(np.mean, (by_pair["between/miss"],), seed=0, bounds=(0, 1))
    assert axis["miss_rate"]["ci95"] == pytest.approx(interval)
    # the Jacobian is (−1, 1, 0) everywhere
    assert curves["gradient_norm"]["value"] == pytest.approx([2**0.5] * 11)
    assert axis["gradient_norm"]["ci95"] == pytest.approx([2**0.5] * 2)
    # by hand, along the way from class 0 at λ = 0 to class 1, or back, or at one of the two
    x = LAMBDA * (2 * first[:, None] - 1) + (1 - LAMBDA) * (2 * second[:, None] - 1)
    logits = np.stack([-x, x, np.full_like(x, 0.45)], -1)
    log_prob = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    entropy = -(np.exp(log_prob) * log_prob).sum(-1)
    own, other = (np.take_along_axis(log_prob, label[:, None, None], -1)[..., 0] for label in (first, second))
    cross_entropy = -(LAMBDA * own + (1 - LAMBDA) * other)
    for name, expected in (("entropy", entropy), ("cross_entropy", cross_entropy)):
        assert by_pair[f"between/{name}"] == pytest.approx(expected[:, 1:-1].mean(1), abs=1e-6)
        assert curves[f"{name}_between"]["value"] == pytest.approx(expected.mean(0), abs=1e-6)
        assert axis[f"{name}_between"]["value"] == pytest.approx(expected[:, 1:-1].mean(), abs=1e-6)
        assert axis[f"{name}_at_half"]["value"] == pytest.approx(expected[:, 5].mean(), abs=1e-6)
        interval = bootstrap_interval(np.mean, (expected[:, 5],), seed=0)
        assert axis[f"{name}_at_half"]["ci95"] == pytest.approx(interval, abs=1e-6)


def test_a_model_that_does_not_look_misses_pairs_without_its_class():
    model = nn.Linear(2, 3)
    nn.init.zeros_(model.weight)
    model.bias.data = torch.tensor([0.0, 0.0, 1.0])
    rng = np.random.default_rng(0)
    data = table(rng.normal(size=(40, 2)), rng.integers(3, size=40))
    axis, by_pair = measure(model, data, 20)
    missed = (data.labels[by_pair["pair_rows"]] != 2).all(1)
    assert 0 < missed.sum() < 20
    assert by_pair["between/miss"].tolist() == missed.astype(float).tolist()
    assert set(by_pair["between/gradient_norm"]) == {0.0} and axis["gradient_norm"]["ci95"] == [0, 0]
    entropy = torch.distributions.Categorical(logits=model.bias).entropy().item()
    assert by_pair["between/entropy"] == pytest.approx([entropy] * 20)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return load_backbone("test_vit", NAMES, pretrained=False, image_size=32)


def test_pictures_are_mixed_pixel_by_pixel(backbone):
    """At the ends it is what the model says of each picture, at the middle what it says of the mean picture."""
    model, processor = backbone
    data = as_labelled(pictures(24), name="test")
    axis, by_pair = measure(model, data, 12, processor=processor, batch_size=5)
    x = processor(images=[data.example(i) for i in range(24)], return_tensors="pt")["pixel_values"]
    first, second = by_pair["pair_rows"].T
    labels = torch.from_numpy(data.labels)
    curves = axis["curves"]
    assert axis["data"] == "test" and axis["num_pairs"] == 12
    assert axis["gradient"]["with_respect_to"] == "the image on [0, 1]"
    std = torch.tensor(processor.data_config["std"]).reshape(3, 1, 1)
    for at, mixture in ((0, x[second]), (5, (x[first] + x[second]) / 2), (10, x[first])):
        mixture.requires_grad_()
        logits = model.eval()(mixture).logits
        predicted = logits.argmax(1)
        missed = (predicted != labels[first]) & (predicted != labels[second])
        assert curves["miss_rate"]["value"][at] == pytest.approx(float(missed.float().mean()))
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        assert curves["entropy_between"]["value"][at] == pytest.approx(entropy.mean().item(), rel=1e-5)
        log_prob = logits.log_softmax(1)
        own, other = (-log_prob[torch.arange(12), labels[rows]] for rows in (first, second))
        expected = (at / 10 * own + (1 - at / 10) * other).mean().item()
        assert curves["cross_entropy_between"]["value"][at] == pytest.approx(expected, rel=1e-5)
        rows = [torch.autograd.grad(logits[:, c].sum(), mixture, retain_graph=True)[0] / std for c in range(3)]
        norm = torch.stack(rows).square().sum((0, 2, 3, 4)).sqrt().mean().item()
        assert curves["gradient_norm"]["value"][at] == pytest.approx(norm, rel=1e-4)


def test_a_processor_that_does_not_tell_its_normalisation(backbone):
    """A linear model: the derivatives are those for the model's input, and not divided."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    _, processor = backbone
    untold = lambda images, return_tensors: processor(images=images, return_tensors=return_tensors)  # noqa: E731
    data = as_labelled(pictures(6))
    of_input, _ = measure(model, data, 3, processor=untold, steps=3)
    of_image, _ = measure(model, data, 3, processor=processor, steps=3)
    weight = model[1].weight.detach()
    std = torch.tensor(processor.data_config["std"]).reshape(3, 1, 1)
    assert of_input["gradient"]["with_respect_to"] == "the model's pixel_values"
    assert of_input["gradient_norm"]["value"] == pytest.approx(weight.norm().item(), rel=1e-5)
    expected = (weight.reshape(3, 3, 32, 32) / std).norm().item()
    assert of_image["gradient_norm"]["value"] == pytest.approx(expected, rel=1e-5)


def test_the_size_of_batches_changes_nothing():
    model, data = mlp(15), many_classes()
    one, by_pair = measure(model, data, 30, batch_size=64)
    assert one["gradient"]["computed"] == "estimated from 10 random directions"
    for batch_size in (1, 7):
        other, theirs = measure(model, data, 30, batch_size=batch_size)
        assert other["fingerprint_sha256"] == one["fingerprint_sha256"]
        for name, values in by_pair.items():
            np.testing.assert_allclose(theirs[name], values, rtol=1e-5, err_msg=name)
    assert measure(model, data, 30, seed=1)[0]["fingerprint_sha256"] != one["fingerprint_sha256"]


def test_the_estimated_norm_is_near_the_exact_one():
    """Of 15 classes in ten random directions; without the factor C / K it would be 18 % too low."""
    model, data = mlp(15), many_classes(400)
    estimated = measure(model, data, 200, batch_size=200, steps=3)[1]
    x = torch.from_numpy(data.cells.numbers[estimated["pair_rows"]]).mean(1)
    exact = torch.func.vmap(torch.func.jacrev(model))(x).flatten(1).norm(dim=1).detach().numpy()
    ratio = estimated["between/gradient_norm"] / exact
    assert abs(ratio.mean() - 1) < 0.03 and ratio.std() < 0.2


@pytest.mark.parametrize("side", [0, 1])
def test_the_fingerprint_is_of_both_examples_and_labels(side):
    model, data = mlp(15), many_classes()
    axis, by_pair = measure(model, data, 3, steps=3)
    row = by_pair["pair_rows"][1, side]
    numbers, labels = data.cells.numbers.copy(), data.labels.copy()
    numbers[row] += 1
    labels[row] = (labels[row] + 1) % 15
    for other in (table(numbers, data.labels, 15), table(data.cells.numbers, labels, 15)):
        assert measure(model, other, 3, steps=3)[0]["fingerprint_sha256"] != axis["fingerprint_sha256"]


@pytest.mark.parametrize(("examples", "pairs"), [(10, 5), (11, 5), (5, 12)])
def test_pairs_use_all_examples_before_any_again(examples, pairs):
    found = draw_pairs(examples, pairs, seed=3)
    assert found.shape == (pairs, 2) and (found[:, 0] != found[:, 1]).all()
    assert found.min() >= 0 and found.max() < examples
    each = examples // 2
    for start in range(0, pairs, each):
        order = found[start : start + each].ravel()
        assert len(set(order.tolist())) == len(order)
    assert (draw_pairs(examples, pairs - 2, seed=3) == found[:-2]).all()
    assert (draw_pairs(examples, pairs, seed=4) != found).any()


def test_all_pairs_are_equally_likely():
    """12 ordered pairs of 4 examples, first and second pair of 3,000 seeds: χ² with 11 degrees, p = 0.001 at 31.3.

    Half a share less for one pair (125 of 250) would give χ² of 62 and more.
    """
    drawn = np.array([draw_pairs(4, 2, seed) for seed in range(3000)])
    for pair in drawn.transpose(1, 0, 2):
        counts = np.bincount(4 * pair[:, 0] + pair[:, 1], minlength=16).reshape(4, 4)
        assert (counts.diagonal() == 0).all()
        counts = counts[~np.eye(4, dtype=bool)]
        assert ((counts - 250) ** 2 / 250).sum() < 31.3


def test_it_costs_what_is_said_and_leaves_the_model_alone(tmp_path):
    """Rows that go forward are counted; what was kept is not computed again, and other partners are."""
    model, data = mlp(4).train(), table(np.random.default_rng(0).normal(size=(20, 5)), np.arange(20) % 4, 4)
    model[2].bias.requires_grad_(False)
    forward, backward = [], []
    model.register_forward_hook(lambda *_: forward.append(len(_[1][0])))
    model[0].register_full_backward_hook(lambda *_: backward.append(len(_[2][0])))

    def measured(data, seed=0):
        forward.clear()
        backward.clear()
        runner = Runner(model, preprocessor_for("table", as_they_are), 4, ResultCache(tmp_path, model))
        with tqdm(total=10 * passes(4), file=io.StringIO()) as bar:
            found = interpolation_axis(runner, data, 10, seed, bar)
        return found[0], bar.n

    first, gone_on = measured(data)
    assert sum(forward) - 1 + sum(backward) == gone_on == 10 * passes(4)  # one to see the number of classes
    assert max(forward) <= 4
    assert model.training and not model[2].bias.requires_grad and model[0].weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    again, _ = measured(data)
    assert again == first and sum(forward) == 1
    partners = draw_pairs(20, 10, 0)[:, 1]
    labels = data.labels.copy()
    labels[partners[0]] = (labels[partners[0]] + 1) % 4
    relabelled = LabelledData(data.cells, data.rows, labels, data.class_names, data.name)
    assert measured(relabelled)[0]["cross_entropy_between"] != first["cross_entropy_between"]
    assert passes(1000, 5) == 5 * 11


@pytest.mark.parametrize("name", ["lenet_audio", "vgg11_audio"])
def test_sound(name):
    """Spectrograms are mixed, as in training."""
    torch.manual_seed(0)
    model, extractor = load_backbone(name, ["no", "yes"], pretrained=False, clip_seconds=0.2)
    data = as_labelled(clips([tone(300 + 40 * i, 0.2) for i in range(6)], [0, 1] * 3))
    axis, by_pair = measure(model, data, 3, processor=extractor, steps=3)
    assert axis["gradient"]["with_respect_to"] == "the model's input_features"
    assert axis["gradient"]["computed"] == "exactly"
    features = extractor([data.example(i).samples for i in range(6)], sampling_rate=16_000, return_tensors="pt")
    half = features["input_features"][by_pair["pair_rows"]].mean(1)
    with torch.no_grad():
        entropy = torch.distributions.Categorical(logits=model.eval()(half).logits).entropy()
    assert by_pair["between/entropy"] == pytest.approx(entropy.numpy(), rel=1e-4)
    assert (by_pair["between/gradient_norm"] > 0).all()


def test_a_table():
    rng = np.random.default_rng(0)
    data = table(rng.normal(3, 2, size=(30, 5)), np.arange(30) % 3)
    torch.manual_seed(0)
    model, _ = load_backbone("mlp_table", NAMES, pretrained=False, model_args={"in_chans": 5})
    processor = TableProcessor.fit(data)
    axis, by_pair = measure(model, data, 15, processor=processor, steps=3)
    features = torch.from_numpy(processor([data.example(i) for i in range(30)])["input_features"])
    half = features[by_pair["pair_rows"]].mean(1)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: model(x[None]).logits[0]))(half)
    expected = jacobian.flatten(1).norm(dim=1).detach().numpy()
    assert by_pair["between/gradient_norm"] == pytest.approx(expected, rel=1e-4)
    assert axis["gradient_norm_at_half"]["value"] == pytest.approx(expected.mean(), rel=1e-4)


class Length(nn.Module):
    """Tells how much of a clip is no padding, and the clip's first sample, of which gradients are."""

    main_input_name = "input_values"

    def __init__(self):
        super().__init__()
        self.none = nn.Parameter(torch.zeros(()))

    def forward(self, input_values, attention_mask):
        return torch.stack([attention_mask.sum(1) / 1000 + self.none, input_values[:, 0]], 1)


def test_masks_are_joined_between_the_ends():
    def padded(audio, sampling_rate, return_tensors):
        values = torch.zeros(1, 3200)
        values[0, : len(audio)] = torch.as_tensor(audio)
        return {"input_values": values, "attention_mask": (torch.arange(3200) < len(audio)).long()[None]}

    data = as_labelled(clips([tone(300, 0.1), tone(400, 0.2)], [0, 1]))
    axis, by_pair = measure(Length(), data, 1, processor=padded, steps=3)
    lengths = np.array([1.6, 3.2])[by_pair["pair_rows"][0]]
    starts = np.array([clip.samples[0] for clip in (data.example(0), data.example(1))])[by_pair["pair_rows"][0]]
    at = [(lengths[1], starts[1]), (3.2, starts.mean()), (lengths[0], starts[0])]
    entropy = torch.distributions.Categorical(logits=torch.tensor(at)).entropy()
    assert axis["curves"]["entropy_between"]["value"] == pytest.approx(entropy.tolist(), rel=1e-5)
    assert axis["curves"]["gradient_norm"]["value"] == [1.0] * 3


def test_clips_of_different_lengths_without_a_mask_are_refused():
    from transformers import Wav2Vec2FeatureExtractor

    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    model = nn.Linear(1, 2)
    model.forward = lambda x: torch.stack([x.mean(1), x.square().mean(1)], 1)
    ragged = as_labelled(clips([tone(300, 0.1), tone(400, 0.2)], [0, 1]))
    with pytest.raises(
        ValueError, match="clips of 1600 and 3200 samples have no mixture for a model that takes no"
    ):
        measure(model, ragged, 1, processor=extractor)
    equal = as_labelled(clips([tone(300, 0.1), tone(400, 0.1)], [0, 1]))
    assert measure(model, equal, 1, processor=extractor)[0]["gradient_norm"]["value"] > 0


def test_a_model_that_keeps_its_positions_can_be_measured_after_other_axes():
    """Rotary positions are made once, in the first pass, which is one without gradients."""
    from transformers import (
        Wav2Vec2ConformerConfig,
        Wav2Vec2ConformerForSequenceClassification,
        Wav2Vec2FeatureExtractor,
    )

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    waves = {"conv_dim": [8] * 2, "conv_kernel": [10, 8], "conv_stride": [10, 8], "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    config = Wav2Vec2ConformerConfig(**small, **waves, **positions, position_embeddings_type="rotary")
    model = Wav2Vec2ConformerForSequenceClassification(config)
    data = as_labelled(clips([tone(300, 0.1), tone(400, 0.1)], [0, 1]))
    runner = Runner(model, preprocessor_for("audio", Wav2Vec2FeatureExtractor()), 2, ResultCache(None, model))
    with tqdm(disable=True) as bar:
        runner.outputs(data, bar)
        axis, _ = interpolation_axis(runner, data, 1, 0, bar, steps=3)
    assert axis["gradient_norm"]["value"] > 0


def test_what_cannot_be_measured_is_one_line():
    data = table(np.zeros(4), [0, 1, 2, 0])

    def tokens(rows, return_tensors):
        return {"input_ids": as_they_are(rows, "pt")["x"].long()}

    with pytest.raises(ValueError, match=r"the model's input_ids are integers \(torch.int64\)"):
        measure(Middle(), data, 1, processor=tokens)
    several = LabelledData(data.cells, data.rows, np.eye(4, 3, dtype=np.float32), data.class_names, "test")
    with pytest.raises(ValueError, match="examples of one class; these have several"):
        measure(Middle(), several, 1)
    with pytest.raises(ValueError, match="the train set has 1 example: a pair takes two"):
        measure(Middle(), data.select(np.array([0])), 1)
    with pytest.raises(ValueError, match="pairs is at least 1, not 0"):
        measure(Middle(), data, 0)
    for steps in (1, 10):
        with pytest.raises(ValueError, match=f"an odd number from 3 on.* not {steps}"):
            measure(Middle(), data, 1, steps=steps)
    with pytest.raises(ValueError, match="label 2 lies outside the 2 classes"):
        measure(nn.Linear(1, 2), data, 2)


SHARED = """
import json, os, sys
from pathlib import Path
from accelerate import PartialState
import torch
from in_between import many_classes, measure, mlp
state = PartialState(cpu=True)
torch.set_num_threads(1)
axis, by_pair = measure(mlp(15), many_classes(), 30, batch_size=4)
found = json.dumps([axis, {name: values.tolist() for name, values in by_pair.items()}])
Path(sys.argv[1], f"{state.num_processes}-{state.process_index}.json").write_text(found)
state.wait_for_everyone()
os._exit(0)
"""


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path):
    """30 pairs in eight batches of four, the last of two."""
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    for processes in (1, 2):
        launch(processes, script, tmp_path)
    one, *two = ((tmp_path / name).read_text() for name in ("1-0.json", "2-0.json", "2-1.json"))
    assert two[0] == two[1] == one
