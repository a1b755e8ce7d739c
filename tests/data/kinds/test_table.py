"""Tables: files to rows, rows to features by the training set's statistics, and a run on real ones."""

import json

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from project import ROOT
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hfmix import evaluate_robustness, load_backbone, load_pretrained
from hfmix.cli import main as hfmix_command
from hfmix.data.arguments import DataArguments
from hfmix.data.columns import Columns
from hfmix.data.datasets.map_style import Examples, transform_for
from hfmix.data.sources.open import open_dataset
from hfmix.data.splits import as_labelled, as_unlabelled, load_splits
from hfmix.models.loading import save_backbone
from hfmix.models.processors.table import TableProcessor, missing_cells, unseen_words
from hfmix.train import main

RECIPE = str(ROOT / "recipes/uci/iris_mixup.yaml")


def table(text, tmp_path, name="train.csv"):
    """A CSV file, as labelled data."""
    (tmp_path / name).write_text(text)
    return as_labelled(open_dataset(str(tmp_path / name))["test"], name=name.removesuffix(".csv"))


SNAILS = "sex,length,rings\nM,0.5,7\nF,1.5,9\n,,9\nI,4.0,7\nF,2.0,7\n"


def test_cells_keep_what_is_missing(tmp_path):
    snails = table(SNAILS, tmp_path)
    assert (
        snails.kind == "table" and snails.class_names == ["7", "9"] and snails.labels.tolist() == [0, 1, 1, 0, 0]
    )
    assert snails.example(1) == {"sex": "F", "length": 1.5}
    row = snails.example(2)
    assert row["sex"] is None and np.isnan(row["length"])
    assert "2 of 10 cells of the train set are missing (length 1, sex 1)" in missing_cells(snails, "train")


