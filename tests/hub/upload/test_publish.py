"""Pushing, by the unmodified huggingface_hub, in processes of their own: it reads HF_ENDPOINT at import."""

import json
import shutil
import socket
import traceback
from pathlib import Path

import pytest
import torch
from hub_server import READER, WRITER, Answer, Fault
from pushing import push
from safetensors.torch import save_file

from hfmix.hub.upload.publish import PushError, push_to_hub


def test_a_push_is_one_commit_of_the_run_and_nothing_else(calls, hub, run, run_files, tmp_path):
    sent = {**run_files, "model.safetensors": (run / "model.safetensors").read_bytes()}
    download = ("snapshot_download", {"repo_id": "me/digits", "local_dir": tmp_path / "pulled"})
    done = calls(push(run), push(run, commit_message="Nothing new"), download, HF_TOKEN=WRITER)

    assert done.results[:2] == [f"{hub.endpoint}/me/digits"] * 2
    repo = hub.repos["me/digits"]
    assert not repo.private
    # The Hub itself makes the first commit; the second push found nothing to change.
    assert [commit.message for commit in repo.commits] == ["initial commit", "Add the run regmixup"]
    created, pushed = repo.commits
    assert {path: data for path, data in pushed.files.items() if path not in created.files} == sent
    assert pushed.lfs == {"model.safetensors"}
    assert [request.split()[0] for request in hub.requests if "/lfs/me/digits/" in request] == ["PUT", "GET"]

    pulled = tmp_path / "pulled"
    shutil.rmtree(pulled / ".cache")
    names = {path.relative_to(pulled).as_posix() for path in pulled.rglob("*") if path.is_file()}
    assert names == {*sent, *created.files}
    assert all((pulled / name).read_bytes() == data for name, data in pushed.files.items())
    assert WRITER not in done.printed


def test_a_changed_run_is_one_more_commit_and_revision_is_a_branch(calls, hub, run):
    first = calls(push(run, "digits", private=True), HF_TOKEN=WRITER)
    assert first.results == [f"{hub.endpoint}/me/digits"]  # a bare name goes to the token's user
    report = run / "robustness.json"
    report.write_text(report.read_text().replace("0.97", "0.98"))
    second = calls(
        push(run, private=True, commit_message="Measure again"),
        push(run, revision="v2"),
        push(run, revision="v2"),
        ("sha", {"repo_id": "me/digits", "revision": "v2"}),
        HF_TOKEN=WRITER,
    )
    repo = hub.repos["me/digits"]
    assert repo.private
    assert [commit.message for commit in repo.commits[2:]] == ["Measure again"]
    old, new = (commit.files for commit in repo.commits[1:])
    assert [name for name in new if new[name] != old.get(name)] == ["robustness.json"]
    # The branch starts at the last commit and the run is there already.
    assert repo.branches["v2"] == repo.commits
    assert second.results[3] == repo.commits[-1].sha
    (run / "train_results.json").write_text("{}")
    calls(push(run, revision="v2"), HF_TOKEN=WRITER)
    assert len(repo.branches["v2"]) == len(repo.commits) + 1


def test_a_sharded_run_goes_whole(calls, hub, run):
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = run / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"fc.weight": shards[0], "fc.bias": shards[1]}}))
    (run / "model.safetensors").rename(run / shards[0])
    with pytest.raises(ValueError, match=f"{shards[1]} missing"):
        push_to_hub(run, "me/digits")
    save_file({"conv1.weight": torch.zeros(3)}, run / shards[1])
    with pytest.raises(ValueError, match=r"names fc\.bias, which no shard holds"):
        push_to_hub(run, "me/digits")
    save_file({"fc.bias": torch.zeros(10)}, run / shards[1])
    assert calls(push(run), HF_TOKEN=WRITER).results == [f"{hub.endpoint}/me/digits"]
    assert {*shards, index.name} < set(hub.repos["me/digits"].commits[-1].files)


