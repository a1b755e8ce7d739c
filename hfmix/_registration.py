"""Registration of hfmix's nets with transformers' Auto classes as soon as these are imported."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_AUTO = "transformers.models.auto.modeling_auto"  # defines AutoModelFor... and is imported by pipelines


def register_with_transformers() -> None:
    """Imports `hfmix.models`, which registers the nets, as soon as the Auto classes are imported."""
    if _AUTO in sys.modules:
        import_module("hfmix.models")
    elif not any(isinstance(finder, _AfterAuto) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterAuto())


class _AfterAuto:
    """A finder (`importlib.abc.MetaPathFinder`) that has `hfmix.models` imported after the Auto classes, once."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name != _AUTO:
            return None
        sys.meta_path.remove(self)
        spec = import_module("importlib.util").find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Followed(spec.loader)
        return spec


class _Followed:
    """A loader (`importlib.abc.Loader`) that loads a module with its own loader, then imports `hfmix.models`."""

    def __init__(self, loader: "Loader") -> None:
        self.loader = loader

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        return self.loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        import_module("hfmix.models")
