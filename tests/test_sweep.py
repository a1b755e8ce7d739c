"""`hfmix sweep`: what it trains, what it leaves alone, and what its table says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from project import QUICK, ROOT
from safetensors.torch import load_file
from scipy import stats

import hfmix.sweep
from hfmix.cli import main
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import is_finished
from hfmix.sweep import sweep

RECIPES = ROOT / "recipes"
IRIS = [RECIPES / "uci/iris_erm.yaml", RECIPES / "uci/iris_mixup.yaml"]
SHORT = ["--num_train_epochs", "2", "--disable_tqdm", "true"]


def run(*words: object) -> int:
    return main(["sweep", *map(str, words)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two recipes and two seeds; not to be changed."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    assert run(*IRIS, "--seeds", 0, 1, "--out", out, *SHORT) == 0
    return out


def test_each_recipe_is_trained_under_each_seed(finished):
    for recipe, mix in (("iris_erm", "erm"), ("iris_mixup", "mixup")):
        for seed in (0, 1):
            resolved = yaml.safe_load((finished / recipe / f"seed{seed}" / "recipe.yaml").read_text())
            assert (resolved["mix"], resolved["seed"], resolved["num_train_epochs"]) == (mix, seed, 2.0)
            assert is_finished(finished / recipe / f"seed{seed}")
    assert sorted(path.name for path in finished.glob("*")) == [
        "iris_erm",
        "iris_mixup",
        "sweep.json",
        "sweep.md",
        "sweep.png",
    ]


def test_the_table_holds_student_intervals_over_the_seeds(finished):
    """Against scipy's interval and its paired test, from the reports themselves."""
    nll = {
        name: [
            dict(RobustnessReport.load(finished / name / f"seed{seed}").estimates())["clean/nll"]["value"]
            for seed in (0, 1)
        ]
        for name in ("iris_erm", "iris_mixup")
    }
    found = json.loads((finished / "sweep.json").read_text())["recipes"]
    for name, values in nll.items():
        figure = found[name]["figures"]["clean/nll"]
        assert figure["values"] == {"0": values[0], "1": values[1]}
        interval = stats.t.interval(0.95, 1, stats.tmean(values), stats.sem(values))
        assert figure["ci95"] == pytest.approx(interval, rel=1e-9)
    difference = found["iris_mixup"]["difference"]
    assert difference["to"] == "iris_erm" and "difference" not in found["iris_erm"]
    interval = stats.ttest_rel(nll["iris_mixup"], nll["iris_erm"]).confidence_interval()
    assert difference["figures"]["clean/nll"]["ci95"] == pytest.approx(list(interval), rel=1e-9)
    low, high = difference["figures"]["clean/nll"]["ci95"]
    shown = f"{(low + high) / 2:+.3f} ± {(high - low) / 2:.3f}"
    assert shown in (finished / "sweep.md").read_text()


def test_a_run_in_a_sweep_is_what_it_is_alone(finished, tmp_path):
    """The last of the sweep's four, once more in a process of its own: every weight, bit for bit."""
    command = [sys.executable, "-m", "hfmix.train", str(IRIS[1]), "--seed", "1", *SHORT]
    subprocess.run([*command, "--output_dir", str(tmp_path / "alone")], check=True, capture_output=True)
    alone, within = (
        load_file(f / "model.safetensors") for f in (tmp_path / "alone", finished / "iris_mixup/seed1")
    )
    assert alone.keys() == within.keys() and all(alone[key].equal(within[key]) for key in alone)


def test_what_a_run_sets_for_the_process_does_not_reach_the_next(finished, tmp_path):
    """Half precision and deterministic algorithms of a recipe are that recipe's alone."""
    (tmp_path / "first.yaml").write_text(
        yaml.safe_dump({"base": str(IRIS[0]), "bf16": True, "use_cpu": True, "full_determinism": True})
    )
    out, environment = tmp_path / "out", dict(os.environ)
    assert run(tmp_path / "first.yaml", IRIS[1], "--seeds", 1, "--out", out, *SHORT) == 0
    assert dict(os.environ) == environment and not torch.are_deterministic_algorithms_enabled()
    ours, first = (load_file(out / name / "seed1/model.safetensors") for name in ("iris_mixup", "first"))
    alike = load_file(finished / "iris_mixup/seed1/model.safetensors")
    assert all(ours[key].equal(alike[key]) for key in alike)
    plain = load_file(finished / "iris_erm/seed1/model.safetensors")
    assert not all(first[key].equal(plain[key]) for key in plain)


