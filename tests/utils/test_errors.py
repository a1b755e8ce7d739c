"""Errors for the user: the message of a DataLoader's worker alone, and of several processes the first one's."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from hfmix.utils.errors import one_line, report_errors


class Failing(Dataset):
    """Raises an error for each example, caused by another."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 2

    def __getitem__(self, i):
        try:
            return 1 / 0
        except ZeroDivisionError as cause:
            raise self.error from cause


class OfTwoError(Exception):
    """Torch cannot raise it again by its message."""

    def __init__(self, a, b):
        super().__init__(a, b)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("train row 5 (a.png) is not an image: x"), "train row 5 (a.png) is not an image: x"),
        (ValueError("two lines\n  indented: here\nthird"), "two lines indented: here third"),
        (KeyError("pixel_values"), "'pixel_values'"),
        (OfTwoError("a", 2), "('a', 2)"),
        (FileNotFoundError(2, "No such file", "x.png"), "[Errno 2] No such file: 'x.png'"),
        (ValueError(), "ValueError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_workers_error_is_its_message(error, line):
    with pytest.raises(Exception, match="DataLoader worker") as raised:
        list(DataLoader(Failing(error), num_workers=1))
    assert one_line(raised.value) == line


def test_what_only_quotes_a_worker_stays_whole():
    assert one_line(ValueError("saw: Caught ValueError in DataLoader worker process 0.")).startswith("saw: Caught")


def test_the_first_process_to_fail_prints(monkeypatch, capsys):
    class Store:
        count = 0

        def add(self, key, by):
            Store.count += by
            return Store.count

    def fail(argv):
        raise ValueError("no")

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed.distributed_c10d, "_get_default_store", Store)
    for rank in ("1", "0"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert report_errors(fail, []) == 1
    assert capsys.readouterr().err == "\nhfmix: error: no\n"
