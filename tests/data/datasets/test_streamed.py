"""Streams: every example once a pass, by key, without an end; a resumed run goes on; what is refused."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from datasets import Audio, ClassLabel, Dataset, Features, Image, List, Value, load_dataset
from PIL import Image as PILImage
from project import ROOT
from tiny import CLASSES, tiny_model
from torch.utils.data import DataLoader

from hfmix import MixTrainer, MixTrainingArguments
from hfmix.data.arguments import DataArguments
from hfmix.data.columns import USUAL
from hfmix.data.datasets.streamed import StreamedExamples, as_streamed, load_streams
from hfmix.data.kinds.audio import SoundCells
from hfmix.data.sources.embedded import digits
from hfmix.train import main

RECIPE = str(ROOT / "recipes/digits/regmixup.yaml")
N = 40


def rows(feature=None, labels=None):
    """Images of one pixel that tells the row."""
    pixels = [PILImage.new("RGB", (1, 1), (i, 0, 0)) for i in range(N)]
    feature = feature or ClassLabel(names=list("abcd"))
    labels = labels or [i % CLASSES for i in range(N)]
    return Dataset.from_dict({"image": pixels, "label": labels}, Features({"image": Image(), "label": feature}))


def number_and_draw(image):
    """The row, and what was drawn at random for it."""
    return {"row": torch.tensor(image.getpixel((0, 0))[0]), "draw": torch.rand(())}


def examples(num_shards=4, seed=0, buffer=16, transform=number_and_draw):
    stream = as_streamed(rows().to_iterable_dataset(num_shards=num_shards), USUAL, "train")
    return StreamedExamples(stream, transform, seed, buffer)


def read(count, num_workers=0, **settings):
    """(count,) rows, draws and labels of the first examples of a loader."""
    loader = DataLoader(examples(**settings), batch_size=5, num_workers=num_workers)
    batches = list(islice(loader, count // 5))
    return tuple(torch.cat([batch[name] for batch in batches]) for name in ("row", "draw", "labels"))


@pytest.mark.parametrize(("num_shards", "num_workers"), [(4, 0), (4, 2), (1, 0), (1, 2)])
def test_every_example_comes_once_a_pass(num_shards, num_workers):
    """Two workers have two shards each, or every second row of the only one."""
    row, draw, labels = read(2 * N, num_workers, num_shards=num_shards)
    first, second = row[:N], row[N:]
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(N))
    assert first.tolist() != second.tolist() and first.tolist() != list(range(N))
    assert torch.equal(labels, row % CLASSES)
    assert len(set(draw.tolist())) == 2 * N  # each pass draws anew


def test_what_is_drawn_follows_from_the_row_whoever_reads_it():
    draws = []
    for num_workers in (0, 2):
        row, draw, _ = read(N, num_workers)
        draws.append(draw[row.argsort()])
    assert torch.equal(*draws)
    again, other = read(N)[1], read(N, seed=1)[1]
    assert torch.equal(read(N)[1], again) and not set(again.tolist()) & set(other.tolist())


def test_a_buffer_of_one_keeps_the_order_and_a_larger_one_mixes_widely():
    assert read(N, buffer=1)[0].tolist() == list(range(N))
    wide = read(N, num_shards=1, buffer=N)[0].double()
    # all orders are equally likely: the rank correlation has deviation 1/√(N − 1) = 0.16, and this is 4 of them
    assert abs(np.corrcoef(wide, np.arange(N))[0, 1]) < 0.64


def as_picture(image):
    return {"pixel_values": torch.rand(3, 16, 16) + image.getpixel((0, 0))[0] / N}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, num_workers):
    """Stopped in the second pass: five steps of eight are one."""

    def trainer(folder):
        args = MixTrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=8,
            max_steps=9,
            save_steps=7,
            dataloader_num_workers=num_workers,
            disable_tqdm=True,
            use_cpu=True,
            report_to="none",
        )
        return MixTrainer(model=tiny_model(), args=args, train_dataset=examples(transform=as_picture))

    straight, resumed = trainer(tmp_path), trainer(tmp_path)
    straight.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert resumed.state.global_step == 9
    for ours, theirs in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    resumed.args.dataloader_num_workers += 1
    with pytest.raises(ValueError, match="dataloader_num_workers"):
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))


def test_a_run_from_files(tmp_path):
    data = digits()
    for part in (0, 1):
        data["train"].shard(2, part).to_parquet(tmp_path / f"train-{part}.parquet")
    data["test"].to_parquet(tmp_path / "test.parquet")
    options = ["--dataset_name", str(tmp_path), "--streaming", "true", "--max_steps", "6", "--eval_strategy", "no"]
    options += ["--max_test_samples", "60", "--save_strategy", "no", "--ood", "{}", "--corruption_samples", "1"]
    run = tmp_path / "run"
    assert main([RECIPE, *options, "--output_dir", str(run), "--use_cpu"]) == 0
    report = json.loads((run / "robustness.json").read_text())
    assert report["data"]["num_samples"] == 60 and report["data"]["class_names"] == [str(i) for i in range(10)]
    assert "streamed" in (run / "README.md").read_text()
    assert json.loads((run / "train_results.json").read_text())["num_train_samples"] is None


def test_of_the_other_splits_the_first_rows_are_read():
    splits = load_streams(DataArguments("digits", streaming=True, max_test_samples=7, max_eval_samples=5))
    assert (len(splits["test"]), len(splits["validation"])) == (7, 5)
    assert splits["test"].example(3).tobytes() == digits()["test"][3]["image"].convert("RGB").tobytes()


def test_sound_streams(shared_data):
    """Clips are decoded one at a time, and those of the test split lie in memory as they are stored."""
    splits = load_streams(DataArguments(str(shared_data / "fsdd"), streaming=True, max_test_samples=3))
    train, whole = splits["train"], load_dataset("parquet", data_dir=str(shared_data / "fsdd"))
    examples = StreamedExamples(train, lambda sound: {"samples": torch.from_numpy(sound.samples)}, 0, 1)
    stored = whole.cast_column("audio", Audio(decode=False))
    for i, example in enumerate(islice(examples, 3)):
        expected = SoundCells.decode(stored["train"][i]["audio"], "")
        assert expected.sampling_rate == 8000 and np.array_equal(example["samples"], expected.samples)
        assert example["labels"] == stored["train"][i]["label"] and len(splits["test"]) == 3
        assert np.array_equal(
            splits["test"].example(i).samples, SoundCells.decode(stored["test"][i]["audio"], "").samples
        )


def test_paths_of_files_stream_as_images(tmp_path):
    paths = []
    for i in range(3):
        paths.append(str(tmp_path / f"{i}.png"))
        PILImage.new("RGB", (1, 1), (i, 0, 0)).save(paths[-1])
    features = Features({"image": Value("string"), "label": ClassLabel(names=["a"])})
    stream = Dataset.from_dict({"image": paths, "label": [0] * 3}, features).to_iterable_dataset()
    examples = StreamedExamples(as_streamed(stream, USUAL, "train"), number_and_draw, 0, 1)
    assert [int(example["row"]) for example in islice(examples, 3)] == [0, 1, 2]


def test_lists_of_classes_stream_too():
    labels = [[0, 3] if i else [] for i in range(N)]
    stream = rows(List(ClassLabel(names=list("abcd"))), labels).to_iterable_dataset()
    data = as_streamed(stream, USUAL, "train")
    assert data.is_multi_label and data.class_names == list("abcd")
    found = [example["labels"].tolist() for example in islice(StreamedExamples(data, number_and_draw, 0, 1), 2)]
    assert found == [[0, 0, 0, 0], [1, 0, 0, 1]]


def no_class(tmp_path):
    stream = rows(labels=[None] * N).to_iterable_dataset()
    next(iter(StreamedExamples(as_streamed(stream, USUAL, "train"), number_and_draw, 0, 1)))


def too_many_workers(tmp_path):
    few = as_streamed(rows().select([0, 1]).to_iterable_dataset(), USUAL, "train")
    batches = iter(DataLoader(StreamedExamples(few, number_and_draw, 0, 1), batch_size=1, num_workers=3))
    try:
        list(islice(batches, 9))
    finally:
        batches._shutdown_workers()  # now, while the one that failed is known


def strings(tmp_path):
    return as_streamed(rows(Value("string"), ["a"] * N).to_iterable_dataset(), USUAL, "train")


def of_files(tmp_path, suffix="parquet", **settings):
    rows().to_parquet(tmp_path / "train.parquet")
    (tmp_path / "train.csv").write_text("x,y\n1,a\n")
    return load_streams(DataArguments(train_file=[str(tmp_path / f"train.{suffix}")], streaming=True, **settings))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (no_class, "train shard 0 row 0 has no class"),
        (too_many_workers, "worker 3 of 3 finds no rows in the train set: lower dataloader_num_workers"),
        (strings, "column 'label' of the train set is Value('string'), and a stream's classes have to be known"),
        (of_files, "no split 'test', only train: a stream has no held-out part, set test_split or test_file"),
        (lambda p: of_files(p, "csv"), "train.csv is a table, which is read as a whole: leave streaming out"),
        (
            lambda p: as_streamed(
                Dataset.from_dict({"x": [1.0], "y": ["a"]}).to_iterable_dataset(), USUAL, "train"
            ),
            "the train set is a table, which is read as a whole",
        ),
        (lambda p: of_files(p, label_noise=0.2), "label_noise needs all rows of the data set"),
        (lambda p: of_files(p, max_train_samples=2), "max_train_samples needs all rows of the data set"),
        (lambda p: of_files(p, validation_fraction=0.2), "validation_fraction needs all rows of the data set"),
        (lambda p: of_files(p, shuffle_buffer=0), "shuffle_buffer is a whole number from 1, not 0"),
    ],
)
def test_what_cannot_be_streamed_is_named(tmp_path, call, message):
    with pytest.raises(ValueError) as error:
        call(tmp_path)
    assert message in str(error.value)


def test_a_stream_needs_a_number_of_steps(tmp_path, one_line):
    assert main([RECIPE, "--streaming", "true", "--output_dir", str(tmp_path / "run")]) == 2
    assert one_line() == "streaming has no last epoch: set max_steps, the number of training steps"
