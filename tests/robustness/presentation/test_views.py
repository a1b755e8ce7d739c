"""Each axis has a view, and whatever is shown of all axes is made from the views."""

import subprocess
import sys

import pytest

from hfmix.robustness import presentation
from hfmix.robustness.names import AXES
from hfmix.robustness.presentation import VIEWS, captions, headlines, sections, sentences, stands_on_card
from hfmix.robustness.presentation.base import Headline, View
from hfmix.robustness.presentation.html import page


def figure(value=0.5):
    return {"value": value, "ci95": [value, value], "n": 10}


def test_every_axis_has_a_view_with_a_title():
    assert tuple(VIEWS) == AXES
    titles = [view.title for _, view in sections()]
    assert all(titles) and len(set(titles)) == len(titles)
    assert {"ood_groups", "ood_full_spectrum"} < {key for key, _ in sections()}


def test_no_name_and_no_picture_belongs_to_two_axes():
    for parts in ("conventions", "figures"):
        names = [name for view in VIEWS.values() for name in getattr(view, parts)]
        assert len(set(names)) == len(names)


def test_showing_needs_neither_torch_nor_the_report_and_draws_only_when_asked():
    code = "import hfmix.robustness.presentation.html, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib", "hfmix.robustness.report", "transformers"} & set(run.stdout.split())


def test_the_order_of_headlines_and_of_the_cards_pictures():
    detected = {"msp": {"auroc": figure(), "fpr95_ood_positive": figure()}}
    attacked = {"pgd": {"0.1": {"robust_accuracy": figure()}}}
    axes = {
        "ood": {"far": detected},
        "adversarial": {"settings": {"l2": {"attacks": ["pgd"], "eps": {"0": 0.0, "0.1": 0.1}}}, "l2": attacked},
        "memorization": {"last_test_error": figure(), "best_test_error": figure()},
        "interpolation": {"miss_rate": figure()},
        "corruptions": {"mean_accuracy": figure()},
        "calibration": {"ece_15": figure()},
        "clean": {"nll": figure(), "accuracy": figure(), "top5_accuracy": figure()},
    }
    assert list(headlines(axes)) == [
        "accuracy, % ↑",
        "NLL ↓",
        "ECE, % ↓",
        "corrupted accuracy, % ↑",
        "miss rate in between, % ↓",
        "best test error, % ↓",
        "last test error, % ↓",
        "OOD far AUROC, % ↑",
        "OOD far FPR95, % ↓",
        "PGD L2 0.1 accuracy, % ↑",
    ]
    assert list(captions())[:5] == ["corruptions", "reliability", "adversarial", "ood", "roc"]
    assert list(captions())[5:] == ["risk_coverage", "shift", "interpolation", "memorization"]


@pytest.mark.parametrize(
    ("path", "stands"),
    [
        ("clean/accuracy", True),
        ("clean/top5_accuracy", False),
        ("calibration/temperature_scaled/ece_15", False),
        ("ood/a/b/msp/auroc", True),
        ("ood/far/energy/auroc", False),
        ("ood_groups/far/msp/auroc", False),
        ("card, its table", False),
    ],
)
def test_what_stands_on_the_card(path, stands):
    assert stands_on_card(path) == stands


class Conformal(View):
    """An axis that is not there yet."""

    def sentences(self, axes, escape):
        yield f"Its sets hold {axes['conformal']['set_size']['value']} classes."


def test_an_axis_is_shown_once_it_has_a_view(monkeypatch):
    size = Headline("set size ↓", "conformal/set_size", 1, 1)
    view = Conformal("Prediction sets", fixed_headlines=(size,), figures={"sets": "Sizes of sets"})
    monkeypatch.setitem(presentation.VIEWS, "conformal", view)
    axes = {"conformal": {"set_size": figure(2.5)}, "ood": {}}
    assert headlines(axes) == {"set size ↓": "2.5 [2.5, 2.5]"} and stands_on_card("conformal/set_size")
    assert sentences(axes) == ["Its sets hold 2.5 classes."] and captions()["sets"] == "Sizes of sets"
    data = {"kind": "image", "num_samples": 10, "class_names": [], "fingerprint_sha256": "f"}
    content = {"axes": axes, "data": data, "model": {"name": "", "num_parameters": 1}, "left_out": {}}
    text = page(content | {"seed": 0, "versions": {}, "schema_version": 1}, {})
    assert '<h2 id="conformal">Prediction sets</h2>' in text and "Its sets hold" in text


def test_the_page_and_the_card_call_a_quirk_by_the_same_words():
    content = {
        "accuracy": {"fog": {}},
        "applied": "a|b",
        "mode": "parity",
        "quirks": {"all": "…", "glass_blur": "…"},
    }
    note = list(VIEWS["corruptions"].notes(content))[-1]
    assert list(note.definitions) == ["grey levels", "glass blur"]
    assert "(grey levels, glass blur) the code is followed" in VIEWS["corruptions"].definition(content, str)
