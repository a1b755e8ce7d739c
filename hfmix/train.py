"""The training script: trains with a mixing policy, measures robustness, and leaves a run that can be pushed.

accelerate launch -m hfmix.train RECIPE [--any_argument value ...]
"""

import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from transformers import PreTrainedModel, TimmWrapperForImageClassification, set_seed
from transformers.trainer_utils import EvalPrediction, has_length
from transformers.utils import logging

from hfmix.data.datasets.for_trainer import TrainerDatasets, datasets_for_trainer
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.datasets.streamed import StreamedData
from hfmix.data.inspection import Inspection, inspect_data
from hfmix.data.kind_words import words_for
from hfmix.data.kinds.audio import shortest_clip
from hfmix.data.labelled import LabelledData
from hfmix.data.sources.open import Split
from hfmix.data.splits import open_ood
from hfmix.hub.card.baseline import write_baseline
from hfmix.hub.card.model_card import is_hub_dataset, write_card
from hfmix.hub.upload.dataset_card import licence_of, write_eval_results
from hfmix.hub.upload.publish import PushError, push_to_hub
from hfmix.metrics import mean_average_precision
from hfmix.mixing import Policy
from hfmix.models.loading import (
    TABLE_NETS,
    check_backbone,
    freeze_feature_encoder,
    kind_of,
    load_backbone,
    save_backbone,
)
from hfmix.models.processors.table import TableProcessor, held_out_notes
from hfmix.recipe import Recipe, parse
from hfmix.robustness.axes.memorization import LearningCurve
from hfmix.robustness.evaluate import evaluate_robustness
from hfmix.robustness.names import DEFAULT_AXES
from hfmix.robustness.presentation import headline
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import begin, check_free, finishing, is_finished
from hfmix.training.arguments import MixTrainingArguments
from hfmix.training.callbacks.energy import EnergyMeter
from hfmix.training.callbacks.epoch_test import EpochTest
from hfmix.training.callbacks.stop_after import StopAfter, read_duration
from hfmix.training.checkpoints import last_whole_checkpoint
from hfmix.training.class_weights import check_names
from hfmix.training.initialization import initialize_from_data
from hfmix.training.trainer import MixTrainer
from hfmix.utils.environment import cpu_multiplies_bf16, environment
from hfmix.utils.errors import report_errors
from hfmix.utils.malloc import keep_freed_memory


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns the exit status: 0, 1 for a failure, 2 for a wrong option or recipe."""
    keep_freed_memory()
    return report_errors(lambda arguments: train(parse(arguments)), sys.argv[1:] if argv is None else list(argv))


def train(recipe: Recipe) -> None:
    """Trains and evaluates a model, and leaves a finished run in the recipe's ``output_dir``.

    Raises:
        ValueError, OSError: the data, the model or the folder cannot be used; the message says why.
    """
    args = recipe.training
    run = Path(args.output_dir)
    if recipe.resume and is_finished(run):
        say(args, f"{run} is finished already: nothing to resume")
        return
    logging.disable_progress_bar()  # those of saving, at each checkpoint; training and evaluation have their own
    if args.device.type == "cpu":
        args.dataloader_pin_memory = False
    with args.main_process_first(local=False, desc="preparing the run's folder and the data"):
        if args.process_index == 0:
            check_free(run, recipe.resume, recipe.run.overwrite)
            if recipe.run.baseline:
                RobustnessReport.load(recipe.run.baseline)  # now, so that a wrong path is found before training
        options = recipe.model  # checked before the data, which take longer to load
        check_backbone(options.model_name_or_path, options.pretrained, options.model_args)
        inspection = inspect_data(recipe.data, args.seed, progress=args.process_index == 0)
        say(args, inspection.summary.text())
        ood = open_ood(recipe.data.ood or {})  # now, for the same reason
    _check_options(recipe, inspection.splits)
    set_seed(args.seed)  # for a new head, or for all weights if they start at random
    model, processor = load_model(recipe, inspection.splits)
    inspection = inspection.with_shortest(shortest_clip(model, processor))
    splits = inspection.usable(recipe.data.skip_unreadable, partial(say, args))
    if recipe.model.freeze_feature_encoder:
        freeze_feature_encoder(model)
    kind = splits["train"].kind
    if kind == "table":
        for data in ood.values():
            processor.check(data)
    if splits["train"].is_multi_label:
        model.config.problem_type = "multi_label_classification"  # the loss is a binary cross entropy per class
    if args.ddp_find_unused_parameters is None and isinstance(model, TimmWrapperForImageClassification):
        args.ddp_find_unused_parameters = False  # timm's nets use all their parameters
    checkpoint = _checkpoint(args, run) if recipe.resume else None
    if not recipe.model.pretrained and checkpoint is None:
        initialize_from_data(model, splits["train"], processor)
    if args.bf16 and args.device.type == "cpu" and not cpu_multiplies_bf16():
        say(args, "bf16: this CPU has no instructions for it, so that training is slower than with --bf16 false")
    feed = _feed(recipe, splits, processor)
    trainer = MixTrainer(
        model=model,
        args=args,
        train_dataset=feed.train,
        eval_dataset=feed.validation,
        data_collator=feed.collate,
        processing_class=processor,
        compute_metrics=average_precision if splits["train"].is_multi_label else accuracy,
    )
    if recipe.run.test_every_epoch:
        trainer.add_callback(EpochTest(trainer, feed.test))
    energy = EnergyMeter()
    trainer.add_callback(energy)
    if recipe.run.stop_after is not None:
        trainer.add_callback(StopAfter(read_duration(recipe.run.stop_after)))
    trainer.check_data()  # before an older run is replaced
    if args.process_index == 0:
        begin(run, recipe.run.overwrite)
    result = trainer.train(resume_from_checkpoint=checkpoint)
    if args.world_size > 1:
        _leave_group(trainer)
    if not trainer.is_world_process_zero():
        return  # the main process alone measures
    finish(recipe, trainer, processor, inspection, ood, result.metrics, energy.used())


def _check_options(recipe: Recipe, splits: Mapping[Split, LabelledData | StreamedData]) -> None:
    """Raises a ValueError, before the model is loaded, if a training option does not fit the data.

    Evaluation needs a validation set, and weights of classes need to be as many as the classes.
    """
    args, class_names = recipe.training, splits["train"].class_names
    if args.eval_strategy != "no" and "validation" not in splits:
        option = "eval_strategy" if args.early_stopping_patience is None else "early_stopping_patience"
        raise ValueError(
            f"{option} evaluates during training, and the data has no validation set: set validation_fraction 0.1 "
            f"or validation_file{'' if option != 'eval_strategy' else ', or eval_strategy no'}"
        )
    for name in ("class_weights", "pos_weight"):
        check_names(name, getattr(args, name), class_names)


def _feed(recipe: Recipe, splits: Mapping[Split, LabelledData | StreamedData], processor: Any) -> TrainerDatasets:
    args = recipe.training
    with args.main_process_first(desc="decoding the images"):  # the other processes find them in the cache
        feed = datasets_for_trainer(
            splits,
            processor,
            recipe.data,
            args.seed,
            device=args.device,
            channels_last=args.channels_last,
            with_test=recipe.run.test_every_epoch,
            say=partial(say, args) if args.process_index == 0 else None,
        )
    if isinstance(feed.train, InMemoryExamples):
        # the main process makes whole batches on the device, which hold only the model's inputs
        args.dataloader_num_workers = 0
        args.dataloader_pin_memory = args.remove_unused_columns = args.dataloader_persistent_workers = False
    return feed


def load_model(recipe: Recipe, splits: Mapping[Split, LabelledData | StreamedData]) -> tuple[PreTrainedModel, Any]:
    """Loads the recipe's model for the training data's classes, and its processor, fitted to the data for a table.

    Raises:
        ValueError, ConnectionError: see `load_backbone`; or the model takes another kind of data.
    """
    options, train = recipe.model, splits["train"]
    name, model_args = options.model_name_or_path, options.model_args
    channels = {"image": 3, "audio": 1}.get(train.kind)
    for key in {"in_chans", "num_channels"} & (model_args or {}).keys():
        if channels is not None and model_args[key] != channels:
            raise ValueError(
                f"model_args sets {key} to {model_args[key]}, but the net gets {words_for(train.kind).plural} of "
                f"{channels} channel{'s' if channels > 1 else ''}: leave it out"
            )
    table = None
    if train.kind == "table" and name in TABLE_NETS:
        table = TableProcessor.fit(train)
        model_args = {"in_chans": table.num_features, **(model_args or {})}
    model, processor = load_backbone(
        name,
        train.class_names,
        options.pretrained,
        options.image_size,
        sampling_rate=options.sampling_rate,
        clip_seconds=options.clip_seconds,
        num_mel_bins=options.num_mel_bins,
        model_args=model_args,
    )
    if train.kind != (kind := kind_of(model.config)):
        raise ValueError(f"{name} takes {words_for(kind).plural}, the data is {words_for(train.kind).plural}")
    if kind == "table":
        processor = table or processor  # a trained model keeps the statistics of its training
        in_chans = model.config.model_args["in_chans"]
        if in_chans != processor.num_features:
            raise ValueError(
                f"the table has {processor.num_features} features, model_args sets in_chans {in_chans}"
            )
        _check_mixing(recipe.training.policy(), processor.num_features)
        for name, split in sorted(splits.items(), reverse=True):
            for note in held_out_notes(processor, split, name):
                say(recipe.training, note)
    return model, processor


def _check_mixing(policy: Policy, num_features: int) -> None:
    """Raises a ValueError, before training starts, if the policy, such as CutMix, cannot mix a table's rows."""
    try:
        policy.sample(2, (num_features,), labels=torch.tensor([0, 1]), inputs=torch.zeros(2, num_features))
    except ValueError as error:
        raise ValueError(f"{policy.name} does not mix the rows of a table: {error}") from error


