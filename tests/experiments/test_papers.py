"""The way from finished runs to the pages of results: collecting, tables, and verdicts on the papers' claims."""

import copy
import json
import re
import shlex

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_iris

from experiments.papers import RESULTS, ROOT, pages, paper_claims, run_statistics
from experiments.papers.collect import collect
from experiments.papers.collect import main as collect_main
from hfmix import metrics
from hfmix.cli import main as hfmix
from hfmix.recipe import parse
from hfmix.robustness.estimates import estimate
from hfmix.robustness.predictions import save_predictions
from hfmix.robustness.report import RobustnessReport

N, M, SEEDS = 400, 300, (0, 1)
ALPHAS = {"mixup": 1.0, "regmixup": 20.0, "cutmix": 1.0}
# how good a method's made-up model is, from 0 to 1
QUALITY = {"erm": 0.5, "mixup": 0.6, "regmixup": 0.8, "cutmix": 0.7}


def answers(quality, seed):
    """Predictions of a model on N test examples and M others, of which `quality` makes more right."""
    rng = np.random.default_rng(seed)
    label = np.arange(N) % 10
    right = np.random.default_rng(7).random(N) < quality + 0.02 * rng.normal(size=N)
    attacked, pairs = rng.permutation(N)[:50], rng.integers(N, size=(40, 2))
    return {
        "label": label,
        "predicted": np.where(right, label, (label + 1) % 10),
        "confidence": rng.beta(2 + 8 * quality, 2, size=N),
        "nll": rng.exponential(1.2 - quality, size=N),
        "corrupted_accuracy": rng.random(N) * quality,
        "corrupted_row": np.arange(N),
        "msp/far": rng.beta(4, 2, size=M),
        "robust/linf/fgsm/1_of_255": right[attacked],
        "attacked_row": attacked,
        "between/miss": rng.random(40) * (1 - quality),
        "between/gradient_norm": rng.random(40) * quality,
        "pair_rows": pairs,
    }


def report(found, axes=("corruptions", "ood", "adversarial", "interpolation"), seed=0):
    """What an evaluation would say of these predictions, of the axes given."""

    def mean(values):
        return estimate(values.mean(), metrics.mean_interval(values.astype(float)), len(values))

    detected = estimate(metrics.auroc(found["confidence"], found["msp/far"]), (0.1, 0.9), N + M)
    every = {
        "corruptions": {
            "mean_accuracy": mean(found["corrupted_accuracy"]),
            "accuracy": {"fog": {str(s): estimate(1 - s / 10, (0.9 - s / 10, 1), N) for s in range(1, 6)}},
        },
        "ood": {"far": {"fingerprint_sha256": "far", "msp": {"auroc": detected, "fpr95_ood_positive": detected}}},
        "adversarial": {
            "num_samples": 50,
            "settings": {"linf": {"attacks": ["fgsm"], "eps": {"1_of_255": 1 / 255}}},
            "linf": {"fgsm": {"1_of_255": {"robust_accuracy": mean(found["robust/linf/fgsm/1_of_255"])}}},
        },
        "interpolation": {
            "fingerprint_sha256": f"pairs {seed}",
            "miss_rate": mean(found["between/miss"]),
            "gradient_norm": mean(found["between/gradient_norm"]),
        },
    }
    clean = {"accuracy": mean(found["predicted"] == found["label"]), "nll": mean(found["nll"])}
    return {
        "schema_version": 1,
        "data": {"fingerprint_sha256": "test", "kind": "image"},
        "seed": seed,
        "axes": {"clean": clean, **{axis: every[axis] for axis in axes}},
    }


