"""Odd names of runs and data sets: the metadata hold them exactly, and the card's text keeps its shape."""

import json
import re
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hfmix import RobustnessReport
from hfmix.hub.card.model_card import make_card
from hfmix.hub.upload.run_checks import check_card
from hfmix.hub.verification.card_claims import card_claims
from hfmix.utils.text import plain

NASTY = [
    "a|b",
    "\\",
    "\\|",
    "`x`",
    "```\ncode",
    "<script>alert(1)</script>",
    "</details>",
    "![x](y)",
    "# heading",
    "line\n---\nline",
    "---",
    "...",
    "key: value",
    "- item",
    "{a: [b",
    "!!python/object:os.system x",
    "&anchor *alias",
    "%TAG",
    "'\"",
    "null",
    "0x10",
    "1e3",
    "{{ title }}{% raw %}",
    "\N{NEXT LINE}\N{LINE SEPARATOR}\x07\ttab\r\n",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp",
    "*b* __init__ ~~gone~~ $x$ &lt;",
]
names = st.one_of(st.sampled_from(NASTY), st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)).filter(
    lambda name: name.strip() and "\0" not in name
)


@pytest.fixture(scope="module")
def small_run(finished_run, tmp_path_factory):
    """The finished run's card with a report of two axes, so that a hundred cards are quickly written."""
    run = tmp_path_factory.mktemp("named") / "run"
    shutil.copytree(finished_run, run)
    report = json.loads((run / "robustness.json").read_text())
    report["axes"] = {axis: report["axes"][axis] for axis in ("clean", "ood")}
    (run / "robustness.json").write_text(json.dumps(report))
    (run / "robustness.csv").unlink()
    return run


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=names, dataset=names, ood=names, class_name=names, baseline=names, reason=names, licence=names)
@example(*["line\n---\nline | x"] * 7)
@example(*["a\\|b"] * 7)
@example(*["0\N{NEXT LINE}"] * 7)
@example(*["<b>`x`</b> [l](u) \\"] * 7)
def test_any_names(small_run, tmp_path_factory, title, dataset, ood, class_name, baseline, reason, licence):
    run = tmp_path_factory.mktemp("fuzz")
    report = json.loads((small_run / "robustness.json").read_text())
    axes = report["axes"]
    axes["ood"] = {ood: axes["ood"]["photographs"]}
    report["data"]["class_names"][0] = class_name
    report["left_out"] = {"shift": reason}
    (run / "robustness.json").write_text(json.dumps(report))
    for name in ("config.json", "environment.json", "train_results.json"):
        shutil.copy(small_run / name, run)
    recipe = yaml.safe_load((small_run / "recipe.yaml").read_text()) | {"data_license": licence}
    recipe["dataset_name"] = dataset = dataset.replace("/", "-")  # no path and no Hub id
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    figures = dict(RobustnessReport.load(run).estimates())
    fingerprint = report["data"]["fingerprint_sha256"]
    beside = {"name": baseline, "policy": None, "fingerprint_sha256": fingerprint, "differences": {}}
    (run / "baseline.json").write_text(json.dumps({**beside, "figures": figures}))

    make_card(run, title).save(run / "README.md")
    check_card(run / "README.md", with_figures=True)
    card = ModelCard.load(run / "README.md")

    breaks = str.maketrans(dict.fromkeys("\x85\u2028\u2029", " "))  # which PyYAML does not keep
    assert card.data.model_name == title.translate(breaks)
    results = card.data.eval_results
    assert {result.dataset_type for result in results} == {dataset.translate(breaks)}
    assert f"against {ood.translate(breaks)}" in {result.dataset_config for result in results}

    text = re.sub(r"^```.*?^```$", "", card.text, flags=re.S | re.M)
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("## ")] == [
        "## How robust it is",
        "## Limits that the evaluation found",
        "## How to use it",
        "## How it was trained",
        "## Citation",
    ]
    assert sum(line.startswith("# ") for line in lines) == 1 and "---" not in lines
    table = text.partition("## How robust it is")[2].partition("\n↑")[0].strip().splitlines()
    assert {len(re.findall(r"(?:^|[^\\])(?:\\\\)*\|", line)) for line in table} == {5}
    tags = re.findall(r"(?:^|[^\\])(?:\\\\)*(</?\w+)", text)
    assert sorted(set(tags)) == ["</details", "</summary", "<details", "<summary"]
    verdicts = {claim.name: claim.verdict for claim in card_claims(run, RobustnessReport.load(run))}
    assert set(verdicts.values()) == {"holds", "not checked"} and verdicts["card, its table"] == "holds"
    assert verdicts["card, the rest of its text"] == "holds"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two  words\n", "two words"),
        ("snake_case_1", "snake_case_1"),
        ("__init__", r"\_\_init\_\_"),
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("&lt;b>", r"\&lt;b\>"),
        ("crème brûlée 猫", "crème brûlée 猫"),
    ],
)
def test_plain(name, shown):
    assert plain(name) == shown
