"""The adversarial axis: misclassified examples stay so, and results do not depend on batches."""

import json

import numpy as np
import pytest
import torch
from clips import clips
from pictures import NAMES, pictures
from torch.nn import functional as F
from tqdm import tqdm

from hfmix import load_backbone
from hfmix.data.columns import Columns
from hfmix.data.kinds.audio import SoundPreprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.data.kinds.table import TablePreprocessor
from hfmix.data.splits import as_labelled
from hfmix.metrics import wilson_interval
from hfmix.robustness.attacks import attacked_model, fgsm, pgd
from hfmix.robustness.attacks.threats import Threat, eps_name, parse_eps, passes
from hfmix.robustness.axes.adversarial import adversarial_axis
from hfmix.robustness.inference import sharding as shards
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.presentation import convention_of
from hfmix.robustness.presentation.adversarial import draw_adversarial
from hfmix.robustness.report import RobustnessReport

N = 24
LINF = Threat(eps=("0", "8/255", "12/255", "0.1"), steps=3, restarts=2)
LINF_NAMES = ("0", "8_of_255", "12_of_255", "0.1")
L2 = Threat("l2", eps=(1, 4), attacks=("pgd", "fgsm"), steps=3)


@pytest.fixture(scope="module")
def trained():
    """A small net that has learnt its pictures: nearly all are right, and can be broken."""
    torch.manual_seed(0)
    model, processor = load_backbone("test_vit", NAMES, pretrained=False, image_size=32)
    data = as_labelled(pictures(N), Columns())
    attacked = attacked_model(model, ImagePreprocessor(processor))
    x, y = attacked.inputs([data.example(i) for i in range(N)]), torch.from_numpy(data.labels)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        F.cross_entropy(attacked(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), processor, data


def measure(trained, threats, batch_size=8, seed=0, folder=None, all_of_it=True):
    model, processor, data = trained
    runner = Runner(model, ImagePreprocessor(processor), batch_size, ResultCache(folder, model))
    with tqdm(total=passes(threats) * len(data), disable=True) as bar:
        # a disabled bar does not count
        bar.update = lambda by: setattr(bar, "n", bar.n + by)
        found = adversarial_axis(runner, data, threats, seed, bar)
        assert bar.n == bar.total or not all_of_it
    return found


@pytest.fixture(scope="module")
def found(trained):
    return measure(trained, [LINF, L2])


def test_figures_are_shares_of_the_flags(found):
    axis, predictions = found
    json.dumps(axis, allow_nan=False)
    assert axis["num_samples"] == N and axis["applied"] == "after resize and crop, before normalisation"
    assert predictions.pop("attacked_row").tolist() == list(range(N))
    assert set(predictions) == {
        *(f"robust/linf/{a}/{e}" for a in ("fgsm", "ifgsm", "pgd") for e in LINF_NAMES),
        *(f"robust/l2/{a}/{e}" for a in ("fgsm", "pgd") for e in ("1", "4")),
    }
    for name, flags in predictions.items():
        norm, attack, eps = name.split("/")[1:]
        figure = axis[norm][attack][eps]["robust_accuracy"]
        expected = {"value": flags.mean(), "ci95": list(wilson_interval(int(flags.sum()), N)), "n": N}
        assert flags.dtype == bool and figure == expected
    for path, _ in RobustnessReport({"axes": {"adversarial": axis}}).estimates():
        assert convention_of(path) in ("accuracy", "robust_accuracy")
    assert axis["settings"]["linf"] == {
        "eps": {"0": 0.0, "8_of_255": 8 / 255, "12_of_255": 12 / 255, "0.1": 0.1},
        "attacks": ["fgsm", "ifgsm", "pgd"],
        "steps": 3,
        "step_size_ifgsm": {eps_name(e): pytest.approx(e / 3) for e in LINF.eps[1:]},
        "step_size_pgd": {eps_name(e): pytest.approx(2.5 * e / 3) for e in LINF.eps[1:]},
        "restarts": 2,
    }


def test_what_is_broken_stays_broken(found):
    axis, predictions = found
    for threat in (LINF, L2):
        of = {
            (a, e): predictions[f"robust/{threat.norm}/{a}/{eps_name(e)}"]
            for a in threat.attacks
            for e in threat.eps
        }
        for attack in threat.attacks:
            for smaller, larger in zip(threat.eps, threat.eps[1:], strict=False):
                assert (of[attack, larger] <= of[attack, smaller]).all()
        for eps in threat.eps:
            for weaker, stronger in zip(threat.attacks, threat.attacks[1:], strict=False):
                assert (of[stronger, eps] <= of[weaker, eps]).all()
    shares = [axis["linf"]["pgd"][eps_name(e)]["robust_accuracy"]["value"] for e in LINF.eps]
    assert shares[0] > shares[2] > shares[3]  # or else nothing was broken


def test_no_radius_is_clean_accuracy(trained, found):
    model, processor, data = trained
    axis, predictions = found
    runner = Runner(model, ImagePreprocessor(processor), 8, ResultCache(None, model))
    with tqdm(disable=True) as bar:
        right = runner.outputs(data, bar).logits.argmax(1) == data.labels
    assert axis["accuracy"]["value"] == right.mean() > 0.5
    for attack in LINF.attacks:
        assert np.array_equal(predictions[f"robust/linf/{attack}/0"], right)


def test_the_weakest_attack_alone_is_fgsm(trained, found):
    """Flags against the attack called by hand, within the smallest radius and with the others' union."""
    model, processor, data = trained
    attacked = attacked_model(model, ImagePreprocessor(processor))
    x, y = attacked.inputs([data.example(i) for i in range(N)]), torch.from_numpy(data.labels)
    robust = attacked(x).argmax(1) == y
    for eps in LINF.eps[1:]:
        robust &= attacked(fgsm(attacked, x, y, eps)).argmax(1) == y
        assert np.array_equal(found[1][f"robust/linf/fgsm/{eps_name(eps)}"], robust.numpy())


def test_batches_seeds_and_processes(trained, found, monkeypatch, tmp_path):
    """Random starts go with an example's place: other batches, and shares of the work, change nothing."""
    assert measure(trained, [LINF, L2], batch_size=24)[0] == found[0]
    parts = []
    whole = {"right": np.ones(N), "robust": np.ones((N, 16)), "snr": np.ones((N, 16))}
    for rank in range(2):
        monkeypatch.setattr(shards, "_place", lambda rank=rank: (rank, 2))
        monkeypatch.setattr(
            "hfmix.robustness.inference.runner.gather_rows", lambda own, *_: parts.append(own) or whole
        )
        measure(trained, [LINF, L2], all_of_it=False)
    together = np.concatenate([part["robust"] for part in parts])
    assert len(parts[0]["robust"]) == 16 and len(parts[1]["robust"]) == 8
    expected = np.stack([flags for name, flags in found[1].items() if name.startswith("robust/")], 1)
    assert np.array_equal(together, expected)


def test_starts_follow_the_seed(trained, monkeypatch):
    from hfmix.robustness.attacks import perturb

    seen = []
    kept = perturb.pgd

    def spy(*args, random_start, **others):
        seen.append(random_start)
        return kept(*args, random_start=random_start, **others)

    monkeypatch.setattr(perturb, "pgd", spy)
    threat = Threat(eps=(0.001,), attacks=("pgd",), steps=1, restarts=2)
    for seed in (0, 0, 1):
        measure(trained, [threat], batch_size=N, seed=seed)
    first, same, other = seen
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert first.abs().max() <= 0.001 and first.abs().mean() == pytest.approx(0.0005, rel=0.02)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0, 0], first[0, 1])


