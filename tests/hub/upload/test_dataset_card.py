"""What a data set's repository tells, read by the unmodified client from its cache, as on a machine offline."""

import shutil
from pathlib import Path

import pytest
import yaml
from hub_process import HubProcess
from huggingface_hub import parse_eval_result_entries

from hfmix import RobustnessReport
from hfmix.data.arguments import DataArguments
from hfmix.hub.upload.dataset_card import benchmark_tasks, licence_of, write_eval_results
from hfmix.hub.upload.run_checks import files_to_send
from hfmix.hub.verification.card_claims import card_claims

EVAL = """
name: Digits
tasks:
- {id: digits_test, config: default, split: test}
- {id: digits_hard, config: hard, split: test}
- {id: digits_train, config: default, split: train}
- nonsense
"""


@pytest.fixture
def stored(tmp_path, monkeypatch, no_network):
    """Puts files of the data set me/digits into the client's cache."""
    from huggingface_hub import constants

    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def store(**files: str) -> None:
        repo, commit = cache / "datasets--me--digits", "0" * 40
        (repo / "refs").mkdir(parents=True, exist_ok=True)
        (repo / "refs/main").write_text(commit)
        (repo / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (repo / "snapshots" / commit / name.replace("_", ".")).write_text(text)

    return store


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("license: [mit, cc0-1.0]", "mit, cc0-1.0"),
        ("license: other\nlicense_name: imagenet-terms", "imagenet-terms"),
        ("license: unknown", None),
        ("license: other", None),
        ("tags: [x]", None),
        ("license: [mit", None),
    ],
)
def test_the_licence_is_the_one_that_its_card_names(stored, front, licence):
    stored(README_md=f"---\n{front}\n---\n# Digits\n")
    assert licence_of("me/digits") == licence


def test_a_benchmark_names_its_tasks(stored):
    stored(eval_yaml=EVAL)
    assert benchmark_tasks("me/digits", None, "test") == ["digits_test"]
    assert benchmark_tasks("me/digits", "hard", "test") == ["digits_hard"]
    assert benchmark_tasks("me/digits", None, "validation") == []


@pytest.mark.parametrize("text", ["tasks: 3", "[", "tasks:\n- {id: 3}", "", "just words"])
def test_what_is_no_benchmark_has_no_tasks(stored, text):
    stored(eval_yaml=text)
    assert benchmark_tasks("me/digits", None, "test") == []


def test_without_the_hub_nothing_is_said(stored):
    assert licence_of("me/digits") is None and benchmark_tasks("me/digits", None, "test") == []
    assert licence_of("no such/name/at all") is None


def test_results_are_in_the_hubs_form_and_are_pushed_and_checked(stored, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    report = RobustnessReport.load(run)
    write_eval_results(run, report, DataArguments("me/digits"))  # not known to be a benchmark
    stored(eval_yaml=EVAL)
    write_eval_results(run, report, DataArguments("me/digits", max_test_samples=60))
    write_eval_results(run, report, DataArguments("me/digits", test_split="validation"))
    assert not (run / ".eval_results").exists()
    write_eval_results(run, report, DataArguments("me/digits"))
    file = Path(".eval_results/me_digits.yaml")
    assert file.as_posix() in files_to_send(run)
    (entry,) = parse_eval_result_entries(yaml.safe_load((run / file).read_text()))
    assert (entry.dataset_id, entry.task_id) == ("me/digits", "digits_test")
    assert entry.value == pytest.approx(report.axes["clean"]["accuracy"]["value"], abs=1e-6)

    def verdict() -> str:
        return {claim.name: claim.verdict for claim in card_claims(run, report)}[file.as_posix()]

    assert verdict() == "holds"
    (run / file).write_text((run / file).read_text().replace(str(entry.value), "0.999"))
    assert verdict() == "failed"
    (run / file).write_text("value: [")
    assert verdict() == "failed"


def test_results_and_baseline_come_back_from_the_hub_and_from_the_cache(hub, run, tmp_path):
    """Though the folder of results is hidden; other hidden files stay away."""
    (run / ".eval_results/.secret.yaml").write_text("x: 1\n")
    push_to = f"push_to_hub({str(run)!r}, 'me/digits')"
    pull = "sorted(p.relative_to(f).as_posix() for f in [snapshot('me/digits', RUN_FILES)] for p in f.rglob('*'))"
    setup = "from hfmix.hub.upload.publish import push_to_hub\nfrom hfmix.hub.download.snapshot import snapshot\n"
    setup += "from hfmix.run_folder import RUN_FILES\n"
    home = HubProcess(hub.endpoint, tmp_path / "home")
    _, online = home.evaluate(setup, push_to, pull)
    (offline,) = home.evaluate(setup, pull, HF_HUB_OFFLINE="1")
    assert online == offline and {".eval_results/me_digits.yaml", "baseline.json"} <= set(online)
    assert ".eval_results/.secret.yaml" not in hub.repos["me/digits"].commits[-1].files
