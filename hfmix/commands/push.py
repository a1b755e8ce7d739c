"""`hfmix push`: a run on the Hub."""

from argparse import Namespace

from hfmix.commands.options import Commands


def add(commands: Commands) -> None:
    """Its options."""
    parser = commands.add_parser(
        "push", help="publish a finished run on the Hub, in one commit", allow_abbrev=False
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--repo-id", required=True, help="where to: org/name")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", help="a branch other than main")
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.hub.publish import push_to_hub

    url = push_to_hub(arguments.run, arguments.repo_id, private=arguments.private, revision=arguments.revision)
    print(url)
