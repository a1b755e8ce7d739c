"""Command lines and scripts in the style of transformers' examples keep working."""

import json
import runpy
import sys

import pytest
from transformers import Trainer

from hfmix import MixTrainer, RegMixup
from hfmix.recipe import parse
from hfmix.utils.errors import UsageError

# the options of examples/pytorch/image-classification/run_image_classification.py and of
# examples/pytorch/audio-classification/run_audio_classification.py, and those of TrainingArguments old and new
IMAGE = """dataset_name dataset_config_name train_dir validation_dir train_val_split max_train_samples
max_eval_samples image_column_name label_column_name model_name_or_path model_type config_name cache_dir
model_revision image_processor_name feature_extractor_name token use_auth_token trust_remote_code
ignore_mismatched_sizes"""
SOUND = """dataset_name dataset_config_name train_file eval_file train_split_name eval_split_name audio_column_name
label_column_name max_train_samples max_eval_samples max_length_seconds model_name_or_path config_name cache_dir
model_revision feature_extractor_name freeze_feature_encoder attention_mask token trust_remote_code
ignore_mismatched_sizes"""
TRAINING = """do_train do_eval output_dir overwrite_output_dir remove_unused_columns learning_rate num_train_epochs
per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps warmup_ratio warmup_steps
eval_strategy evaluation_strategy save_strategy load_best_model_at_end metric_for_best_model save_total_limit seed
logging_strategy logging_steps push_to_hub push_to_hub_model_id fp16 bf16 dataloader_num_workers report_to"""
GIVEN = ["--model_name_or_path", "test_vit", "--dataset_name", "digits", "--output_dir", "x", "--use_cpu", "true"]
VALUES = {
    "model_name_or_path": "test_vit",
    "dataset_name": "digits",
    "eval_strategy": "no",
    "save_strategy": "no",
    "logging_strategy": "no",
    "output_dir": "x",
    "report_to": "none",
    "fp16": "false",
    "load_best_model_at_end": "false",
}


@pytest.mark.parametrize("option", sorted({*IMAGE.split(), *SOUND.split(), *TRAINING.split()}))
def test_each_option_is_taken_or_translated(option, tmp_path):
    try:
        parse([*GIVEN, f"--{option}", VALUES.get(option, "1")])
    except UsageError as error:
        message = str(error)
        assert message.startswith(f"unknown option --{option}: "), message
        hint = message.split(": ", 1)[1]
        assert "\n" not in message and "did you mean" not in hint and "--help" not in hint, message


SCRIPT = """
import json
import os
import sys

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from PIL import Image as PILImage
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    ViTImageProcessor,
    set_seed,
)

parser = HfArgumentParser(TrainingArguments)
(training_args,) = parser.parse_args_into_dataclasses()
set_seed(training_args.seed)

draw = np.random.default_rng(0)
columns = {
    "image": [PILImage.fromarray(draw.integers(0, 255, (20, 24, 3), dtype=np.uint8)) for _ in range(12)],
    "label": [i % 3 for i in range(12)],
}
features = Features({"image": Image(), "label": ClassLabel(names=["cat", "dog", "owl"])})
dataset = DatasetDict({split: Dataset.from_dict(columns, features) for split in ("train", "validation")})
labels = dataset["train"].features["label"].names
label2id = {label: str(i) for i, label in enumerate(labels)}
id2label = {str(i): label for i, label in enumerate(labels)}


def compute_metrics(p):
    return {"accuracy": float((np.argmax(p.predictions, axis=1) == p.label_ids).mean())}


config = AutoConfig.for_model(
    "vit", num_labels=len(labels), label2id=label2id, id2label=id2label, hidden_size=16, num_hidden_layers=1,
    num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
)
model = AutoModelForImageClassification.from_config(config)
image_processor = ViTImageProcessor(size={"height": 16, "width": 16})


def transforms(batch):
    batch["pixel_values"] = [
        image_processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0] for image in batch["image"]
    ]
    return batch


def collate_fn(examples):
    pixel_values = torch.stack([example["pixel_values"] for example in examples])
    labels = torch.tensor([example["label"] for example in examples])
    return {"pixel_values": pixel_values, "labels": labels}


dataset["train"].set_transform(transforms)
dataset["validation"].set_transform(transforms)

trainer = Trainer(
    model=model,
    args=training_args,
    train_dataset=dataset["train"] if training_args.do_train else None,
    eval_dataset=dataset["validation"] if training_args.do_eval else None,
    compute_metrics=compute_metrics,
    processing_class=image_processor,
    data_collator=collate_fn,
)
if training_args.do_train:
    checkpoint = training_args.resume_from_checkpoint
    train_result = trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    trainer.log_metrics("train", train_result.metrics)
    trainer.save_metrics("train", train_result.metrics)
    trainer.save_state()
if training_args.do_eval:
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
trainer.create_model_card(finetuned_from="none", tasks="image-classification", tags=["vision"])
"""


def run(script, folder, monkeypatch, *options):
    (folder / "script.py").write_text(script)
    command = ["script.py", "--output_dir", str(folder / "out"), "--do_train", "--do_eval", "--max_steps", "2"]
    command += ["--remove_unused_columns", "false", "--per_device_train_batch_size", "4", "--save_steps", "1"]
    command += ["--use_cpu", "--report_to", "none", "--logging_steps", "1", "--disable_tqdm", "true", *options]
    monkeypatch.setattr(sys, "argv", command)
    return runpy.run_path(str(folder / "script.py"))["trainer"]


def test_a_script_of_the_stock_trainers_takes_two_changes(tmp_path, monkeypatch):
    mixing = SCRIPT.replace("trainer = Trainer(\n", "trainer = MixTrainer(\n    policy=RegMixup(20.0),\n")
    mixing = mixing.replace("import torch\n", "import torch\nfrom hfmix import MixTrainer, RegMixup\n", 1)
    files, history = {}, {}
    for name, script in {"stock": SCRIPT, "mixing": mixing}.items():
        (folder := tmp_path / name).mkdir()
        trainer = run(script, folder, monkeypatch)
        assert type(trainer) is {"stock": Trainer, "mixing": MixTrainer}[name]
        history[name] = trainer.state.log_history
        files[name] = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*") if p.is_file()}
        results = json.loads((folder / "out" / "all_results.json").read_text())
        assert {"train_loss", "eval_loss", "eval_accuracy"} <= results.keys()
        assert json.loads((folder / "out" / "config.json").read_text())["id2label"]["2"] == "owl"
    assert trainer.policy == RegMixup(20.0) and "loss_mixed" in history["mixing"][0]
    pickles = {name for name in files["stock"] if name.endswith("training_args.bin")}
    facts = {f"checkpoint-{step}/hfmix.json" for step in (1, 2)}
    assert files["mixing"] == files["stock"] - pickles | facts
    resumed = run(
        mixing, tmp_path / "mixing", monkeypatch, "--resume_from_checkpoint", f"{tmp_path}/mixing/out/checkpoint-1"
    )
    again = [entry["loss"] for entry in resumed.state.log_history if "loss" in entry]
    assert again == [entry["loss"] for entry in history["mixing"] if "loss" in entry] and len(again) == 2
