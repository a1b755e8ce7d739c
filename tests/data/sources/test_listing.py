"""Tables of paths and labels, in a folder and by themselves."""

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from files import classes, left_out, put, read, two

from hfmix.data.arguments import DataArguments
from hfmix.data.sources.folder import Reading, open_folder
from hfmix.data.splits import as_labelled, load_splits


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("files", "name", "text"),
    [
        (["0001.png", "0002.png"], "metadata.csv", "file_name,label\n0001.png,cat\n0002.png,dog\n"),
        (["0001.png", "0002.png"], "metadata.tsv", "label\tpath\ncat\t0001.png\ndog\t0002.png\n"),
        (["in/0001.png", "in/0002.png"], "labels.csv", "id;breed\n0001;cat\n0002;dog\n"),  # no suffix
        (["in/part1/0001.png", "in/part2/0002.png"], "m/l.csv", "a,photo,class\n9,0001.png,cat\n8,0002.png,dog\n"),
        (["images/0001.png", "images/0002.png"], "meta/l.csv", "a,p,label\n9,0001.png,cat\n8,./0002.png,dog\n"),
        (["0001.png", "0002.png"], "metadata.jsonl", '{"file_name":"0001.png","label":"cat"}\n'
         '{"file_name":"0002.png","label":"dog"}\n'),
        (["fold1/0001.wav", "fold2/0002.wav"], "l.csv", "file,class\nfold1\\0001.wav,cat\nfold2\\0002.wav,dog\n"),
    ],
)  # fmt: skip
def test_a_folder_is_read_by_its_table(tmp_path, files, name, text):
    write(put(tmp_path, files), name, text)
    opened = open_folder(tmp_path)
    data = as_labelled(opened["train"])
    assert data.class_names == ["cat", "dog"] and data.labels.tolist() == [0, 1]
    assert [cell["path"] for cell in data.stored([0, 1])] == [str(tmp_path / file) for file in files]
    assert opened.origins == {"train": name} and opened.left_out == ()


def test_accents_may_be_encoded_in_two_ways(tmp_path):
    put(tmp_path, [unicodedata.normalize("NFD", "é.png"), "a.png"])
    write(tmp_path, "metadata.csv", unicodedata.normalize("NFC", "file_name,label\né.png,x\na.png,y\n"))
    assert classes(open_folder(tmp_path)) == {"train": {"x": 1, "y": 1}}


def test_numbers_are_names_of_classes(tmp_path):
    """10 comes after 9, and there is no class 0."""
    put(tmp_path, ["a.png", "b.png", "c.png"])
    write(tmp_path, "list.csv", "path,label\na.png,10\nb.png,9\nc.png,1\n")
    assert classes(open_folder(tmp_path)) == {"train": {"1": 1, "9": 1, "10": 1}}


def test_a_column_of_splits_is_heeded(tmp_path):
    put(tmp_path, [f"{i}.png" for i in range(5)])
    rows = zip(range(5), ("Train", "Train", "val", "test", "test"), "xyxxy", strict=True)
    write(tmp_path, "metadata.csv", "file_name,set,label\n" + "".join(f"{i}.png,{s},{c}\n" for i, s, c in rows))
    opened = open_folder(tmp_path)
    assert [(split, len(part)) for split, part in opened.items()] == [("train", 2), ("validation", 1), ("test", 2)]
    assert opened.origins["validation"] == "the rows of metadata.csv with set = val"


def test_tables_of_splits_and_one_without_labels(tmp_path):
    put(tmp_path, [f"images/{name}.png" for name in "abcd"])
    write(tmp_path, "train.csv", "id,label\na,x\nb,y\n")
    write(tmp_path, "test.csv", "id\nc\n")
    opened = open_folder(tmp_path)
    assert classes(opened) == {"train": {"x": 1, "y": 1}}
    assert left_out(opened) == {
        "listed without the column 'label', the class": ("test.csv",),
        "not listed in test.csv or train.csv": ("images/d.png",),
    }


ESC = "filename,fold,target,category,esc10\n1-0-A-0.wav,1,0,dog,True\n2-0-A-1.wav,2,1,rain,False\n"
URBAN = "slice_file_name,fsID,fold,classID,class\n1-0.wav,1,1,0,horn\n2-1.wav,2,2,1,siren\n"


@pytest.mark.parametrize(
    ("files", "name", "text", "names"),
    [
        (["audio/1-0-A-0.wav", "audio/2-0-A-1.wav"], "meta/esc50.csv", ESC, ["dog", "rain"]),
        (["audio/fold1/1-0.wav", "audio/fold2/2-1.wav"], "metadata/UrbanSound8K.csv", URBAN, ["horn", "siren"]),
    ],
)
def test_folds_are_no_classes(tmp_path, files, name, text, names):
    write(put(tmp_path, [*files, "README.md"]), name, text)
    opened = open_folder(tmp_path)
    data = as_labelled(opened["train"])
    assert data.kind == "audio" and data.class_names == names and data.labels.tolist() == [0, 1]
    assert list(left_out(opened).values()) == [("README.md",)]