def finish(
    recipe: Recipe,
    trainer: MixTrainer,
    processor: Any,
    inspection: Inspection,
    ood: Mapping[str, LabelledData],
    metrics: Mapping[str, float],
    energy: Mapping[str, Any] | None = None,
) -> None:
    """Measures the trained model and writes the finished run, on the main process only.

    `energy` is the result of `EnergyMeter.used`.
    """
    args, model = recipe.training, _as_it_will_be_loaded(trainer)
    run, train, test = Path(args.output_dir), inspection.readable("train"), inspection.splits["test"]
    validation = inspection.readable("validation") if "validation" in inspection.splits else None
    results = {
        "policy": trainer.policy.to_dict(),
        "num_train_samples": len(trainer.train_dataset) if has_length(trainer.train_dataset) else None,
        "num_changed_labels": trainer.train_dataset.data.num_changed_labels,
        "data_license": None,
        "weights": trainer.row_losses.weights,
        "energy": energy,
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
                axes=_axes(recipe),
                ood=ood,
                validation=validation,
                reference=train if isinstance(train, LabelledData) else None,
                corruption_samples=recipe.evaluation.corruption_samples,
                attack_samples=recipe.evaluation.attack_samples,
                pairs=recipe.evaluation.pairs,
                learning_curve=LearningCurve.from_log(trainer.state.log_history, len(inspection.readable("test"))),
                batch_size=args.per_device_eval_batch_size,
                skip_unreadable=recipe.data.skip_unreadable,
                name=run.resolve().name,
            )
        except Exception as error:
            raise RuntimeError(f"{error} (trained but not measured: the weights are in {stage})") from error
        report.save(stage)
        if is_hub_dataset(recipe.resolved):
            results["data_license"] = licence_of(recipe.data.dataset_name)
            write_eval_results(stage, report, recipe.data)
        if recipe.run.baseline:
            _write_baseline(recipe, report, stage)
        _write_json(stage / "train_results.json", results)
        facts = {**environment(args.seed, args.world_size), "data": inspection.summary.to_dict()}
        _write_json(stage / "environment.json", facts)
        (stage / "recipe.yaml").write_text(yaml.safe_dump(recipe.resolved, sort_keys=True, allow_unicode=True))
        write_card(stage, title=run.resolve().name)
    say(args, f"{run}: {headline(report.axes)}")
    say(args, f"{run / 'README.md'} is the card, {run / 'report.html'} the whole report")
    if args.push_to_hub:
        say(args, f"pushed to {_push(run, trainer)}")


