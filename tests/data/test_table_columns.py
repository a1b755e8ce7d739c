"""Tables of every source: which columns are learned from, and how their cells are read."""

import json
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from project import ROOT

from hfmix.cli import main as hfmix_command
from hfmix.data.arguments import DataArguments
from hfmix.data.columns import Columns
from hfmix.data.splits import as_labelled, as_unlabelled, load_splits
from hfmix.data.table_columns import CellReading
from hfmix.models.processors.table import TableProcessor, held_out_notes
from hfmix.train import main


def lines(head, row, count=18):
    return head + "\n" + "".join(row(i) + "\n" for i in range(count))


def load(tmp_path, text, test=None, **options):
    """Writes CSV files and loads their splits."""
    (tmp_path / "train.csv").write_text(text)
    files = {"train_file": [str(tmp_path / "train.csv")]}
    if test is not None:
        (tmp_path / "test.csv").write_text(test)
        files["test_file"] = [str(tmp_path / "test.csv")]
    return load_splits(DataArguments(**files, **options), seed=0)


def columns_of(tmp_path, text, **options):
    cells = load(tmp_path, text, **options)["train"].cells
    return cells.numeric, sorted(cells.words)


@pytest.mark.parametrize(
    ("head", "row", "numbers"),
    [
        (",a,y", lambda i: f"{i},{i % 7},{'pq'[i % 2]}", ["a"]),  # a data frame's index
        (",a,y", lambda i: f"{i * 5 % 18},{i % 7},{'pq'[i % 2]}", ["a"]),  # of shuffled rows
        (",a,y", lambda i: f"row {i},{i % 7},{'pq'[i % 2]}", ["a"]),  # R's row names
        ("id,a,y", lambda i: f"{i + 1},{i % 7},{'pq'[i % 2]}", ["a"]),
        ("PassengerId,a,y", lambda i: f"{i + 1},{i % 7},{'pq'[i % 2]}", ["a"]),
        ("id,a,y", lambda i: f"{i % 9},{i % 7},{'pq'[i % 2]}", ["id", "a"]),  # not of rows, since they repeat
        ("acid,a,y", lambda i: f"{i * 3},{i % 7},{'pq'[i % 2]}", ["acid", "a"]),
        ("t,a,y", lambda i: f"{i},{i % 7},{'pq'[i % 2]}", ["t", "a"]),
    ],
)
def test_a_column_that_numbers_the_rows_is_left_out(tmp_path, head, row, numbers):
    train = load(tmp_path, lines(head, row))["train"]
    assert train.cells.numeric == numbers
    assert any("numbers its rows and is left out" in note for note in train.notes) is (numbers == ["a"])
    named = head.split(",")[0] or "Unnamed: 0"
    assert columns_of(tmp_path, lines(head, row), feature_column_names=[named]) in (([named], []), ([], [named]))


def test_an_index_is_left_out_of_parquet_too(tmp_path):
    frame = {"x": [3.0, 1.0, 2.0], "label": ["a", "b", "a"], "__index_level_0__": [7, 2, 5]}
    data = as_labelled(Dataset(pa.table(frame)))
    assert data.cells.numeric == ["x"] and "'__index_level_0__' of the data set numbers its rows" in data.notes[0]


ODD = lines("a,b,y", lambda i: f"{i if i % 5 else 'n.a.'},{i % 4},{'pq'[i % 2]}", 20)


def test_a_few_words_among_numbers_are_refused_and_options_choose(tmp_path):
    with pytest.raises(ValueError) as error:
        load(tmp_path, ODD)
    assert "column 'a' of the train set holds numbers, but 'n.a.' in lines 2, 7, 12 and 17 of train.csv" in str(
        error.value
    )
    assert "missing_values" in str(error.value) and "categorical_columns to a" in str(error.value)
    cells = load(tmp_path, ODD, missing_values=["n.a."])["train"].cells
    assert cells.numeric == ["a", "b"] and np.flatnonzero(np.isnan(cells.numbers[:, 0])).tolist() == [0, 5, 10, 15]
    assert columns_of(tmp_path, ODD, categorical_columns=["a"]) == (["b"], ["a"])
    few = lines("a,y", lambda i: f"{['A1', '7', 'B2'][i % 3]},{'pq'[i % 2]}")
    assert columns_of(tmp_path, few) == ([], ["a"])
    with pytest.raises(ValueError, match="has no column 'aa', which categorical_columns names"):
        load(tmp_path, few, categorical_columns=["aa"])


