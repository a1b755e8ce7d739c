"""Examples made on one model and tested on another, against the same done by hand."""

import json

import numpy as np
import pytest
import torch
from clips import clips, tone
from datasets import ClassLabel, Dataset, Features, Image, List
from PIL import Image as PILImage
from torch import nn
from torch.nn import functional as F
from transformers import ViTImageProcessor

from hfmix import evaluate_robustness, load_backbone
from hfmix.metrics import wilson_interval
from hfmix.robustness.attacks import pgd
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.presentation.transfer import draw_transfer, transfer_table
from hfmix.robustness.transfer import transfer_matrix
from hfmix.utils.keyed_noise import ImageKeys

NAMES = ["a", "b", "c"]
EPS = 16 / 255
N = 40


def processor(mean: float = 0.5, std: float = 0.5, size: int = 8) -> ViTImageProcessor:
    side = {"height": size, "width": size}
    return ViTImageProcessor(do_resize=size != 8, size=side, image_mean=[mean] * 3, image_std=[std] * 3)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Pictures of three classes that noise blurs."""
    rng = np.random.default_rng(0)
    prototypes = 128 + 30 * rng.standard_normal((3, 8, 8, 3))
    labels = rng.integers(3, size=N)
    noisy = (prototypes[labels] + 30 * rng.standard_normal((N, 8, 8, 3))).clip(0, 255).astype(np.uint8)
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    images = [PILImage.fromarray(image) for image in noisy]
    return Dataset.from_dict({"image": images, "label": labels.tolist()}, features=features)


def pixels(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    x = np.stack([np.asarray(image) for image in data["image"]])
    return torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255, torch.tensor(data["label"][:])


def trained(data: Dataset, seed: int, mean: float = 0.5, std: float = 0.5) -> nn.Module:
    """A smooth net that knows the pictures, on what a processor makes of them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(96, 3))
        x, y = pixels(data)
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(net((x - mean) / std), y).backward()
            optimizer.step()
        net.zero_grad()
    return net


@pytest.fixture(scope="module")
def models(data):
    """Two nets, of other seeds and other normalisations."""
    return {
        "first": (trained(data, 0), processor()),
        "second": (trained(data, 1, 0.4, 0.2), processor(0.4, 0.2)),
    }


@pytest.fixture(scope="module")
def found(models, data):
    return transfer_matrix(models, data, eps=EPS, seed=5, batch_size=16, progress=False)


def test_is_what_pgd_by_hand_finds(found, models, data):
    """Normalisation is part of the attacked function; the start is each example's own, whatever its batch."""
    x, y = pixels(data)
    nets = {
        "first": lambda inputs: models["first"][0]((inputs - 0.5) / 0.5),
        "second": lambda inputs: models["second"][0]((inputs - 0.4) / 0.2),
    }
    start = ImageKeys(5, 0, "pgd linf 16_of_255", 0, N, x.device).uniform(x.shape[1:]) * 2 * EPS - EPS
    for source, net in nets.items():
        adversarial = pgd(net, x, y, EPS, EPS / 4, 10, random_start=start)
        for target, other in nets.items():
            right = int((other(adversarial).argmax(1) == y).sum())
            expected = {"value": right / N, "ci95": list(wilson_interval(right, N)), "n": N}
            assert found["accuracy"][source][target] == expected
    for name, net in nets.items():
        assert found["clean"][name]["value"] == (net(x).argmax(1) == y).double().mean().item()


def test_the_white_box_is_the_hardest(found):
    for name, clean in found["clean"].items():
        for source in found["accuracy"]:
            under = found["accuracy"][source][name]["value"]
            assert found["accuracy"][name][name]["value"] <= under <= clean["value"]
    assert found["accuracy"]["first"]["first"]["value"] < found["clean"]["first"]["value"] - 0.2


def test_says_what_it_rests_on(found, models, data):
    json.dumps(found, allow_nan=False)
    report = evaluate_robustness(*models["first"], data, axes=["clean"], progress=False)
    assert found["data"] == report.content["data"]
    assert found["attack"] == {
        "name": "pgd",
        "norm": "linf",
        "eps": EPS,
        "steps": 10,
        "step_size": EPS / 4,
        "random_start": True,
        "applied": "after resize and crop, before normalisation",
    }
    assert found["seed"] == 5 and found["versions"]["torch"]
    assert [found["models"][name]["num_parameters"] for name in models] == [459, 459]


@pytest.mark.parametrize("batch_size", [1, N])
def test_the_batch_size_changes_nothing(found, models, data, batch_size):
    assert transfer_matrix(models, data, eps=EPS, seed=5, batch_size=batch_size, progress=False) == found


def test_radius_zero_is_clean_accuracy(models, data):
    for attack in ("pgd", "ifgsm", "fgsm"):
        for norm in ("linf", "l2"):
            none = transfer_matrix(models, data, attack, 0.0, norm, steps=2, progress=False)
            assert all(row == none["clean"] for row in none["accuracy"].values())


def test_more_steps_within_the_same_ball_hurt_more(models, data):
    """FGSM's one, I-FGSM's ten, PGD's forty: on the white box of smooth nets; L2 with what its norm allows."""
    for norm, eps in (("linf", EPS), ("l2", 0.6)):
        runs = [("fgsm", 7), ("ifgsm", 10), ("pgd", 40)]
        done = [transfer_matrix(models, data, a, eps, norm, s, progress=False) for a, s in runs]
        for name in models:
            white = [run["accuracy"][name][name]["value"] for run in done]
            assert white == sorted(white, reverse=True) and white[-1] < done[0]["clean"][name]["value"]
        assert done[0]["attack"]["steps"] == 1