def _as_it_will_be_loaded(trainer: MixTrainer) -> PreTrainedModel:
    """Returns the trained model without its half precision and memory layout in training, which change results."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if "_original_forward" in model.__dict__:
        # unwrap_model would also remove transformers' decorators
        model.forward = model.__dict__.pop("_original_forward")
    return model.to(memory_format=torch.contiguous_format) if trainer.args.channels_last else model


def _write_baseline(recipe: Recipe, report: RobustnessReport, stage: Path) -> None:
    """Writes the baseline's results, or prints why they cannot be on the card, since the training is done."""
    try:
        write_baseline(report, recipe.run.baseline, stage)
    except (ValueError, OSError) as error:
        say(recipe.training, f"no baseline on the card: {error}")


def _push(run: Path, trainer: MixTrainer) -> str:
    """Pushes the finished run as `hfmix push` does, replacing what was pushed in training."""
    args = trainer.args
    try:
        return push_to_hub(
            run,
            trainer.hub_model_id,
            private=bool(args.hub_private_repo),
            revision=args.hub_revision,
            token=args.hub_token,
        )
    except PushError as error:
        again = f"hfmix push {run} --repo-id {trainer.hub_model_id}"
        raise PushError(f"{error} (the run is finished: `{again}` pushes it)") from error


def _axes(recipe: Recipe) -> Sequence[str]:
    """Returns the recipe's axes, or the default ones, plus memorization if labels are noisy."""
    return recipe.evaluation.axes or (*DEFAULT_AXES, *(["memorization"] if recipe.data.label_noise else []))


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Computes the share of examples whose largest logit is the label's."""
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def average_precision(prediction: EvalPrediction) -> dict[str, float]:
    """Computes the mean over classes of the average precision, for examples with several classes."""
    return {"mean_average_precision": mean_average_precision(prediction.predictions, prediction.label_ids)}


def say(args: MixTrainingArguments, message: str) -> None:
    """Prints a line on standard error, on the main process only."""
    if args.process_index == 0:
        print(message, file=sys.stderr, flush=True)


def _checkpoint(args: MixTrainingArguments, run: Path) -> str | None:
    """Returns the checkpoint to resume from; None if the run has no complete one yet."""
    given = str(args.resume_from_checkpoint)
    return last_whole_checkpoint(run) if given.lower() in ("true", "yes", "1") else given


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def _leave_group(trainer: MixTrainer) -> None:
    """Closes the process group, after the wrapped model, which keeps it open and can abort a process at exit."""
    trainer.accelerator.wait_for_everyone()
    trainer.model_wrapped = trainer.model
    trainer.accelerator.free_memory()
    gc.collect()
    PartialState().destroy_process_group()


if __name__ == "__main__":
    status = main()
    if os.environ.get("RANK", "0") != "0":
        # a worker has nothing left to do, but a thread of the closed group can still abort it in its exit handlers
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
