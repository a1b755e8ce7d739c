"""The model card of a run, written from the run's own files."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hfmix.mixing import policy_from_dict
from hfmix.robustness.report import RobustnessReport
from hfmix.robustness.summary import headlines, show

TEMPLATE = Path(__file__).with_name("card_template.md")
_PAPERS = {
    "mixup": "1710.09412",
    "input_mixup": "1710.09412",
    "regmixup": "2206.14502",
    "cutmix": "1905.04899",
    "resizemix": "2012.11101",
    "manifold_mixup": "1806.05236",
}


def write_card(run: Path, title: str) -> None:
    """Writes ``README.md`` from config, recipe, results and report in `run`.

    Args:
        run: holds ``config.json``, ``recipe.yaml``, ``train_results.json``, ``environment.json`` and
            ``robustness.json``.
        title: the card's heading.
    """
    report = RobustnessReport.load(run)
    config, results, environment = (
        json.loads((run / name).read_text()) for name in ("config.json", "train_results.json", "environment.json")
    )
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    policy, dataset = results["policy"], dataset_name(recipe)
    is_timm = config["model_type"] == "timm_wrapper"
    base = recipe["model_name_or_path"]
    architecture = config.get("architecture") or config["architectures"][0]
    hub_base = (
        base
        if recipe["pretrained"] and re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).is_dir()
        else None
    )
    kind = report.content["data"]["kind"]
    task = f"{'tabular' if kind == 'table' else kind}-classification"
    is_multi_label = config.get("problem_type") == "multi_label_classification"
    data = ModelCardData(
        library_name="timm" if is_timm else "transformers",
        pipeline_tag=task,
        tags=["hfmix", policy["name"], task, "robustness"],
        datasets=[dataset] if _is_hub_dataset(recipe) else None,
        base_model=hub_base,
        metrics=["mean_average_precision" if is_multi_label else "accuracy"],
        model_name=title,
        eval_results=_eval_results(report, dataset, task),
    )
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        title=_plain(title),
        architecture=_plain(architecture),
        is_timm=is_timm,
        kind=kind,
        task=task,
        examples={"audio": "clips", "table": "rows"}.get(kind, "images"),
        row=_example_row(run) if kind == "table" else None,
        is_multi_label=is_multi_label,
        sampling_rate=_sampling_rate(run),
        needs_hfmix=_is_ours(architecture) or config["model_type"].startswith("hfmix"),
        dataset=_plain(dataset),
        class_names=[_plain(name) for name in report.content["data"]["class_names"]],
        policy=policy,
        policy_text=str(policy_from_dict(policy)),
        paper=_PAPERS.get(policy["name"]),
        headlines=headlines(report),
        num_samples=report.content["data"]["num_samples"],
        fingerprint=report.content["data"]["fingerprint_sha256"][:16],
        axes=report.axes,
        left_out=report.content["left_out"],
        findings=findings(report),
        figures=[f"figures/{path.name}" for path in sorted((run / "figures").glob("*.png"))],
        recipe=recipe,
        results=results,
        environment=environment,
        num_parameters=report.content["model"]["num_parameters"],
        base=_plain(base) if recipe["pretrained"] else None,
    )
    card.save(run / "README.md")


def findings(report: RobustnessReport) -> list[str]:
    """What the figures mean, one plain sentence each: what hurts most, how far to believe it, what it misses."""
    axes, sentences = report.axes, []
    if "corruptions" in axes:
        means = {
            name: sum(found["value"] for found in by_severity.values()) / len(by_severity)
            for name, by_severity in axes["corruptions"]["accuracy"].items()
        }
        worst = min(means, key=means.get)
        at_worst = show(axes["corruptions"]["accuracy"][worst]["5"], 100, 1)
        name = worst.replace("_", " ").capitalize()
        sentences.append(f"{name} hurts it most: accuracy {at_worst} % at severity 5.")
    if "calibration" in axes and "clean" in axes:
        gap = axes["calibration"]["mean_confidence"]["value"] - axes["clean"]["accuracy"]["value"]
        way = "over-confident" if gap > 0 else "under-confident"
        sentences.append(
            f"On clean input it is {way}: its mean confidence lies {100 * abs(gap):.1f} points "
            f"{'above' if gap > 0 else 'below'} its accuracy."
        )
    for name, found in axes.get("ood", {}).items():
        missed = found["msp"]["fpr95_ood_positive"]
        sentences.append(
            f"To notice 95 % of {_plain(name)} by low confidence, it would flag "
            f"{show(missed, 100, 1)} % of the proper input too."
        )
    return sentences


def dataset_name(recipe: dict[str, Any]) -> str:
    """What to call the data of a recipe: its Hub id or embedded name, else the name of its folder."""
    if recipe.get("train_file"):
        return Path(recipe["train_file"][0]).resolve().parent.name
    name = recipe["dataset_name"]
    return Path(name).resolve().name if Path(name).is_dir() else name


def _is_hub_dataset(recipe: dict[str, Any]) -> bool:
    name = recipe.get("dataset_name") or ""
    return "/" in name and not recipe.get("train_file") and not Path(name).is_dir()


def _is_ours(architecture: str) -> bool:
    import hfmix.models

    return architecture in hfmix.models.__all__


def _example_row(run: Path) -> str:
    """A row as the model's processor takes it, in Python, of at most six columns."""
    processor = json.loads((run / "preprocessor_config.json").read_text())
    row = {column: float(f"{found['median']:.4g}") for column, found in processor["numbers"].items()}
    row |= {column: categories[0] for column, categories in processor["words"].items() if categories}
    cells = [f"{column!r}: {value!r}" for column, value in row.items()]
    return "{" + ", ".join(cells[:6]) + ("}" if len(cells) <= 6 else f", ...}}  # {len(cells)} columns")


def _sampling_rate(run: Path) -> int | None:
    file = run / "preprocessor_config.json"
    return json.loads(file.read_text()).get("sampling_rate") if file.is_file() else None


def _eval_results(report: RobustnessReport, dataset: str, task: str) -> list[EvalResult]:
    """Every figure for the model-index; corruption and severity are kept apart in config and metric name."""
    results = []
    for path, found in report.figures():
        axis, *rest = path.split("/")
        if axis == "corruptions" and rest[0] == "accuracy":
            config, metric = rest[1], f"accuracy at severity {rest[2]}"
        elif axis == "corruptions":
            config, metric = "all-corruptions", " ".join(rest)
        elif axis == "ood":
            config, metric = f"against {rest[0]}", " ".join(rest[1:])
        else:
            config, metric = "clean", " ".join(rest)
        results.append(
            EvalResult(
                task_type=task,
                dataset_type=dataset,
                dataset_name=f"{dataset}, {config.replace('_', ' ')}",
                dataset_config=config,
                dataset_split="test",
                metric_type="accuracy" if "accuracy" in metric else metric.split()[-1],
                metric_name=metric.replace("_", " "),
                metric_value=round(found["value"], 6),
            )
        )
    return results


def _plain(text: str) -> str:
    """Text from users and data sets, so that Markdown and HTML show it as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(text).split())).replace("\\_", "_")