def test_a_number_can_stand_for_a_missing_cell(tmp_path):
    text = lines("a,c,y", lambda i: f"{i if i % 6 else -999},{i / 2 if i % 6 else -999.0},{'pq'[i % 2]}")
    cells = load(tmp_path, text, missing_values=["-999"])["train"].cells
    assert np.isnan(cells.numbers).sum(0).tolist() == [3, 3] and np.nanmin(cells.numbers) == 0.5


def test_categories_are_the_training_set_s_in_every_split(tmp_path):
    """Codes that are all numbers in the test set, one of them unseen, which is no category and is said."""
    train = lines("a,x,y", lambda i: f"{['A1', '7', 'B2'][i % 3]},{i % 5},{'pq'[i % 2]}")
    splits = load(tmp_path, train, "a,x,y\n7,1,p\n8,2,q\n")
    processor = TableProcessor.fit(splits["train"])
    assert processor.words == {"a": ["7", "A1", "B2"]}
    assert splits["test"].cells.words["a"].tolist() == ["7", "8"]
    rows = processor([splits["test"].example(i) for i in range(2)])["input_features"]
    assert rows[:, 1:].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert processor({"a": 7, "x": 0})["input_features"][0, 1:].tolist() == [1, 0, 0]
    assert held_out_notes(processor, splits["test"], "test") == [
        "1 cells of the test set hold a category that the training data lack (a '8' 1): they count as no category"
    ]
    assert held_out_notes(processor, splits["train"], "train") == []
    strange = load(tmp_path, train, "a,x,y\na1,1,p\nb2,2,q\n")["test"]
    with pytest.raises(
        ValueError, match="has none of the categories of training: it holds 'a1' and 'b2', training"
    ):
        processor.check(strange)
    with pytest.raises(ValueError, match="'long' in column 'x', which held numbers in training"):
        processor({"a": "7", "x": "long"})


def test_arrow_s_types_are_numbers_or_words():
    columns = {
        "tiny": pa.array([1, 2, None], pa.uint8()),
        "half": pa.array([1.5, None, 3.0], pa.float32()).cast(pa.float16()),
        "decimal": pa.array([Decimal("1.25"), Decimal("2.00"), None]),
        "flag": pa.array([True, None, False]),
        "large": pa.array(["p", None, "q"], pa.large_string()),
        "view": pa.array(["p", "q", None], pa.string_view()),
        "category": pa.array(["p", "q", None]).dictionary_encode(),
        "chunks": pa.chunked_array([[1], [2, 3]]),
        "empty": pa.nulls(3),
        "label": ["a", "b", "a"],
    }
    data = as_labelled(Dataset(pa.table(columns)))
    expected = [[1, 1.5, 1.25, 1, 1], [2, np.nan, 2, np.nan, 2], [np.nan, 3, np.nan, 0, 3]]
    assert data.cells.numeric == ["tiny", "half", "decimal", "flag", "chunks"]
    np.testing.assert_array_equal(data.cells.numbers, np.array(expected, dtype=np.float32))
    assert {name: words.tolist() for name, words in data.cells.words.items()} == {
        "large": ["p", None, "q"],
        "view": ["p", "q", None],
        "category": ["p", "q", None],
    }
    assert data.notes == ("column 'empty' of the data set has no value in any row and is left out",)
    codes = as_labelled(Dataset(pa.table(columns)), Columns(cells=CellReading(categories=("tiny", "decimal"))))
    assert codes.cells.words["tiny"].tolist() == ["1", "2", None] and "decimal" in codes.cells.words


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            ["2021-03-04", "2021-03-05", None],
            "holds dates or times (2021-03-04 …): leave it out with ignore_columns",
        ),
        (["4.3.2021", "5.3.2021", "6.3.2021"], "holds dates or times (4.3.2021 …)"),
        ([date(2021, 3, 4)] * 3, "holds neither numbers nor words but dates or times"),
        (pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32(), 2)), "lists of float32, each of which needs a column"),
        ([{"a": 1}] * 3, "holds neither numbers nor words but records of a"),
        (["1", "2", "unknown"], "holds numbers, but 'unknown' in row 2: set missing_values"),
        ([1.0, 2.0, 1e39], "has an infinite number in row 2"),
    ],
)
def test_what_cannot_be_learned_from_is_named(column, message):
    rows = {"v": column, "x": [1, 2, 2], "label": ["a", "b", "a"]}
    with pytest.raises(ValueError) as error:
        as_labelled(Dataset(pa.table(rows)))
    assert message in str(error.value)
    assert as_labelled(Dataset(pa.table(rows)), Columns(ignored=["v"])).cells.numeric == ["x"]


