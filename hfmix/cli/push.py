"""`hfmix push`: publication of a run on the Hub."""

from argparse import Namespace

from hfmix.cli.parsing import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "push",
        help="publish a finished run on the Hub, in one commit",
        description="Publish a finished run on the Hub, in one commit, and print its URL.",
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--repo-id", metavar="ORG/NAME", required=True, help="repository to push to")
    parser.add_argument("--private", action="store_true", help="make the repository private if it is new")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to [main]")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead of pushing directly")
    parser.add_argument("--commit-message", metavar="TEXT", help="message of the commit [Add the run NAME]")
    parser.add_argument("--dry-run", action="store_true", help="list what would be sent, and send nothing")
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="how long to retry while the Hub or the network fails, not counting what succeeds; "
        "0 tries once [300]",
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
