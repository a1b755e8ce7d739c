"""`hfmix push`: a run on the Hub."""

from argparse import Namespace

from hfmix.cli.parsing import Commands


def add(commands: Commands) -> None:
    """Its options."""
    parser = commands.add_parser(
        "push", help="publish a finished run on the Hub, in one commit", allow_abbrev=False
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--repo-id", required=True, help="where to: org/name")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", help="a branch other than main")
    parser.add_argument("--create-pr", action="store_true", help="propose it as a pull request")
    parser.add_argument("--commit-message", help="the commit's [Add the run NAME]")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="how long to go on while the Hub or the network fails, not counting what goes well [300]",
    )
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.hub.upload.publish import PATIENCE, push_to_hub
    from hfmix.utils.errors import UsageError

    patience = PATIENCE if arguments.patience is None else arguments.patience
    if not 0 <= patience < float("inf"):
        raise UsageError(f"--patience is a number of seconds, 0 to try once, not {patience}")
    if arguments.dry_run:
        return _show(arguments)
    url = push_to_hub(
        arguments.run,
        arguments.repo_id,
        private=arguments.private,
        revision=arguments.revision,
        create_pr=arguments.create_pr,
        commit_message=arguments.commit_message,
        patience=patience,
    )
    print(url)


def _show(arguments: Namespace) -> None:
    from hfmix.hub.upload.publish import push_plan

    files, compared = push_plan(arguments.run, arguments.repo_id, revision=arguments.revision)
    for file in files:
        print(f"{file.state:9}  {file.size:>14,}  {file.name}")
    sent = [file for file in files if file.state != "unchanged"]
    print(
        f"{len(sent)} of {len(files)} files, {sum(file.size for file in sent):,} bytes, would be sent ({compared})"
    )
