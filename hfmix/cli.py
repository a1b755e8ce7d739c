"""The command line. Parsing is cheap: a command's own imports happen when it runs."""

import argparse
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hfmix import __version__
from hfmix.errors import UsageError, report_errors
from hfmix.robustness import AXES

DESCRIPTION = """\
mixup, RegMixup and their family for timm and Hugging Face classifiers,
and the report that shows how robust the result is.
"""

EPILOG = """\
start here:
  hfmix train recipes/digits/regmixup.yaml --output_dir runs/first
  hfmix evaluate runs/first --dataset digits --ood photographs=photo_patches
  hfmix push runs/first --repo-id your-name/first

`hfmix COMMAND --help` says more. --debug shows the traceback of an error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, 1 for a failure, 2 for a wrong option."""
    return report_errors(_run, sys.argv[1:] if argv is None else list(argv))


def _run(argv: list[str]) -> None:
    if argv[:1] == ["train"]:  # its options are those of the training script
        return _train(argv[1:])
    arguments = _parser().parse_args(argv)
    return arguments.command(arguments)


def _train(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        from hfmix.recipe import parse

        parse(["--help"])
    from hfmix.launch import launch

    launch(argv)


def _evaluate(arguments: Namespace) -> None:
    import torch

    from hfmix.data.columns import Columns
    from hfmix.data.splits import load_test
    from hfmix.hub.pretrained import load_pretrained
    from hfmix.robustness.suite import evaluate_robustness
    from hfmix.robustness.summary import headline
    from hfmix.run_folder import is_finished

    if arguments.out and is_finished(Path(arguments.out)):
        raise FileExistsError(f"{arguments.out} holds a finished run, with figures of its own: set another --out")
    columns = Columns(arguments.image_column_name, arguments.audio_column_name, arguments.label_column_name)
    test = load_test(arguments.dataset, arguments.split, columns, arguments.test_fraction)
    model, processor, _ = load_pretrained(arguments.model)
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if set(test.class_names) <= set(names):
        test = test.with_classes(names)
    else:
        print("the data's class names are not the model's: labels compare by index", file=sys.stderr)
    if torch.cuda.is_available():
        model.to("cuda")
    report = evaluate_robustness(
        model,
        processor,
        test.sample(arguments.max_samples, arguments.seed),
        axes=arguments.axes or AXES,
        ood=dict(arguments.ood),
        corruption_samples=arguments.corruption_samples,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        name=arguments.model,
    )
    print(headline(report))
    if arguments.out:
        report.save(arguments.out)
        print(f"{arguments.out}/robustness.json has every figure, {arguments.out}/figures the drawings")


def _compare(arguments: Namespace) -> None:
    from hfmix.robustness.summary import compare

    print(compare(arguments.runs, arguments.out), end="")
    if arguments.out:
        print(f"\n{arguments.out}/comparison.md is this table, {arguments.out}/comparison.png its figure")


def _push(arguments: Namespace) -> None:
    from hfmix.hub.publish import push_to_hub

    url = push_to_hub(arguments.run, arguments.repo_id, private=arguments.private, revision=arguments.revision)
    print(url)


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="hfmix",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hfmix {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    commands.add_parser(
        "train", help="train from a recipe and measure the result (RECIPE [--num_processes N] ...)"
    )

    evaluate = commands.add_parser("evaluate", help="measure how robust a model is", allow_abbrev=False)
    evaluate.add_argument("model", metavar="MODEL", help="a run's folder or a Hub id")
    evaluate.add_argument(
        "--dataset", required=True, help="the test set: a Hub id, a folder, a Parquet file, or `digits`"
    )
    evaluate.add_argument("--split", default="test", help="which split of it [test]")
    evaluate.add_argument(
        "--test_fraction",
        type=float,
        default=0.2,
        help="share of `train` to measure on where there is no `test`: the part that training held out [0.2]",
    )
    evaluate.add_argument("--image_column_name", help="the column of images [the only one]")
    evaluate.add_argument("--audio_column_name", help="the column of sound [the only one]")
    evaluate.add_argument("--label_column_name", help="the column of classes [the only one]")
    evaluate.add_argument("--axes", nargs="+", choices=AXES, help="what to measure [all]")
    evaluate.add_argument(
        "--ood", nargs="+", type=_named, default=[], metavar="NAME=SOURCE", help="out-of-distribution data"
    )
    evaluate.add_argument("--max_samples", type=_count, help="measure on so many images [all]")
    evaluate.add_argument("--corruption_samples", type=_count, help="corrupt so many images [all]")
    evaluate.add_argument("--batch_size", type=_count, default=128, help="images a forward pass [128]")
    evaluate.add_argument("--seed", type=int, default=0, help="of corruption and draws [0]")
    evaluate.add_argument("--out", help="a folder for robustness.json and the figures")
    evaluate.set_defaults(command=_evaluate)

    compare = commands.add_parser(
        "compare", help="put runs side by side: one table, one figure", allow_abbrev=False
    )
    compare.add_argument("runs", metavar="RUN", nargs="+", help="folders with a robustness.json")
    compare.add_argument("--out", help="a folder for the table and the figure")
    compare.set_defaults(command=_compare)

    push = commands.add_parser("push", help="publish a finished run on the Hub, in one commit", allow_abbrev=False)
    push.add_argument("run", metavar="RUN", help="the run's folder")
    push.add_argument("--repo-id", required=True, help="where to: org/name")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--revision", help="a branch other than main")
    push.set_defaults(command=_push)
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _named(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not (name and equals and source):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SOURCE")
    return name, source


if __name__ == "__main__":
    sys.exit(main())
