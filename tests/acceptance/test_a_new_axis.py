"""A new axis needs two files of its name and one entry in the list of names: everything else finds it."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from project import ROOT

AXIS = '''
"""The mirror axis: the share of predictions that a mirrored image keeps."""

from dataclasses import dataclass
from typing import Self

from PIL import ImageOps

from hfmix.robustness.axes.base import Axis, ClaimedReport, Context, Measured, Request
from hfmix.robustness.estimates import proportion


@dataclass(frozen=True)
class Mirror(Axis):
    """The predictions on mirrored images."""

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls()

    @classmethod
    def unsuited(cls, test) -> str | None:
        return super().unsuited(test) or (None if test.kind == "image" else "only images can be mirrored")

    def passes(self, context: Context) -> int:
        return len(context.test)

    def measure(self, context: Context) -> Measured:
        runner, test = context.runner, context.test

        def mirrored(_, examples):
            return runner.preprocessor.inputs([ImageOps.mirror(example) for example in examples])

        def batch(start, examples, inputs):
            return {"predicted": runner.forward(inputs)[0].argmax(1)}

        rows = runner.rows(test, "mirror", mirrored, batch, context.bar)
        return Measured({"kept": proportion(rows["predicted"] == context.log_prob.argmax(1))})

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self:
        return cls()
'''
VIEW = '''
"""The view of the mirror axis."""

from hfmix.robustness.presentation.base import Headline, View

VIEW = View(
    title="Mirrored input",
    conventions={"kept": ("%", "share of the predictions that a mirrored image keeps; Wilson's interval")},
    fixed_headlines=(Headline("kept when mirrored, % ↑", "mirror/kept", 100, 1),),
)
'''
USE = """
import sys
from hfmix.cli import main
train = ["recipes/digits/erm.yaml", "--max_steps", "6", "--max_train_samples", "96", "--max_test_samples", "40"]
train += ["--axes", "clean", "mirror", "--eval_strategy", "no", "--save_strategy", "no", "--output_dir", "run"]
from hfmix.train import main as train_main
assert train_main(train) == 0
assert main(["compare", "run", "--out", "comparison"]) == 0
sys.exit(main(["verify", "run", "--all"]))
"""


@pytest.mark.timeout(600)  # a copied package is compiled anew, then trains, measures and verifies
def test_everything_finds_an_axis_by_its_name(tmp_path):
    shutil.copytree(ROOT / "hfmix", tmp_path / "hfmix", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    (tmp_path / "hfmix/robustness/axes/mirror.py").write_text(AXIS)
    (tmp_path / "hfmix/robustness/presentation/mirror.py").write_text(VIEW)
    names = tmp_path / "hfmix/robustness/names.py"
    names.write_text(names.read_text(encoding="utf-8").replace('"memorization")', '"memorization", "mirror")'))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    report = json.loads((tmp_path / "run/robustness.json").read_text())
    kept = report["axes"]["mirror"]["kept"]
    assert list(report["axes"]) == ["clean", "mirror"] and kept["n"] == 40 and 0 <= kept["value"] <= 1
    shown = f"{100 * kept['value']:.1f} ["
    card = (tmp_path / "run/README.md").read_text(encoding="utf-8")
    assert f"| kept when mirrored, % ↑ | {shown}" in card
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Mirrored input" in page and "share of the predictions that a mirrored image keeps" in page
    assert "kept when mirrored" in (tmp_path / "comparison/comparison.md").read_text(encoding="utf-8")
    assert re.search(r"mirror/kept +[\d.]+ +[\d.]+ .* holds", run.stdout), run.stdout
