"""A Hub for tests: a local server that speaks the Hub's protocol to an unmodified huggingface_hub and hf_xet.

Nothing needs to know of it: a process that starts with HF_ENDPOINT set to `hub.endpoint` talks to it, by Xet or,
with HF_HUB_DISABLE_XET=1, by LFS. It listens on this machine only, and what it holds goes when it closes.

    with HubServer() as hub:
        hub.faults.append(Fault("POST", "/commit/", lost=True))
        ...                                           # push with HF_ENDPOINT=hub.endpoint, HF_TOKEN=WRITER
        hub.repos["me/digits"].commits[-1].files      # {path: bytes, or XetFile}

`server` is what it speaks, `store` what it holds, `wire` how requests come, answers go and connections break.
"""

from hub_server.server import READER, WRITER, HubServer
from hub_server.store import Commit, Repo, XetFile
from hub_server.wire import Answer, Fault

__all__ = ["READER", "WRITER", "Answer", "Commit", "Fault", "HubServer", "Repo", "XetFile"]
