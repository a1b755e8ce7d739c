"""A recipe: a YAML file and the options after it, read into arguments that have been checked."""

import json
from argparse import SUPPRESS, Action, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from hfmix.arguments import DataArguments, ModelArguments, RunArguments
from hfmix.errors import UsageError
from hfmix.training_args import MixTrainingArguments

EPILOG = """examples:
  hfmix train recipes/digits/regmixup.yaml
  hfmix train recipes/finetune.yaml --dataset_name my_images/ --output_dir runs/mine
  hfmix train recipes/digits/mixup.yaml --mix_alpha 0.4 --num_train_epochs 5 --output_dir runs/digits/mixup04

A recipe is a YAML file whose keys are the options above; options on the command line win over it.
`--resume_from_checkpoint true` goes on with a run that was stopped, `--overwrite` replaces one.
"""


# of one start, not of the recipe; a token belongs in no file
_NOT_KEPT = {"overwrite", "resume_from_checkpoint", "local_rank", "use_cpu", "hub_token"}


@dataclass(frozen=True)
class Recipe:
    """The arguments of one training run.

    Attributes:
        model, data, run, training: the four groups.
        resolved: every option with its value, as plain YAML; itself a recipe.
        resume: whether to go on with a run that was stopped.
    """

    model: ModelArguments
    data: DataArguments
    run: RunArguments
    training: MixTrainingArguments
    resolved: dict[str, Any]
    resume: bool


def parse(argv: Sequence[str]) -> Recipe:
    """Reads a recipe's path, if the first word is one, and options, which win over it.

    Raises:
        UsageError: an unknown key, or a value that does not fit; the nearest key is named.
    """
    parser = _Parser((ModelArguments, DataArguments, RunArguments, MixTrainingArguments))
    path, options = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else (None, argv)
    from_recipe = _as_options(_read(path), parser.keys(), path) if path is not None else []
    values, unknown = parser.parse_known_args([*from_recipe, *options])
    if unknown:
        raise UsageError(_unknown_key(unknown[0].split("=")[0].lstrip("-"), parser.keys(), "option --"))
    given = {key: value for key, value in vars(values).items() if value is not None}
    try:
        model, data, run, training = parser.parse_dict(vars(values))
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    if model.model_name_or_path is None:
        raise UsageError("no model: set model_name_or_path, a timm architecture such as resnet18 or a Hub id")
    if "output_dir" not in given:
        raise UsageError("no output_dir: set the folder for the run, such as runs/mine")
    resume = str(training.resume_from_checkpoint or "").lower() not in ("", "false", "no", "0")
    if run.overwrite and resume:
        raise UsageError("overwrite and resume_from_checkpoint contradict each other: give one of them")
    resolved = {key: _plain(value) for key, value in given.items() if key not in _NOT_KEPT}
    if data.ood:
        resolved["ood"] = data.ood
    if training.mix_settings:
        resolved["mix_settings"] = training.mix_settings
    return Recipe(model, data, run, training, resolved, resume)


class _Help(RawDescriptionHelpFormatter):
    """One spelling an option, and its default where it has one: 150 options have to stay readable."""

    def add_argument(self, action: Action) -> None:
        if not any(option.startswith("--no_") for option in action.option_strings):
            super().add_argument(action)

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{action.option_strings[0]} {self._format_args(action, 'VALUE')}"

    def _get_help_string(self, action: Action) -> str:
        text = " ".join((action.help or "").split())
        return f"{text} [%(default)s]" if action.default not in (None, SUPPRESS, "", []) else text


class _Parser(HfArgumentParser):
    """transformers' parser, strict about names, with errors in one line instead of two screens of usage."""

    def __init__(self, groups: Sequence[type]) -> None:
        super().__init__(
            groups,
            prog="hfmix train",
            usage="hfmix train RECIPE [--num_processes N] [--any_argument value ...]",
            description="Train with a mixing policy, measure how robust the result is, and leave a run to push.",
            epilog=EPILOG,
            formatter_class=_Help,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def keys(self) -> list[str]:
        return [action.dest for action in self._actions if action.dest not in ("help", SUPPRESS)]


def _read(path: str) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path!r}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise UsageError(f"{path} is not a recipe: it should hold lines of `key: value`")
    return recipe


def _as_options(recipe: Mapping[str, Any], known: Sequence[str], path: str) -> list[str]:
    """The recipe written as options, so that its values go through the same checks as the command line's."""
    options = []
    for key, value in recipe.items():
        if key not in known:
            raise UsageError(f"{path}: " + _unknown_key(str(key), known, "key "))
        if isinstance(value, list) and value:
            options += [f"--{key}", *map(str, value)]
        elif value not in (None, []):
            options.append(f"--{key}={json.dumps(value) if isinstance(value, dict) else value}")
    return options


def _unknown_key(key: str, known: Sequence[str], kind: str) -> str:
    near = get_close_matches(key.replace("-", "_"), known, n=1)
    return f"unknown {kind}{key}: " + (f"did you mean {near[0]}?" if near else "see `hfmix train --help`")


def _plain(value: Any) -> Any:
    """A value as YAML can hold it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    value = value.value if isinstance(value, Enum) else value
    return value if isinstance(value, str | bool | int | float | dict) else str(value)