def test_features_by_hand(tmp_path):
    snails = table(SNAILS, tmp_path)
    processor = TableProcessor.fit(snails)
    assert processor.words == {"sex": ["F", "I", "M"]} and processor.num_features == 4
    filled = np.array([0.5, 1.5, 1.75, 4.0, 2.0])  # the median of the four that are known
    expected = np.column_stack(
        [(filled - filled.mean()) / filled.std(), [0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]]
    )
    rows = [snails.example(i) for i in range(5)]
    found = processor(rows)["input_features"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # unknown columns are ignored, their order is of no matter, and one row is a batch of one
    mixed_up = {"colour": "red", "length": 4.0, "sex": "I"}
    torch.testing.assert_close(processor(mixed_up, return_tensors="pt")["input_features"][0].numpy(), found[3])


def test_only_the_training_rows_are_counted(tmp_path):
    snails = table(SNAILS, tmp_path)
    processor = TableProcessor.fit(snails.select(np.array([0, 1, 4])))
    assert processor.words == {"sex": ["F", "M"]} and processor.numbers["length"]["median"] == 1.5
    processor.check(snails)
    assert processor(snails.example(3))["input_features"][0, 1:].tolist() == [0, 0]
    assert "1 cells of the train set hold a category that the training data lack (sex 'I' 1)" in unseen_words(
        processor, snails, "train"
    )


@pytest.mark.parametrize("name", ["arrhythmia", "phishing"])
def test_statistics_are_scikit_learn_s(shared_data, name):
    """Median, mean and deviation of `SimpleImputer` and `StandardScaler`, in float64."""
    split = load_splits(DataArguments(train_file=[str(shared_data / f"uci/{name}.csv")]), seed=0)
    train, test = split["train"], split["test"]
    processor = TableProcessor.fit(train)
    peer = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    order = np.argsort(train.cells.numeric)
    x = train.cells.numbers.astype(np.float64)[:, order]
    expected = peer.fit(x[train.rows]).transform(x[test.rows])
    found = processor([test.example(i) for i in range(len(test))])["input_features"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [
        ("abalone", 4177, 10, 28),  # sex is three columns of zeros and ones; rings come from 1 to 29, not 28
        ("arrhythmia", 452, 279, 13),
        ("htru2", 17898, 8, 2),
        ("iris", 150, 4, 3),
        ("phishing", 11055, 30, 2),
    ],
)
def test_the_papers_tables(shared_data, name, rows, features, classes):
    splits = load_splits(DataArguments(train_file=[str(shared_data / f"uci/{name}.csv")]), seed=0)
    train, test = splits["train"], splits["test"]
    assert (len(train) + len(test), len(train.class_names)) == (rows, classes)
    processor = TableProcessor.fit(train)
    processor.check(test)
    assert processor.num_features == features
    x = processor([train.example(i) for i in range(len(train))])["input_features"].astype(np.float64)
    numbers = x[:, : len(processor.numbers)]
    constant = numbers.std(0) == 0
    np.testing.assert_allclose(numbers.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(numbers[:, ~constant].std(0), 1, atol=1e-4)
    missing = missing_cells(train, "train")
    assert (missing is not None) is (name == "arrhythmia") and np.isfinite(x).all()


def test_a_row_that_training_asks_for_again_is_not_made_again():
    """And is the same; where a transform draws, by a seed, each pass makes it anew."""
    data = load_splits(DataArguments("iris"), seed=0)["train"]
    processor, made = TableProcessor.fit(data), []
    transform = transform_for(data, processor)
    examples = Examples(data, lambda row: made.append(row) or transform(row))
    for _ in range(3):
        for position in (5, 0, 5):
            expected = transform(data.example(position))["input_features"]
            assert torch.equal(examples[position]["input_features"], expected)
            assert examples[position]["labels"] == data.labels[position]
    assert made == [data.example(5), data.example(0)]
    drawing = Examples(data, lambda row: {"x": torch.rand(2)}, seed=0)
    first = drawing[0]["x"]
    drawing.set_epoch(1)
    assert not torch.equal(drawing[0]["x"], first)


def test_another_split_is_read_by_the_training_set_s_columns(tmp_path):
    """The label is not the last column of the test file, which has one more, too."""
    (tmp_path / "train.csv").write_text(SNAILS)
    (tmp_path / "test.csv").write_text("rings,length,sex,id\n9,1.0,F,5\n7,2.0,I,6\n")
    (tmp_path / "short.csv").write_text("rings,sex\n9,F\n")
    files = {"train_file": [str(tmp_path / "train.csv")], "test_file": [str(tmp_path / "test.csv")]}
    test = load_splits(DataArguments(**files), seed=0)["test"]
    assert test.labels.tolist() == [1, 0] and test.example(0) == {"length": 1.0, "sex": "F"}
    files["test_file"] = [str(tmp_path / "short.csv")]
    with pytest.raises(
        ValueError, match=r"the test set has no column 'length', only rings \(int64\) and sex \(words\)"
    ):
        load_splits(DataArguments(**files), seed=0)


@pytest.mark.slow
def test_ten_thousand_columns_with_a_validation_file(shared_data, tmp_path):
    for part in ("train", "valid"):
        (tmp_path / f"arcene_{part}.csv").symlink_to(shared_data / f"uci/arcene_{part}.csv")
    splits = load_splits(DataArguments(str(tmp_path)), seed=0)
    assert {name: len(split) for name, split in splits.items()} == {"train": 80, "test": 20, "validation": 100}
    assert (
        splits["validation"].class_names == ["-1", "1"]
        and TableProcessor.fit(splits["train"]).num_features == 10000
    )


def test_labels_are_names_in_a_table(tmp_path):
    train = table("x,y\n1,10\n2,-1\n3,10\n", tmp_path)
    assert train.class_names == ["-1", "10"] and train.labels.tolist() == [1, 0, 1]
    assert table("x,y\n1,2.0\n2,3.0\n", tmp_path).class_names == ["2", "3"]
    assert table("x,y\n1,true\n2,false\n", tmp_path).class_names == ["False", "True"]
    assert table("y,label,x\n1,b,3\n2,a,4\n", tmp_path).class_names == ["a", "b"]


def test_parquet_and_named_columns(tmp_path):
    features = Features({"kind": ClassLabel(names=["a", "b"]), "x": Value("int8"), "id": Value("int64")})
    rows = Dataset.from_dict({"kind": [1, 0], "x": [3, 4], "id": [0, 1]}, features=features)
    rows.to_parquet(tmp_path / "train.parquet")
    args = DataArguments(train_file=[str(tmp_path / "train.parquet")] * 2, test_fraction=0.5)
    train = load_splits(args, seed=0)["train"]
    assert train.class_names == ["a", "b"] and train.cells.numeric == ["x", "id"]
    args.feature_column_names = ["id"]
    assert load_splits(args, seed=0)["train"].cells.numeric == ["id"]


def test_a_file_without_names(tmp_path):
    train = table("0.5,1,a\n0.7,2,b\n", tmp_path)
    assert train.cells.numeric == ["f0", "f1"] and len(train) == 2
    assert "begins with a row, not with names" in train.notes[0]


def test_a_type_follows_from_every_cell(tmp_path):
    """Also where whole numbers come first, over a megabyte of them."""
    train = table("x,y\n" + f"1,{'a' * 98}\n" * 12_000 + "1.5,b\n", tmp_path)
    assert train.cells.numbers[-1, 0] == 1.5


def fitted(tmp_path):
    return TableProcessor.fit(table(SNAILS, tmp_path))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: table("x,y\n1,a\n1,2,3\n", p),
            "train.csv has 3 cells on line 3 and 2 on its first",
        ),
        (lambda p: table("x,x,y\n1,2,a\n", p), "has 2 columns called 'x'"),
        (lambda p: table("x,y\n", p), "no rows in"),
        (lambda p: table("x,y\n1,a\n2,\n", p), "column 'y' of the train set has no class in line 3 of train.csv"),
        (
            lambda p: table("x,y\n1,0.5\n2,1.5\n", p),
            "does not hold classes but numbers such as 0.5 in line 2 of train.csv",
        ),
        (
            lambda p: table("x,y\n1e39,a\n2,b\n", p),
            "column 'x' of the train set has an infinite number in line 2 of train.csv",
        ),
        (
            lambda p: table("x,d,y\n1,2020-01-01,a\n", p),
            "column 'd' of the train set holds dates or times (2020-01-01 …): leave it out with ignore_columns",
        ),
        (
            lambda p: TableProcessor.fit(table("w,x,y\n" + "".join(f"w{i},1,a\n" for i in range(101)), p)),
            "column 'w' of the train set has 101 different words, more than the 100 that",
        ),
        (lambda p: TableProcessor()({"x": 1.0}), "is not fitted yet"),
        (lambda p: fitted(p)({"sex": "M"}), "a row has no column 'length': the model takes length, sex"),
        (lambda p: fitted(p).check(table("sex,width,rings\nM,1,7\n", p, "t.csv")), "set has no such column"),
        (
            lambda p: fitted(p).check(table("sex,length,w,rings\nM,long,1,7\n", p, "test.csv")),
            "column 'length' held numbers in training, the test set has words",
        ),
        (
            lambda p: transform_for(table(SNAILS, p), None, DataArguments("iris", augmentation="crop_flip")),
            "augmentation crop_flip is not for tables",
        ),
        (lambda p: load_backbone("mlp_table", ["a", "b"], pretrained=False), 'needs model_args {"in_chans": F}'),
        (
            lambda p: load_backbone("mlp_table", ["a", "b"], pretrained=False, sampling_rate=8000),
            "only models of sound take sampling_rate: mlp_table takes tables",
        ),
        (lambda p: Columns(image="a", features=["b"]), "a model takes one of them"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, call, message):
    with pytest.raises(ValueError) as error:
        call(tmp_path)
    assert message in str(error.value)


def test_files_of_one_set_are_alike(tmp_path):
    for name, text in {"a.csv": "x,y\n1,a\n", "b.csv": "z,y\n1,a\n", "c.parquet": ""}.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in ("a.csv", "b.csv", "c.parquet")]
    with pytest.raises(ValueError, match=r"b\.csv has other columns than .*a\.csv"):
        load_splits(DataArguments(train_file=files[:2]), seed=0)
    with pytest.raises(ValueError, match="all CSV or all Parquet"):
        load_splits(DataArguments(train_file=files[::2]), seed=0)