def test_what_the_hub_refuses_is_one_line_without_the_token(calls, hub, run):
    hub.tokens = {**hub.tokens, "hf_other": {"name": "other", "can_write": ["other"]}}
    calls(push(run, "other/digits", token="hf_other"))
    (run / "train_results.json").write_text("{}")  # else there is nothing to write
    secrets = [READER, "hf_unknown", "hf_not one", "hf_caf\u00e9"]
    lacking = Path(shutil.copytree(run, run.with_name("lacking")))
    (lacking / "README.md").write_text((run / "README.md").read_text().replace("type: digits", "split: test"))
    done = calls(
        push(run, token="hf_unknown"),
        push(run, token=READER),
        push(run, "other/digits", token=WRITER),  # it may be seen, but not written to
        push(run, "other/digits", token="hf_other", private=True),  # it is public
        push(run, token="hf_not one"),
        push(run, token="hf_caf\u00e9"),
        push(lacking, token=WRITER),
        push(run),
    )
    unknown, reader, foreign, public, spaced, accented, incomplete, nobody = done.errors
    assert unknown.startswith(f"cannot push to me/digits: {hub.endpoint} does not accept the token")
    assert "`hf auth login`" in unknown and "HF_TOKEN" in unknown
    assert "may not write to me:" in reader
    assert "may not write to other:" in foreign
    assert "exists and is public" in public
    assert "copy it again" in spaced and "copy it again" in accented
    assert '"model-index[0].results[0].dataset.type" is required' in incomplete
    assert nobody == "cannot push to me/digits: no token: log in with `hf auth login` or set HF_TOKEN"
    assert not [secret for secret in (*secrets, WRITER, "hf_other") if secret in done.printed]
    # The repository was made before the card was seen to be wrong; nothing was committed to either.
    assert [len(hub.repos[name].commits) for name in sorted(hub.repos)] == [1, 2]


def test_a_hub_that_fails_is_one_line_and_leaves_the_repository_as_it_was(calls, hub, run):
    commit = "/commit/"
    hub.faults += [
        Fault("POST", "/preupload/", Answer(429, {"error": "slow down"})),
        Fault("PUT", "/lfs/", Answer(403, b"the signature has expired")),
        Fault("POST", commit, Answer(503, {"error": "maintenance"})),
        Fault("POST", commit, Answer(429, {"error": "slow down"})),
        Fault("POST", commit, Answer(400, {"error": f"bad header: Bearer {WRITER}"})),
        Fault("POST", commit, Answer(404, {"error": "gone"}, {"X-Error-Code": "RepoNotFound"})),
    ]
    failed = calls(*[push(run)] * 6, HF_TOKEN=WRITER)
    early, expired, maintenance, slow, echoed, gone = failed.errors
    assert "asks for fewer requests" in early
    assert "answered 403 (the signature has expired)" in expired
    assert f"{hub.endpoint} failed with 503: try again later (maintenance)" in maintenance
    assert "asks for fewer requests" in slow
    assert "answered 400 (bad header: Bearer ***)" in echoed
    assert "not found on" in gone

    page = Answer(200, b"<html>Log in to this network</html>", {"Content-Type": "text/html"})
    hub.faults.append(Fault("POST", "/preupload/", page))
    unreadable, pushed = (done := calls(push(run), push(run), HF_TOKEN=WRITER)).results
    assert "did not answer in JSON" in unreadable[1]
    assert not any(fault.times for fault in hub.faults)
    assert WRITER not in failed.printed + done.printed
    # The repository was made by the first try; none but the last put anything into it.
    assert pushed == f"{hub.endpoint}/me/digits"
    assert [commit.message for commit in hub.repos["me/digits"].commits] == [
        "initial commit",
        "Add the run regmixup",
    ]


def test_no_way_to_the_hub_is_one_line_that_names_the_endpoint(calls, run):
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refused = calls(push(run), HF_TOKEN=WRITER, HF_ENDPOINT=endpoint)
    assert f"no answer from {endpoint}: check the network and HF_ENDPOINT" in refused.errors[0]
    offline = calls(push(run), HF_TOKEN=WRITER, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline.errors[0]
    assert WRITER not in refused.printed + offline.printed


@pytest.mark.parametrize("missing", ["README.md", "config.json", "model.safetensors", "robustness.json"])
def test_an_unfinished_run_is_not_pushed(run, missing):
    (run / missing).unlink()
    with pytest.raises(ValueError, match=f"regmixup is not a finished run, {missing} missing: .*hfmix train"):
        push_to_hub(run, "me/digits")


def test_what_is_not_a_run_is_not_pushed(run):
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        push_to_hub(run / "nowhere", "me/digits")
    (run / "model.safetensors").unlink()
    (run / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ValueError, match="does not say which files hold the weights"):
        push_to_hub(run, "me/digits")


@pytest.mark.parametrize("repo_id", ["a/b/c", "me/two words", "me/digits.git", "me/a--b", ""])
def test_a_name_that_no_repository_can_have_is_refused(run, repo_id):
    with pytest.raises(ValueError, match=r"(?i)repo.id") as caught:
        push_to_hub(run, repo_id)
    assert not isinstance(caught.value, PushError)
    assert "\n" not in "".join(traceback.format_exception_only(caught.value)).rstrip("\n")
