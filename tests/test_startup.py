"""Importing is cheap, and each room imports no more than it may."""

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import hfmix; dir(hfmix)", {"torch", "numpy", "timm", "transformers"}),
        ("import hfmix.cli", {"torch", "numpy", "timm", "transformers", "huggingface_hub", "yaml", "accelerate"}),
        ("import hfmix.robustness.presentation", {"torch", "transformers"}),
        ("import hfmix.mixing, hfmix.metrics", {"scipy"}),
        ("import hfmix.metrics", {"torch", "sklearn"}),
        ("import hfmix.mixing, hfmix.metrics, hfmix.losses", {"timm", "transformers", "datasets", "sklearn"}),
        ("import hfmix.robustness.evaluate", {"transformers", "hfmix.training.trainer", "scipy.signal"}),
    ],
)
def test_a_room_imports_no_more_than_it_may(statement, forbidden):
    assert not modules_after(statement) & forbidden


def test_every_public_name_is_there():
    code = "import hfmix; [getattr(hfmix, name) for name in hfmix.__all__]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    import hfmix

    with pytest.raises(AttributeError, match="mixture"):
        _ = hfmix.mixture
