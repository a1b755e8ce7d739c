"""Loading and saving of models and their processors, from timm, the Hub or a folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import save_torch_state_dict
from transformers import (
    CONFIG_MAPPING,
    FEATURE_EXTRACTOR_MAPPING,
    IMAGE_PROCESSOR_MAPPING,
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    TimmWrapperImageProcessor,
)

import hfmix.models  # noqa: F401  registers the papers' nets with timm
from hfmix.models.processors.log_mel import LogMelFeatureExtractor
from hfmix.models.processors.table import TableProcessor
from hfmix.models.transformers_models import (
    SpectrogramNetConfig,
    SpectrogramNetForAudioClassification,
    TableNetConfig,
    TableNetForClassification,
)
from hfmix.utils.hub_connection import hub_error, hub_reachable

SOUND_NETS = ("vgg11_audio", "lenet_audio")
TABLE_NETS = ("mlp_table",)

# arguments that name or count the classes
_OF_THE_DATA = {"num_classes", "num_labels", "id2label", "label2id"}

# fields of timm's PretrainedCfg that an evaluation transform needs; timm rejects a config with unknown keys
_TIMM_CFG_KEYS = (
    "input_size",
    "fixed_input_size",
    "interpolation",
    "crop_pct",
    "crop_mode",
    "mean",
    "std",
    "pool_size",
    "first_conv",
    "classifier",
)


def load_backbone(
    name: str,
    labels: Sequence[str],
    pretrained: bool = True,
    image_size: int | None = None,
    *,
    sampling_rate: int | None = None,
    clip_seconds: float | None = None,
    num_mel_bins: int | None = None,
    model_args: Mapping[str, Any] | None = None,
) -> tuple[PreTrainedModel, Any]:
    """Loads a classifier with a head for `labels`, and its image processor or feature extractor.

    The `TableProcessor` of a table's net is not fitted yet; ``TableProcessor.fit`` returns a fitted one.

    Args:
        name: a timm architecture ("resnet18", "timm/resnet18.a1_in1k", "resnet20_cifar"), one of hfmix's nets for
            sound ("vgg11_audio", "lenet_audio") or for tables ("mlp_table"), a Hub id
            ("google/vit-base-patch16-224", "facebook/wav2vec2-base"), a folder that holds a checkpoint, or, with
            random weights, a model type of transformers ("wav2vec2").
        labels: class names, in the order of their indices.
        pretrained: load weights; False draws random ones (for an architecture or type, no network is needed).
        image_size: side of the square input in pixels, for timm architectures only; None keeps the model's own.
        sampling_rate, clip_seconds, num_mel_bins: the input of hfmix's nets for sound: rate in Hz (default
            16,000), length in seconds (1) and mel bands (64).
        model_args: further arguments of the net: arguments of `timm.create_model`, or entries of transformers'
            config; `mlp_table` needs ``{"in_chans": number of features}``.

    Raises:
        ValueError: the architecture is unknown, there are fewer than two labels or repeated ones, there are no
            pretrained weights, or a setting does not apply to this model.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    labels = [str(label) for label in labels]
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(f"labels must be two or more different class names, not {labels}")
    check_model_args(model_args)
    of_sound = {"sampling_rate": sampling_rate, "clip_seconds": clip_seconds, "num_mel_bins": num_mel_bins}
    of_sound = {key: value for key, value in of_sound.items() if value is not None}
    if name in SOUND_NETS + TABLE_NETS:
        if pretrained or image_size is not None:
            raise ValueError(f"{name} has no pretrained weights and no image_size: set pretrained to false")
        build = _spectrogram_net if name in SOUND_NETS else _table_net
        return build(name, labels, of_sound, dict(model_args or {}))
    if of_sound:
        raise ValueError(f"only {' and '.join(SOUND_NETS)} take {' and '.join(of_sound)}: {name} has its own")
    classes = _classes(labels)
    is_folder = Path(name).is_dir()
    if not is_folder and not pretrained and name in CONFIG_MAPPING:
        config = AutoConfig.for_model(name, **classes, **(model_args or {}))
        return _untrained(config), _new_processor(config)
    architecture = None if is_folder else _timm_architecture(name)
    if architecture is not None and not pretrained:
        return _untrained_timm(architecture, labels, image_size, model_args)
    checkpoint = _timm_checkpoint(name, architecture) if architecture is not None else name
    where = {"local_files_only": not is_folder and not hub_reachable(), "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(checkpoint, **where, **classes)
        if isinstance(config, TimmWrapperConfig):
            _name_classes(config, labels)
            if pretrained and _changes_fixed_size(config, image_size):
                raise ValueError(
                    f"{name} takes {config.pretrained_cfg['input_size'][-1]} pixels and its weights fit no other "
                    f"size: leave image_size out, or set pretrained to false"
                )
            _resize_input(config, image_size)
            if model_args:
                config.model_args = {**(config.model_args or {}), **model_args}
        elif image_size is not None:
            raise ValueError(f"image_size is for timm architectures: {name} keeps its checkpoint's size")
        else:
            config.update(dict(model_args or {}))
        if pretrained:
            model, loading = auto_class(config).from_pretrained(
                checkpoint,
                config=config,
                ignore_mismatched_sizes=True,  # the head's; other mismatches are refused below
                output_loading_info=True,
                use_safetensors=True,
                dtype=torch.float32,
                **where,
            )
            _check_only_the_head_differs(loading["mismatched_keys"], name, len(labels))
        else:
            model = _untrained(config)
        return model, load_processor(config, checkpoint, **where)
    except OSError as error:
        raise hub_error(error, f"model {name!r}") from error


def check_backbone(name: str, pretrained: bool = True, model_args: Mapping[str, Any] | None = None) -> None:
    """Checks, without its weights, that `load_backbone` will find a model: call it before data are read.

    Raises:
        ValueError, ConnectionError: as `load_backbone`, as far as they do not depend on the classes.
    """
    check_model_args(model_args)
    if name in SOUND_NETS + TABLE_NETS:
        if pretrained:
            raise ValueError(f"{name} has no pretrained weights: set pretrained to false")
        return
    is_folder = Path(name).is_dir()
    if not is_folder and not pretrained and name in CONFIG_MAPPING:
        return
    architecture = None if is_folder else _timm_architecture(name)
    if architecture is not None and not pretrained:
        return
    checkpoint = _timm_checkpoint(name, architecture) if architecture is not None else name
    try:
        AutoConfig.from_pretrained(
            checkpoint, local_files_only=not is_folder and not hub_reachable(), trust_remote_code=False
        )
    except OSError as error:
        raise hub_error(error, f"model {name!r}") from error


def check_model_args(model_args: Mapping[str, Any] | None) -> None:
    """Raises a ValueError if arguments of the net set what follows from the data: its number of classes."""
    for key in _OF_THE_DATA & (model_args or {}).keys():
        raise ValueError(
            f"model_args sets {key}, and the net gets one output for each class of the data: leave it out"
        )


def freeze_feature_encoder(model: PreTrainedModel) -> None:
    """Freezes the convolutional feature encoder (wav2vec2, HuBERT, WavLM).

    Raises:
        ValueError: the model has none.
    """
    if not hasattr(model, "freeze_feature_encoder"):
        raise ValueError(
            f"freeze_feature_encoder is for wav2vec2, HuBERT, WavLM and the like, not for {type(model).__name__}"
        )
    model.freeze_feature_encoder()


def kind_of(config: PreTrainedConfig) -> str:
    """Returns the kind of input of a config's models: "image", "audio" or "table"."""
    if isinstance(config, TableNetConfig):
        return "table"
    return "audio" if type(config) in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING else "image"


def auto_class(
    config: PreTrainedConfig,
) -> type[AutoModelForAudioClassification | AutoModelForImageClassification | TableNetForClassification]:
    """Returns the class that builds a classifier from this config; transformers has no auto class for tables."""
    return {
        "image": AutoModelForImageClassification,
        "audio": AutoModelForAudioClassification,
        "table": TableNetForClassification,
    }[kind_of(config)]


def load_processor(config: PreTrainedConfig, checkpoint: str | Path, **where: Any) -> Any:
    """Loads the processor of a checkpoint; timm's is built from `config`, which may have been changed."""
    if isinstance(config, TimmWrapperConfig):
        return TimmWrapperImageProcessor(pretrained_cfg=config.pretrained_cfg, architecture=config.architecture)
    if isinstance(config, TableNetConfig):
        return TableProcessor.from_pretrained(checkpoint, **where)
    if kind_of(config) == "audio":
        return _with_mask_as_trained(AutoFeatureExtractor.from_pretrained(checkpoint, **where), config)
    return AutoImageProcessor.from_pretrained(checkpoint, **where)


def save_backbone(model: PreTrainedModel, processor: Any, folder: str | Path) -> None:
    """Saves config, safetensors weights and processor so that transformers can load them, and timm timm's nets."""
    if not isinstance(model, TimmWrapperForImageClassification):
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return
    # timm reads weights without the wrapper's prefix, and a config without `model_args: null`
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_torch_state_dict(model.timm_model.state_dict(), folder)
    config = {key: value for key, value in model.config.to_dict().items() if key != "model_args" or value}
    config["architectures"] = [type(model).__name__]
    config["num_features"] = model.timm_model.num_features
    Path(folder, "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _timm_architecture(name: str) -> str | None:
    """Returns the timm architecture that `name` stands for; None for a Hub id of another library.

    Raises:
        ValueError: timm has no such architecture.
    """
    if "/" in name and not name.startswith("timm/"):
        return None
    architecture = name.removeprefix("timm/").partition(".")[0]
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else "timm.list_models() lists them; a Hub id has the form org/name"
        )
        raise ValueError(f"unknown model {name!r}: {hint}")
    return architecture


def _timm_checkpoint(name: str, architecture: str) -> str:
    tag = name.removeprefix("timm/").partition(".")[2]
    if tag:
        return f"timm/{architecture}.{tag}"
    cfg = timm.get_pretrained_cfg(architecture)
    if cfg is None or not cfg.hf_hub_id:
        raise ValueError(f"{name} has no pretrained weights: set pretrained to false")
    return cfg.hf_hub_id


def _check_only_the_head_differs(mismatched: Iterable[tuple], name: str, num_labels: int) -> None:
    """Raises a ValueError if weights other than the head's would be drawn at random."""
    for key, stored, built in mismatched:
        if stored[1:] != built[1:] or built[0] != num_labels:
            raise ValueError(
                f"model_args change the shape of {key} from {tuple(stored)} to {tuple(built)}, so the weights of "
                f"{name} do not fit: leave model_args out, or set pretrained to false"
            )


def _classes(labels: list[str]) -> dict[str, Any]:
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _untrained(config: PreTrainedConfig) -> PreTrainedModel:
    if isinstance(config, TableNetConfig):
        return TableNetForClassification(config)
    model = auto_class(config).from_config(config)
    return _initialise_as_timm(model) if isinstance(config, TimmWrapperConfig) else model


def _new_processor(config: PreTrainedConfig) -> Any:
    """Builds the processor that transformers pairs with a model type, for the input that the config states."""
    if kind_of(config) == "image":
        size = {"height": config.image_size, "width": config.image_size} if hasattr(config, "image_size") else None
        return IMAGE_PROCESSOR_MAPPING[type(config)]["torchvision"](**({"size": size} if size else {}))
    known = {"max_length": "max_length", "num_mel_bins": "num_mel_bins"}
    given = {key: getattr(config, name) for key, name in known.items() if hasattr(config, name)}
    return _with_mask_as_trained(FEATURE_EXTRACTOR_MAPPING[type(config)](**given), config)


def _with_mask_as_trained(extractor: Any, config: PreTrainedConfig) -> Any:
    """Sets whether models like wav2vec2 get a padding mask: with layer norm yes, with group norm no."""
    norm = getattr(config, "feat_extract_norm", None)
    if norm is not None:
        extractor.return_attention_mask = norm == "layer"
    return extractor


def _spectrogram_net(
    name: str, labels: list[str], of_sound: dict[str, Any], model_args: dict[str, Any]
) -> tuple[PreTrainedModel, LogMelFeatureExtractor]:
    extractor = LogMelFeatureExtractor(**of_sound)
    config = SpectrogramNetConfig(architecture=name, model_args=model_args, **_classes(labels))
    return SpectrogramNetForAudioClassification(config), extractor


def _table_net(
    name: str, labels: list[str], of_sound: dict[str, Any], model_args: dict[str, Any]
) -> tuple[PreTrainedModel, TableProcessor]:
    if of_sound:
        raise ValueError(f"only models of sound take {' and '.join(of_sound)}: {name} takes tables")
    if "in_chans" not in model_args:
        raise ValueError(f'{name} needs model_args {{"in_chans": F}}, the number of features per row')
    config = TableNetConfig(architecture=name, model_args=model_args, **_classes(labels))
    return TableNetForClassification(config), TableProcessor()


def _untrained_timm(
    architecture: str, labels: list[str], image_size: int | None, model_args: Mapping[str, Any] | None = None
) -> tuple[PreTrainedModel, TimmWrapperImageProcessor]:
    cfg = timm.get_pretrained_cfg(architecture, allow_unregistered=False).to_dict()
    config = TimmWrapperConfig(
        architecture=architecture,
        num_labels=len(labels),
        # neither timm nor AutoImageProcessor can load a saved model without it
        pretrained_cfg={key: cfg[key] for key in _TIMM_CFG_KEYS if cfg.get(key) is not None},
    )
    _name_classes(config, labels)
    _resize_input(config, image_size)
    if model_args:
        config.model_args = {**(config.model_args or {}), **model_args}
    return _initialise_as_timm(TimmWrapperForImageClassification(config)), load_processor(config, architecture)


def _initialise_as_timm(model: TimmWrapperForImageClassification) -> TimmWrapperForImageClassification:
    """Draws random weights as the net's own code does; the wrapper would draw all of them from N(0, 0.02)."""
    config = model.config
    model.timm_model = timm.create_model(
        config.architecture, num_classes=config.num_labels, **(config.model_args or {})
    )
    return model


def _name_classes(config: TimmWrapperConfig, labels: list[str]) -> None:
    """Sets the class names in transformers' and timm's form, so that none of the checkpoint's names remain."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.label_names = labels
    if hasattr(config, "label_descriptions"):
        del config.label_descriptions


def _changes_fixed_size(config: TimmWrapperConfig, image_size: int | None) -> bool:
    cfg = config.pretrained_cfg
    return image_size is not None and bool(cfg.get("fixed_input_size")) and cfg["input_size"][-1] != image_size


def _resize_input(config: TimmWrapperConfig, image_size: int | None) -> None:
    if image_size is None:
        return
    cfg = dict(config.pretrained_cfg)
    channels, *size = cfg["input_size"]
    if list(size) == [image_size, image_size]:
        return
    if cfg.get("fixed_input_size"):
        config.model_args = {**(config.model_args or {}), "img_size": image_size}
    cfg.pop("pool_size", None)
    config.pretrained_cfg = {**cfg, "input_size": [channels, image_size, image_size], "crop_pct": 1.0}
