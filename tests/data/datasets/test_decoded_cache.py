"""Images are decoded once, kept, and decoded anew where a file behind them has changed."""

import io
import logging

import numpy as np
import pytest
from datasets import Dataset, Features, Image
from PIL import Image as PILImage
from safetensors import safe_open

from hfmix.data.datasets import decoded_cache as room
from hfmix.data.datasets.decoded_cache import check_memory, decoded, free_memory
from hfmix.data.kinds.image import ImageCells
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled, load_splits


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "hfmix"


def png(level, size=(4, 3)):
    buffer = io.BytesIO()
    PILImage.new("RGB", size, (level, level + 1, level + 2)).save(buffer, "PNG")
    return buffer.getvalue()


def data_of(contents, rows=None):
    column = [{"bytes": content, "path": None} for content in contents]
    dataset = Dataset.from_dict({"image": column}, features=Features({"image": Image(decode=False)}))
    rows = np.arange(len(contents)) if rows is None else np.array(rows)
    return LabelledData(ImageCells.of(dataset, "image", "made"), rows, np.zeros(len(rows), int), ["a"], "made")


def levels(images):
    return images[:, 0, 0, 0].tolist()


def run(data, recipe="as it is"):
    """The images, and how many were decoded for them: the first always is."""
    count = [0]

    def prepare(image):
        count[0] += 1
        return np.asarray(image)

    return decoded(data, prepare, recipe, progress=False), count[0] - 1


def test_every_image_stands_in_its_place():
    contents = [png(i % 250) for i in range(600)]  # more than two chunks
    images, _ = run(data_of(contents, rows=list(range(599, -1, -2))))
    assert images.shape == (300, 3, 4, 3) and levels(images) == [i % 250 for i in range(599, -1, -2)]
    assert (images[..., 2] - images[..., 0] == 2).all()


def test_what_is_decoded_is_kept_for_the_same_images_and_steps(cache):
    data = data_of([png(i) for i in range(5)])
    assert run(data)[1] == 5 and run(data)[1] == 0
    assert run(data, "another size")[1] == 5
    assert run(data.select(np.array([4, 3, 2, 1, 0])))[1] == 5  # another order is another tensor
    assert levels(run(data)[0]) == [0, 1, 2, 3, 4]
    assert len(list(cache.iterdir())) == 3


def test_nothing_is_kept_of_steps_without_a_name(cache):
    data = data_of([png(i) for i in range(5)])
    assert run(data, None)[1] == 5 and run(data, None)[1] == 5 and not cache.exists()


def test_a_changed_image_is_decoded_anew():
    contents = [png(i) for i in range(5)]
    run(data_of(contents))
    assert levels(run(data_of([*contents[:4], png(77)]))[0]) == [0, 1, 2, 3, 77]


def test_a_changed_file_is_decoded_anew(tmp_path):
    """Its name, size and time stay as they were."""
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    column = [{"bytes": None, "path": str(tmp_path / f"{i}.png")} for i in range(5)]
    dataset = Dataset.from_dict({"image": column}, features=Features({"image": Image(decode=False)}))
    dataset = dataset.add_column("label", [0, 1, 0, 1, 0])
    data = as_labelled(dataset)
    assert levels(run(data)[0]) == [0, 1, 2, 3, 4]
    before = (tmp_path / "3.png").stat()
    (tmp_path / "3.png").write_bytes(png(99))
    import os

    os.utime(tmp_path / "3.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert levels(run(data)[0]) == [0, 1, 2, 99, 4]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other shape", "empty"])
def test_a_damaged_cache_is_decoded_anew(cache, damage, caplog):
    data = data_of([png(i) for i in range(5)])
    run(data)
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[:-7])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "flipped":
        content[-1] ^= 1
        file.write_bytes(content)
    else:
        room.save_file({"images": run(data, None)[0][:2]}, file)
    with caplog.at_level(logging.WARNING):
        images, count = run(data)
    assert count == 5 and levels(images) == [0, 1, 2, 3, 4]
    assert "is damaged" in caplog.text and str(file) in caplog.text
    with safe_open(file, "pt") as kept:  # mended
        assert kept.get_tensor("images").shape == images.shape


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(cache, caplog):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert levels(run(data_of([png(1), png(2)]))[0]) == [1, 2]
    assert "not cached for the next run" in caplog.text


def test_images_of_two_sizes_are_refused_with_their_rows():
    contents = [png(0), png(1), png(2, size=(5, 5))]
    with pytest.raises(ValueError, match=r"made row 2 and made row 0 have 5×5 and 3×4 pixels"):
        run(data_of(contents))
    assert run(data_of(contents, rows=[0, 1]))[1] == 2


def test_an_image_that_cannot_be_read_is_named():
    with pytest.raises(ValueError, match="made row 1 is not an image that can be read"):
        run(data_of([png(0), b"nothing"]))


def test_a_set_that_does_not_fit_says_how_much_it_needs(monkeypatch):
    with pytest.raises(
        MemoryError, match=r"1,281,167 images of 256×256×3 take 251\.9 GB, more than 80% of the 20\.0"
    ):
        check_memory(1_281_167, (256, 256, 3), 20 * 10**9)
    check_memory(100, (10, 10, 1), 12_500)
    with pytest.raises(MemoryError):
        check_memory(100, (10, 10, 1), 12_499)
    monkeypatch.setattr(room, "free_memory", lambda: 10)
    with pytest.raises(MemoryError, match="5 images of 3×4×3 take"):
        run(data_of([png(i) for i in range(5)]))


def test_free_memory_is_what_the_machine_has():
    import psutil

    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_free_memory_is_what_a_container_may_have_with_what_it_keeps_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_CGROUP", tmp_path)
    for name, text in (("max", "10000"), ("current", "9000"), ("stat", "anon 2000\ninactive_file 6500\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert free_memory() == 10_000 - 9_000 + 6_500
    (tmp_path / "memory.max").write_text("max")
    assert free_memory() > 10_000


def test_files_of_a_folder_are_decoded(image_folder):
    from hfmix.data.arguments import DataArguments

    splits = load_splits(DataArguments(str(image_folder)), seed=0)
    images, _ = run(splits["train"])
    expected = np.stack([np.asarray(splits["train"].example(i)) for i in range(len(splits["train"]))])
    assert np.array_equal(images.numpy(), expected)
