"""Mixup, RegMixup and their family for timm and Hugging Face classifiers, with the report that proves it.

Importing hfmix is cheap: torch, timm and transformers are imported when a name that needs them is first used.
``__init__.pyi`` lists the public names.
"""

import re
from importlib import import_module
from typing import Any

from hfmix._registration import register_with_transformers

__version__ = "0.1.0"


def _public_names() -> dict[str, str]:
    """Maps each public name to the module that has it, as the imports in ``__init__.pyi`` say."""
    with open(f"{__file__.removesuffix('c')}i", encoding="utf-8") as stub:  # noqa: PTH123, pathlib is slow to import
        return {name: module for module, name in re.findall(r"^from (\S+) import (\w+) as", stub.read(), re.M)}


_HOME = _public_names()
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hfmix' has no attribute {name!r}")
    is_room = _HOME[name] == "hfmix"
    value = import_module(f"hfmix.{name}") if is_room else getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_transformers()
