"""`hfmix evaluate` with everything that it can be given, in one process and in two, stopped and started again."""

import json
import subprocess
import sys

import pytest

from hfmix.cli import main

FEW = ["--dataset", "digits", "--max_samples", "60", "--corruption_samples", "12", "--batch_size", "16"]


def report(folder):
    return json.loads((folder / "robustness.json").read_text())


def test_groups_shift_validation_and_reference(finished_run, tmp_path):
    """Photographs count as near and as far, the digits themselves as shifted."""
    options = [
        "--ood",
        "a=photo_patches",
        "b=photo_patches",
        "--near",
        "a",
        "--far",
        "a",
        "b",
        "--shift",
        "again=digits",
    ]
    options += ["--validation", "digits", "--reference", "digits", "--corruptions", "contrast", "saturate"]
    out = tmp_path / "out"
    assert main(["evaluate", str(finished_run), *FEW, *options, "--mode", "corrected", "--out", str(out)]) == 0
    axes = report(out)["axes"]
    assert set(axes["corruptions"]["accuracy"]) == {"contrast", "saturate"}
    assert axes["corruptions"]["mode"] == "corrected"
    assert axes["shift"]["again"]["accuracy"]["n"] == 540  # all of the test split, of which 60 were drawn
    assert axes["ood_groups"]["far"]["sets"] == ["a", "b"] and "knn" in axes["ood"]["a"]
    assert "ood_full_spectrum" in axes
    assert not (out / ".pieces").exists()


def test_two_processes_print_and_write_once(finished_run, tmp_path, capsys):
    options = ["evaluate", str(finished_run), *FEW, "--corruptions", "contrast", "--out"]
    assert main([*options, str(tmp_path / "1")]) == 0
    command = [sys.executable, "-m", "hfmix", *options, str(tmp_path / "2"), "--num_processes", "2"]
    launched = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert launched.returncode == 0, launched.stderr
    for printed in (capsys.readouterr().out, launched.stdout):
        assert sum(line.startswith("accuracy, %") for line in printed.splitlines()) == 1
    done = {processes: report(tmp_path / processes) for processes in ("1", "2")}
    one, two = (found["axes"]["corruptions"]["accuracy"] for found in (done["1"], done["2"]))
    assert one == two and done["1"]["data"] == done["2"]["data"]
    nll = [found["axes"]["clean"]["nll"]["value"] for found in done.values()]
    assert nll[0] == pytest.approx(nll[1], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--near", "c"], "group 'near' names 'c'"),
        (["--corruptions", "fogg"], "unknown corruption 'fogg'"),
        (["--corrupted", "nowhere"], "labels.npy is missing"),
        (["--reference", "photo_patches"], "has unknown classes"),
    ],
)
def test_what_does_not_fit_is_one_line(options, message, finished_run, one_line):
    arguments = ["evaluate", str(finished_run), *FEW, "--ood", "a=photo_patches", "--axes", "ood", "corruptions"]
    assert main([*arguments, *options]) == 1
    assert message in one_line()
