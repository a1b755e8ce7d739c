"""Labels in every form: what each becomes, and what is refused because it can be read in two ways."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import Columns
from hfmix.data.splits import as_labelled, load_splits

WORDS = ["b", "a", "b"]


def labelled(labels, columns=Columns(), **more):  # noqa: B008 (a frozen record)
    return as_labelled(Dataset(pa.table({"x": [0.5, 1.5, 2.5], "label": labels, **more})), columns)


@pytest.mark.parametrize(
    ("labels", "names", "indices"),
    [
        (pa.array(WORDS, pa.large_string()), ["a", "b"], [1, 0, 1]),
        (pa.array(WORDS, pa.string_view()), ["a", "b"], [1, 0, 1]),
        (pa.array(WORDS).dictionary_encode(), ["a", "b"], [1, 0, 1]),
        (pa.chunked_array([WORDS[:1], WORDS[1:]]), ["a", "b"], [1, 0, 1]),
        ([10, 9, 10], ["9", "10"], [1, 0, 1]),
        ([5_000_001, 7_000_000, 5_000_001], ["5000001", "7000000"], [0, 1, 0]),
        (pa.array([200, 3, 200], pa.uint8()), ["3", "200"], [1, 0, 1]),
        (pa.array([-1, 1, 1], pa.int8()), ["-1", "1"], [0, 1, 1]),
        (pa.array([2**64 - 1, 1, 1], pa.uint64()), ["1", str(2**64 - 1)], [1, 0, 0]),
        ([2.0, 1.0, 2.0], ["1", "2"], [1, 0, 1]),
        (pa.array([2.0, 1.0, 2.0], pa.float32()).cast(pa.float16()), ["1", "2"], [1, 0, 1]),
        ([Decimal("2.00"), Decimal("1.00"), Decimal("2.00")], ["1", "2"], [1, 0, 1]),
        ([True, False, True], ["False", "True"], [1, 0, 1]),
    ],
)
def test_one_class_an_example(labels, names, indices):
    data = labelled(labels)
    assert data.class_names == names and data.labels.tolist() == indices and data.labels.dtype == np.int64


VECTORS = [[0, 1, 1], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "labels",
    [
        VECTORS,
        pa.array(VECTORS, pa.list_(pa.uint8())),
        pa.array(VECTORS, pa.list_(pa.int64(), 3)),
        pa.array(VECTORS, pa.large_list(pa.int8())),
        pa.array(VECTORS, pa.list_(pa.float32())),
        [[bool(value) for value in row] for row in VECTORS],
    ],
)
def test_vectors_of_zeros_and_ones_are_no_indices(labels):
    data = labelled(labels)
    assert data.labels.tolist() == VECTORS and data.class_names == ["0", "1", "2"]
    assert "holds vectors of 3 zeros and ones" in data.notes[-1]


@pytest.mark.parametrize(
    ("labels", "names", "rows"),
    [
        ([[0, 1], [1], []], ["0", "1"], [[1, 1], [0, 1], [0, 0]]),
        ([[2, 5], [5, 7], [7, 2]], ["2", "5", "7"], [[1, 1, 0], [0, 1, 1], [1, 0, 1]]),
        (pa.array([["b"], ["a", "b"], []], pa.list_(pa.large_string())), ["a", "b"], [[0, 1], [1, 1], [0, 0]]),
    ],
)
def test_lists_of_classes(labels, names, rows):
    data = labelled(labels)
    assert data.class_names == names and data.labels.tolist() == rows


@pytest.mark.parametrize(
    ("form", "rows"), [("multi_hot", [[0, 1], [1, 0], [1, 0]]), ("indices", [[1, 1], [1, 1], [1, 1]])]
)
def test_an_option_chooses_between_two_readings(form, rows):
    both = [[0, 1], [1, 0], [1, 0]]
    assert labelled(both, Columns(label_form=form)).labels.tolist() == rows
    with pytest.raises(ValueError, match=r"such as \[0, 1\], which are either .* set label_form to multi_hot or"):
        labelled(both)


def test_several_columns_of_zeros_and_ones():
    columns = {"cat": [0, 1, 1], "dog": [True, False, True], "emu": [0.0, 0.0, 1.0]}
    data = labelled(WORDS, Columns(label=["emu", "cat", "dog"], ignored=["label"]), **columns)
    assert data.class_names == ["emu", "cat", "dog"] and data.labels.tolist() == [[0, 0, 1], [0, 1, 0], [1, 1, 1]]
    assert data.cells.numeric == ["x"] and data.notes == ()
    one_hot = labelled([1, 0, 0], Columns(label=["label", "cat"]), cat=[0, 1, 1])
    assert "exactly one of the 2 label columns" in one_hot.notes[-1]
    with pytest.raises(ValueError, match="column 'cat' of the data set holds 2 in row 1: several label columns"):
        labelled(WORDS, Columns(label=["cat", "dog"]), cat=[0, 2, 1], dog=[0, 1, 0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, float("nan"), float("nan")], "has no class in rows 1 and 2 (2 of 3 rows)"),
        ([0.5, 0.25, 0.5], "numbers such as 0.5 in row 0, which would be regression"),
        (["a", " ", "b"], "has no class in row 1"),
        ([[0], [1], [0]], "set label_form to multi_hot or to indices"),
        ([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]], "shares of classes are not read"),
        ([[True], [True, False], []], "has 2 values in row 1 and 1 in the first"),
        ([[[1]], [[2]], [[3]]], "does not hold lists of classes but of lists of int64"),
        ([[0, 1, 1], None, [1, 1, 0]], "has no class in row 1"),
        ([{"a": 1}] * 3, "does not hold classes but records of a"),
        (pa.array([1, 2, 3], pa.date32()), "does not hold classes but dates or times"),
    ],
)
def test_what_is_no_class_is_named(labels, message):
    with pytest.raises(ValueError) as error:
        labelled(labels)
    assert message in str(error.value)


def test_names_that_may_be_slips_are_pointed_out():
    assert "only in case or blanks: 'Cat' and 'cat '" in labelled(["Cat", "cat ", "dog"]).notes[-1]
    assert "'NA' (2 times) taken for the names of classes" in labelled(["NA", "NA", "dog"]).notes[-1]
    data = labelled(["Cat", "dog", "Cat"])
    with pytest.raises(
        ValueError, match=r"unknown classes: Cat \(2 examples\), .* 'Cat' differs from 'cat' only in"
    ):
        data.with_classes(["cat", "dog"])
    adult = labelled(["<=50K.", ">50K.", "<=50K."]).with_classes(["<=50K", ">50K", "other"])
    assert adult.labels.tolist() == [0, 1, 0] and "taken without their full stop" in adult.notes[-1]
    with pytest.raises(ValueError, match=r"unknown classes: b\. \(1 example\)"):
        labelled(["a", "b.", "a"]).with_classes(["a", "b"])


def test_numbers_are_indices_only_where_they_are_not_names():
    numbers = labelled([0, 3, 1])
    assert numbers.class_names == ["0", "1", "3"] and numbers.labels.tolist() == [0, 2, 1]
    indices = numbers.by_value(5)
    assert indices.labels.tolist() == [0, 3, 1] and indices.class_names == ["0", "1", "2", "3", "4"]
    assert numbers.with_classes(["3", "2", "1", "0"]).labels.tolist() == [3, 0, 2]
    words = labelled(WORDS)
    assert words.by_value(9) is words
    table = labelled([1, 3, 1])
    assert table.by_value(4) is table  # in a table, names that count from 1
    lists = labelled([[0, 3], [3], []]).by_value()
    assert lists.labels.tolist() == [[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def files(tmp_path, **splits):
    """Parquet files of pictures' worth of rows: numbers, and labels with their type."""
    for split, (labels, feature) in splits.items():
        rows = {"x": [float(i % 7) for i in range(len(labels))], "label": labels}
        Dataset.from_dict(rows, Features({"x": Value("float32"), "label": feature})).to_parquet(
            tmp_path / f"{split}.parquet"
        )
    return DataArguments(str(tmp_path))


