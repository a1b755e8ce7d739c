"""accelerate's launcher: runs a command in several processes."""

import os
import signal
import subprocess
import sys

from hfmix.utils.errors import UsageError


def launch_training(argv: list[str]) -> None:
    """Checks the recipe, then starts the script in `--num_processes` processes (1 by default) and waits.

    Raises:
        UsageError: a wrong option, recipe key or value.
        SystemExit: the script failed; it has printed the reason.
    """
    from hfmix.recipe import parse

    num_processes, options = take_num_processes(argv)
    # also here, not in the workers alone: else each process and the launcher would report a wrong recipe
    on_cpu = parse(options).training.device.type == "cpu"
    if num_processes > 1 and on_cpu:
        options += ["--use_cpu", "true"]
    launch("hfmix.train", options, num_processes, on_cpu)


def launch(module: str, options: list[str], num_processes: int, on_cpu: bool) -> None:
    """Runs ``python -m module`` with these options in `num_processes` processes and waits.

    Raises:
        SystemExit: the module failed; it has printed the reason.
    """
    environment = dict(os.environ)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", f"--num_processes={num_processes}"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    if num_processes > 1:
        # a free port: with the launcher's fixed one, two commands started at once on a machine can meet
        launcher += ["--multi_gpu", "--main_process_port=0"]
        if on_cpu:
            # with --cpu the launcher starts one process even if --num_processes asks for several
            environment["ACCELERATE_USE_CPU"] = "true"
    with subprocess.Popen([*launcher, "-m", module, *options], env=environment) as script:
        # otherwise a command that is stopped would leave its workers running
        signal.signal(signal.SIGTERM, lambda *_: script.terminate())
        status = script.wait()
    if status:
        sys.exit(1 if status > 0 else 128 - status)


def take_num_processes(argv: list[str]) -> tuple[int, list[str]]:
    """Splits a command line into the number of processes (1 by default) and the command's own options.

    Raises:
        UsageError: ``--num_processes`` is not a number from 1.
    """
    count, rest, arguments = "1", [], iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.replace("-", "_") == "__num_processes":
            count = value if equals else next(arguments, "")
        else:
            rest.append(argument)
    if not count.isdigit() or int(count) < 1:
        raise UsageError(f"--num_processes is a number from 1, not {count!r}")
    return int(count), rest