def test_the_label_is_found_aloud_and_never_an_input(tmp_path):
    text = lines("a,target,y", lambda i: f"{i % 9},{i % 2},{'pq'[i % 2]}")
    with pytest.raises(ValueError, match="'target' by its name or 'y', the last column: set label_column_name"):
        load(tmp_path, text)
    train = load(tmp_path, text, label_column_name="y")["train"]
    assert (
        train.class_names == ["p", "q"]
        and "column 'target' of the train set tells the label 'y'" in train.notes[0]
    )
    wanted = load(tmp_path, lines("a,y", lambda i: f"{i % 9},{'pq'[i % 2]}"))["train"]
    assert wanted.notes == ("the last column of the train set, 'y', is taken for the label",)
    for options in ({"label_column_name": "y"}, {}):
        with pytest.raises(ValueError, match="'y' is the label"):
            load(tmp_path, "a,y\n1,p\n2,q\n", feature_column_names=["a", "y"], **options)
    with pytest.raises(ValueError, match="the train set has no column 'wen', only a"):
        load(tmp_path, text, label_column_name="y", ignore_columns=["wen"])
    wine = "".join(f"{i % 3 + 1},{13 + i / 10},{600 + 7 * i}\n" for i in range(30))
    with pytest.raises(ValueError, match="'f2' of the train set has 30 different values in 30 rows"):
        load(tmp_path, wine)
    assert load(tmp_path, wine, label_column_name="f0")["train"].class_names == ["1", "2", "3"]
    with pytest.raises(
        ValueError, match=r"column 'y' .* in lines 2, 4 and 6 of train.csv, where it holds 'NA' beside"
    ):
        load(tmp_path, "a,y\n1,NA\n2,1\n3,NA\n4,0\n5,NA\n")


def test_columns_that_no_model_needs_do_no_harm_to_ood_data():
    rows = Dataset.from_dict({"x": [1.0, 2.0], "when": ["2021-03-04"] * 2, "odd": ["1", "n.a."]})
    assert sorted(as_unlabelled(rows).cells.words) == ["odd", "when"]


def test_adult_as_it_comes_from_uci(tmp_path, capfd):
    """Without names, with blanks and ``?``, a title and full stops in the test file: trained and verified."""

    def row(i, end):
        return f"{20 + i % 40}, {['Private', '?'][i % 7 == 0]}, {i * 37 % 100}, {'<>'[i % 2]}50K{end}"

    (tmp_path / "adult.data").write_text("".join(row(i, "") + "\n" for i in range(80)) + "\n")
    (tmp_path / "adult.test").write_text("|1x3 Cross validator\n" + "".join(row(i, ".") + "\n" for i in range(30)))
    run = tmp_path / "run"
    options = ["--train_file", str(tmp_path / "adult.data"), "--test_file", str(tmp_path / "adult.test")]
    recipe = str(ROOT / "recipes/uci/iris_mixup.yaml")
    assert main([recipe, *options, "--max_steps", "2", "--output_dir", str(run), "--use_cpu"]) == 0
    report = json.loads((run / "robustness.json").read_text())
    assert report["data"]["class_names"] == ["<50K", ">50K"] and report["data"]["num_samples"] == 30
    assert "cells of the train set are missing (f1 12)" in capfd.readouterr().err
    assert hfmix_command(["verify", str(run)]) == 0
