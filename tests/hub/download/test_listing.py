"""What the Hub lists under hfmix's tag, from cards that anyone can write."""

from pathlib import Path

import hub_listing  # noqa: F401  adds the listing to the server
import pytest
import yaml
from hub_process import HubProcess
from hub_server import HubServer, Repo

from hfmix.cli import main

LIGHT = """
import sys
from hfmix.hub.download.listing import list_models
assert "torch" not in sys.modules
def names(**asked):
    models, unreadable = list_models(**asked)
    return [model.id for model in models], unreadable
"""


def card(dataset: str, **figures: float) -> bytes:
    places = {
        "accuracy": ("clean", "accuracy"),
        "corruption": ("all-corruptions", "mean accuracy"),
        "ece": ("clean", "ece 15"),
        "ood": ("against svhn", "msp auroc"),
        "ood_two": ("against dtd", "msp auroc"),
    }
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"type": dataset, "name": dataset, "config": places[key][0]},
            "metrics": [{"type": "accuracy", "name": places[key][1], "value": value}],
        }
        for key, value in figures.items()
    ]
    content = {"tags": ["hfmix"], "model-index": [{"name": "x", "results": results}]}
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n# x\n".encode()


def put(hub: HubServer, name: str, readme: bytes, private: bool = False) -> None:
    hub.repos[name] = Repo(name, private, Path("nowhere"))
    hub.repos[name].add("main", "Add", {"README.md": readme}, frozenset())


@pytest.fixture
def machine(hub, tmp_path):
    """Seven models that can be read, three that cannot, one that is private and one without the tag."""
    put(hub, "a/one", card("uoft-cs/cifar10", accuracy=0.95, corruption=0.70, ece=0.05, ood=0.9, ood_two=0.8))
    put(hub, "b/two", card("cifar10", accuracy=0.94, corruption=0.80, ece=0.01, ood=0.7))
    put(hub, "c/three", card("cifar100", accuracy=0.70, corruption=0.90, ece=0.20))
    put(hub, "d/four", card("cifar10", accuracy=0.97))
    put(hub, "e/five", card("digits", accuracy=0.5))
    put(hub, "f/six", card("x\x1b[31m\u202ered\nline", accuracy=0.5))
    put(hub, "g/huge", card("cifar10", accuracy=17.0, corruption=float("nan"), ece=0.5))
    put(hub, "x/no_index", b"---\ntags: [hfmix]\n---\n# x\n")
    put(hub, "y/strange", b"---\ntags: [hfmix]\nignore_metadata_errors: 1\nmodel-index: [a, {results: 3}]\n---\n")
    put(hub, "z/nonsense", card("cifar10", accuracy="best", corruption=True))
    put(hub, "z/private", card("cifar10", accuracy=0.99), private=True)
    put(hub, "z/other", card("cifar10", accuracy=0.99).replace(b"hfmix", b"others"))
    return HubProcess(hub.endpoint, tmp_path / "home")


def test_they_are_sorted_by_what_the_cards_claim(machine):
    of_cifar = "dataset='cifar10'"
    found = machine.evaluate(
        LIGHT,
        "names()",
        f"names(best='corruption', {of_cifar})",
        f"names(best='ece', {of_cifar})",
        f"names(best='ood', {of_cifar}, limit=2)",
        "names(best='accuracy', limit=2)",
        "names(limit=2)",
        "list_models(dataset='uoft-cs/cifar10')[0][0].figures",
        "names(best='speed')",
    )
    everything = ["a/one", "b/two", "c/three", "d/four", "e/five", "f/six", "g/huge"]
    assert found[0] == [everything, 3]
    assert found[1] == [["b/two", "a/one", "d/four", "g/huge"], 3]
    assert found[2] == [["b/two", "a/one", "g/huge", "d/four"], 3]  # of the calibration error less is better
    assert found[3] == [["a/one", "b/two"], 3]
    assert found[4] == [["d/four", "a/one"], 3]
    assert found[5][0] == ["a/one", "b/two"]
    assert found[6] == {"accuracy": 0.95, "corruption": 0.70, "ece": 0.05, "ood": pytest.approx(0.85)}
    assert found[7][0] == "ValueError" and "accuracy, corruption, ece, ood" in found[7][1]


def test_the_command_shows_a_table_and_lets_no_control_character_through(machine):
    done = machine.hfmix("models", "--best", "corruption")
    assert done.returncode == 0, done.stderr
    title, *rows = done.stdout.splitlines()
    assert title.split()[:2] == ["model", "measured"] and rows[0].split()[:4] == [
        "c/three",
        "cifar100",
        "70.0",
        "90.0",
    ]
    place = title.index("corrupted, %")
    assert [row[place : place + 4].strip() for row in rows[:3]] == ["90.0", "80.0", "70.0"]
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout and "x\\x1b[31m\\u202ered line" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 more under the tag, without a card whose figures can be read"


def test_nothing_there_is_one_line(machine, hub):
    none = machine.hfmix("models", "--dataset", "mnist")
    assert none.returncode == 0
    assert none.stdout.splitlines()[0] == "no model that was measured on mnist is on the Hub under the tag hfmix"
    away = machine.hfmix("models", HF_ENDPOINT="http://127.0.0.1:9")
    offline = machine.hfmix("models", HF_HUB_OFFLINE="1")
    for done in (away, offline):
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("hfmix: error: no ") and "check the network" in done.stderr


def test_without_a_network(no_network, one_line):
    assert main(["models"]) == 1
    assert "no connection to the Hub" in one_line()