def test_a_stopped_axis_goes_on(trained, found, tmp_path, monkeypatch):
    """Its pieces are taken again, and those of other threats are not."""
    monkeypatch.setattr("hfmix.robustness.inference.runner._BATCHES_A_PIECE", 1)
    assert measure(trained, [LINF, L2], folder=tmp_path)[0] == found[0]
    monkeypatch.setattr("hfmix.robustness.attacks.perturb.fgsm", None)  # nothing is computed again
    assert measure(trained, [LINF, L2], folder=tmp_path, all_of_it=False)[0] == found[0]
    with pytest.raises(TypeError):
        measure(trained, [LINF], folder=tmp_path)


def test_clips_are_attacked_and_the_noise_is_told():
    rng = np.random.default_rng(0)
    samples = [0.2 * rng.standard_normal(n).clip(-4, 4) for n in (6000, 8000, 4000, 8000)] + [np.zeros(8000)]
    torch.manual_seed(0)
    model, extractor = load_backbone("lenet_audio", ["no", "yes"], pretrained=False, clip_seconds=0.5)
    data = as_labelled(clips(samples, [0, 1, 0, 1, 0]), Columns())
    runner = Runner(model, SoundPreprocessor(extractor), 3, ResultCache(None, model))
    with tqdm(disable=True) as bar:
        # labels as the model has them, so that all are attacked
        data.labels[:] = runner.outputs(data, bar).logits.argmax(1)
        axis, _ = adversarial_axis(runner, data, [Threat(eps=(1e-6, 0.001), attacks=("fgsm",))], 0, bar)
    assert axis["applied"] == "to the clip, at the model's sampling rate" and axis["accuracy"]["value"] == 1
    snr = axis["linf"]["fgsm"]["1e-06"]["snr_db"]
    # four clips have a level: 0.2 against 1e-6 in the root mean square
    assert snr["n"] == 4 and snr["value"] == pytest.approx(20 * np.log10(0.2 / 1e-6), abs=0.5)
    larger = axis["linf"]["fgsm"]["0.001"]["snr_db"]
    assert larger["value"] == pytest.approx(20 * np.log10(0.2 / 1e-3), abs=0.5)
    with tqdm(disable=True) as bar:  # of one clip no interval could be told
        alone, _ = adversarial_axis(runner, data.select(np.array([0])), [Threat(eps=(1e-6,))], 0, bar)
    assert "snr_db" not in alone["linf"]["fgsm"]["1e-06"]
    json.dumps(alone, allow_nan=False)