def write_run(sweep, mix, seed, data, of="cifar10", net="resnet20", **of_report):
    """A finished run of a recipe, with a made-up model."""
    folder = sweep / f"{mix}_{net}" / f"seed{seed}"
    folder.mkdir(parents=True)
    recipe = ROOT / f"recipes/{of}/{mix}_{net}.yaml"
    options = ["--train_file", str(data / "train.parquet"), "--test_file", str(data / "some/test.parquet")]
    options += ["--ood", json.dumps({"far": str(data / "far.parquet")}), "--num_train_epochs", "15"]
    settings = parse([str(recipe), *options, "--seed", str(seed), "--output_dir", str(folder)]).resolved
    found = answers(QUALITY[mix], seed)
    save_predictions(found, "test", folder)
    hardware = {"platform": "Linux x86_64", "cpu_cores": 2, "gpus": [], "num_processes": 1}
    environment = {"seed": seed, "versions": {"torch": "2.15.0"}, "hardware": hardware, "git": None}
    policy = {"name": mix} | ({"alpha": ALPHAS[mix]} if mix in ALPHAS else {})
    # resumed: 45,000 images twice at 150 a second, of which the Trainer's time has the second pass
    log = [{"epoch": epoch, "examples_per_second": 150.0} for epoch in (1.0, 2.0)]
    trained = {"policy": policy, "num_train_samples": 45_000, "log_history": [*log, {"epoch": 2.0}]}
    trained["metrics"] = {"train_runtime": 303.0, "epoch": 2.0}
    for name, content in (
        ("robustness", report(found, seed=seed, **of_report)),
        ("environment", environment),
        ("train_results", trained),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    (folder / "README.md").write_text("the card")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, data):
    """Three methods under two seeds; a seventh run is under way. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "cifar10"
    for mix in ("erm", "mixup", "regmixup"):
        for seed in SEEDS:
            write_run(folder, mix, seed, data)
    (folder / "mixup_resnet20/seed2/.unfinished").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def collected(sweep):
    """Not to be changed."""
    return json.loads(json.dumps(collect([sweep], "Made up")))


@pytest.fixture
def content(collected):
    return copy.deepcopy(collected)


def difference(content, other, first, path):
    (pair,) = [p for p in content["differences"] if (p["other"], p["first"]) == (other, first)]
    return pair["figures"][path]


def verdicts(content):
    return {(row["claim"].words, row["detail"]): row["verdict"] for row in run_statistics.tested_claims(content)}


def test_figures_are_those_of_the_reports(sweep, collected):
    for name in ("erm_resnet20", "regmixup_resnet20"):
        for seed in SEEDS:
            kept = collected["recipes"][name]["runs"][str(seed)]["figures"]
            found = dict(RobustnessReport.load(sweep / name / f"seed{seed}").estimates())
            for path in ("clean/accuracy", "ood/far/msp/fpr95_ood_positive", "interpolation/miss_rate"):
                assert kept[path]["value"] == pytest.approx(found[path]["value"], rel=1e-5)
                assert kept[path]["ci95"] == pytest.approx(found[path]["ci95"], rel=1e-5)
                assert kept[path]["n"] == found[path]["n"]
            # 1 - s / 10 of the severities 1 to 5, whose intervals go from 0.9 - s / 10 to 1
            assert kept["corruptions/accuracy/fog"] == {"value": 0.7, "ci95": [0.6, 1.0], "n": N}
    assert collected["unfinished"] == ["mixup_resnet20, seed 2"]
    assert list(collected["recipes"]) == ["erm_resnet20", "mixup_resnet20", "regmixup_resnet20"]


def test_differences_are_pooled_over_the_seeds(collected):
    """The mean over the seeds of each example's difference, resampled by `bootstrap_interval`."""
    path, right = "clean/accuracy", {}
    for mix in ("erm", "mixup"):
        each = [answers(QUALITY[mix], seed) for seed in SEEDS]
        right[mix] = np.mean([found["predicted"] == found["label"] for found in each], 0)
    by_example = right["mixup"] - right["erm"]
    found = difference(collected, "mixup_resnet20", "erm_resnet20", path)
    assert np.mean(list(found["values"].values())) == pytest.approx(by_example.mean(), abs=1e-5)
    expected = metrics.bootstrap_interval(np.mean, (by_example,), seed=0)
    assert found["pooled95"] == pytest.approx(expected, abs=1e-5) and found["n"] == N
    # no predictions tell how often the distance of 95 % is met
    assert (
        difference(collected, "mixup_resnet20", "erm_resnet20", "ood/far/msp/fpr95_ood_positive")["pooled95"]
        is None
    )
    assert {(p["other"], p["first"]) for p in collected["differences"]} == {
        ("mixup_resnet20", "erm_resnet20"),
        ("regmixup_resnet20", "erm_resnet20"),
        ("regmixup_resnet20", "mixup_resnet20"),
    }


def test_the_command_gives_the_run_s_settings_and_no_path_of_the_machine(sweep, collected, data):
    for name, recipe in collected["recipes"].items():
        for seed, run in recipe["runs"].items():
            words = shlex.split(run["command"].replace("DATA/", f"{data}/"))
            assert words[:3] == ["hfmix", "train", f"recipes/cifar10/{name}.yaml"]
            again = parse([str(ROOT / words[2]), *words[3:]]).resolved
            before = yaml.safe_load((sweep / name / f"seed{seed}/recipe.yaml").read_text())
            assert again.pop("output_dir") == f"runs/cifar10/{name}/seed{seed}"
            assert again == {key: value for key, value in before.items() if key != "output_dir"}
            assert "DATA/some/test.parquet" in run["command"] and '"DATA/far.parquet"' in run["command"]
    text = json.dumps(collected)
    assert str(data) not in text and str(sweep) not in text and str(ROOT) not in text
    assert not re.search(r"[\"' =]/\w", text)