def test_words_alone_are_a_table_and_lists_are_none():
    words = as_labelled(Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]}))
    assert words.kind == "table" and words.example(1) == {"text": "b"}
    lists = Dataset.from_dict(
        {"x": [1.0], "v": [[1.0]], "label": ["x"]},
        Features({"x": Value("float32"), "v": Sequence(Value("float32")), "label": Value("string")}),
    )
    with pytest.raises(ValueError, match="column 'v' of the data set holds neither numbers nor words"):
        as_labelled(lists)
    assert as_unlabelled(lists).cells.numeric == ["x"]


def test_a_table_s_model_comes_back_from_its_folder(tmp_path):
    snails = table(SNAILS, tmp_path)
    processor = TableProcessor.fit(snails)
    torch.manual_seed(0)
    model, _ = load_backbone("mlp_table", snails.class_names, pretrained=False, model_args={"in_chans": 4})
    save_backbone(model, processor, tmp_path / "saved")
    rows = [snails.example(i) for i in range(5)]
    expected = model(**processor(rows, return_tensors="pt")).logits
    loaded, its_processor, report = load_pretrained(tmp_path / "saved")
    assert report is None and its_processor.num_features == 4
    assert torch.equal(loaded(**its_processor(rows, return_tensors="pt")).logits, expected)
    assert loaded.config.id2label == {0: "7", 1: "9"}
    # a folder is what load_backbone takes too, with another head for other classes
    other, same = load_backbone(str(tmp_path / "saved"), ["a", "b", "c"])
    assert other.net.fc.out_features == 3 and same.words == processor.words


