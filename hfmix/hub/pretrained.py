"""Loading a finished run, from its folder or from the Hub."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from hfmix.backbones import auto_class, load_processor
from hfmix.hub.connection import hub_error, hub_reachable
from hfmix.robustness.report import RobustnessReport


def load_pretrained(name: str | Path) -> tuple[PreTrainedModel, Any, RobustnessReport | None]:
    """A classifier with its processor and its report (None where it comes without one).

    Args:
        name: a run's folder, or a Hub id. Weights are read from safetensors only, and no remote code is run.

    Raises:
        ValueError: there is nothing under that name.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    folder = Path(name)
    if folder.exists() and not (folder / "config.json").is_file():
        raise ValueError(f"{str(name)!r} holds no config.json: it is not a finished run")
    if not folder.exists() and str(name).count("/") > 1:
        raise ValueError(f"no folder {str(name)!r}")
    where = {"local_files_only": not folder.exists() and not hub_reachable(), "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **where)
        model = auto_class(config).from_pretrained(
            name, config=config, use_safetensors=True, dtype=torch.float32, **where
        )
        processor = load_processor(model.config, name, **where)
    except OSError as error:
        raise hub_error(error, f"model {str(name)!r}") from error
    return model, processor, _report(folder, str(name))


def _report(folder: Path, name: str) -> RobustnessReport | None:
    if not folder.exists():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            folder = Path(hf_hub_download(name, "robustness.json")).parent
        except (EntryNotFoundError, LocalEntryNotFoundError):
            return None
    return RobustnessReport.load(folder) if (folder / "robustness.json").is_file() else None