def test_a_recipe_that_names_no_data_is_given_it(tmp_path, data):
    write_run(tmp_path, "mixup", 0, data, of="fsdd", net="vgg11_audio")
    recipe = collect([tmp_path], "x")["recipes"]["mixup_vgg11_audio"]
    assert recipe["data"] == "fsdd" and "--train_file DATA/train.parquet" in recipe["runs"]["0"]["command"]


def test_methods_come_in_one_order_whatever_the_folders_are_called(tmp_path, data):
    """So that a method has the same colour in every picture; cutmix_resnet20 sorts before mixup_resnet20."""
    for mix in QUALITY:
        write_run(tmp_path, mix, 0, data)
    recipes = collect([tmp_path], "x")["recipes"].values()
    assert [recipe["mix"] for recipe in recipes] == ["erm", "mixup", "regmixup", "cutmix"]


def test_data_in_two_places_is_named_by_its_folders(tmp_path, data):
    write_run(tmp_path, "erm", 0, data)
    file = tmp_path / "erm_resnet20/seed0/recipe.yaml"
    file.write_text(file.read_text().replace(f"{data}/train.parquet", "/elsewhere/c10/train.parquet"))
    command = collect([tmp_path], "x")["recipes"]["erm_resnet20"]["runs"]["0"]["command"]
    assert (
        "DATA/c10/train.parquet" in command and "DATA/some/test.parquet" in command and "elsewhere" not in command
    )


def test_what_cannot_be_collected_is_said(tmp_path, sweep, data):
    with pytest.raises(ValueError, match="no finished run in"):
        collect([tmp_path], "x")
    with pytest.raises(ValueError, match=r"erm_resnet20, seed 0, is in .* and in .*: give one of them"):
        collect([sweep, sweep], "x")
    write_run(tmp_path, "erm", 0, data)
    (tmp_path / "erm_resnet20").rename(tmp_path / "mine")
    with pytest.raises(ValueError, match="no recipe in recipes/ is called mine"):
        collect([tmp_path], "x")


def test_an_axis_that_only_some_have_is_left_open(tmp_path, data):
    write_run(tmp_path, "erm", 0, data, axes=("ood",))
    write_run(tmp_path, "mixup", 0, data, axes=("ood", "corruptions"))
    content = collect([tmp_path], "x")
    page = pages.page("x", content)
    assert re.search(r"\| corrupted accuracy, % ↑ +\| – +\| \d", page)
    assert set(verdicts(content)) == {
        ("mixup's test error is lower than ERM's", ""),
        ("mixup detects out-of-distribution input worse than ERM", "far"),
    }
    assert "corruptions/mean_accuracy" not in content["differences"][0]["figures"]


def test_without_predictions_there_is_no_verdict(tmp_path, data):
    for mix in ("erm", "mixup"):
        (write_run(tmp_path, mix, 0, data) / "predictions.safetensors").unlink()
    content = collect([tmp_path], "x")
    assert set(verdicts(content).values()) == {paper_claims.NO_INTERVAL}
    assert "Measured without an interval:** mixup's test error" in pages.results_block({"x": content})


def test_intervals_are_over_the_seeds_from_three_on(content):
    """Student's, t(2) = 4.302653, against the seeds' own over the test examples, averaged."""
    of_two = run_statistics.means(content["recipes"]["erm_resnet20"])["clean/accuracy"]
    each = [run["figures"]["clean/accuracy"] for run in content["recipes"]["erm_resnet20"]["runs"].values()]
    assert of_two["over"] == "test examples"
    assert of_two["ci95"] == pytest.approx(np.mean([found["ci95"] for found in each], 0))
    runs = content["recipes"]["erm_resnet20"]["runs"]
    runs["2"] = copy.deepcopy(runs["0"])
    for seed, value in enumerate((0.5, 0.6, 0.7)):
        runs[str(seed)]["figures"]["clean/accuracy"]["value"] = value
    of_three = run_statistics.means(content["recipes"]["erm_resnet20"])["clean/accuracy"]
    half = 4.302653 * 0.1 / 3**0.5
    assert of_three["over"] == "seeds" and of_three["ci95"] == pytest.approx([0.6 - half, 0.6 + half], abs=1e-7)
    page = pages.page("x", content)
    row = next(line for line in page.splitlines() if line.startswith("| ERM "))
    assert "| 60.0 ± 24.8 " in row and pages.OF_SEEDS in page and pages.OF_EXAMPLES in page


