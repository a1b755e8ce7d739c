"""`hfmix verify`: a card's claims, measured again."""

from argparse import Namespace

from hfmix.cli.parsing import Commands, add_columns, count, named, named_columns


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "verify",
        help="measure again what a model's card claims",
        description="Measure again what a model's card claims. The exit status is 1 if a claim fails.",
    )
    parser.add_argument("name", metavar="NAME", help="org/name, org/name@revision, or a run's folder")
    parser.add_argument(
        "--dataset",
        metavar="SOURCE",
        help="test set: a Hub id, a folder, a Parquet file, or `digits` [the recipe's]",
    )
    parser.add_argument("--split", metavar="NAME", default="test", help="split of the data set [test]")
    add_columns(parser)
    parser.add_argument(
        "--ood",
        nargs="+",
        type=named,
        default=[],
        metavar="NAME=SOURCE",
        help="out-of-distribution data; NAME is that of the report [the recipe's]",
    )
    parser.add_argument(
        "--shift",
        nargs="+",
        type=named,
        default=[],
        metavar="NAME=SOURCE",
        help="further labelled test sets; NAME is that of the report",
    )
    parser.add_argument(
        "--validation", metavar="SOURCE", help="data that the temperature was fitted on [the recipe's]"
    )
    parser.add_argument(
        "--reference",
        metavar="SOURCE",
        help="training data, for the OOD scores k-NN and Mahalanobis [the recipe's]",
    )
    parser.add_argument(
        "--corrupted",
        metavar="FOLDER",
        help="corrupted test images that the report was measured on, if they came from a folder",
    )
    parser.add_argument(
        "--max_samples",
        type=count,
        metavar="N",
        help="number of test examples to measure on, of OOD sets in proportion [as many as the report]",
    )
    parser.add_argument("--batch_size", type=count, metavar="N", help="examples per forward pass [the report's]")
    parser.add_argument(
        "--all",
        action="store_true",
        help="print every claim [those on the card, failed or not checked]",
    )
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.hub.verification.verify import claims_table, verify
    from hfmix.utils.text import printable

    claims = verify(
        arguments.name,
        arguments.dataset,
        split=arguments.split,
        ood=dict(arguments.ood),
        shift=dict(arguments.shift),
        validation=arguments.validation,
        reference=arguments.reference,
        corrupted=arguments.corrupted,
        columns=named_columns(arguments),
        max_samples=arguments.max_samples,
        batch_size=arguments.batch_size,
    )
    print(claims_table(claims, arguments.all), flush=True)
    failed = [claim for claim in claims if claim.verdict == "failed"]
    if failed:
        first = printable(f"{failed[0].name}: {failed[0].why}")
        raise RuntimeError(f"{len(failed)} of {len(claims)} claims failed, first {first}")
    if not any(claim.interval for claim in claims):
        raise RuntimeError("no figure could be measured: nothing is verified")
