"""A recipe: a YAML file and the options after it, read into checked arguments."""

import json
from argparse import SUPPRESS, Action, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from hfmix.data.arguments import DataArguments
from hfmix.robustness.arguments import EvaluationArguments
from hfmix.training.arguments import MixTrainingArguments
from hfmix.training.callbacks.stop_after import read_duration
from hfmix.utils.arguments import as_declared, as_mapping, check_positive
from hfmix.utils.errors import UsageError, one_line


@dataclass
class ModelArguments:
    """Options that say which network to train."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "A timm architecture (resnet18, timm/resnet18.a1_in1k), a Hub id or a folder; for random "
            "weights also a model type of transformers (wav2vec2). Required."
        },
    )
    pretrained: bool = field(
        default=True, metadata={"help": "Start from the checkpoint's weights instead of random ones."}
    )
    image_size: int | None = field(
        default=None,
        metadata={"help": "Side of the images in pixels, for timm architectures. [the model's own]"},
    )

    sampling_rate: int | None = field(
        default=None, metadata={"help": "Sampling rate of the sound that hfmix's own nets take, in Hz. [16000]"}
    )
    clip_seconds: float | None = field(
        default=None, metadata={"help": "Length of the clips that hfmix's own nets take, in seconds. [1]"}
    )
    num_mel_bins: int | None = field(
        default=None, metadata={"help": "Number of mel bands in the spectrograms that hfmix's own nets take. [64]"}
    )
    freeze_feature_encoder: bool = field(
        default=False, metadata={"help": "Freeze the convolutional feature encoder (wav2vec2, HuBERT, WavLM)."}
    )
    model_args: dict | str | None = field(
        default=None,
        metadata={
            "help": "Further arguments to build the net with, as a mapping (JSON on the command line): those of "
            "timm's create_model, or entries of transformers' config, such as '{\"drop_rate\": 0.1}'."
        },
    )

    _argument_group_name = "model"

    def __post_init__(self) -> None:
        check_positive(self, "image_size", "sampling_rate", "num_mel_bins")
        if self.clip_seconds is not None and self.clip_seconds <= 0:
            raise ValueError(f"clip_seconds is a number of seconds above 0, not {self.clip_seconds}")
        self.model_args = as_mapping("model_args", self.model_args)


@dataclass
class RunArguments:
    """Options for the run's folder, and for what its results are compared with."""

    overwrite: bool = field(default=False, metadata={"help": "Replace the run in --output_dir."})
    stop_after: str | None = field(
        default=None,
        metadata={
            "help": "Stop training after this time, such as 90s, 150m or 2.5h, at a checkpoint from which "
            "--resume_from_checkpoint true goes on. [never]"
        },
    )
    test_every_epoch: bool = field(
        default=False,
        metadata={
            "help": "Measure the test set after each epoch, or with each evaluation if --eval_strategy is steps; "
            "training is not affected. The best result is then chosen on the test set, as in the tables of papers "
            "on label noise, and is no estimate of generalisation."
        },
    )

    baseline: str | None = field(
        default=None,
        metadata={
            "help": "A finished run that was measured on the same data, such as one without mixing: the card "
            "shows its results beside this run's, with the paired differences."
        },
    )

    _argument_group_name = "run"

    def __post_init__(self) -> None:
        if self.stop_after is not None:
            read_duration(self.stop_after)