@pytest.mark.parametrize(
    ("ci95", "sign", "expected"),
    [
        ([0.1, 0.2], 1, paper_claims.REPRODUCED),
        ([0.1, 0.2], -1, paper_claims.CONTRARY),
        ([-0.2, -0.1], 1, paper_claims.CONTRARY),
        ([-0.2, -0.1], -1, paper_claims.REPRODUCED),
        ([-0.1, 0.2], 1, paper_claims.UNTOLD),
        ([0.0, 0.2], 1, paper_claims.UNTOLD),
        (None, 1, paper_claims.NO_INTERVAL),
    ],
)
def test_a_verdict_is_that_of_the_interval(ci95, sign, expected):
    assert paper_claims.verdict(ci95, sign) == expected


def test_verdicts_turn_with_the_numbers(content):
    before = verdicts(content)
    accurate = ("mixup's test error is lower than ERM's", "")
    detects = ("mixup detects out-of-distribution input worse than ERM", "far")
    gradients = ("in between two examples, mixup's gradients are smaller than ERM's", "")
    attacked = ("mixup is right more often than ERM under white-box FGSM", "1/255")
    # as `answers` makes them: better with quality in all but the gradients
    assert before[accurate] == paper_claims.REPRODUCED and before[detects] == paper_claims.CONTRARY
    assert {gradients, attacked} <= before.keys()
    for pair in content["differences"]:
        for found in pair["figures"].values():
            found["values"] = {seed: -value for seed, value in found["values"].items()}
            found["pooled95"] = found["pooled95"] and [-end for end in reversed(found["pooled95"])]
    turned = {paper_claims.REPRODUCED: paper_claims.CONTRARY, paper_claims.CONTRARY: paper_claims.REPRODUCED}
    after = verdicts(content)
    assert after == {key: turned.get(value, value) for key, value in before.items()}
    block = pages.results_block({"x": content})
    assert re.search(r"\*\*The contrary came out:\*\* mixup's test error is lower than ERM's", block)
    assert re.search(r"\*\*Reproduced:\*\* .*worse than ERM \(far\)", block)
    assert "Of what the papers claim, under 2 seeds:" in block


def test_of_sound_the_papers_claim_less(content):
    for recipe in content["recipes"].values():
        recipe["kind"] = "audio"
    assert [row["claim"].words for row in run_statistics.tested_claims(content)] == [
        "mixup's test error is lower than ERM's",
        "RegMixup is more accurate than ERM (claimed for images)",
        "RegMixup is more accurate than mixup (claimed for images)",
    ]


def test_two_seeds_that_disagree_tell_nothing_apart(content):
    key = ("mixup's test error is lower than ERM's", "")
    found = difference(content, "mixup_resnet20", "erm_resnet20", "clean/accuracy")
    assert verdicts(content)[key] == paper_claims.REPRODUCED
    found["values"]["1"] = -0.001
    assert verdicts(content)[key] == paper_claims.UNTOLD


@pytest.mark.parametrize(
    ("third", "pooled95", "expected"),
    [
        (0.11, [0.05, 0.2], paper_claims.REPRODUCED),
        (0.11, [-0.05, 0.2], paper_claims.UNTOLD),  # the seeds agree, and other test examples might not
        (0.9, [0.05, 0.2], paper_claims.UNTOLD),  # the examples agree, and another seed might not
        (0.11, None, paper_claims.REPRODUCED),
        (-0.9, None, paper_claims.UNTOLD),
    ],
)
def test_from_three_seeds_on_a_verdict_needs_seeds_and_examples(content, third, pooled95, expected):
    found = difference(content, "mixup_resnet20", "erm_resnet20", "clean/accuracy")
    found.update(values={"0": 0.1, "1": 0.12, "2": third}, pooled95=pooled95)
    assert verdicts(content)["mixup's test error is lower than ERM's", ""] == expected


def test_the_page_and_the_block_show_what_was_found(content, tmp_path):
    page, block = pages.page("made_up", content), pages.results_block({"made_up": content})
    assert "# Made up\n" in page and "mixup_resnet20, seed 2" in page and "mixup_resnet20, seed 2" in block
    for recipe in content["recipes"].values():
        assert recipe["runs"]["0"]["command"] in page
    # the paper's, and RegMixup's with the word that it is not checked
    assert "| 95.8 (PreAct ResNet-18) " in block and "97.46 (WRN-28-10, unchecked)" in block
    assert re.search(r"RegMixup, 2206\.14502 +\| 96\.14 +\| 97\.01 +\| 97\.46 +\| unchecked \|", page)
    accuracy = run_statistics.means(content["recipes"]["regmixup_resnet20"])["clean/accuracy"]
    low, high = (100 * end for end in accuracy["ci95"])
    assert f"| {100 * accuracy['mean']:.1f} [{low:.1f}, {high:.1f}] " in block
    assert "torch 2.15.0" in page and "Linux x86_64, 2 cores, no GPU" in page and "10.0 10.0" in page
    pages.draw(content, tmp_path / "made_up.png")
    assert (tmp_path / "made_up.png").stat().st_size > 10_000


