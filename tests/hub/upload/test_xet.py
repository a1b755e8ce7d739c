"""Both ways of uploading end in the same repository, and both ways of downloading in the same files."""

import json
import shutil
import subprocess
import sys
from urllib.request import Request, urlopen

from hub_server import WRITER, Fault, HubServer, XetFile
from pushing import calls_to, environment, push
from safetensors.torch import save_file
from torch import Generator, randn


def test_xet_and_lfs_leave_the_same_repository(hub, run, tmp_path):
    save_file({"fc.weight": randn(10, 50_000, generator=Generator().manual_seed(0))}, run / "model.safetensors")
    by_xet = calls_to(hub, tmp_path / "xet")(
        push(run, "me/xet"), push(run, "me/xet"), HF_HUB_DISABLE_XET="0", HF_TOKEN=WRITER
    )
    assert not [request for request in hub.requests if "lfs" in request]
    by_lfs = calls_to(hub, tmp_path / "lfs")(push(run, "me/lfs"), HF_TOKEN=WRITER)
    assert by_xet.results + by_lfs.results == [f"{hub.endpoint}/me/{name}" for name in ("xet", "xet", "lfs")]
    xet, lfs = (hub.repos[f"me/{name}"].commits for name in ("xet", "lfs"))
    assert len(xet) == len(lfs) == 2
    listed = [{**entry, "xetHash": None} for entry in xet[-1].tree()]
    assert listed == [{**entry, "xetHash": None} for entry in lfs[-1].tree()]
    assert isinstance(xet[-1].files["model.safetensors"], XetFile)

    # in new processes, and the listing in pages
    hub.page_size = 3
    pulled = {name: tmp_path / f"pulled_{name}" for name in ("xet", "lfs")}
    asked = [("snapshot_download", {"repo_id": f"me/{name}", "local_dir": to}) for name, to in pulled.items()]
    calls_to(hub, tmp_path / "pull")(*asked, HF_HUB_DISABLE_XET="0", HF_TOKEN=WRITER)
    for folder in pulled.values():
        shutil.rmtree(folder / ".cache")
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert names == set(xet[-1].files)
        assert all(
            (folder / name).read_bytes() == (run / name).read_bytes() for name in names - {".gitattributes"}
        )


def test_a_download_that_breaks_off_goes_on_where_it_was(calls, hub, run, tmp_path):
    # the client holds ten million bytes back before it counts them as there
    save_file({"fc.weight": randn(10, 600_000)}, run / "model.safetensors")
    content = (run / "model.safetensors").read_bytes()
    hub.faults.append(Fault("GET", "/lfs/me/digits/", breaks="answer"))
    asked = {"repo_id": "me/digits", "local_dir": tmp_path / "pulled"}
    calls(push(run), ("snapshot_download", asked), HF_TOKEN=WRITER)
    assert not hub.faults[0].times
    assert (tmp_path / "pulled/model.safetensors").read_bytes() == content
    address = f"{hub.endpoint}/me/digits/resolve/main/model.safetensors"
    with urlopen(Request(address, headers={"Range": "bytes=1000-1999"})) as part:
        assert part.status == 206
        assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(content)}"
        assert part.read() == content[1000:2000]


def test_the_command_line_shows_before_it_sends(hub: HubServer, run, tmp_path):
    env = environment(hub.endpoint, tmp_path / "home", HF_TOKEN=WRITER, HF_HUB_DISABLE_XET="0")

    def hfmix_push(*options: str) -> list[str]:
        command = [sys.executable, "-m", "hfmix", "push", str(run), "--repo-id", "me/digits", *options]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert WRITER not in done.stdout + done.stderr
        return done.stdout.splitlines()

    *files, total = hfmix_push("--dry-run")
    assert {line.split()[0] for line in files} == {"new"}
    size = f"{(run / 'model.safetensors').stat().st_size:,}"
    assert ["new", size, "model.safetensors"] in [line.split() for line in files]
    assert (
        total.startswith(f"{len(files)} of {len(files)} files, ") and "compared with nothing: not found" in total
    )
    assert not hub.repos and not [request for request in hub.requests if request.startswith(("POST", "PUT"))]

    assert hfmix_push() == [f"{hub.endpoint}/me/digits"]
    report = json.loads((run / "robustness.json").read_text())
    (run / "robustness.json").write_text(json.dumps({**report, "seed": 1}))
    (run / "report.html").write_text("<p>new</p>")
    *files, total = hfmix_push("--dry-run")
    states = {line.split()[2]: line.split()[0] for line in files}
    assert {name: state for name, state in states.items() if state != "unchanged"} == {
        "report.html": "new",
        "robustness.json": "changed",
    }
    assert total.startswith(f"2 of {len(files)} files, ")
    assert total.endswith(f"would be sent (compared with {hub.endpoint}/me/digits)")
    assert len(hub.repos["me/digits"].commits) == 2
    assert hfmix_push("--create-pr", "--commit-message", "Seed") == [f"{hub.endpoint}/me/digits/discussions/1"]
    assert hub.repos["me/digits"].branches["refs/pr/1"][-1].message == "Seed"