def test_the_figure_shows_the_axis(found):
    axis = found[0]
    figure = draw_adversarial(axis)
    assert [ax.get_title() for ax in figure.axes] == ["Within L∞ balls", "Within L2 balls"]
    linf = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert set(linf) == {"FGSM", "I-FGSM", "PGD", "no attack"}
    x, y = linf["PGD"].get_data()
    assert x == pytest.approx([0, 8 / 255, 12 / 255, 0.1])
    assert y == pytest.approx([100 * axis["linf"]["pgd"][name]["robust_accuracy"]["value"] for name in LINF_NAMES])


def test_passes_are_counted(trained):
    """At most so many runs of the model over an example as `passes` says, and so many where none is broken."""
    model, processor, data = trained
    threats = [Threat(eps=(0, 1e-6), steps=2, restarts=2)]
    seen = []
    hook = model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    measure((model, processor, data), threats)
    hook.remove()
    right = measure(trained, threats)[0]["accuracy"]["value"] * N
    assert sum(seen) == pytest.approx(N + right * (passes(threats) - 1))


@pytest.mark.parametrize(
    ("text", "value"),
    [("8/255", 8 / 255), (" 0.5 / 255", 0.5 / 255), ("0.03", 0.03), (".5", 0.5), (2, 2.0), ("1e-3", 0.001)],
)
def test_radii_are_read(text, value):
    assert parse_eps(text) == value


@pytest.mark.parametrize("text", ["8/", "eight", "", "8/0", "1/2/3", "-1", -0.1, float("nan"), "inf"])
def test_what_is_no_radius(text):
    with pytest.raises(ValueError, match="eps"):
        parse_eps(text)


