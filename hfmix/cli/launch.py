"""Commands in several processes, through accelerate's launcher."""

import os
import signal
import subprocess
import sys

from hfmix.utils.errors import UsageError


def launch_training(argv: list[str]) -> None:
    """Checks the recipe, then starts the script in `--num_processes` processes (1 by default) and waits.

    Raises:
        UsageError: a wrong option, recipe key or value.
        SystemExit: the script failed; it has said why.
    """
    from hfmix.recipe import parse

    num_processes, options = take_num_processes(argv)
    # here and not in the workers only: a wrong recipe should be one line, not one a process and the launcher's
    on_cpu = parse(options).training.device.type == "cpu"
    if num_processes > 1 and on_cpu:
        options += ["--use_cpu", "true"]
    launch("hfmix.train", options, num_processes, on_cpu)


def launch(module: str, options: list[str], num_processes: int, on_cpu: bool) -> None:
    """Runs ``python -m module`` with these options in so many processes and waits.

    Raises:
        SystemExit: it failed; it has said why.
    """
    environment = dict(os.environ)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", f"--num_processes={num_processes}"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    if num_processes > 1:
        # a free port: with the launcher's fixed one, two commands started at once on a machine can meet
        launcher += ["--multi_gpu", "--main_process_port=0"]
        if on_cpu:
            # with --cpu the launcher starts a single process, whatever the number asked for
            environment["ACCELERATE_USE_CPU"] = "true"
    with subprocess.Popen([*launcher, "-m", module, *options], env=environment) as script:
        # else a command that is stopped would leave its workers writing
        signal.signal(signal.SIGTERM, lambda *_: script.terminate())
        status = script.wait()
    if status:
        sys.exit(1 if status > 0 else 128 - status)


def take_num_processes(argv: list[str]) -> tuple[int, list[str]]:
    """The launcher's own option, and what is left for the command.

    Raises:
        UsageError: it is not a number from 1.
    """
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
