"""A data set on the Hub: its licence, and its tasks where it is a benchmark that collects results."""

import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from hfmix.data.arguments import DataArguments
from hfmix.robustness.report import RobustnessReport
from hfmix.utils.hub_connection import hub_reachable

EVAL_FOLDER = ".eval_results"


def licence_of(dataset: str) -> str | None:
    """Returns the licence that a data set's card names; None if it names none or the Hub cannot be reached."""
    text = _file_of(dataset, "README.md") or ""
    front = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    content = _yaml(front[1]) if front else None
    if not isinstance(content, dict):
        return None
    named = content.get("license")
    named = ", ".join(map(str, named)) if isinstance(named, list) else named
    if named == "other":  # the Hub's word for a licence that license_name names
        named = content.get("license_name")
    return str(named) if named and named != "unknown" else None


def benchmark_tasks(dataset: str, config: str | None, split: str) -> list[str]:
    """Returns the ids of a benchmark's tasks on this configuration and split; none if it is not a benchmark.

    Source: the Hub's documentation of ``eval.yaml``, which declares a data set a benchmark.
    """
    content = _yaml(_file_of(dataset, "eval.yaml") or "")
    tasks = content.get("tasks") if isinstance(content, dict) else None
    return [
        task["id"]
        for task in (tasks if isinstance(tasks, list) else [])
        if isinstance(task, dict)
        and isinstance(task.get("id"), str)
        and task.get("config", "default") == (config or "default")
        and task.get("split", "test") == split
    ]


def write_eval_results(run: Path, report: RobustnessReport, data: DataArguments) -> None:
    """Writes ``.eval_results/NAME.yaml``, with the clean accuracy as the result of each task of a benchmark.

    Writes no file if the data set is not a benchmark, or if only a part of its test split was measured.
    """
    dataset, accuracy = data.dataset_name, report.axes.get("clean", {}).get("accuracy")
    if accuracy is None or data.max_test_samples is not None:
        return
    tasks = benchmark_tasks(dataset, data.dataset_config_name, data.test_split)
    if not tasks:
        return
    entries = [
        EvalResultEntry(dataset, task, round(accuracy["value"], 6), notes="top-1 accuracy") for task in tasks
    ]
    file = run / EVAL_FOLDER / (re.sub(r"[^\w-]+", "_", dataset) + ".yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False), encoding="utf-8")


def _file_of(dataset: str, name: str) -> str | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    try:
        file = hf_hub_download(dataset, name, repo_type="dataset", local_files_only=not hub_reachable())
        return Path(file).read_text(encoding="utf-8")
    except (HTTPError, OSError, ValueError):  # missing, not readable for us, or not the name of a data set
        return None


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
