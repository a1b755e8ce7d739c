"""The training script on sound: a run on clips, its card as printed, and real speech."""

import ast
import json

import numpy as np
import pytest
import soundfile
from clips import clips, tone
from printed import outputs_of

from hfmix import load_pretrained
from hfmix.run_folder import is_finished
from hfmix.train import main


@pytest.fixture(scope="module")
def run_of_sound(tmp_path_factory):
    """A LeNet that tells low tones from high ones, at another rate than its own; not to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    rng = np.random.default_rng(0)
    pitch = np.concatenate([rng.uniform(200, 500, 24), rng.uniform(1000, 2500, 24)])
    data = clips([tone(hertz, 0.2, 8_000) for hertz in pitch], [0] * 24 + [1] * 24, 8_000)
    data.to_parquet(str(folder / "train.parquet"))
    data.select(range(0, 48, 3)).to_parquet(str(folder / "test.parquet"))
    options = ["--model_name_or_path", "lenet_audio", "--pretrained", "false", "--clip_seconds", "0.2"]
    options += ["--train_file", str(folder / "train.parquet"), "--test_file", str(folder / "test.parquet")]
    options += ["--validation_fraction", "0.25", "--eval_strategy", "epoch", "--augmentation", "specaugment"]
    options += ["--time_shift_ms", "10", "--num_train_epochs", "4", "--per_device_train_batch_size", "12"]
    options += [
        "--learning_rate",
        "1e-3",
        "--mix",
        "mixup",
        "--mix_alpha",
        "0.2",
        "--save_strategy",
        "no",
        "--corruption_samples",
        "4",
    ]
    assert main([*options, "--output_dir", str(folder / "run")]) == 0
    return folder / "run"


def test_a_run_on_clips_is_whole(run_of_sound):
    assert is_finished(run_of_sound)
    axes = json.loads((run_of_sound / "robustness.json").read_text())["axes"]
    assert axes["clean"]["accuracy"]["value"] > 0.9  # low and high tones; 16 of them
    log = json.loads((run_of_sound / "train_results.json").read_text())["log_history"]
    assert [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry][-1] > 0.7
    _, extractor, report = load_pretrained(run_of_sound)
    assert extractor.clip_seconds == 0.2 and extractor.sampling_rate == 16_000
    assert report.content["data"]["kind"] == "audio"


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_its_card_speaks_of_sound_and_works_as_printed(run_of_sound, tmp_path, apart):
    card = (run_of_sound / "README.md").read_text()
    assert "pipeline_tag: audio-classification" in card and "16 test clips" in card and "36 training clips" in card
    assert "image" not in card.lower()
    soundfile.write(tmp_path / "clip.wav", tone(300, 0.2), 16_000)
    by_pipeline, by_transformers, by_hfmix = outputs_of(run_of_sound, tmp_path, apart)
    assert max(ast.literal_eval(by_pipeline), key=lambda found: found["score"])["label"] == "no"
    assert by_transformers.strip() == by_hfmix.splitlines()[0] == "no"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model_name_or_path", "resnet18", "--pretrained", "false"],
            "resnet18 takes images, the data is sound",
        ),
        (
            ["--model_name_or_path", "lenet_audio", "--pretrained", "false", "--freeze_feature_encoder", "true"],
            "freeze_feature_encoder is for wav2vec2",
        ),
        (
            ["--model_name_or_path", "lenet_audio", "--pretrained", "false", "--augmentation", "randaugment"],
            "augmentation randaugment is for images",
        ),
        (
            [
                "--model_name_or_path",
                "wav2vec2",
                "--pretrained",
                "false",
                "--mix",
                "cutmix",
                "--model_args",
                '{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}',
            ],
            "cutmix cuts boxes",
        ),
    ],
)
def test_what_does_not_go_with_sound_is_one_line(options, message, tmp_path, one_line):
    clips([tone(440, 0.2)] * 8, [0, 1] * 4).to_parquet(str(tmp_path / "train.parquet"))
    options += ["--train_file", str(tmp_path / "train.parquet"), "--max_steps", "1", "--save_strategy", "no"]
    assert main([*options, "--output_dir", str(tmp_path / "run")]) == 1
    assert message in one_line()


def speech(shared_data, tmp_path, *options):
    data = shared_data / "speech_commands_mini"
    arguments = ["--train_file", str(data / "train.parquet"), "--test_file", str(data / "test.parquet")]
    arguments += ["--pretrained", "false", "--save_strategy", "no", "--output_dir", str(tmp_path / "run")]
    assert main([*arguments, *options]) == 0
    return json.loads((tmp_path / "run" / "robustness.json").read_text())["axes"]["clean"]["accuracy"]


def test_real_speech_is_read(shared_data, tmp_path):
    options = ["--model_name_or_path", "lenet_audio", "--max_steps", "2", "--max_train_samples", "32"]
    assert (
        speech(
            shared_data,
            tmp_path,
            *options,
            "--max_test_samples",
            "40",
            "--corruption_samples",
            "4",
            "--mix",
            "regmixup",
        )["n"]
        == 40
    )


@pytest.mark.slow
@pytest.mark.timeout(2700)
@pytest.mark.parametrize(
    ("name", "settings", "options"),
    [
        (
            "wav2vec2",
            {
                "hidden_size": 96,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "intermediate_size": 192,
                "conv_dim": [64] * 7,
                "feat_extract_norm": "layer",
                "do_stable_layer_norm": True,
                "num_conv_pos_embeddings": 32,
                "num_conv_pos_embedding_groups": 4,
                "mask_time_prob": 0.0,
            },
            ["--num_train_epochs", "15"],
        ),
        (
            "audio-spectrogram-transformer",
            {
                "hidden_size": 96,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "intermediate_size": 192,
                "max_length": 104,
                "time_stride": 8,
                "frequency_stride": 16,
            },
            ["--num_train_epochs", "15", "--augmentation", "time_shift"],
        ),
    ],
    ids=["wav2vec2, masked", "ast"],
)
def test_a_transformer_from_nothing_learns_real_speech(name, settings, options, shared_data, tmp_path):
    """Eight words, 320 test clips: chance is 12.5 %, and 20 % is four standard deviations above it."""
    options += ["--model_name_or_path", name, "--model_args", json.dumps(settings), "--mix", "mixup"]
    options += ["--mix_alpha", "0.2", "--learning_rate", "1e-3", "--warmup_steps", "0.1"]
    accuracy = speech(shared_data, tmp_path, *options, "--per_device_train_batch_size", "32")
    print(name, accuracy)
    assert accuracy["n"] == 320 and accuracy["value"] > 0.2