@pytest.mark.parametrize(
    ("eps", "name"),
    [
        (0, "0"),
        (8 / 255, "8_of_255"),
        (0.5 / 255, "0.5_of_255"),
        (0.5, "0.5"),
        (1, "1"),
        (0.2, "0.2"),
        (0.003, "0.003"),
    ],
)
def test_radii_have_names(eps, name):
    assert eps_name(eps) == name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"norm": "l1"}, "unknown norm 'l1': there are linf, l2"),
        ({"attacks": ("pgd", "cw")}, "unknown attack 'cw': there are fgsm, ifgsm, pgd, autoattack"),
        ({"attacks": ()}, "needs one attack"),
        ({"eps": ()}, "one eps or more"),
        ({"eps": ("x",)}, "eps 'x' is not a number: give one such as 0.03 or 8/255"),
        ({"eps": (0.1, 0.10000001)}, "equal to six digits"),
        ({"steps": 0}, "steps=0"),
        ({"restarts": 0}, "restarts=0"),
        ({"step_size": 0.0}, "step_size=0"),
    ],
)
def test_a_threat_that_makes_no_sense(given, message):
    with pytest.raises(ValueError, match=message):
        Threat(**given)


def test_what_the_axis_refuses(trained):
    model, _, data = trained
    for threats, message in (
        ([], "no threat is given"),
        ([LINF, LINF], "several threats in linf"),
        ([Threat(eps=(2.0,))], "eps 2 is beyond the whole range, 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(trained, threats)
    runner = Runner(model, TablePreprocessor(None), 8, ResultCache(None, model))
    with tqdm(disable=True) as bar, pytest.raises(ValueError, match="rows of a table cannot be attacked"):
        adversarial_axis(runner, data, [LINF], 0, bar)


def test_threats_are_put_in_order():
    threat = Threat(eps=("8/255", 0.001, "8/255"), attacks=["pgd", "fgsm"])
    assert threat.eps == (0.001, 8 / 255) and threat.attacks == ("fgsm", "pgd")
    assert threat.step_of("pgd", 8 / 255) == pytest.approx(2 / 255)
    assert Threat(step_size=0.01).step_of("pgd", 8 / 255) == Threat(step_size=0.01).step_of("ifgsm", 1) == 0.01


def test_pgd_is_what_the_axis_runs(trained):
    """One batch by hand, from the same starts."""
    from hfmix.utils.keyed_noise import ImageKeys

    model, processor, data = trained
    threat = Threat(eps=(12 / 255,), attacks=("pgd",), steps=2)
    attacked = attacked_model(model, ImagePreprocessor(processor))
    x, y = attacked.inputs([data.example(i) for i in range(N)]), torch.from_numpy(data.labels)
    eps = threat.eps[0]
    uniform = ImageKeys(0, 0, "pgd linf 12_of_255", 0, N, x.device).uniform(x.shape[1:])
    found = pgd(attacked, x, y, eps, 2.5 * eps / 2, 2, random_start=(2 * uniform - 1) * eps)
    expected = (attacked(found).argmax(1) == y) & (attacked(x).argmax(1) == y)
    robust = measure(trained, [threat])[1]["robust/linf/pgd/12_of_255"]
    assert np.array_equal(robust, expected.numpy()) and 0 < robust.sum() < N


def test_autoattack_joins_the_others(trained):
    """On what FGSM left; in so large a ball that its first component is enough."""
    pytest.importorskip("hfmix.robustness.attacks.auto")
    pytest.importorskip("pyautoattack")
    model, processor, data = trained
    threat = Threat(eps=(0.1,), attacks=("autoattack", "fgsm"))
    axis, predictions = measure((model, processor, data.select(np.arange(8))), [threat])
    weaker, stronger = (predictions[f"robust/linf/{name}/0.1"] for name in ("fgsm", "autoattack"))
    assert (stronger <= weaker).all() and weaker.sum() > stronger.sum() == 0
    assert axis["settings"]["linf"]["autoattack"]["components"][0]["name"] == "apgd-ce"


def test_autoattack_is_for_images():
    model, extractor = load_backbone("lenet_audio", ["no", "yes"], pretrained=False, clip_seconds=0.5)
    data = as_labelled(clips([np.ones(400)], [0]), Columns())
    runner = Runner(model, SoundPreprocessor(extractor), 3, ResultCache(None, model))
    with tqdm(disable=True) as bar, pytest.raises(ValueError, match="autoattack attacks images"):
        adversarial_axis(runner, data, [Threat(attacks=("autoattack",))], 0, bar)
