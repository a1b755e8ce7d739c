"""The model card of a run, written from the run's own files."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hfmix.data.kind_words import words_for
from hfmix.data.sources.opened import files_for
from hfmix.data.sources.paths import expanded, looks_like_path
from hfmix.hub.card.baseline import load_baseline
from hfmix.hub.card.citations import arxiv_ids, citations
from hfmix.mixing import policy_from_dict
from hfmix.robustness.presentation import VIEWS, captions, headline_estimates, sentences
from hfmix.robustness.presentation.base import show, show_difference
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import training_seconds
from hfmix.utils.text import for_metadata, plain, unpadded_table

TEMPLATE = Path(__file__).with_name("card_template.md")


def write_card(run: Path, title: str) -> None:
    """Writes ``README.md``; see `make_card`."""
    make_card(run, title).save(run / "README.md")


def make_card(run: Path, title: str, dataset: str | None = None) -> ModelCard:
    """Returns the card that follows from the config, recipe, results and report of a run.

    Args:
        run: holds ``config.json``, ``recipe.yaml``, ``train_results.json``, ``environment.json`` and
            ``robustness.json``; the table has a column for the baseline where there is a ``baseline.json``.
        title: the card's heading.
        dataset: the name of the data; None takes `dataset_name`, which depends on the folders of this machine.
    """
    report = RobustnessReport.load(run)
    config, results, environment = (
        json.loads((run / name).read_text()) for name in ("config.json", "train_results.json", "environment.json")
    )
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    policy, dataset = results["policy"], dataset or dataset_name(recipe)
    baseline = load_baseline(run)
    licence = recipe.get("data_license") or results.get("data_license")
    is_timm = config["model_type"] == "timm_wrapper"
    base = recipe["model_name_or_path"]
    architecture = config.get("architecture") or config["architectures"][0]
    hub_base = (
        base
        if recipe["pretrained"] and re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).is_dir()
        else None
    )
    kind = report.content["data"]["kind"]
    words = words_for(kind)
    is_multi_label = config.get("problem_type") == "multi_label_classification"
    data = ModelCardData(
        library_name="timm" if is_timm else "transformers",
        pipeline_tag=words.task,
        tags=["hfmix", policy["name"], words.task, "robustness"],
        datasets=[dataset] if is_hub_dataset(recipe) else None,
        base_model=hub_base,
        metrics=["mean_average_precision" if is_multi_label else "accuracy"],
        model_name=for_metadata(title),
        eval_results=eval_results(report, dataset, words.task),
    )
    return ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        title=plain(title),
        architecture=plain(architecture),
        is_timm=is_timm,
        kind=kind,
        task=words.task,
        examples=words.examples,
        row=_example_row(run) if kind == "table" else None,
        is_multi_label=is_multi_label,
        sampling_rate=_sampling_rate(run),
        needs_hfmix=_is_ours(architecture) or config["model_type"].startswith("hfmix"),
        dataset=plain(dataset),
        class_names=[plain(name) for name in report.content["data"]["class_names"]],
        policy=policy,
        policy_text=str(policy_from_dict(policy)),
        citations=citations(policy),
        arxiv_ids=arxiv_ids(citations(policy)),
        table=unpadded_table(card_table(report, baseline)).rstrip(),
        baseline=baseline and {"name": plain(baseline["name"]), "paired": bool(baseline["differences"])},
        data_facts=plain(_how_read(environment["data"])) if "data" in environment else None,
        data_licence=licence and plain(licence),
        fingerprint=report.content["data"]["fingerprint_sha256"][:16],
        definitions=[
            text
            for axis, view in VIEWS.items()
            if axis in report.axes and (text := view.definition(report.axes[axis], plain))
        ],
        findings=card_findings(report),
        figures=_figures(run),
        recipe=recipe,
        results=results,
        seconds=training_seconds(results),
        environment=environment,
        num_parameters=report.content["model"]["num_parameters"],
        base=plain(base) if recipe["pretrained"] else None,
    )


def card_table(report: RobustnessReport, baseline: dict[str, Any] | None) -> list[tuple[str, ...]]:
    """Returns the card's `robustness_table`."""
    data = report.content["data"]
    return robustness_table(report, baseline, f"{data['num_samples']} test {words_for(data['kind']).examples}")


