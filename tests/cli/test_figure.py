"""`hfmix figure` as a user types it: a picture, the numbers behind it, and one line for what is wrong."""

import json
import subprocess
import sys

import matplotlib
import pytest
from layout import check_layout
from PIL import Image

from hfmix.cli import main
from hfmix.robustness.presentation.style import STYLE
from hfmix.toys import gans, surfaces
from hfmix.toys.gan_figure import draw_gans
from hfmix.toys.surface_figure import draw_surfaces

SURFACE = ["figure", "decision-surface", "--steps", "40", "--hidden", "8"]
GAN = ["figure", "gan", "--steps", "6", "--hidden", "8", "--data", "ring", "--snapshots", "2", "6"]


def test_decision_surface(tmp_path, capsys):
    out = tmp_path / "deep" / "moons.png"
    assert main([*SURFACE, "--seed", "3", "--seeds", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"the figure is {out}, the numbers behind it are in {out.with_suffix('.json')}\n"
    assert "240/240" in printed.err  # the bar counts the steps of all three methods and both seeds
    with Image.open(out) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 22)) > 100
    content = json.loads(out.with_suffix(".json").read_text())
    assert content["seeds"] == [3, 4] and content["settings"]["steps"] == 40
    for seed, i in ((3, 0), (4, 1)):
        _, _, found = surfaces.surfaces(surfaces.Settings(steps=40, hidden=8), seed)
        for method, surface in found.items():
            for name, value in surface.figures.items():
                assert content["figures"][method][name]["seeds"][i] == pytest.approx(value, rel=1e-5)


def test_gan(tmp_path, capsys):
    out = tmp_path / "ring.png"
    assert main([*GAN, "--generator_loss", "non-saturating", "--out", str(out)]) == 0
    content = json.loads(out.with_suffix(".json").read_text())
    assert list(content["figures"]) == [f"ring, {m}, {step} steps" for m in ("ERM", "mixup") for step in (2, 6)]
    settings = gans.Settings(steps=6, hidden=8, generator_loss="non-saturating")
    (snapshot,) = gans.train("mixup", "ring", settings, 0, [6])
    found = content["figures"]["ring, mixup, 6 steps"]["median_distance"]
    assert found["mean"] == found["seeds"][0] == pytest.approx(snapshot.figures["median_distance"], rel=1e-5)
    with Image.open(out) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 22)) > 50


def test_figures_can_be_read():
    quick = surfaces.Settings(steps=20, hidden=8)
    settings = gans.Settings(steps=10, hidden=8, discriminator_steps=1)
    found = {
        (data, method): gans.train(method, data, settings, 0, [1, 2, 3, 5, 10])
        for data in ("grid", "spiral")
        for method in gans.METHODS
    }
    with matplotlib.rc_context(STYLE):
        check_layout(draw_surfaces(*surfaces.surfaces(quick, 0)))
        check_layout(draw_gans(found, settings.noise))


@pytest.mark.parametrize("name", ["decision-surface", "gan"])
def test_help_teaches(name, capsys):
    with pytest.raises(SystemExit):
        main(["figure", name, "--help"])
    text = capsys.readouterr().out
    assert "--seeds" in text and "--alpha" in text and "as in the paper" in " ".join(text.split())


def test_help_is_cheap():
    code = (
        "import sys, hfmix.cli; print(sum(m in sys.modules for m in ('torch', 'matplotlib', 'sklearn', 'tqdm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0\n"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["figure"], "the following arguments are required: NAME"),
        (["figure", "surface"], "invalid choice: 'surface'"),
        ([*SURFACE, "--data", "square"], "--data is moons or circles or blobs, not 'square'"),
        ([*SURFACE, "--out", "figure.pdf"], "--out is a file that ends in .png, not 'figure.pdf'"),
        ([*SURFACE, "--alpha", "0"], "'0' is not a finite number above 0"),
        ([*SURFACE, "--examples", "3"], "--examples is at least 4, not 3"),
        ([*SURFACE, "--steps", "0"], "'0' is not a whole number from 1"),
        ([*GAN, "--data", "ring", "moons"], "--data is ring or grid or spiral, not 'moons'"),
        ([*GAN, "--generator_loss", "hinge"], "--generator_loss is minimax or non-saturating, not 'hinge'"),
        ([*GAN, "--snapshots", "3", "9"], "--snapshots 9 comes after the last of 6 steps: raise --steps"),
    ],
)
def test_a_wrong_option_is_one_line(options, line, capsys):
    assert main(options) == 2
    printed = capsys.readouterr().err
    assert line in printed and printed.count("\n") == 1
