"""Fixtures that several rooms' tests share: small real data, one finished run, and a Hub that is out of reach."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image as PILImage
from project import QUICK, ROOT


@pytest.fixture(autouse=True, scope="module")
def quick_collection() -> Iterator[None]:
    """Keeps what is imported out of the garbage collection with which each training begins: most of its time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data that lies beside the project, or where HFMIX_DATA says."""
    folder = Path(os.environ.get("HFMIX_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set HFMIX_DATA")
    return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that the training script really left, after six steps; not to be changed."""
    from hfmix.train import main

    run = tmp_path_factory.mktemp("runs") / "regmixup"
    recipe = str(ROOT / "recipes/digits/regmixup.yaml")
    assert main([recipe, *QUICK, "--output_dir", str(run), "--eval_strategy", "no"]) == 0
    return run


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Twelve small images in two classes, one subfolder a class."""
    folder = tmp_path / "images"
    for colour in ("red", "blue"):
        (folder / colour).mkdir(parents=True)
        for i in range(6):
            PILImage.new("RGB", (20, 16), colour).rotate(i).save(folder / colour / f"{i}.png")
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name resolves, as on a machine without a network."""
    from hfmix.utils import hub_connection as connection

    def refuse(*_: object) -> None:
        raise OSError("no network in this test")

    connection.hub_reachable.cache_clear()
    monkeypatch.setattr(connection.socket, "getaddrinfo", refuse)
    monkeypatch.setattr(connection, "getproxies", dict)
    yield
    connection.hub_reachable.cache_clear()


@pytest.fixture
def one_line(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The only line that hfmix wrote about an error; no traceback may be beside it."""

    def read() -> str:
        printed = capfd.readouterr().err
        assert "Traceback" not in printed, printed
        lines = [line for line in printed.splitlines() if line.startswith("hfmix: error: ")]
        assert len(lines) == 1, printed
        return lines[0].removeprefix("hfmix: error: ")

    return read
