"""The walk: whatever the names, each file once, without junk and without end."""

import os

import pytest
from files import left_out, put, read, two

from hfmix.data.sources.folder import open_folder
from hfmix.data.sources.walk import walk
from hfmix.robustness.corruptions.folder import corrupt_folder


def test_junk_is_skipped_and_what_else_is_hidden_is_said(tmp_path):
    junk = ["a/._0.png", "__MACOSX/a/0.png", "Thumbs.db", "a/desktop.ini", "a/.ipynb_checkpoints/0.png", ".git/x"]
    root = put(tmp_path, [*two("a", "b"), *junk, "b/__pycache__/x.pyc", "@eaDir/x.png", ".old/0.png", "a/.0.png"])
    opened = open_folder(root)
    assert [path for path, _ in read(opened, root)["train"]] == two("a", "b")
    assert left_out(opened) == {"hidden, since the name begins with a dot": (".old", "a/.0.png")}


def test_a_link_is_followed_once_and_a_circle_ends(tmp_path):
    root, outside = put(tmp_path / "root", two("cat", "dog")), put(tmp_path / "outside", ["0.png"])
    (root / "emu").symlink_to(outside)
    for link, target in (
        ("cat/up", ".."),
        ("dog/self", "."),
        ("hound", "dog"),
        ("dog/above", "../.."),
        ("z", "emu"),
    ):
        (root / link).symlink_to(target)
    (root / "cat/gone.png").symlink_to("nothing.png")
    (root / "cat/same.png").symlink_to("0.png")
    opened = open_folder(root)
    assert read(opened, root) == {
        "train": [
            *((f"cat/{name}.png", "cat") for name in ("0", "1", "same")),
            *((f"dog/{i}.png", "dog") for i in range(2)),
            ("emu/0.png", "emu"),
        ]
    }
    (circles, links), (gone, broken) = sorted(left_out(opened).items())
    assert circles.startswith("a link to a folder that is read already") and gone.endswith("a link to nothing")
    assert links == ("cat/up", "dog/above", "dog/self", "hound", "z") and broken == ("cat/gone.png",)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text_is_said(tmp_path):
    put(tmp_path, two("cat", "dog"))
    os.close(os.open(os.fsencode(tmp_path / "cat") + b"/\xff.png", os.O_CREAT))
    assert list(left_out(open_folder(tmp_path)).values()) == [("'cat/\\udcff.png'",)]


def test_folders_without_files_are_there_and_order_is_by_name(tmp_path):
    put(tmp_path, ["b/c/", "a/2", "a/10", "a/1"])
    walked = walk(tmp_path)
    assert walked.names == {(): (), ("b",): (), ("b", "c"): (), ("a",): ("1", "10", "2")}
    assert list(walked.files()) == [(("a",), "1"), (("a",), "10"), (("a",), "2")]


def test_corrupted_copies_take_the_same_walk(tmp_path, image_folder):
    (image_folder / "red" / "._0.png").write_bytes(b"junk of macOS")
    (image_folder / "blue" / "again").symlink_to("..")
    assert corrupt_folder(image_folder, tmp_path / "out", "contrast") == 12
