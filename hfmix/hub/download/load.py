"""Finished runs loaded from their folder or from the Hub."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedModel, TimmWrapperConfig

from hfmix.hub.download.snapshot import run_folder
from hfmix.models.loading import auto_class, load_processor
from hfmix.robustness.report import RobustnessReport
from hfmix.utils.errors import one_line


def load_pretrained(name: str | Path) -> tuple[PreTrainedModel, Any, RobustnessReport | None]:
    """Loads a classifier with its processor and its report (None if it has none).

    Weights are read from safetensors only, no remote code is run, and every file from the Hub or its cache is
    checked against its hash; see `hfmix.hub.download.snapshot`.

    Args:
        name: a run's folder, or a Hub id, with or without a revision: ``"org/name@v1.0"``.

    Raises:
        ValueError: there is no such model; it needs code of its own or holds pickles only; a file was changed or
            cut short; the weights do not fit the config.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    return load_run(run_folder(name), str(name))


def load_run(folder: Path, name: str) -> tuple[PreTrainedModel, Any, RobustnessReport | None]:
    """Loads a classifier, its processor and its report from a folder that `run_folder` gave.

    Args:
        name: what messages call the model.

    Raises:
        ValueError: the folder's files do not fit together.
    """
    where = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder, **where)
        if isinstance(config, TimmWrapperConfig) and config.model_args:
            config.model_args.pop("num_classes", None)  # timm 1.0 saves it there, and the wrapper passes it too
        model, loading_info = auto_class(config).from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            **where,
        )
        processor = load_processor(model.config, folder, **where)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{name} cannot be loaded: {_first_lines(error)}") from error
    if missing := sorted(loading_info["missing_keys"]):
        raise ValueError(f"the weights of {name} do not fit its config: they lack {', '.join(missing[:3])}")
    model.config.name_or_path = model.name_or_path = name  # instead of the cache's folder
    report = RobustnessReport.load(folder) if (folder / "robustness.json").is_file() else None
    return model, processor, report


def _first_lines(error: Exception) -> str:
    text = one_line(error)
    return text if len(text) <= 300 else f"{text[:297]}..."
