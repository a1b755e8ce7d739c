"""`hfmix train`: the training script through accelerate's launcher."""

import os
import signal
import subprocess
import sys

from hfmix.errors import UsageError


def launch(argv: list[str]) -> None:
    """Checks the recipe, then starts it in `--num_processes` processes (1 by default) and waits.

    Raises:
        UsageError: a wrong option, recipe key or value.
        SystemExit: the script failed; it has said why.
    """
    from hfmix.recipe import parse

    num_processes, options = _num_processes(argv)
    # here and not in the workers only: a wrong recipe should be one line, not one a process and the launcher's
    args = parse(options).training
    environment = dict(os.environ)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", f"--num_processes={num_processes}"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    if num_processes > 1:
        launcher.append("--multi_gpu")
        if args.device.type == "cpu":
            # with --cpu the launcher starts a single process, whatever the number asked for
            environment["ACCELERATE_USE_CPU"] = "true"
            options += ["--use_cpu", "true"]
    with subprocess.Popen([*launcher, "-m", "hfmix.train", *options], env=environment) as script:
        # else a stopped `hfmix train` would leave its workers writing into the run's folder
        signal.signal(signal.SIGTERM, lambda *_: script.terminate())
        status = script.wait()
    if status:
        sys.exit(1 if status > 0 else 128 - status)


def _num_processes(argv: list[str]) -> tuple[int, list[str]]:
    """The launcher's own option, and what is left for the script."""
    count, rest, arguments = "1", [], iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in ("--num_processes", "--num-processes"):
            count = value if equals else next(arguments, "")
        else:
            rest.append(argument)
    if not count.isdigit() or int(count) < 1:
        raise UsageError(f"--num_processes is a number from 1, not {count!r}")
    return int(count), rest