EPILOG = """examples:
  hfmix train recipes/digits/regmixup.yaml
  hfmix train recipes/finetune.yaml --dataset_name my_images/ --output_dir runs/mine
  hfmix train recipes/digits/mixup.yaml --mix_alpha 0.4 --num_train_epochs 5 --output_dir runs/digits/mixup04

A recipe is a YAML file whose keys are the options above; options on the command
line override it. With `base`, a path or a list of paths, it starts from other
recipes: later ones override earlier ones, and its own keys override all. Where
another `mix` overrides one, the overridden policy's strength and settings are
dropped with it. `--resume_from_checkpoint true` resumes a run that was
interrupted, `--overwrite` replaces one.
"""
_INSPECT_USAGE = "hfmix inspect SOURCE [--any_data_option value ...]"
_INSPECT = """\
Show what hfmix understands of data, without training: kind, splits, classes,
columns, sizes, what is left out and why, and every example that cannot be read.
SOURCE is a Hub id, a folder, a file of rows, or a recipe whose data to inspect.
"""
_INSPECT_EPILOG = """examples:
  hfmix inspect my_images/
  hfmix inspect table.csv --label_column_name species
  hfmix inspect recipes/digits/erm.yaml

The exit status is 1 if an example cannot be read, or if the data cannot be used.
"""
_GROUPS = (ModelArguments, DataArguments, EvaluationArguments, RunArguments, MixTrainingArguments)
# they concern one start, not the recipe; and a token belongs in no file
_NOT_KEPT = {"baseline", "overwrite", "stop_after", "resume_from_checkpoint", "local_rank", "use_cpu", "hub_token"}
_WORDS_OR_BOOLEANS = {"resume_from_checkpoint", "fsdp"}
# option names of transformers' run_image_classification.py and run_audio_classification.py and of timm's train.py,
# with what to use instead
_ELSEWHERE = {
    "train_dir": "set dataset_name to the folder, or train_file",
    "validation_dir": "set dataset_name to a folder with train/ and validation/ in it, or validation_file",
    "train_val_split": "it is validation_fraction here, which leaves the test set alone",
    "ignore_mismatched_sizes": "a head of another size is always replaced: leave it out",
    "model_type": "set model_name_or_path",
    "config_name": "a model comes with its own config: set model_name_or_path",
    "image_processor_name": "a model comes with its own processor: set model_name_or_path",
    "feature_extractor_name": "a model comes with its own processor: set model_name_or_path",
    "model_revision": "set model_name_or_path to the folder that `hf download NAME --revision REVISION` prints",
    "eval_file": "it is validation_file",
    "train_split_name": "training uses the split `train`: rename it in the data, or set train_file",
    "eval_split_name": "the split `validation` is used in training, and test_split names the one for the report",
    "attention_mask": "models that were trained with a padding mask get one: leave it out",
    "push_to_hub_model_id": "it is hub_model_id",
    "use_auth_token": "run `hf auth login`, or set the environment variable HF_TOKEN",
    "cache_dir": "set the environment variable HF_HOME",
    "token": "run `hf auth login`, or set the environment variable HF_TOKEN",
    "trust_remote_code": "code from the Hub is never run: leave it out",
    "overwrite_output_dir": "it is overwrite here",
    "evaluation_strategy": "it is eval_strategy",
    "warmup_ratio": "it is warmup_steps, where a value below 1 is a share of all steps",
    "no_cuda": "it is use_cpu",
    "aa": "set augmentation to randaugment, and randaugment_magnitude",
    "reprob": "it is erasing_probability, with augmentation randaugment",
    "smoothing": "it is label_smoothing_factor",
    "mixup": "set mix to mixup, and mix_alpha",
    "cutmix": "set mix to cutmix, and mix_alpha",
    "epochs": "it is num_train_epochs",
    "batch_size": "it is per_device_train_batch_size",
    "lr": "it is learning_rate",
    "opt": "it is optim",
    "workers": "it is dataloader_num_workers",
}


@dataclass(frozen=True)
class Recipe:
    """The arguments of one training run.

    Attributes:
        model, data, evaluation, run, training: the five groups of options.
        resolved: every option with its value, as plain YAML; itself a recipe.
        resume: whether to resume a run that was interrupted.
    """

    model: ModelArguments
    data: DataArguments
    evaluation: EvaluationArguments
    run: RunArguments
    training: MixTrainingArguments
    resolved: dict[str, Any]
    resume: bool


def parse(argv: Sequence[str]) -> Recipe:
    """Reads a recipe, if the first word is a path, and options, which take precedence over it.

    Raises:
        UsageError: a key is unknown (the message names the nearest one), or a value is invalid.
    """
    parser = _Parser(_GROUPS)
    path, options = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else (None, argv)
    from_recipe = parser.words(_with_bases(Path(path), parser.keys())) if path is not None else {}
    policy = parser.parse_known_args(options)[0].mix if any(map(_sets_mix, options)) else from_recipe.get("mix")
    values, unknown = parser.parse_known_args([*as_options(_over(from_recipe, {"mix": policy})), *options])
    if unknown:
        raise UsageError(_unknown_key(unknown[0].split("=")[0].lstrip("-"), parser.keys(), "option --"))
    given = {key: value for key, value in vars(values).items() if value is not None}
    try:
        model, data, evaluation, run, training = parser.parse_dict(vars(values))
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    if model.model_name_or_path is None:
        raise UsageError("no model: set model_name_or_path, a timm architecture such as resnet18 or a Hub id")
    if "output_dir" not in given:
        raise UsageError("no output_dir: set the folder for the run, such as runs/mine")
    if data.streaming and training.max_steps < 1:
        raise UsageError("streaming has no last epoch: set max_steps, the number of training steps")
    for name, value in (("sampler", training.sampler), ("class_weights", training.class_weights)):
        if data.streaming and value == "balanced":
            raise UsageError(
                f"{name} balanced needs all labels, which streaming does not know: remove one of them"
            )
    resume = str(training.resume_from_checkpoint or "").lower() not in ("", "false", "no", "0")
    if run.overwrite and resume:
        raise UsageError("overwrite and resume_from_checkpoint contradict each other: give one of them")
    resolved = {key: _plain(value) for key, value in given.items() if key not in _NOT_KEPT}
    if data.ood:
        resolved["ood"] = data.ood
    for name in ("mix_settings", "lr_triangle", "param_factors", "class_weights", "pos_weight"):
        if getattr(training, name):
            resolved[name] = getattr(training, name)
    return Recipe(model, data, evaluation, run, training, resolved, resume)