def test_speech_commands_as_shipped(tmp_path):
    files = [f"{word}/{i}.wav" for word in ("no", "yes") for i in range(4)]
    put(tmp_path, [*files, "_background_noise_/hum.wav", "LICENSE"])
    write(tmp_path, "testing_list.txt", "no/0.wav\nyes/0.wav\n")
    write(tmp_path, "validation_list.txt", "no/1.wav\nyes/1.wav\n")
    opened = open_folder(tmp_path)
    assert read(opened, tmp_path) == {
        "train": [(f"{word}/{i}.wav", word) for word in ("no", "yes") for i in (2, 3)],
        "validation": [("no/1.wav", "no"), ("yes/1.wav", "yes")],
        "test": [("no/0.wav", "no"), ("yes/0.wav", "yes")],
    }
    assert opened.origins["test"] == "testing_list.txt"
    assert ("_background_noise_/hum.wav",) in left_out(opened).values()
    write(tmp_path, "testing_list.txt", "no/0.wav\nno/77.wav\n")
    with pytest.raises(ValueError, match=r"1 of the clips that .* list are not there: no/77\.wav"):
        open_folder(tmp_path)


def test_a_table_that_says_what_the_folders_say_changes_nothing(tmp_path):
    plain = read(open_folder(put(tmp_path, two("cat", "dog"))), tmp_path)
    write(tmp_path, "manifest.csv", "path,kind\n" + "".join(f"{f},{f[:3]}\n" for f in two("cat", "dog")))
    write(tmp_path, "broken.csv", "")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00")
    assert read(open_folder(tmp_path), tmp_path) == plain


def test_the_hubs_table_comes_before_the_folders_and_gets_their_classes_if_it_has_none(tmp_path):
    put(tmp_path, two("0a", "0b"))
    write(tmp_path, "metadata.csv", "file_name,label\n0a/0.png,y\n0a/1.png,x\n0b/0.png,x\n0b/1.png,y\n")
    opened = open_folder(tmp_path)
    assert classes(opened) == {"train": {"x": 2, "y": 2}}
    assert opened.notes[0] == "the classes are those in metadata.csv, not the folders' names"
    write(tmp_path, "metadata.csv", "file_name,who,year\n0a/0.png,y,1\n0a/1.png,x,2\n0b/0.png,x,3\n0b/1.png,y,4\n")
    opened = open_folder(tmp_path)
    assert classes(opened) == {"train": {"0a": 2, "0b": 2}}
    assert opened.notes[0] == "the classes are the folders' names: metadata.csv has no column 'label'"


@pytest.mark.parametrize(
    ("files", "text", "message"),
    [
        (["a.png"], "path,label\na.png,x\nb.png,y\nc.png,y\n", "2 of the 3 files that"),
        (["a.png"], "path,label\na.png,x\nb.png,y\nc.png,y\n", "in its column 'path' are not there: b.png, c.png"),
        (["a.png", "b.png"], "path,label\nz/7.png,x\nz/8.png,y\n", "2 of the 2 files that"),
        (["a.png", "b.png", "c.png", "d.png"], "im,mask,label\na.png,c.png,x\nb.png,d.png,y\n",
         "the columns 'im' and 'mask' of"),
        ([f"{i}.png" for i in range(9)], "id,label\na,x\nb,y\n", "the folder itself: make one subfolder"),
        ([f"{i}.png" for i in range(9)], "id,label\na,x\nb,y\n", "; list.csv lists none of them"),
        (two("x", "y"), "path,label\nx/0.png,p\nx/1.png,q\ny/0.png,p\ny/1.png,p\n",
         "the classes can be the folders' names or those in list.csv, which differ: give the table by train_file"),
    ],
)  # fmt: skip
def test_what_is_missing_or_means_two_things_is_refused(tmp_path, files, text, message):
    write(put(tmp_path, files), "list.csv", text)
    with pytest.raises(ValueError) as error:
        open_folder(tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_of_two_columns_of_paths_the_given_one_is_read(tmp_path):
    put(tmp_path, ["a.png", "b.png", "c.png", "d.png"])
    write(tmp_path, "list.csv", "im,mask,label\na.png,c.png,x\nb.png,d.png,y\n")
    opened = open_folder(tmp_path, Reading(paths="mask"))
    assert [row["mask"]["path"] for row in opened["train"]] == [str(tmp_path / f"{name}.png") for name in "cd"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("folder", ["", "images/", "absolute"])
def test_a_file_of_paths_is_given_by_itself(tmp_path, image_folder, suffix, folder):
    """Relative to the file, to a folder beside it, or absolute; whatever the column is called."""
    files = sorted(image_folder.rglob("*.png"))
    prefix = f"{image_folder}/" if folder == "absolute" else folder
    paths = [prefix + str(file.relative_to(image_folder)) for file in files]
    table = {"where": paths, "colour": [file.parent.name for file in files]}
    file = tmp_path / f"list.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table(table), file)
    else:
        mark = {"csv": ",", "tsv": "\t"}[suffix]
        file.write_text("\n".join(map(mark.join, zip(*([k, *v] for k, v in table.items()), strict=True))))
    splits = load_splits(DataArguments(train_file=[str(file)], test_file=[str(file)]), seed=0)
    test = splits["test"]
    assert test.kind == "image" and test.class_names == ["blue", "red"]
    assert np.bincount(test.labels).tolist() == [6, 6]
    assert max(np.asarray(test.example(11)).reshape(-1, 3).tolist()) == [255, 0, 0]
    file.unlink()


def test_a_table_of_words_stays_a_table(tmp_path):
    write(tmp_path, "t.csv", "name,size,label\nann,1,x\nbob,2,y\nann,3,x\nbob,1,y\n")
    assert (
        load_splits(DataArguments(train_file=[str(tmp_path / "t.csv")], test_fraction=0.5), 0)["train"].kind
        == "table"
    )
