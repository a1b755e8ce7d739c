"""Train a classifier with a mixing policy, measure how robust it is, and leave a run that can be pushed.

accelerate launch -m hfmix.train RECIPE [--any_argument value ...]
"""

import json
import sys
from argparse import SUPPRESS, Action, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import yaml
from accelerate import PartialState
from PIL import Image
from torchvision.transforms import v2
from transformers import (
    HfArgumentParser,
    TimmWrapperForImageClassification,
    default_data_collator,
    set_seed,
)
from transformers.trainer_utils import EvalPrediction, get_last_checkpoint
from transformers.utils import logging

from hfmix.backbones import load_backbone, save_backbone
from hfmix.data import (
    DataArguments,
    ImageExamples,
    LabelledImages,
    check_positive,
    load_splits,
    open_ood,
)
from hfmix.environment import environment
from hfmix.errors import UsageError, report_errors
from hfmix.hub.card import write_card
from hfmix.robustness.preprocess import Preprocessor, input_size
from hfmix.robustness.suite import evaluate_robustness
from hfmix.robustness.summary import headline
from hfmix.run_folder import begin, check_free, finishing, is_finished
from hfmix.trainer import MixTrainer
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


@dataclass
class ModelArguments:
    """Which network."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "A timm architecture (resnet18, timm/resnet18.a1_in1k), a Hub id or a folder. Required."
        },
    )
    pretrained: bool = field(
        default=True, metadata={"help": "Start from the checkpoint's weights, not from random."}
    )
    image_size: int | None = field(
        default=None, metadata={"help": "Side of the input in pixels, for timm architectures. [the model's own]"}
    )

    _argument_group_name = "model"

    def __post_init__(self) -> None:
        check_positive(self, "image_size")


@dataclass
class RunArguments:
    """What happens to the run's folder, and how much is measured at the end."""

    overwrite: bool = field(default=False, metadata={"help": "Replace the run that --output_dir holds."})
    corruption_samples: int | None = field(
        default=None,
        metadata={"help": "Corrupt so many test images for the report, the same ones whatever the --seed. [all]"},
    )

    _argument_group_name = "run"

    def __post_init__(self) -> None:
        check_positive(self, "corruption_samples")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns the exit status: 0, 1 for a failure, 2 for a wrong option or recipe."""
    return report_errors(lambda arguments: train(*parse(arguments)), sys.argv[1:] if argv is None else list(argv))


def parse(
    argv: Sequence[str],
) -> tuple[ModelArguments, DataArguments, RunArguments, MixTrainingArguments, dict[str, Any]]:
    """Reads a recipe and the options that follow it.

    Returns:
        The four groups of arguments, and the resolved recipe: every option with its value.

    Raises:
        UsageError: an unknown key, or a value that does not fit; the nearest key is named.
    """
    groups = (ModelArguments, DataArguments, RunArguments, MixTrainingArguments)
    parser = _Parser(groups)
    recipe, options = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else (None, argv)
    from_recipe = _as_options(_read_recipe(recipe), parser.keys(), recipe) if recipe is not None else []
    values, unknown = parser.parse_known_args([*from_recipe, *options])
    if unknown:
        raise UsageError(_unknown_key(unknown[0].split("=")[0].lstrip("-"), parser.keys(), "option --"))
    resolved = {
        key: _plain(value) for key, value in vars(values).items() if value is not None and key not in _NOT_KEPT
    }
    try:
        model_args, data_args, run_args, training_args = parser.dataclasses_from(values)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    if model_args.model_name_or_path is None:
        raise UsageError("no model: set model_name_or_path, a timm architecture such as resnet18 or a Hub id")
    if "output_dir" not in resolved:
        raise UsageError("no output_dir: set the folder for the run, such as runs/mine")
    if run_args.overwrite and _resumes(training_args):
        raise UsageError("overwrite and resume_from_checkpoint contradict each other: give one of them")
    if data_args.ood:
        resolved["ood"] = data_args.ood
    return model_args, data_args, run_args, training_args, resolved


def train(
    model_args: ModelArguments,
    data_args: DataArguments,
    run_args: RunArguments,
    args: MixTrainingArguments,
    resolved: Mapping[str, Any],
) -> None:
    """Trains, evaluates and leaves a finished run in ``args.output_dir``. See the module's docstring.

    Raises:
        ValueError, OSError: the data, the model or the folder cannot be used; the message says why.
    """
    run = Path(args.output_dir)
    resume = _resumes(args)
    if resume and is_finished(run):
        say(args, f"{run} is finished already: nothing to resume")
        return
    logging.disable_progress_bar()  # of saving, once a checkpoint; training and evaluation have their own
    if args.device.type == "cpu":
        args.dataloader_pin_memory = False
    with args.main_process_first(local=False, desc="preparing the run's folder and the data"):
        if args.process_index == 0:
            check_free(run, resume, run_args.overwrite)
        splits = load_splits(data_args, args.seed)
        ood = open_ood(data_args.ood or {})  # now, so that a wrong path is found before the training
    set_seed(args.seed)  # of a new head, or of all weights where training starts from none
    model, processor = load_backbone(
        model_args.model_name_or_path, splits["train"].class_names, model_args.pretrained, model_args.image_size
    )
    if args.ddp_find_unused_parameters is None and isinstance(model, TimmWrapperForImageClassification):
        args.ddp_find_unused_parameters = False  # timm's nets use all of theirs: no search each step
    trainer = MixTrainer(
        model=model,
        args=args,
        train_dataset=ImageExamples(splits["train"], ToPixels(processor, data_args)),
        eval_dataset=(
            ImageExamples(splits["validation"], ToPixels(processor)) if "validation" in splits else None
        ),
        data_collator=default_data_collator,
        compute_metrics=accuracy,
    )
    if args.process_index == 0:
        begin(run, run_args.overwrite)
    result = trainer.train(resume_from_checkpoint=_checkpoint(args, run) if resume else None)
    # measuring is the main process's alone; a worker that left with its group still open would abort now and then
    PartialState().destroy_process_group()
    if not trainer.is_world_process_zero():
        return
    finish(run, trainer, processor, splits["test"], ood, run_args, result.metrics, resolved)


def finish(
    run: Path,
    trainer: MixTrainer,
    processor: Any,
    test: LabelledImages,
    ood: Mapping[str, LabelledImages],
    run_args: RunArguments,
    metrics: Mapping[str, float],
    resolved: Mapping[str, Any],
) -> None:
    """Measures the trained model and writes the finished run; on the main process only."""
    args, model = trainer.args, trainer.accelerator.unwrap_model(trainer.model)
    results = {
        "policy": trainer.policy.to_dict(),
        "num_train_samples": len(trainer.train_dataset),
        "metrics": metrics,
        "log_history": trainer.state.log_history,
    }
    with finishing(run) as stage:
        save_backbone(model, processor, stage)
        try:
            report = evaluate_robustness(
                model,
                processor,
                test,
                ood=ood,
                corruption_samples=run_args.corruption_samples,
                batch_size=args.per_device_eval_batch_size,
                name=run.resolve().name,
            )
        except Exception as error:
            raise RuntimeError(f"{error} (trained, not measured: the weights are in {stage})") from error
        report.save(stage)
        _write_json(stage / "train_results.json", results)
        _write_json(stage / "environment.json", environment(args.seed, args.world_size))
        (stage / "recipe.yaml").write_text(yaml.safe_dump(dict(resolved), sort_keys=True, allow_unicode=True))
        write_card(stage, title=run.resolve().name)
    say(args, f"{run}: {headline(report)}")
    say(args, f"{run / 'README.md'} is the card, {run / 'figures'} has the figures")


class ToPixels:
    """An image to the model's input (C, H, W): random crop and flip in training, then the processor's steps.

    An image that was cropped at random has the input's size and is only normalised, where the processor can be
    taken apart; resized and cropped once more it would lose its border.

    Args:
        processor: the model's.
        augment: what to do at random; None for evaluation.
    """

    def __init__(self, processor: Any, augment: DataArguments | None = None) -> None:
        self.preprocessor = Preprocessor(processor)
        crops: list[v2.Transform] = []
        if augment is not None and augment.train_crop != "none":
            size = input_size(processor)
            if augment.train_crop == "pad":
                crops = [v2.Resize(size), v2.RandomCrop(size, padding=augment.crop_padding)]
            else:
                crops = [v2.RandomResizedCrop(size, scale=(0.25, 1.0))]
        flips = [v2.RandomHorizontalFlip()] if augment is not None and augment.horizontal_flip else []
        self.cropped = bool(crops)
        self.steps = v2.Compose([*crops, *flips]) if crops or flips else v2.Identity()

    def __call__(self, image: Image.Image) -> torch.Tensor:
        image = self.steps(image)
        if self.cropped and self.preprocessor.separable:
            return self.preprocessor.normalize(torch.from_numpy(np.array(image))[None])[0]
        return self.preprocessor.pixel_values([image])[0]


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """The share of examples whose largest logit is the label's."""
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def say(args: MixTrainingArguments, message: str) -> None:
    """Prints on the main process, behind the progress bars."""
    if args.process_index == 0:
        print(message, file=sys.stderr, flush=True)


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
            description=__doc__.splitlines()[0],
            epilog=EPILOG,
            formatter_class=_Help,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def keys(self) -> list[str]:
        return [action.dest for action in self._actions if action.dest not in ("help", SUPPRESS)]

    def dataclasses_from(self, values: Namespace) -> tuple[Any, ...]:
        return self.parse_dict(vars(values))


def _read_recipe(path: str) -> dict[str, Any]:
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


def _resumes(args: MixTrainingArguments) -> bool:
    return str(args.resume_from_checkpoint or "").lower() not in ("", "false", "no", "0")


def _checkpoint(args: MixTrainingArguments, run: Path) -> str | None:
    """The checkpoint to go on from; None where the run had not come to its first."""
    given = str(args.resume_from_checkpoint)
    return get_last_checkpoint(str(run)) if given.lower() in ("true", "yes", "1") else given


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
