"""The model card of a run, written from the run's own files."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hfmix.data.kind_words import words_for
from hfmix.hub.card.baseline import load_baseline, robustness_table
from hfmix.hub.card.citations import arxiv_ids, citations
from hfmix.mixing import policy_from_dict
from hfmix.robustness.presentation.findings import findings
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import training_seconds
from hfmix.utils.text import for_metadata, plain, table_line

TEMPLATE = Path(__file__).with_name("card_template.md")
_LISTED_OOD = {(score, metric) for score in ("msp", "energy") for metric in ("auroc", "fpr95_ood_positive")}
_LISTED = ("selective/aurc", "interpolation/miss_rate")
_QUIRK_OF_ALL = {"all": "grey levels"}
# what each figure shows, the first two being those that say most to a reader in a hurry
_FIGURES = {
    "corruptions": "Accuracy by corruption and severity",
    "reliability": "Reliability diagram: accuracy over confidence",
    "adversarial": "Accuracy under attack over the attack's strength",
    "ood": "Confidence on proper and on out-of-distribution input",
    "roc": "ROC curves of telling out-of-distribution input",
    "risk_coverage": "Error over the share of input that is answered",
    "shift": "Accuracy on shifted data",
    "interpolation": "What it predicts between two examples",
    "memorization": "Errors in the course of training, and on wrong labels",
}


def write_card(run: Path, title: str) -> None:
    """Writes ``README.md``; see `make_card`."""
    make_card(run, title).save(run / "README.md")


def make_card(run: Path, title: str, dataset: str | None = None) -> ModelCard:
    """The card that follows from config, recipe, results and report in `run`.

    Args:
        run: holds ``config.json``, ``recipe.yaml``, ``train_results.json``, ``environment.json`` and
            ``robustness.json``; what is in ``baseline.json``, if it is there, stands beside its figures.
        title: the card's heading.
        dataset: what to call the data; None takes `dataset_name`, which follows paths of this machine.
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
        table=[(table_line(row), len(row)) for row in card_table(report, baseline)],
        baseline=baseline and {"name": plain(baseline["name"]), "paired": bool(baseline["differences"])},
        data_licence=licence and plain(licence),
        fingerprint=report.content["data"]["fingerprint_sha256"][:16],
        corruption_sentence=_corruption_sentence(report.axes["corruptions"])
        if "corruptions" in report.axes
        else "",
        has_ood="ood" in report.axes,
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
    """The card's `robustness_table`."""
    data = report.content["data"]
    return robustness_table(report, baseline, f"{data['num_samples']} test {words_for(data['kind']).examples}")


def card_findings(report: RobustnessReport) -> list[str]:
    """The card's limits: what was found, then what was not measured."""
    by_reason: dict[str, list[str]] = {}
    for axis, why in report.content.get("left_out", {}).items():
        by_reason.setdefault(why, []).append(axis)
    missing = [f"Not measured: {', '.join(axes)} ({plain(why)})." for why, axes in by_reason.items()]
    return [*findings(report, plain), *missing]


def dataset_name(recipe: dict[str, Any]) -> str:
    """What to call the data of a recipe: its Hub id or embedded name, else the name of its folder."""
    if recipe.get("train_file"):
        return for_metadata(Path(recipe["train_file"][0]).resolve().parent.name)
    name = recipe["dataset_name"]
    return for_metadata(Path(name).resolve().name if Path(name).is_dir() else name)


def is_hub_dataset(recipe: dict[str, Any]) -> bool:
    """Whether a recipe's data is named by a Hub id."""
    name = recipe.get("dataset_name") or ""
    return "/" in name and not recipe.get("train_file") and not Path(name).is_dir()


def _figures(run: Path) -> list[tuple[str, str]]:
    """Path and description of each drawn figure, in the order of `_FIGURES`."""
    drawn = {path.stem for path in (run / "figures").glob("*.png")}
    return [(f"figures/{name}.png", what) for name, what in _FIGURES.items() if name in drawn]


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


def eval_results(report: RobustnessReport, dataset: str, task: str) -> list[EvalResult]:
    """Figures for the model-index, the others being in ``robustness.json``; each has a name of its own."""
    results = []
    for path, found in report.estimates():
        if not _is_listed(path):
            continue
        axis, *rest = path.split("/")
        if axis == "corruptions" and rest[0] == "accuracy":
            config, metric = rest[1], f"accuracy at severity {rest[2]}"
        elif axis == "corruptions":
            config, metric = "all-corruptions", " ".join(rest)
        elif axis == "ood":
            config, metric = f"against {for_metadata('/'.join(rest[:-2]))}", " ".join(rest[-2:])
        elif axis == "adversarial":
            config, metric = f"attacked by {rest[1]}, {rest[0]} {rest[2].replace('_of_', '/')}", rest[3]
        elif axis in ("interpolation", "memorization"):
            config, metric = axis, rest[0]
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


def _is_listed(path: str) -> bool:
    """Whether a figure goes into the model-index, which would grow too long with all of them."""
    axis, *rest = path.split("/")
    if axis == "ood":
        return tuple(rest[-2:]) in _LISTED_OOD
    if axis == "adversarial":
        return rest[-1] == "robust_accuracy"
    return axis in ("clean", "calibration", "corruptions", "memorization") or path in _LISTED


def _corruption_sentence(corruptions: dict[str, Any]) -> str:
    """How the corrupted input came about: what it follows, what of that is known to be off, and whose frost."""
    texts = [
        f"corrupted accuracy is the mean over {len(corruptions['accuracy'])} corruptions at 5 severities, "
        f"applied {plain(corruptions['applied'])}"
    ]
    quirks = ", ".join(_QUIRK_OF_ALL.get(name, name.replace("_", " ")) for name in corruptions.get("quirks", {}))
    if quirks:
        texts[0] += " ([arXiv 1903.12261](https://arxiv.org/abs/1903.12261))"
        followed = corruptions["mode"] == "parity"
        texts.append(
            f"where ImageNet-C's code departs from its paper ({quirks}) "
            f"{'the code is followed' if followed else 'the paper is followed'}, see `quirks` in `robustness.json`"
        )
    if corruptions.get("frost"):
        drawn = corruptions["frost"] == "procedural"
        texts.append(f"the frost is {'drawn' if drawn else 'photographed'} (`{corruptions['frost']}`)")
    return "; ".join(texts)
