"""`hfmix corrupt` on folders of images and sound."""

import numpy as np
import pytest
import soundfile
from clips import tone
from PIL import Image

from hfmix import corrupt
from hfmix.cli import main
from hfmix.robustness.corruptions.audio import corrupt_sound


def test_a_folder_of_images(image_folder, tmp_path):
    out = tmp_path / "out"
    assert main(["corrupt", str(image_folder), str(out), "--name", "fog", "--severity", "4", "--seed", "5"]) == 0
    files = sorted(image_folder.rglob("*.png"))
    assert [path.relative_to(out) for path in sorted(out.rglob("*.png"))] == [
        path.relative_to(image_folder) for path in files
    ]
    third = np.asarray(Image.open(files[2]).convert("RGB"))
    written = np.asarray(Image.open(out / files[2].relative_to(image_folder)))
    np.testing.assert_array_equal(written, corrupt(third, "fog", 4, seed=5, first_index=2))


def test_a_folder_of_sound_keeps_its_channels(tmp_path):
    (tmp_path / "in").mkdir()
    both = np.stack([tone(440, 0.2), tone(300, 0.2)], axis=1)
    soundfile.write(tmp_path / "in" / "a.flac", both, 16_000)
    options = ["--name", "white_noise", "--severity", "2"]
    assert main(["corrupt", str(tmp_path / "in"), str(tmp_path / "out"), *options]) == 0
    written, rate = soundfile.read(tmp_path / "out" / "a.wav", dtype="float32")
    assert rate == 16_000 and written.shape == both.shape
    sent = soundfile.read(tmp_path / "in" / "a.flac", dtype="float32")[0]
    expected = corrupt_sound(np.ascontiguousarray(sent[:, 1]), "white_noise", 2, sampling_rate=16_000)
    np.testing.assert_allclose(written[:, 1], expected, atol=2**-14)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--name", "fogg"], 1, "unknown corruption 'fogg'"),
        (["--name", "white_noise"], 1, "no sound files in"),
        ([], 2, "no corruption: set --name"),
        (["--name", "fog", "--severity", "6"], 2, "invalid choice"),
    ],
)
def test_what_cannot_be_corrupted_is_one_line(options, status, message, image_folder, tmp_path, one_line):
    assert main(["corrupt", str(image_folder), str(tmp_path / "out"), *options]) == status
    assert message in one_line() and not (tmp_path / "out").exists()


def test_nothing_is_replaced(image_folder, one_line):
    assert main(["corrupt", str(image_folder), str(image_folder), "--name", "contrast"]) == 1
    assert "already exists" in one_line()


def test_the_layout_of_cifar_c_is_read_by_evaluate(finished_run, tmp_path):
    """Of the digits' test split: the figures are those that the run measured itself, which resizes first."""
    out = tmp_path / "digits-c"
    assert main(["corrupt", "digits", str(out), "--layout", "cifar-c", "--name", "contrast"]) == 0
    assert np.load(out / "contrast.npy", mmap_mode="r").shape == (2700, 8, 8, 3)
    options = [
        "--dataset",
        "digits",
        "--axes",
        "corruptions",
        "--corrupted",
        str(out),
        "--out",
        str(tmp_path / "r"),
    ]
    assert main(["evaluate", str(finished_run), *options]) == 0
    assert (tmp_path / "r" / "robustness.json").is_file()
