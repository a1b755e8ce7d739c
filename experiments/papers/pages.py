"""Pages and pictures of all results that `collect.py` wrote, their index, and README.md's table of the claims.

python -m experiments.papers.pages
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.papers import RESULTS
from experiments.papers.paper_claims import (
    ACCURACY,
    CONTRARY,
    FOR_IMAGES,
    NO_INTERVAL,
    PUBLISHED,
    REPRODUCED,
    UNTOLD,
)
from experiments.papers.run_statistics import MIN_SEEDS, difference_of, load, means, methods, tested_claims
from experiments.papers.shown_metrics import headline_of, headlines_of
from experiments.papers.update_readme import README, put
from hfmix.robustness.across_seeds import show_mean
from hfmix.robustness.presentation.base import Headline, show, show_difference
from hfmix.robustness.presentation.sweep import draw_sweep
from hfmix.utils.text import markdown_table

PAGE = """\
# {title}

Written by `python -m experiments.papers.pages` from [{name}.json]({name}.json), which
`experiments/papers/collect.py` made from the runs.

![{title}: the main figures by method]({name}.png)

{table}
{intervals}{unfinished}

## What the papers claim, and what came out here

{claims}
## The methods compared

{differences}
## The papers' own figures

{published}
## All figures

{all_figures}
## How to repeat it

DATA, or `data` in the working folder, is the folder that holds the data; each seed has a folder of its own.

```
{commands}
```

{circumstances}
"""
_PUBLISHED_OF = {"erm": "ERM", "mixup": "mixup", "regmixup": "RegMixup"}
OF_SEEDS = "± is half of a 95 % t-interval over the seeds; it leaves out that the test set is finite."
OF_EXAMPLES = (
    "With fewer than three seeds, brackets hold 95 % intervals over the test examples, which leave out what "
    "another seed would change. A mean's interval averages those of the seeds, which errs on the wide side."
)
VERDICTS = (
    f"A verdict follows from the interval: `{REPRODUCED}` if all of it supports the claim, `{CONTRARY}` if all of "
    f"it lies on the other side of 0, otherwise `{UNTOLD}`. With three seeds or more, the interval over the test "
    "examples must agree with the one over the seeds."
)
POOLED = (
    "For brackets, each example's difference is averaged over the seeds, which share one test set, and examples "
    f"are resampled for both methods at once; if two seeds differ in sign, the verdict is `{UNTOLD}`."
)


def results_block(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Writes the results that stand in ``experiments/results/README.md``, from what `load` returns."""
    return "\n".join(_section(name, content) for name, content in results.items())