def test_what_somebody_typed_is_written_over(content, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    monkeypatch.setattr(pages, "README", tmp_path / "front.md")
    (tmp_path / "made_up.json").write_text(json.dumps(content))
    (tmp_path / "other.json").write_text("{}")  # such as gan.json: of another schema
    (tmp_path / "README.md").write_text("before\n<!-- results -->\n99.9\n<!-- /results -->\nafter\n")
    (tmp_path / "front.md").write_text("before\n<!-- claims -->\n99.9\n<!-- /claims -->\nafter\n")
    pages.main()
    block = pages.results_block({"made_up": content})
    table = pages.claims_block({"made_up": content})
    assert (tmp_path / "front.md").read_text() == f"before\n<!-- claims -->\n{table}<!-- /claims -->\nafter\n"
    written = (tmp_path / "README.md").read_text()
    assert written == f"before\n<!-- results -->\n{block}<!-- /results -->\nafter\n"
    assert (tmp_path / "made_up.md").read_text() == pages.page("made_up", content)
    (tmp_path / "README.md").write_text("no place\n")
    with pytest.raises(SystemExit, match=r"README\.md has no place marked <!-- results -->"):
        pages.main()


def test_a_method_s_settings_tell_it_from_another(content):
    cheap = copy.deepcopy(content["recipes"]["regmixup_resnet20"])
    content["recipes"]["cheap"] = {**cheap, "method": "regmixup(alpha=20.0, ratio=0.25)"}
    content["recipes"]["again"] = copy.deepcopy(content["recipes"]["erm_resnet20"])
    assert list(run_statistics.methods(content).values()) == [
        "ERM, erm_resnet20",
        "mixup, α = 1",
        "RegMixup, α = 20",
        "RegMixup, α = 20, ratio = 0.25",
        "ERM, again",
    ]


def test_the_pages_hold_what_the_results_say():
    """Nobody types into the tables: `make readme` writes them."""
    results = run_statistics.load(RESULTS)
    for file, marker, expected in (
        (RESULTS / "README.md", "results", pages.results_block(results)),
        (ROOT / "README.md", "claims", pages.claims_block(results)),
    ):
        text = file.read_text(encoding="utf-8")
        (block,) = re.findall(f"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", text, flags=re.S)
        assert block == expected
    for name, content in results.items():
        assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == pages.page(name, content)
        assert (RESULTS / f"{name}.png").is_file()
        assert not re.search(r"[\"' =]/\w", (RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_a_real_sweep_becomes_a_page(tmp_path):
    """Of a table in a file, without a network or a GPU."""
    table = load_iris(as_frame=True).frame.rename(columns={"target": "label"})
    table.to_csv(tmp_path / "mine.csv", index=False)
    recipes = [str(ROOT / f"recipes/uci/iris_{mix}.yaml") for mix in ("erm", "mixup")]
    options = ["--train_file", str(tmp_path / "mine.csv"), "--num_train_epochs", "2", "--split_seed", "0"]
    sweep = ["sweep", *recipes, "--seeds", "0", "1", "--out", str(tmp_path / "iris"), *options]
    assert hfmix(sweep) == 0
    out = tmp_path / "iris.json"
    collect_main([str(tmp_path / "iris"), "--title", "Iris", "--out", str(out)])
    (content,) = run_statistics.load(tmp_path).values()
    run = content["recipes"]["iris_mixup"]["runs"]["1"]
    assert run["command"].startswith("hfmix train recipes/uci/iris_mixup.yaml --seed 1 ")
    assert " --train_file DATA/mine.csv " in run["command"] and run["environment"]["versions"]["torch"]
    assert str(tmp_path) not in out.read_text() and "| ERM " in pages.page("iris", content)
    nll = [
        dict(RobustnessReport.load(tmp_path / f"iris/iris_{mix}/seed1").estimates())["clean/nll"]["value"]
        for mix in ("erm", "mixup")
    ]
    found = difference(content, "iris_mixup", "iris_erm", "clean/nll")
    assert found["values"]["1"] == pytest.approx(nll[1] - nll[0], rel=1e-4) and found["n"] == 30
