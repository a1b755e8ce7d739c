"""The command line. Parsing is cheap: a command's own imports happen when it runs."""

import argparse
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
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
    from hfmix.launch import launch_training

    launch_training(argv)


def _evaluate(arguments: Namespace) -> None:
    if arguments.num_processes > 1 and "RANK" not in os.environ:
        import torch

        from hfmix.launch import launch, take_num_processes

        _, options = take_num_processes(sys.argv[1:])
        return launch("hfmix", options, arguments.num_processes, not torch.cuda.is_available())
    from hfmix.evaluate import evaluate

    evaluate(arguments)


def _corrupt(arguments: Namespace) -> None:
    from hfmix.corrupt_folder import corrupt_folder, save_as_cifar_c

    if arguments.layout == "cifar-c":
        save_as_cifar_c(arguments.source, arguments.out, arguments.name, arguments.seed)
        return
    if arguments.name is None:
        raise UsageError("no corruption: set --name, such as fog")
    count = corrupt_folder(arguments.source, arguments.out, arguments.name, arguments.severity, arguments.seed)
    print(f"{arguments.out} holds {count} corrupted files")


def _compare(arguments: Namespace) -> None:
    from hfmix.robustness.summary import compare

    print(compare(arguments.runs, arguments.out), end="")
    if arguments.out:
        print(f"\n{arguments.out}/comparison.md holds this, {arguments.out}/comparison.png the figure")


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
    evaluate.add_argument("--near", nargs="+", default=[], metavar="NAME", help="which of --ood are near")
    evaluate.add_argument("--far", nargs="+", default=[], metavar="NAME", help="which of --ood are far")
    evaluate.add_argument(
        "--shift", nargs="+", type=_named, default=[], metavar="NAME=SOURCE", help="further labelled data"
    )
    evaluate.add_argument("--validation", metavar="SOURCE", help="data to fit the temperature on")
    evaluate.add_argument(
        "--reference", metavar="SOURCE", help="training data, whose features k-NN and Mahalanobis compare with"
    )
    evaluate.add_argument(
        "--corruptions", nargs="+", metavar="NAME", help="which corruptions [the 15 of ImageNet-C; all of sound]"
    )
    evaluate.add_argument(
        "--mode",
        choices=("parity", "corrected"),
        default="parity",
        help="with or without ImageNet-C's slips [parity]",
    )
    evaluate.add_argument(
        "--corrupted", metavar="FOLDER", help="take these images, in the layout of CIFAR-10-C, corrupted before"
    )
    evaluate.add_argument("--max_samples", type=_count, help="measure on so many examples [all]")
    evaluate.add_argument("--corruption_samples", type=_count, help="corrupt so many examples [all]")
    evaluate.add_argument("--batch_size", type=_count, default=128, help="examples a forward pass [128]")
    evaluate.add_argument("--seed", type=int, default=0, help="of corruption and draws [0]")
    evaluate.add_argument(
        "--skip_unreadable", action="store_true", help="leave files out that cannot be read, and count them"
    )
    evaluate.add_argument("--num_processes", type=_count, default=1, help="share the work among so many [1]")
    evaluate.add_argument("--out", help="a folder for the report; started again, it goes on from where it was")
    evaluate.set_defaults(command=_evaluate)

    compare = commands.add_parser(
        "compare", help="put runs side by side: one table, one figure", allow_abbrev=False
    )
    compare.add_argument("runs", metavar="RUN", nargs="+", help="folders with a robustness.json")
    compare.add_argument("--out", help="a folder for the table and the figure")
    compare.set_defaults(command=_compare)

    corrupt = commands.add_parser("corrupt", help="corrupt a folder of images or sound", allow_abbrev=False)
    corrupt.add_argument("source", metavar="IN", help="a folder of images or sound; for cifar-c any data set")
    corrupt.add_argument("out", metavar="OUT", help="a folder for the corrupted files, under the same names")
    corrupt.add_argument("--name", help="which corruption, such as fog; for cifar-c all where there is none")
    corrupt.add_argument("--severity", type=int, default=3, choices=range(1, 6), help="1 to 5 [3]")
    corrupt.add_argument("--seed", type=int, default=0, help="of the noise [0]")
    corrupt.add_argument(
        "--layout",
        choices=("folder", "cifar-c"),
        default="folder",
        help="files under the same names, or as CIFAR-10-C: a NumPy file a corruption, all severities [folder]",
    )
    corrupt.set_defaults(command=_corrupt)

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