def test_one_function_of_pixels_behind_two_processors_is_one_model(models, data):
    """Its normalisation moved into its first layer, a net falls to the same examples."""
    net, first = models["first"]
    raw = ViTImageProcessor(do_resize=False, do_normalize=False)

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return self.net((pixel_values - 0.5) / 0.5)

    both = {"outside": (net, first), "inside": (Inside(), raw)}
    found = transfer_matrix(both, data, eps=EPS, progress=False)
    values = [figure for row in found["accuracy"].values() for figure in row.values()]
    assert all(value == values[0] for value in values)


class StoppedError(Exception):
    pass


def test_goes_on_from_its_last_piece(found, models, data, tmp_path, monkeypatch):
    monkeypatch.setattr("hfmix.robustness.inference.runner._BATCHES_A_PIECE", 1)
    rows, made = Runner.rows, []

    def counted(self, data, name, prepare, batch, bar, count=True):
        def one(start, examples, prepared):
            if len(made) == stop_after:
                raise StoppedError
            made.append((name, start))
            return batch(start, examples, prepared)

        return rows(self, data, name, prepare, one, bar, count)

    monkeypatch.setattr(Runner, "rows", counted)
    settings = {"eps": EPS, "seed": 5, "batch_size": 16, "progress": False, "keep": tmp_path / "pieces"}
    stop_after = 8  # six batches are clean, the first two attacked
    with pytest.raises(StoppedError):
        transfer_matrix(models, data, **settings)
    stop_after = None
    assert transfer_matrix(models, data, **settings) == found
    assert len(made) == 12 and len({part for part in made if part[0] != "logits"}) == 6
    assert not (tmp_path / "pieces").exists()


def test_everything_is_put_back(models, data):
    """Modes, what asks for gradients, and torch's random state."""
    net = models["first"][0].train()
    net[0].requires_grad_(False)
    state = torch.get_rng_state()
    try:
        transfer_matrix(models, data, steps=1, progress=False)
        assert net.training and net[1].training
        assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
        assert all(p.grad is None for p in net[0].parameters())
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        net[0].requires_grad_(True)


def test_clips_of_sound():
    """Spectrograms are part of the attacked function; clips of other lengths in one batch change nothing."""
    models = {}
    with torch.random.fork_rng():
        for seed in (0, 1):
            torch.manual_seed(seed)
            models[f"net {seed}"] = load_backbone("lenet_audio", ["no", "yes"], pretrained=False, clip_seconds=0.2)
    samples = [tone(200 * (i + 1), 0.08 + 0.02 * i) for i in range(6)]
    data = clips(samples, [0, 1, 0, 1, 0, 1])
    clean = transfer_matrix(models, data, eps=0.0, steps=1, progress=False)
    assert clean["accuracy"]["net 0"] == clean["accuracy"]["net 1"] == clean["clean"]
    found = transfer_matrix(models, data, eps=0.05, progress=False)
    assert found["attack"]["applied"] == "to the clip, at the model's sampling rate"
    alone = transfer_matrix(models, data, eps=0.05, batch_size=1, progress=False)
    assert found["accuracy"] == alone["accuracy"]
    for name in models:
        assert found["accuracy"][name][name]["value"] < clean["clean"][name]["value"]


def test_table(found):
    lines = transfer_table(found).splitlines()
    assert lines[0] == "Accuracy in % under PGD, 10 steps, L∞ ≤ 16/255, with 95 % intervals:"
    assert lines[2] == "| made on ↓, tested on → | first | second |"
    value = 100 * found["accuracy"]["second"]["first"]["value"]
    white = 100 * found["accuracy"]["second"]["second"]["value"]
    assert lines[-1].startswith(f"| second | {value:.1f} [") and f"| **{white:.1f} [" in lines[-1]
    assert lines[4].startswith(f"| clean | {100 * found['clean']['first']['value']:.1f} [")


def test_figure(found):
    (ax,) = draw_transfer(found).axes
    accuracy, clean = found["accuracy"], found["clean"]
    rows = [clean, accuracy["first"], accuracy["second"]]
    numbers = [f"{100 * row[name]['value']:.1f}" for row in rows for name in ("first", "second")]
    assert [text.get_text() for text in ax.texts] == numbers
    assert [text.get_weight() for text in ax.texts] == ["normal"] * 2 + ["bold", "normal", "normal", "bold"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["clean", "first", "second"]


def test_bad_input_is_one_line(models, data):
    one = {"first": models["first"]}
    wide = {**one, "wide": (models["second"][0], processor(size=12))}
    more = {**one, "more": (nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), processor())}
    several = Dataset.from_dict({"image": data["image"][:2], "label": [["a"], ["b", "c"]]})
    several = several.cast(Features({"image": Image(), "label": List(ClassLabel(names=NAMES))}))
    many = data.cast_column("label", ClassLabel(names=[*NAMES, "d"])).select(range(3))
    many = Dataset.from_dict({"image": many["image"], "label": [0, 1, 3]}, features=many.features)
    cases = [
        (one, data, {}, "two models or more, not of 1"),
        (models, data, {"attack": "cw"}, "unknown attack 'cw': there are pgd, ifgsm, fgsm"),
        (models, data, {"norm": "l1"}, "unknown norm 'l1'"),
        (models, data, {"eps": 2.0}, "eps"),
        (wide, data, {}, "first takes inputs of 3 × 8 × 8, wide of 3 × 12 × 12"),
        (more, data, {}, "different numbers of classes: first 3, more 4"),
        (models, several, {}, "several classes each"),
        (models, many, {}, "the test set has label 3, the models 3 classes"),
    ]
    for given, examples, settings, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            transfer_matrix(given, examples, progress=False, **settings)
        assert "\n" not in str(caught.value)
