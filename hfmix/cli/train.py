"""`hfmix train`: training from a recipe, through accelerate's launcher."""

from argparse import Namespace

from hfmix.cli.parsing import Commands


def add(commands: Commands) -> None:
    """Adds the command. Its options are those of the training script, which `hfmix.recipe.parse` reads."""
    parser = commands.add_parser(
        "train",
        help="train from a recipe and measure the result",
        add_help=False,
    )
    parser.set_defaults(command=_run, training_options=[])


def _run(arguments: Namespace) -> None:
    options = arguments.training_options
    if not options or options[0] in ("-h", "--help"):
        from hfmix.recipe import parse

        parse(["--help"])
    from hfmix.cli.launch import launch_training

    launch_training(options)