def test_a_sweep_goes_on_and_takes_more_seeds(finished, tmp_path, capfd):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for path in (out / "iris_mixup/seed1").iterdir():  # as if it had been stopped before this one
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert run(*IRIS, "--seeds", 0, 1, 2, "--out", out, *SHORT) == 0
    printed = capfd.readouterr().err
    assert "sweep: run 1 of 3, 3 finished before: iris_mixup, seed 1" in printed
    assert "sweep: run 3 of 3, 3 finished before: iris_mixup, seed 2; about" in printed
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()) and len(before) == 3
    weights = [load_file(folder / "iris_mixup/seed1/model.safetensors") for folder in (finished, out)]
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert [recipe["seeds"] for recipe in json.loads((out / "sweep.json").read_text())["recipes"].values()] == [
        [0, 1, 2]
    ] * 2


def test_a_run_that_stopped_half_way_goes_on_from_its_checkpoint(finished, tmp_path, monkeypatch, capfd):
    out = tmp_path / "out"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("hfmix.train.finish", stop)
        assert run(IRIS[1], "--seeds", 1, "--out", out, *SHORT) == 130
    assert (out / "iris_mixup/seed1/checkpoint-16").is_dir()
    capfd.readouterr()
    assert run(IRIS[1], "--seeds", 1, "--out", out, "--learning_rate", "0.1", *SHORT) == 1
    assert "was begun with another learning_rate" in capfd.readouterr().err
    resumed = []
    monkeypatch.setattr("hfmix.train.last_whole_checkpoint", lambda run: resumed.append(run) or None)
    assert run(IRIS[1], "--seeds", 1, "--out", out, *SHORT) == 0
    assert resumed == [out / "iris_mixup/seed1"]
    weights = [load_file(folder / "iris_mixup/seed1/model.safetensors") for folder in (finished, out)]
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert not list(out.glob("*/*.yaml"))


def test_other_settings_need_another_folder_or_overwrite(finished, tmp_path, capfd):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    assert run(IRIS[0], "--seeds", 0, "--out", out, *SHORT, "--weight_decay", "0.5") == 1
    assert "begun with another weight_decay: choose another --out, or pass --overwrite" in capfd.readouterr().err
    assert run(*IRIS, "--seeds", 0, "--out", out, *SHORT, "--weight_decay", "0.5", "--overwrite") == 0
    assert yaml.safe_load((out / "iris_erm/seed0/recipe.yaml").read_text())["weight_decay"] == 0.5


def test_a_run_that_fails_does_not_lose_the_others(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    recipes = [RECIPES / "uci/abalone_erm.yaml", IRIS[0]]
    assert run(*recipes, "--seeds", 3, "--out", out, *SHORT) == 1
    printed = capfd.readouterr().err
    assert "sweep: failed: abalone_erm, seed 3: no file 'data/uci/abalone.csv'" in printed
    assert "hfmix: error: 1 of 2 runs failed" in printed and "Traceback" not in printed
    found = json.loads((out / "sweep.json").read_text())
    assert list(found["recipes"]) == ["iris_erm"] and list(found["failed"]) == ["abalone_erm, seed 3"]
    figure = found["recipes"]["iris_erm"]["figures"]["clean/accuracy"]
    assert figure["ci95"] is None and figure["values"] == {"3": figure["mean"]}
    assert "Failed: abalone_erm, seed 3: no file" in (out / "sweep.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0", "0"], "seeds are distinct whole numbers from 0, not 0 0"),
        (["--seeds", "-1"], "seeds are distinct whole numbers from 0, not -1"),
        (["--seed", "1"], "a sweep takes no --seed: give --seeds"),
        (["--output-dir=x"], "a sweep takes no --output_dir: give --out"),
        (["--num_processes", "2"], "a sweep trains in this one process; start `hfmix train` for several"),
        (["--vary_split", "--split_seed", "1"], "a sweep takes no --split_seed: --vary_split gives the seed's"),
        (["--mix_alhpa", "1"], "unknown option --mix_alhpa: did you mean mix_alpha?"),
        (["--learning_rate", "fast"], "invalid float value: 'fast'"),
    ],
)
def test_a_wrong_sweep_is_one_line_and_trains_nothing(tmp_path, words, message, one_line):
    assert run(IRIS[0], "--out", tmp_path / "out", *words) == 2
    assert message in one_line()
    assert not (tmp_path / "out").exists()


def test_recipes_of_one_name_are_told_apart_by_their_folders(tmp_path, one_line):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        text = yaml.safe_dump({"base": str(IRIS[0])})
        (tmp_path / folder / "iris.yaml").write_text(text)
    paths = [tmp_path / "a/iris.yaml", tmp_path / "b/iris.yaml"]
    sweep(paths, [0], tmp_path / "out", SHORT)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"a-iris", "b-iris"}
    assert run(paths[0], paths[0], "--out", tmp_path / "out") == 2
    assert "iris.yaml is given twice" in one_line()