def robustness_table(
    report: RobustnessReport, baseline: dict[str, Any] | None, num_examples: str
) -> list[tuple[str, ...]]:
    """Returns head and rows of the card's table: a row per headline, and columns for the baseline if there is one.

    Args:
        report: the run's report.
        baseline: the result of `load_baseline`.
        num_examples: the size of the test set, such as ``"540 test images"``.
    """
    measured_on = f"measured on {num_examples}"
    if baseline is None:
        head = (measured_on, "value [95 % interval]")
    else:
        label = plain(baseline["policy"] or baseline["name"])
        head = (measured_on, "this model", f"baseline ({label})", "difference")
    rows = [head]
    for (title, path, factor, digits), estimate in headline_estimates(report.axes).items():
        row = (plain(title), _unbroken(show(estimate, factor, digits)))
        if baseline is not None:
            beside, difference = (baseline[part].get(path) for part in ("figures", "differences"))
            # the value alone: with a third interval the table is too wide for a phone
            row += (
                "–" if beside is None else f"{factor * beside['value']:.{digits}f}",
                "–" if difference is None else _unbroken(show_difference(difference, factor, digits)),
            )
        rows.append(row)
    return rows


def _unbroken(text: str) -> str:
    """Returns an estimate as text that keeps its interval on one line."""
    return text.replace(", ", ",\N{NO-BREAK SPACE}")


def card_findings(report: RobustnessReport) -> list[str]:
    """Returns the card's limits: what the evaluation found, then what was not measured."""
    by_reason: dict[str, list[str]] = {}
    for axis, why in report.content.get("left_out", {}).items():
        by_reason.setdefault(why, []).append(axis)
    missing = [f"Not measured: {', '.join(axes)} ({plain(why)})." for why, axes in by_reason.items()]
    return [*sentences(report.axes, plain), *missing]


def dataset_name(recipe: dict[str, Any]) -> str:
    """Returns the name of a recipe's data: its Hub id or embedded name, else the name of its folder."""
    if recipe.get("train_file"):
        return for_metadata(Path(recipe["train_file"][0]).resolve().parent.name)
    name = recipe["dataset_name"]
    path = Path(expanded(name))
    return for_metadata(path.resolve().name if path.exists() else name)


def is_hub_dataset(recipe: dict[str, Any]) -> bool:
    """Returns whether a recipe names its data by a Hub id."""
    name = recipe.get("dataset_name") or ""
    is_path = looks_like_path(name) or Path(name).exists()
    return "/" in name and not recipe.get("train_file") and not is_path


def _figures(run: Path) -> list[tuple[str, str]]:
    """Returns path and caption of each drawn figure, in the order of the card."""
    drawn = {path.stem for path in (run / "figures").glob("*.png")}
    return [(f"figures/{stem}.png", caption) for stem, caption in captions().items() if stem in drawn]


def _how_read(data: dict[str, Any]) -> str:
    """Returns what a `DataSummary` kept of how the data were read, in one line."""
    counts = data["splits"]["train"]["class_counts"] or {}
    parts = []
    if counts:
        low, high = min(counts.values()), max(counts.values())
        parts.append(f"{low} of each class" if low == high else f"{low} to {high} of each class")
    parts += [f"{name} set: {split['origin']}" for name, split in data["splits"].items() if split["origin"]]
    parts += [f"left out: {files_for(count, reason)}" for reason, count in data["left_out"].items()]
    if data["unreadable"]:
        parts.append(f"left out: {data['unreadable']} that could not be read")
    return "; ".join([*parts, *data["notes"]])


def _is_ours(architecture: str) -> bool:
    import hfmix.models

    return architecture in hfmix.models.__all__


def _example_row(run: Path) -> str:
    """Returns a row of at most six columns as the model's processor takes it, in Python."""
    processor = json.loads((run / "preprocessor_config.json").read_text())
    row = {column: float(f"{numbers['median']:.4g}") for column, numbers in processor["numbers"].items()}
    row |= {column: categories[0] for column, categories in processor["words"].items() if categories}
    cells = [f"{column!r}: {value!r}" for column, value in row.items()]
    return "{" + ", ".join(cells[:6]) + ("}" if len(cells) <= 6 else f", ...}}  # {len(cells)} columns")


def _sampling_rate(run: Path) -> int | None:
    file = run / "preprocessor_config.json"
    return json.loads(file.read_text()).get("sampling_rate") if file.is_file() else None


def eval_results(report: RobustnessReport, dataset: str, task: str) -> list[EvalResult]:
    """Returns the estimates for the model-index, each under a name of its own; all are in ``robustness.json``."""
    results = []
    for path, estimate in report.estimates():
        axis, *rest = path.split("/")
        listed = VIEWS[axis].listed(rest) if axis in VIEWS else None
        if listed is None:
            continue
        config, metric = listed
        results.append(
            EvalResult(
                task_type=task,
                dataset_type=dataset,
                dataset_name=f"{dataset}, {config.replace('_', ' ')}",
                dataset_config=config,
                dataset_split="test",
                metric_type="accuracy" if "accuracy" in metric else metric.split()[-1],
                metric_name=metric.replace("_", " "),
                metric_value=round(estimate["value"], 6),
            )
        )
    return results