def parse_data(argv: Sequence[str]) -> DataArguments:
    """Reads the options for the data: a source or a recipe's path first, then options, which take precedence.

    Raises:
        UsageError: an option is unknown, or a value is invalid.
    """
    parser = _Parser((DataArguments,), "hfmix inspect", _INSPECT_USAGE, _INSPECT, _INSPECT_EPILOG)
    source, options = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else (None, argv)
    given: dict[str, Any] = {}
    if source is not None and Path(source).suffix in (".yaml", ".yml"):
        of_recipe = _with_bases(Path(source), _Parser(_GROUPS).keys())
        given = {key: value for key, value in of_recipe.items() if key in parser.keys()}  # noqa: SIM118
    elif source is not None:
        given = {"train_file": [source]} if Path(source).is_file() else {"dataset_name": source}
    values, unknown = parser.parse_known_args([*as_options(given), *options])
    if unknown:
        raise UsageError(_unknown_key(unknown[0].split("=")[0].lstrip("-"), parser.keys(), "option --"))
    try:
        return parser.parse_dict(vars(values))[0]
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


class _Help(RawDescriptionHelpFormatter):
    """A formatter with one spelling an option, and its default if it has one, to keep 150 options readable."""

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
    """transformers' parser with errors of one line, in which options cannot be abbreviated."""

    def __init__(
        self,
        groups: Sequence[type],
        prog: str = "hfmix train",
        usage: str = "hfmix train RECIPE [--num_processes N] [--any_argument value ...]",
        description: str = "Train with a mixing policy, measure how robust the result is, and leave a run.",
        epilog: str = EPILOG,
    ) -> None:
        super().__init__(
            groups,
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=_Help,
            allow_abbrev=False,
        )

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        return super().parse_known_args(as_declared(list(args or ()), self._option_string_actions), namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def words(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a recipe with the word `no` where an option takes it, and YAML read it as false.

        Raises:
            UsageError: a value is true or false, and the option takes other words.
        """
        actions = {action.dest: action for action in reversed(self._actions)}  # not `--no_...` of an option
        return {key: _word(key, value, actions[key]) for key, value in recipe.items()}

    def keys(self) -> list[str]:
        return [action.dest for action in self._actions if action.dest not in ("help", SUPPRESS)]


def _word(key: str, value: Any, action: Action) -> Any:
    values = value if isinstance(value, list) else [value]
    takes_booleans = getattr(action.type, "__name__", "") == "string_to_bool" or key in _WORDS_OR_BOOLEANS
    if takes_booleans or not any(isinstance(entry, bool) for entry in values):
        return value
    if value is False and "no" in (action.choices or ()):
        return "no"
    listed = f", one of {', '.join(map(str, action.choices))}" if action.choices else ""
    raise UsageError(
        f"the recipe's {key} is {str(value).lower()}, which is how YAML reads yes, no, on and off: "
        f"write the word in quotes{listed}"
    )


def _with_bases(path: Path, known: Sequence[str], above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Returns a recipe's keys over those of its bases; `above` are the recipes that led to it."""
    if path.resolve() in [other.resolve() for other in above]:
        circle = " -> ".join(str(other) for other in (*above, path))
        raise UsageError(f"recipes that are each other's base: {circle}")
    recipe = _read(path)
    bases = recipe.pop("base", None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UsageError(f"{path}: base is the path of a recipe, or a list of paths, not {bases!r}")
    for key in recipe:
        if key not in known:
            raise UsageError(f"{path}: " + _unknown_key(str(key), [*known, "base"], "key "))
    merged: dict[str, Any] = {}
    for base in bases:
        merged = _over(merged, _with_bases(path.parent / base, known, (*above, path)))
    return _over(merged, recipe)


def _sets_mix(option: str) -> bool:
    return option.partition("=")[0] == "--mix"


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merges one recipe's keys over another's; under another policy, the lower one's settings are dropped."""
    if None not in (above.get("mix"), below.get("mix")) and above["mix"] != below["mix"]:
        below = {key: value for key, value in below.items() if not key.startswith("mix_")}
    return {**below, **above}


def _read(path: Path) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe {str(path)!r}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {one_line(error)}") from error
    if not isinstance(recipe, dict):
        raise UsageError(f"{path} is not a recipe: it must hold lines of `key: value`")
    return recipe


def as_options(recipe: Mapping[str, Any]) -> list[str]:
    """Writes a recipe as options, so that its values pass the same checks as those of the command line."""
    options = []
    for key, value in recipe.items():
        if isinstance(value, list) and value:
            options += [f"--{key}", *map(str, value)]
        elif value not in (None, []):
            options.append(f"--{key}={json.dumps(value) if isinstance(value, dict) else value}")
    return options


def _unknown_key(key: str, known: Sequence[str], kind: str) -> str:
    name = key.replace("-", "_")
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "see `hfmix train --help`"
    return f"unknown {kind}{key}: {_ELSEWHERE.get(name, hint)}"


def _plain(value: Any) -> Any:
    """Converts a value to one that YAML can hold."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    value = value.value if isinstance(value, Enum) else value
    return value if isinstance(value, str | bool | int | float | dict) else str(value)
