"""What comes from the Hub: only what a run consists of, each file checked; whole or not at all."""

import hashlib
import json
from pathlib import Path

import pytest
import timm
import torch
from hub_process import HubProcess
from hub_server import Answer, Fault, HubServer, Repo
from hub_server.store import git_oid
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from hfmix import load_backbone, load_pretrained
from hfmix.models.loading import save_backbone

# light: what refuses a repository needs neither torch nor transformers
LIGHT = """
from hfmix.hub.download.snapshot import pull, run_folder, snapshot
assert "torch" not in sys.modules
"""
LIGHT = "import sys\n" + LIGHT


@pytest.fixture
def machine(hub: HubServer, tmp_path: Path) -> HubProcess:
    return HubProcess(hub.endpoint, tmp_path / "home")


def put(hub: HubServer, name: str, files: dict[str, bytes], branch: str = "main") -> Repo:
    """A commit on the server; it takes any path, as a server that means ill would."""
    repo = hub.repos.setdefault(name, Repo(name, private=False, xet=Path("nowhere")))
    repo.branches.setdefault(branch, [])
    lfs = frozenset(path for path in files if path.endswith((".safetensors", ".bin")))
    repo.objects |= {hashlib.sha256(files[path]).hexdigest(): files[path] for path in lfs}
    repo.add(branch, "Add", files, lfs)
    return repo


def whole(run_files: dict[str, bytes], run: Path) -> dict[str, bytes]:
    return {**run_files, "model.safetensors": (run / "model.safetensors").read_bytes()}


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_must_not_be_loaded_is_refused_in_one_line(hub, machine, run, run_files):
    good = whole(run_files, run)
    without = {path: data for path, data in good.items() if path != "model.safetensors"}
    index = {"weight_map": {"a": "../../secret.safetensors"}}
    refused = {
        "me/pickle": (without | {"pytorch_model.bin": b"\x80"}, "as a pickle ('pytorch_model.bin')"),
        "me/code": (good | {"config.json": b'{"auto_map": {"AutoModel": "x.Y"}}'}, "code of its own (auto_map"),
        "me/inner": (good | {"config.json": b'{"a": [{"auto_map": {"A": "x.Y"}}]}'}, "code of its own (auto_map"),
        "me/up": (good | {"figures/../../x.json": b"{}"}, "'figures/../../x.json', which leads out"),
        "me/root": (good | {"/etc/x.json": b"{}"}, "'/etc/x.json', which leads out"),
        "me/back": (good | {"figures\\..\\x.json": b"{}"}, "which leads out"),
        "me/shard": (
            without | {"model.safetensors.index.json": json.dumps(index).encode()},
            "a file of weights",
        ),
        "me/lost": (
            without | {"model.safetensors.index.json": b'{"weight_map": {"a": "model-1.safetensors"}}'},
            "model-1.safetensors of me/lost is missing",
        ),
        "me/broken": (good | {"config.json": b"{"}, "config.json of me/broken is not JSON"),
        "me/list": (good | {"config.json": b"[]"}, "config.json of me/list is not a JSON object"),
        "me/none": (without, "holds no weights"),
        "me/empty": ({"README.md": b"# x"}, "holds no config.json"),
    }
    for name, (files, _) in refused.items():
        put(hub, name, files)
    more = {
        "me/nothing": "the Hub has no model 'me/nothing'",
        "me/pickle@v9": "the Hub has no model 'me/pickle@v9'",
        "me/pickle@": "the name of a branch",
        "a/b/c": "no folder 'a/b/c'",
        "../x": "Repo id must",
    }
    said = machine.evaluate(LIGHT, *(f"str(run_folder({name!r}))" for name in (*refused, *more)))
    expected = [message for _, message in refused.values()] + list(more.values())
    for (kind, message), words in zip(said, expected, strict=True):
        assert kind in ("ValueError", "HFValidationError") and words in message and "\n" not in message, message
    assert not [request for request in hub.requests if request.endswith((".bin", "/x.json"))]


def test_pulled_is_what_was_pushed_and_nothing_else(hub, machine, run, run_files, tmp_path):
    good = whole(run_files, run)
    strays = {
        "train.py": b"x",
        "figures/x.pkl": b"x",
        "figures/old/y.png": b"x",
        ".gitattributes": b"x",
        "c.bin": b"x",
    }
    put(hub, "me/digits", good | strays)
    newer = good | {"robustness.json": b'{"schema_version": 1, "of": "v2"}'}
    put(hub, "me/digits", newer, "v2")
    out, other = tmp_path / "deep" / "out", tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    pulls = [f"str(pull('me/digits', {str(out)!r}))", f"str(pull('me/digits', {str(out)!r}))"]
    pulls += [f"str(pull('me/digits@v2', {str(out)!r}))", f"str(pull('me/digits', {str(other)!r}))"]
    pulls += [f"str(pull('me/digits@v2', {str(tmp_path / 'second')!r}))"]
    first, again, newer_on_top, on_other, second = machine.evaluate(LIGHT, *pulls)
    assert first == again == str(out) and files_below(out) == good
    for kind, message in (newer_on_top, on_other):
        assert kind == "FileExistsError" and "does not hold this run: choose another --out" in message
    assert files_below(other) == {"notes.txt": b"mine"}
    assert files_below(Path(second)) == newer
    assert not [request for request in hub.requests if "/resolve/" in request and request.endswith("train.py")]
    assert sorted(path.name for path in tmp_path.glob(".*")) == []  # no folder is left beside


