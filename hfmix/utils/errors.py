"""Errors for the user: one line on standard error, and an exit status."""

import os
import re
import sys
import traceback
from collections.abc import Callable

# what torch puts before the message: all frames, of the errors that led to this one as well
_WORKERS_TRACEBACK = re.compile(
    r"\s*Caught \w+ in DataLoader worker process \d+\.\s*Original Traceback(?:.|\n)*"
    r'\n  File "[^\n]*", line \d+, in [^\n]*\n(?:    [^\n]*\n)*(?:[A-Za-z_][\w.]*: )?'
)


class UsageError(ValueError):
    """Error for a wrong option, or a wrong key or value in a recipe: exit status 2."""


def one_line(error: BaseException) -> str:
    """Returns the error's message in one line, or its type's name if it has none.

    Of an error in a DataLoader's worker, which torch raises again with the worker's traceback for a message, it is
    the original message.
    """
    text = str(error)
    traceback_of_worker = _WORKERS_TRACEBACK.match(text)
    message = text[traceback_of_worker.end() :] if traceback_of_worker else text
    return " ".join(message.split()) or type(error).__name__


def report_errors(command: Callable[[list[str]], None], argv: list[str]) -> int:
    """Runs `command` on `argv` and prints an error in one line, or with a traceback after a bare `--debug`.

    Returns:
        The exit status: 0; 2 for a `UsageError`; 1 for any other failure; 130 when interrupted.
    """
    argv, debug = _without_debug(argv)
    try:
        command(argv)
    except UsageError as error:
        _print(error, debug)
        return 2
    except KeyboardInterrupt:
        print("hfmix: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        _print(error, debug)
        return 1
    return 0


def _without_debug(argv: list[str]) -> tuple[list[str], bool]:
    """Removes a bare `--debug` from `argv`; one before these values is transformers' option of that name."""
    for i, argument in enumerate(argv):
        if argument == "--debug" and argv[i + 1 : i + 2] not in (["underflow_overflow"], ["tpu_metrics_debug"]):
            os.environ["HFMIX_DEBUG"] = "1"  # for the processes that accelerate starts
            argv = argv[:i] + argv[i + 1 :]
            break
    return argv, bool(os.environ.get("HFMIX_DEBUG"))


def _is_first_to_fail() -> bool:
    """Returns whether this process is the one to print: the first of several to fail, since others follow it."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        try:
            return distributed.distributed_c10d._get_default_store().add("hfmix/failed", 1) == 1
        except Exception:  # the store is gone, with the process that held it
            pass
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _print(error: Exception, debug: bool) -> None:
    if not _is_first_to_fail():
        return
    if "tqdm" in sys.modules:  # otherwise the line would continue that of a progress bar
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()
    if debug:
        traceback.print_exception(error)
    expected = isinstance(error, ValueError | OSError | RuntimeError)
    hint = "" if expected or debug else f" ({type(error).__name__}; --debug shows where)"
    # the progress bar is the first process's
    start = "" if os.environ.get("LOCAL_RANK", "0") == "0" else "\n"
    print(f"{start}hfmix: error: {one_line(error)}{hint}", file=sys.stderr, flush=True)
