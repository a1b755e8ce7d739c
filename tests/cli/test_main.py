"""The command line as a user types it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import ClassLabel
from PIL import Image
from project import ROOT

from hfmix import RobustnessReport
from hfmix.cli import main
from hfmix.robustness.predictions import save_predictions
from hfmix.train import main as train_main


def test_help_names_every_command():
    run = subprocess.run([sys.executable, "-m", "hfmix", "--help"], capture_output=True, text=True, check=True)
    for command in ("train", "evaluate", "compare", "push"):
        assert f"    {command} " in run.stdout


def test_evaluate_measures_what_the_run_reported(finished_run, tmp_path, capsys):
    options = ["--dataset", "digits", "--ood", "photographs=photo_patches", "--max_samples", "60"]
    assert main(["evaluate", str(finished_run), *options, "--out", str(tmp_path)]) == 0
    ours = json.loads((tmp_path / "robustness.json").read_text())
    theirs = json.loads((finished_run / "robustness.json").read_text())
    assert ours["data"] == theirs["data"]
    assert ours["axes"]["clean"]["accuracy"] == theirs["axes"]["clean"]["accuracy"]
    assert ours["axes"]["corruptions"] == theirs["axes"]["corruptions"]
    found, expected = (axes["axes"]["ood"]["photographs"]["msp"]["auroc"]["value"] for axes in (ours, theirs))
    assert found == pytest.approx(expected, abs=1e-6)
    assert "accuracy, %" in capsys.readouterr().out


def test_other_class_names_compare_by_index(finished_run, tmp_path, capsys):
    from hfmix.data.sources.open import open_dataset

    digits = open_dataset("digits")["test"]
    digits.cast_column("label", ClassLabel(names=[f"class {i}" for i in range(10)])).to_parquet(
        tmp_path / "a.parquet"
    )
    values = []
    for source in ("digits", str(tmp_path / "a.parquet")):
        out = tmp_path / Path(source).stem
        assert (
            main(["evaluate", str(finished_run), "--dataset", source, "--axes", "clean", "--out", str(out)]) == 0
        )
        values.append(json.loads((out / "robustness.json").read_text())["axes"])
    assert values[0] == values[1]
    assert "labels compare by index" in capsys.readouterr().err


def test_compare_makes_tables_and_one_figure(finished_run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    report = json.loads((other / "robustness.json").read_text())
    report["axes"]["clean"]["accuracy"] = {"value": 0.5, "ci95": [0.4, 0.6], "n": 60}
    del report["axes"]["ood"]
    (other / "robustness.json").write_text(json.dumps(report))
    assert main(["compare", str(finished_run), str(other), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert printed.startswith(text)
    table, heading, differences = text.split("\n\n")
    header, _, first, second = table.splitlines()
    assert "accuracy, % ↑" in header and "OOD photographs AUROC, % ↑" in header
    assert first.startswith("| regmixup ") and "50.0 [40.0, 60.0]" in second and "| – " in second
    assert heading == "Difference to regmixup, with paired 95 % intervals (* where the interval excludes 0):"
    header, _, row = differences.splitlines()
    assert "OOD" not in header and row.startswith("| other | +0.0 [+0.0, +0.0] ")
    with Image.open(tmp_path / "out" / "comparison.png") as figure:
        assert figure.width > 1200
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert set(content) == {"regmixup", "other"} and "difference_to_first" not in content["regmixup"]
    found = content["other"]["difference_to_first"]
    assert set(found) == {"clean/accuracy", "clean/nll", "calibration/ece_15", "corruptions/mean_accuracy"}
    assert all(figure["value"] == 0 and figure["ci95"] == [0, 0] for figure in found.values())


def test_without_predictions_there_is_no_paired_difference(finished_run, tmp_path, capsys):
    for name in ("new", "old"):
        shutil.copytree(finished_run, tmp_path / name)
    (tmp_path / "old" / "predictions.safetensors").unlink()
    assert main(["compare", str(finished_run), str(tmp_path / "new"), str(tmp_path / "old")]) == 0
    sentence = "No paired difference to {} for {}: one of the two has no predictions.\n"
    printed = capsys.readouterr().out
    assert printed.endswith("\n\n" + sentence.format("regmixup", "old")) and "\n| new | +0.0 " in printed
    assert main(["compare", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.split("\n\n")[1] == sentence.format("old", "new")


@pytest.mark.parametrize(("key", "value"), [("mode", "corrected"), ("frost", "another")])
def test_corruptions_made_differently_do_not_compare(finished_run, tmp_path, one_line, key, value):
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    report = json.loads((other / "robustness.json").read_text())
    report["axes"]["corruptions"][key] = value
    (other / "robustness.json").write_text(json.dumps(report))
    assert main(["compare", str(finished_run), str(other)]) == 1
    assert one_line() == "regmixup and other were not measured on the same corruptions and cannot be compared"


def test_predictions_of_another_test_set_are_one_line(finished_run, tmp_path, one_line):
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    kept = RobustnessReport.load(finished_run).predictions
    save_predictions(kept, "0" * 64, other)
    assert main(["compare", str(finished_run), str(other)]) == 1
    assert "predictions.safetensors is of another test set than the report beside it" in one_line()


def test_the_readme_gets_the_first_table_alone(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "again")
    out = tmp_path / "comparison"
    assert main(["compare", str(finished_run), str(tmp_path / "again"), "--out", str(out)]) == 0
    for file in (
        "README.md",
        "experiments/__init__.py",
        "experiments/papers/__init__.py",
        "experiments/papers/update_readme.py",
    ):
        (tmp_path / "project" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / "project" / file)
    (tmp_path / "project/experiments/results").mkdir()
    command = [sys.executable, "-m", "experiments.papers.update_readme", str(out)]
    subprocess.run(command, cwd=tmp_path / "project", check=True)
    before, after = ((root / "README.md").read_text(encoding="utf-8") for root in (ROOT, tmp_path / "project"))
    start, end = "<!-- quickstart -->", "<!-- /quickstart -->"
    assert before.split(start)[0] == after.split(start)[0] and before.split(end)[1] == after.split(end)[1]
    block = after.split(start)[1].split(end)[0]
    assert block.splitlines()[3].startswith("| regmixup |") and "Difference" not in block
    assert len(block.strip().splitlines()) == 6  # head, rule, two runs, an empty line, the figure


def test_runs_on_different_data_do_not_compare(finished_run, tmp_path, one_line):
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    text = (other / "robustness.json").read_text()
    fingerprint = json.loads(text)["data"]["fingerprint_sha256"]
    (other / "robustness.json").write_text(text.replace(fingerprint, "0" * 64))
    assert main(["compare", str(finished_run), str(other)]) == 1
    assert one_line() == "regmixup and other were not measured on the same test set and cannot be compared"


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["evaluat"], 2, "invalid choice: 'evaluat'"),
        (["compare"], 2, "the following arguments are required: RUN"),
        (["evaluate", "x", "--dataset", "digits", "--ood", "photos"], 2, "'photos' is not NAME=SOURCE"),
        (["evaluate", "x", "--dataset", "digits", "--axes", "clear"], 2, "invalid choice: 'clear'"),
        (["evaluate", "x", "--dataset", "digits", "--batch_size", "0"], 2, "'0' is not a whole number from 1"),
        (
            ["evaluate", "x", "--dataset", "digits", "--eps", "8/0"],
            2,
            "eps '8/0' is not a number: give one such as",
        ),
        (["push", "x"], 2, "--repo-id"),
        (["compare", "nowhere"], 1, "no robustness.json in 'nowhere'"),
        (["evaluate", "a/b/c", "--dataset", "digits"], 1, "no folder 'a/b/c'"),
        (["push", "nowhere", "--repo-id", "a/b"], 1, "nowhere is not a folder"),
        (["train", "nowhere.yaml"], 2, "cannot read the recipe 'nowhere.yaml'"),
        (["train", "x.yaml", "--num_processes", "two"], 2, "--num_processes is a number from 1, not 'two'"),
    ],
)
def test_wrong_calls_are_one_line(argv, status, message, one_line):
    assert main(argv) == status
    assert message in one_line()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "tset"], "digits has no split 'tset', only train, validation, test"),
        (["--label_column_name", "lable"], "has no column 'lable'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(finished_run, options, message, one_line):
    assert main(["evaluate", str(finished_run), "--dataset", "digits", *options]) == 1
    assert message in one_line()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_shows_the_traceback_wherever_it_stands(place, capfd, monkeypatch):
    monkeypatch.setenv("HFMIX_DEBUG", "")
    argv = ["compare", "nowhere"]
    assert main([*argv[:place], "--debug", *argv[place:]]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_run_is_not_evaluated_into_itself(finished_run, one_line):
    assert main(["evaluate", str(finished_run), "--dataset", "digits", "--out", str(finished_run)]) == 1
    assert "holds a finished run" in one_line()


def test_without_a_test_split_the_held_out_part_is_measured(image_folder, tmp_path):
    run = tmp_path / "run"
    options = ["--dataset_name", str(image_folder), "--output_dir", str(run), "--max_steps", "1", "--ood", "{}"]
    recipe = str(ROOT / "recipes/digits/erm.yaml")
    assert train_main([recipe, *options, "--seed", "7", "--eval_strategy", "no", "--test_fraction", "0.5"]) == 0
    options = ["--dataset", str(image_folder), "--test_fraction", "0.5", "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(run), *options]) == 0
    data = [json.loads((folder / "robustness.json").read_text())["data"] for folder in (run, tmp_path / "out")]
    assert data[0] == data[1] and data[0]["num_samples"] == 6


def test_recipes_and_their_index_agree():
    index = (ROOT / "recipes" / "README.md").read_text()
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        assert recipe.relative_to(ROOT / "recipes").as_posix() in index