@pytest.mark.parametrize("mix", ["erm", "mixup"])
def test_iris_is_learned_and_the_run_can_be_used(tmp_path, mix):
    """Chance is a third; of 30 rows 21 would be right by it once in 20,000 times."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"base: {RECIPE}\nmix: {mix}\nmix_alpha:\n")
    assert main([str(recipe), "--output_dir", str(tmp_path / "run"), "--use_cpu"]) == 0
    model, processor, report = load_pretrained(tmp_path / "run")
    assert report.axes["clean"]["accuracy"]["value"] >= 0.7 and "ece_15" in report.axes["calibration"]
    assert report.content["left_out"]["corruptions"] == "there are none of tables"
    card = (tmp_path / "run" / "README.md").read_text()
    assert "pipeline_tag: tabular-classification" in card and "load_pretrained(model_id)" in card
    snippet = card.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", str(tmp_path / "run"))
    exec(compile(snippet, "card", "exec"), {})
    assert (json.loads((tmp_path / "run" / "preprocessor_config.json").read_text()))["words"] == {}
    # measured again by the command on a file with the class first, by the call, and against other rows
    iris = open_dataset("iris")["train"]
    names = iris.features["label"].names
    lines = [f"{names[row.pop('label')]},{','.join(map(str, row.values()))}" for row in iris]
    columns = ",".join(name for name in iris.column_names if name != "label")
    (tmp_path / "iris.csv").write_text("\n".join([f"label,{columns}", *lines]) + "\n")
    options = ["--dataset", str(tmp_path / "iris.csv"), "--out", str(tmp_path / "again")]
    assert hfmix_command(["evaluate", str(tmp_path / "run"), *options]) == 0
    by_command = json.loads((tmp_path / "again" / "robustness.json").read_text())["axes"]["clean"]["accuracy"]
    far = iris.remove_columns("label").map(lambda row: {name: value + 100 for name, value in row.items()})
    again = evaluate_robustness(model, processor, iris, ood={"far": far}, progress=False)
    assert (
        again.axes["clean"]["accuracy"] == by_command
        and by_command["n"] == 150
        and again.axes["ood"]["far"]["n_ood"] == 150
    )


@pytest.mark.parametrize("mix", ["regmixup", "manifold_mixup", "cutmix"])
def test_policies_on_rows(tmp_path, mix, one_line):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"base: {RECIPE}\nmix: {mix}\nmax_steps: 2\n")
    assert main([str(recipe), "--output_dir", str(tmp_path / "run"), "--use_cpu"]) == (mix == "cutmix")
    if mix == "cutmix":
        assert one_line().startswith("cutmix does not mix the rows of a table: ")


def test_a_run_says_what_is_missing(tmp_path, shared_data, capfd):
    options = ["--train_file", str(shared_data / "uci/arrhythmia.csv"), "--max_steps", "1"]
    assert main([RECIPE, *options, "--output_dir", str(tmp_path / "run"), "--use_cpu"]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "cells of the" in line]
    assert len(said) == 2 and "cells of the train set are missing (" in said[0] and "test set" in said[1]
    assert sum(int(line.split(" of ")[0]) for line in said) == 408


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model_name_or_path", "test_resnet"], "test_resnet takes images, the data is tables"),
        (["--dataset_name", "digits"], "needs model_args"),
        (["--model_args", '{"in_chans": 5}'], "the table has 4 features, model_args sets in_chans 5"),
    ],
)
def test_a_net_that_does_not_fit_is_one_line(tmp_path, options, message, one_line):
    assert main([RECIPE, "--output_dir", str(tmp_path / "run"), *options]) == 1
    assert message in one_line()


def test_rows_from_elsewhere_are_checked_before_the_training(tmp_path, one_line):
    (tmp_path / "other.csv").write_text("petal_length,kind\n1.5,a\n")
    options = ["--ood", json.dumps({"other": str(tmp_path / "other.csv")})]
    assert main([RECIPE, "--output_dir", str(tmp_path / "run"), *options]) == 1
    assert "held numbers in training, the ood other set has no such column" in one_line()
    assert not (tmp_path / "run").exists()