def test_what_was_changed_on_the_way_or_in_the_cache_is_found(hub, machine, run, run_files, tmp_path):
    good = whole(run_files, run)
    put(hub, "me/digits", good)
    load, pull_it = "str(run_folder('me/digits'))", f"str(pull('me/digits', {str(tmp_path / 'out')!r}))"
    (folder,) = machine.evaluate(LIGHT, load)
    weights = Path(folder, "model.safetensors").resolve()
    sound = weights.read_bytes()
    for damaged in (sound[:-1], sound[:-1] + bytes([sound[-1] ^ 1])):
        weights.write_bytes(damaged)
        for env in ({}, {"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
            ((kind, message),) = machine.evaluate(LIGHT, load, **env)
            assert kind == "ValueError" and "model.safetensors of me/digits is not the file" in message, message
    assert machine.evaluate(LIGHT, pull_it)[0][0] == "ValueError" and not (tmp_path / "out").exists()
    weights.write_bytes(sound)
    small = Path(folder, "config.json").resolve()
    assert small.name == git_oid(good["config.json"])
    small.write_bytes(good["config.json"].replace(b"10", b"11"))
    assert "config.json of me/digits" in machine.evaluate(LIGHT, load)[0][1]
    small.write_bytes(good["config.json"])
    Path(folder, "README.md").unlink()
    Path(folder, "README.md").write_text("a file in place of a link")
    assert "only the Hub knows its hash" in machine.evaluate(LIGHT, load, HF_HUB_OFFLINE="1")[0][1]


@pytest.mark.parametrize(
    ("sent", "kind", "message"),
    [
        (lambda data: data[::-1], "ValueError", "README.md of me/digits is not the file that the Hub has"),
        (lambda data: data[:-9], "ConnectionError", "me/digits could not be downloaded completely"),
    ],
)
def test_a_server_that_sends_something_else_than_it_lists(sent, kind, message, hub, machine, run, run_files):
    """Nothing of it is taken, not even when the Hub is away afterwards."""
    put(hub, "me/digits", whole(run_files, run))
    hub.faults.append(Fault("GET", "/README.md", Answer(200, sent(run_files["README.md"])), times=20))
    for env in ({}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        ((found, said),) = machine.evaluate(LIGHT, "str(run_folder('me/digits'))", **env)
        assert found in (kind, "ConnectionError") and "\n" not in said
        if not env:
            assert found == kind and message in said


def test_without_a_network_the_cache_serves(hub, machine, run, run_files):
    put(hub, "me/digits", whole(run_files, run))
    put(hub, "me/digits", whole(run_files, run) | {"recipe.yaml": b"x: 1\n"}, "v2")
    names = ("me/digits", "me/digits@v2")
    loads = [f"str(run_folder({name!r}))" for name in names]
    online = machine.evaluate(LIGHT, *loads)
    loads += ["str(run_folder('me/other'))", "str(run_folder('me/digits@v3'))"]
    for env in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        *found, absent, no_branch = machine.evaluate(LIGHT, *loads, **env)
        assert found == online
        assert absent[0] == no_branch[0] == "ConnectionError" and "no connection to the Hub" in absent[1]
        ((kind, message),) = machine.evaluate(LIGHT, "str(pull('me/digits'))", **env)  # no figures came with it
        assert kind == "ConnectionError" and "the cache holds only a part of me/digits" in message


def test_other_people_s_classifiers_load_without_a_report(tmp_path):
    """As timm and transformers save them: a config without a model type, and a vision transformer."""
    plain = timm.create_model("test_vit", num_classes=4)
    timm.models.save_for_hf(plain, tmp_path / "timm", safe_serialization=True)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    net = ViTForImageClassification(ViTConfig(image_size=32, patch_size=16, num_labels=4, **size))
    net.save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    picture = Image.new("RGB", (32, 32), "red")
    for name, saved in (("timm", plain), ("vit", net)):
        model, processor, report = load_pretrained(tmp_path / name)
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            ours, theirs = model.eval()(pixels).logits, saved.eval()(pixels)
        torch.testing.assert_close(ours, getattr(theirs, "logits", theirs))
        assert report is None


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def rename_layer(file: Path) -> None:
    weights = load_file(file)
    name = next(iter(weights))
    save_file({"other" if key == name else key: value for key, value in weights.items()}, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 9), "cannot be loaded"),
        (lambda folder: cut(folder / "model.safetensors"), "cannot be loaded"),
        (lambda folder: rename_layer(folder / "model.safetensors"), "do not fit its config: they lack"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(damage, message, tmp_path):
    save_backbone(*load_backbone("test_vit", ["a", "b"], pretrained=False), tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