def claims_block(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Writes README.md's table of the claims, with a column of verdicts for each file that `load` returns."""
    rows: dict[str, dict[str, str]] = {}
    for name, content in results.items():
        tested = tested_claims(content)
        column = f"[{content['title']}](experiments/results/{name}.md), {_seeds(tested)}"
        verdicts: dict[str, dict[str, list[str]]] = {}
        for row in tested:
            words = row["claim"].words.removesuffix(FOR_IMAGES)
            verdicts.setdefault(words, {}).setdefault(row["verdict"], []).append(_which(content, row))
        for words, details in verdicts.items():
            rows.setdefault(words, {})[column] = _verdicts_in_words(details)
    columns = {column: "–" for row in rows.values() for column in row}
    return markdown_table({words: {**columns, **row} for words, row in rows.items()}, "claim")


def page(name: str, content: Mapping[str, Any]) -> str:
    """Writes ``experiments/results/NAME.md``."""
    return PAGE.format(
        name=name,
        title=content["title"],
        table=_main_table(content),
        intervals=_intervals(content),
        unfinished=_unfinished(content),
        claims=_claims_table(content),
        differences=_differences_table(content),
        published=_published_table(content),
        all_figures=_all_figures(content),
        commands="\n".join(_commands(content)),
        circumstances=_circumstances(content),
    )


def draw(content: Mapping[str, Any], path: Path) -> None:
    """Draws the main figures, with a point for each seed."""
    labels, first, shown = methods(content), {}, {}
    for name, recipe in content["recipes"].items():
        first.setdefault(recipe["net"], labels[name])
        alike = {} if first[recipe["net"]] == labels[name] else {"difference": {"to": first[recipe["net"]]}}
        shown[labels[name]] = {"figures": means(recipe), **alike}
    over = {figure["over"] for recipe in shown.values() for figure in recipe["figures"].values()}
    draw_sweep(shown, _main(content), path, " or ".join(f"the {what}" for what in sorted(over, reverse=True)))


def _cell(mean: Mapping[str, Any] | None, how: Headline, signed: bool = False) -> str:
    if mean is None:
        return "–"
    if mean["over"] == "seeds" or mean["ci95"] is None:
        return show_mean(mean, how, signed)
    as_value = {"value": mean["mean"], "ci95": mean["ci95"]}
    return (show_difference if signed else show)(as_value, how.factor, how.digits)


def _main(content: Mapping[str, Any]) -> list[Headline]:
    return headlines_of(_paths(content), main=True)


def _paths(content: Mapping[str, Any]) -> list[str]:
    """Returns the paths of all figures that a run has."""
    runs = [run for recipe in content["recipes"].values() for run in recipe["runs"].values()]
    return [path for run in runs for path in run["figures"]]


def _main_table(content: Mapping[str, Any]) -> str:
    """Tabulates the means, beside the first accuracy in `PUBLISHED` for the method."""
    rows, labels = {}, methods(content)
    for name, recipe in content["recipes"].items():
        averaged = means(recipe)
        epochs = dict.fromkeys(f"{run['epochs']:g}" for run in recipe["runs"].values())
        row = {"net": recipe["net"], "epochs": ", ".join(epochs), "seeds": str(len(recipe["runs"]))}
        row |= {how.title: _cell(averaged.get(how.path), how) for how in _main(content)}
        for other in reversed(PUBLISHED):
            if (other.data, other.path) == (recipe["data"], ACCURACY) and recipe["mix"] in other.values:
                unchecked = "" if other.checked else ", unchecked"
                row["a paper's accuracy, %"] = f"{other.values[recipe['mix']]:g} ({other.net}{unchecked})"
        rows[labels[name]] = row
    return markdown_table(rows, "method")


def _intervals(content: Mapping[str, Any]) -> str:
    """Explains what the intervals of these means and differences are over."""
    counts = [len(recipe["runs"]) for recipe in content["recipes"].values()]
    counts += [len(pair["seeds"]) for pair in content["differences"]]
    of_seeds = [OF_SEEDS] if max(counts) >= MIN_SEEDS else []
    of_examples = [OF_EXAMPLES] if min(counts) < MIN_SEEDS else []
    return " ".join(of_seeds + of_examples)


def _unfinished(content: Mapping[str, Any]) -> str:
    if not content["unfinished"]:
        return ""
    return f"\n\n**Unfinished, and not in these figures:** {'; '.join(content['unfinished'])}."


def _verdicts_in_words(details: Mapping[str, list[str]]) -> str:
    """Joins a claim's verdicts; the radii or sets are named where they differ."""
    if len(details) == 1:
        return next(iter(details))
    return "; ".join(f"{verdict} ({', '.join(which)})" for verdict, which in details.items())


def _section(name: str, content: Mapping[str, Any]) -> str:
    """Writes one data set's section of the results."""
    tested = tested_claims(content)
    lines = []
    for which, words in (
        (REPRODUCED, "Reproduced"),
        (UNTOLD, "Not told apart"),
        (CONTRARY, "The contrary came out"),
        (NO_INTERVAL, "Measured without an interval"),
    ):
        by_claim: dict[str, list[str]] = {}
        for row in tested:
            if row["verdict"] == which:
                by_claim.setdefault(row["claim"].words, []).append(_which(content, row))
        items = [
            words + (f" ({'; '.join(filter(None, of))})" if any(of) else "") for words, of in by_claim.items()
        ]
        lines += [f"- **{words}:** {'; '.join(items)}.\n"] if items else []
    summary = f"\nOf what the papers claim, under {_seeds(tested)}:\n\n{''.join(lines)}" if lines else ""
    return (
        f"**{content['title']}**\n\n{_main_table(content)}\n{_intervals(content)}{_unfinished(content)}\n{summary}\n"
        f"![{content['title']}: the main figures by method]({name}.png)\n\n"
        f"All figures, commands and versions: [{name}.md]({name}.md).\n"
    )


def _seeds(tested: Sequence[Mapping[str, Any]]) -> str:
    """Writes how many seeds the tested claims have: "2 seeds", or "2 or 5 seeds"."""
    counts = [str(count) for count in sorted({len(row["difference"]["values"]) for row in tested})]
    return f"{' or '.join(counts)} seed{'' if counts == ['1'] else 's'}"


def _which(content: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Names the radius or set, and the method where there are several of its kind."""
    labels, recipes = methods(content), content["recipes"]
    alike = [name for name, recipe in recipes.items() if recipe["mix"] == row["claim"].method]
    return ", ".join(filter(None, [row["detail"], labels[row["other"]] if len(alike) > 1 else ""]))


def _claims_table(content: Mapping[str, Any]) -> str:
    tested, labels, rows = tested_claims(content), methods(content), {}
    if not tested:
        return "None of the papers' claims can be tested with these runs.\n"
    for number, row in enumerate(tested, 1):
        rows[str(number)] = {
            "paper": row["claim"].source,
            "claim": row["claim"].words + (f" ({row['detail']})" if row["detail"] else ""),
            "figure": row["how"].title,
            "of": f"{labels[row['other']]} − {labels[row['first']]}",
            "seeds": str(len(row["difference"]["values"])),
            "difference": _cell(row["difference"], row["how"], signed=True),
            "verdict": row["verdict"],
        }
    pooled = f" {POOLED}" if OF_EXAMPLES in _intervals(content) else ""
    return f"{markdown_table(rows, '#')}\n{VERDICTS}{pooled}\n"


def _differences_table(content: Mapping[str, Any]) -> str:
    labels = methods(content)
    rows = {}
    for pair in content["differences"]:
        averaged = {path: difference_of(figure) for path, figure in pair["figures"].items()}
        row = {"seeds": str(len(pair["seeds"]))}
        row |= {how.title: _cell(averaged.get(how.path), how, signed=True) for how in _main(content)}
        rows[f"{labels[pair['other']]} − {labels[pair['first']]}"] = row
    if not rows:
        return "No two methods were measured on the same data with a common seed.\n"
    return markdown_table(rows, "difference") + "\n* where the interval excludes 0.\n"


def _published_table(content: Mapping[str, Any]) -> str:
    """Tabulates the published values, below the ones measured here."""
    recipes, rows = content["recipes"].values(), {}
    shown = [value for value in PUBLISHED if value.data in {recipe["data"] for recipe in recipes}]
    if not shown:
        return "None is known for this data.\n"
    for path in dict.fromkeys(published.path for published in shown):
        how = headline_of(path)
        for recipe in recipes:
            if recipe["mix"] in _PUBLISHED_OF and path in (measured := means(recipe)):
                row = rows.setdefault(f"{how.title}: {recipe['net']}, here", {})
                row.setdefault(_PUBLISHED_OF[recipe["mix"]], _cell(measured[path], how))
        for published in shown:
            if published.path == path:
                row = {_PUBLISHED_OF[mix]: f"{value:g}" for mix, value in published.values.items()}
                checked = {"checked": "yes" if published.checked else "unchecked"}
                rows[f"{how.title}: {published.net}, {published.source}"] = {**row, **checked}
    columns = dict.fromkeys((*_PUBLISHED_OF.values(), "checked"), "–")
    return (
        markdown_table({name: {**columns, **row} for name, row in rows.items()}, "figure")
        + "\nThe papers' figures are of other nets and longer schedules: for orientation only. Unchecked ones "
        "come from a secondary record and were not compared with their source.\n"
    )


def _all_figures(content: Mapping[str, Any]) -> str:
    labels, paths = methods(content), _paths(content)
    by_method = {labels[name]: means(recipe) for name, recipe in content["recipes"].items()}
    rows = {
        how.title: {label: _cell(averaged.get(how.path), how) for label, averaged in by_method.items()}
        for how in headlines_of(paths)
    }
    corrupted = any(path.startswith("corruptions/accuracy/") for path in paths)
    note = "\nA corruption's interval is the mean of its five severities' intervals.\n" if corrupted else ""
    return markdown_table(rows, "figure") + note


def _commands(content: Mapping[str, Any]) -> list[str]:
    """Returns one command per recipe; other seeds' commands differ in the seed and the folder."""
    return [next(iter(recipe["runs"].values()))["command"] for recipe in content["recipes"].values()]


def _circumstances(content: Mapping[str, Any]) -> str:
    """Tabulates seeds and times by recipe, and lists machines, versions and commits, each once."""
    rows, machines, versions, commits = {}, [], [], []
    labels = methods(content)
    for name, recipe in content["recipes"].items():
        minutes = [run["seconds"] / 60 for run in recipe["runs"].values()]
        samples = next(iter(recipe["runs"].values()))["figures"].get(ACCURACY, {}).get("n", "–")
        rows[labels[name]] = {
            "recipe": name,
            "seeds": " ".join(recipe["runs"]),
            "minutes of training": " ".join(f"{value:.1f}" for value in minutes),
            "test examples": f"{samples}",
        }
        for run in recipe["runs"].values():
            machine, git = run["environment"]["hardware"], run["environment"]["git"]
            gpus = ", ".join(machine["gpus"]) or "no GPU"
            machines.append(f"{machine['platform']}, {machine['cpu_cores']} cores, {gpus}")
            versions.append(", ".join(f"{key} {value}" for key, value in run["environment"]["versions"].items()))
            commits.append(
                f"{git['commit'][:12]}{' with changes' if git['changed'] else ''}" if git else "unknown"
            )
    lines = [
        f"- {title}: {'; '.join(dict.fromkeys(values))}.\n"
        for title, values in (("Machine", machines), ("Versions", versions), ("Commit", commits))
    ]
    return f"{markdown_table(rows, 'method')}\n{''.join(lines)}".rstrip()


def main() -> None:
    results = load(RESULTS)
    for name, content in results.items():
        (RESULTS / f"{name}.md").write_text(page(name, content), encoding="utf-8")
        draw(content, RESULTS / f"{name}.png")
    put("results", results_block(results), RESULTS / "README.md")
    put("claims", claims_block(results), README)


if __name__ == "__main__":
    main()