def test_another_part_is_held_out_for_each_seed(tmp_path):
    """The same one for every recipe, so that differences are paired; with each seed another 30 of 150 irises."""
    sweep(IRIS, [0, 1], tmp_path, SHORT, vary_split=True)
    prints = {
        (name, seed): RobustnessReport.load(tmp_path / name / f"seed{seed}").content["data"]["fingerprint_sha256"]
        for name in ("iris_erm", "iris_mixup")
        for seed in (0, 1)
    }
    assert prints["iris_erm", 0] == prints["iris_mixup", 0] != prints["iris_erm", 1] == prints["iris_mixup", 1]
    found = json.loads((tmp_path / "sweep.json").read_text())["recipes"]
    assert found["iris_mixup"]["difference"]["seeds"] == [0, 1]


TINY = {"stem_width": 8, "widths": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}
DIGITS = ["--dataset_name", "digits", "--image_size", "8", "--ood", "{}", "--eval_strategy", "no"]
DIGITS += ["--model_args", json.dumps(TINY), "--dataloader_num_workers", "0", "--corruption_samples", "2"]


@pytest.mark.slow  # fourteen trainings
def test_the_alternatives_to_mixup_make_one_table(tmp_path):
    recipes = [path.stem for path in (RECIPES / "alternatives").glob("*.yaml")]
    paths = [RECIPES / f"alternatives/{name}.yaml" for name in sorted(recipes)]
    assert run(*paths, "--seeds", 0, "--out", tmp_path, *QUICK, *DIGITS) == 0
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert list(found["recipes"]) == sorted(recipes) and not found["failed"]
    first, *others = found["recipes"].values()
    for other in others:  # no two of them train alike
        assert other["difference"]["to"] == "erm"
        assert other["figures"]["clean/nll"]["mean"] != first["figures"]["clean/nll"]["mean"]
    nll = [recipe["figures"]["clean/nll"]["mean"] for recipe in found["recipes"].values()]
    assert len(set(nll)) == len(nll)


def test_a_run_that_another_process_trains_is_left_to_it(finished, tmp_path, capsys):
    """A process holds one run's lock; when it is killed, the run is free again. The table grows run by run."""
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    lock = out / "iris_mixup" / "seed1.lock"
    shutil.rmtree(out / "iris_mixup" / "seed1")
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True)"
    command = [sys.executable, "-c", f"{hold}; time.sleep(600)", str(lock)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        assert run(*IRIS, "--seeds", 0, 1, "--out", out, *SHORT) == 0
        assert "another process trains iris_mixup, seed 1" in (text := capsys.readouterr().err)
        assert "left to other processes, and not in the table yet unless finished: iris_mixup seed 1" in text
        assert not (out / "iris_mixup" / "seed1").exists()
        seeds = json.loads((out / "sweep.json").read_text())["recipes"]["iris_mixup"]["figures"]
        assert set(seeds["clean/nll"]["values"]) == {"0"}
    finally:
        holder.kill()
        holder.wait()
    assert run(*IRIS, "--seeds", 0, 1, "--out", out, *SHORT) == 0
    assert is_finished(out / "iris_mixup" / "seed1") and not lock.exists()
    weights = [load_file(folder / "iris_mixup/seed1/model.safetensors") for folder in (out, finished)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())


def test_the_table_is_written_after_each_run(tmp_path, monkeypatch):
    seen = []
    write = hfmix.sweep._write_tables
    monkeypatch.setattr(
        hfmix.sweep,
        "_write_tables",
        lambda *arguments: (seen.append(sum(map(is_finished, tmp_path.glob("*/seed*")))), write(*arguments))[1],
    )
    assert run(IRIS[0], "--seeds", 0, 1, "--out", tmp_path, *SHORT) == 0
    assert seen == [1, 2]


def test_a_sweep_whose_time_is_over_goes_on_from_its_checkpoint(finished, tmp_path, capfd):
    """It stops after a step, not after an epoch, and the weights end as those of an undisturbed run."""
    out = tmp_path / "out"
    assert run(IRIS[1], "--seeds", 1, "--out", out, "--stop-after", "0.001s", *SHORT) == 1
    assert "sweep: run 1 of 1" in (printed := capfd.readouterr().err)
    assert "hfmix: error: stopped after 0 s, as stop_after says: 0 of 1 runs are finished" in printed
    assert (out / "iris_mixup/seed1/checkpoint-1").is_dir() and not is_finished(out / "iris_mixup/seed1")
    assert run(IRIS[1], "--seeds", 1, "--out", out, "--stop_after", "1h", *SHORT) == 0
    weights = [load_file(folder / "iris_mixup/seed1/model.safetensors") for folder in (finished, out)]
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert "stop_after" not in (out / "iris_mixup/seed1/recipe.yaml").read_text()