def test_training_fixes_the_classes(tmp_path):
    """Numbers with a gap, in the training and in the test set; a class that only the test set has is refused."""
    ints = Value("int64")
    splits = load_splits(files(tmp_path, train=([0, 1, 3] * 4, ints), test=([3, 1], ints)), seed=0)
    assert splits["train"].class_names == splits["test"].class_names == ["0", "1", "3"]
    assert splits["test"].labels.tolist() == [2, 1]
    with pytest.raises(
        ValueError, match=r"the test set has unknown classes: 2 \(2 examples\), .* among 0, 1 and 3"
    ):
        load_splits(files(tmp_path, train=([0, 1, 3] * 4, ints), test=([3, 2, 2], ints)), seed=0)


def test_names_without_an_example_keep_their_outputs_and_are_said(tmp_path):
    named = ClassLabel(names=["ant", "bee", "cat"])
    splits = load_splits(files(tmp_path, train=([0, 2] * 5, named), test=([2, 0], named)), seed=0)
    assert splits["train"].class_names == ["ant", "bee", "cat"] and splits["test"].labels.tolist() == [2, 0]
    assert splits["train"].notes[-1] == "classes without a training example, whose outputs stay untrained: bee"
    with pytest.raises(ValueError, match=r"classes without an example in the train set: bee \(1 example\)"):
        load_splits(files(tmp_path, train=([0, 2] * 5, named), test=([2, 1], named)), seed=0)


def test_the_form_of_the_training_labels_holds_for_all_splits(tmp_path):
    """Alone, the test set's lists could be read in two ways."""
    vectors = List(Value("int64"))
    args = files(tmp_path, train=([[0, 1], [1, 1]] * 3, vectors), test=([[0, 1], [1, 0]], vectors))
    assert load_splits(args, seed=0)["test"].labels.tolist() == [[0, 1], [1, 0]]
    args = files(tmp_path, train=([[0, 1], [1, 1]] * 3, vectors), test=([[0, 1, 0]], vectors))
    with pytest.raises(ValueError, match="the test set has vectors of 3 zeros and ones as labels, for 2 classes"):
        load_splits(args, seed=0)


def test_identifiers_are_no_classes(tmp_path):
    with pytest.raises(ValueError, match=r"'label' of the train set has 12 different values in 12 rows .* hardly"):
        load_splits(files(tmp_path, train=(list(range(100, 112)), Value("int64"))), seed=0)
