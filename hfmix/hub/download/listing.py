"""What the Hub has under hfmix's tag, with the figures that the cards claim."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfmix.utils.hub_connection import hub_reachable
from hfmix.utils.text import aligned

TAG = "hfmix"
# title; where a card's model-index has it (dataset config, metric name); whether less is better; all in [0, 1]
FIGURES: dict[str, tuple[str, tuple[str, str], bool]] = {
    "accuracy": ("accuracy, %", ("clean", "accuracy"), False),
    "corruption": ("corrupted, %", ("all-corruptions", "mean accuracy"), False),
    "ece": ("ECE, %", ("clean", "ece 15"), True),
    "ood": ("OOD AUROC, %", ("against *", "msp auroc"), False),
}
# so many are looked at when they are to be sorted
_MOST = 2_000


@dataclass(frozen=True)
class ListedModel:
    """A model of the Hub, as its own card describes it: nothing of it has been checked.

    Attributes:
        id: "namespace/name".
        dataset: what it was measured on.
        figures: the keys of `FIGURES`, those that the card has, in [0, 1]; "ood" is the mean over its OOD sets.
        downloads: of the last month; None where the Hub does not say.
    """

    id: str
    dataset: str
    figures: dict[str, float]
    downloads: int | None


def list_models(
    best: str | None = None, dataset: str | None = None, limit: int | None = None
) -> tuple[list[ListedModel], int]:
    """The models under hfmix's tag, and how many more have no card with figures that can be read.

    Args:
        best: a key of `FIGURES` to sort by, the best first, those without it last; None keeps the Hub's order.
        dataset: those that were measured on it only: a Hub id or its last part.
        limit: no more than these; of those that cannot be read, the ones that came before.

    Raises:
        ValueError: no such figure.
        ConnectionError: the Hub cannot be reached, or does not answer as it should.
    """
    if best is not None and best not in FIGURES:
        raise ValueError(f"no figure {best!r} to sort by: there are {', '.join(FIGURES)}")
    found, unreadable = [], 0
    for entry in _entries():
        model = _read(entry)
        if model is None:
            unreadable += 1
        elif dataset is None or dataset.lower() in (model.dataset.lower(), model.dataset.lower().split("/")[-1]):
            found.append(model)
        if best is None and limit is not None and len(found) == limit:
            break
    if best is not None:
        sign = 1 if FIGURES[best][2] else -1
        found.sort(key=lambda model: sign * model.figures[best] if best in model.figures else math.inf)
    return found[:limit], unreadable


def models_table(models: Sequence[ListedModel]) -> str:
    """Models and their figures as a table for a terminal."""
    rows = [["model", "measured on", *(title for title, _, _ in FIGURES.values()), "downloads"]]
    for model in models:
        figures = [f"{100 * model.figures[key]:.1f}" if key in model.figures else "–" for key in FIGURES]
        rows.append([model.id, model.dataset, *figures, "–" if model.downloads is None else str(model.downloads)])
    return aligned(rows)


def _entries() -> list[Any]:
    """The Hub's own listing. Not through `HfApi.list_models`, which one strange card is enough to stop."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    where = constants.ENDPOINT
    if not hub_reachable():
        raise ConnectionError(f"no connection to the Hub ({where}), which knows the models: check the network")
    headers = build_hf_headers(library_name="hfmix")
    url, asked = f"{where}/api/models", {"filter": TAG, "full": True, "cardData": True}
    found: list[Any] = []
    try:
        while url and len(found) < _MOST:
            answer = get_session().get(url, params=asked, headers=headers, timeout=30)
            hf_raise_for_status(answer)
            found += answer.json()
            url, asked = (
                answer.links.get("next", {}).get("url"),
                None,
            )  # the next page's address holds what was asked
        return found[:_MOST]
    except HfHubHTTPError as error:
        raise ConnectionError(
            f"the Hub ({where}) answered {error.response.status_code}: try again later"
        ) from error
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise ConnectionError(f"no answer from the Hub ({where}): check the network") from error
    except (ValueError, TypeError) as error:
        raise ConnectionError(f"{where} does not answer as a Hub: check HF_ENDPOINT") from error


def _read(entry: Any) -> ListedModel | None:
    """A model of the listing; None where its card has no figures that can be read."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str):
        return None
    card = entry.get("cardData")
    index = (card.get("model-index") if isinstance(card, Mapping) else None) or entry.get("model-index")
    measured: dict[str, dict[str, list[float]]] = {}
    for model in _mappings(index):
        for result in _mappings(model.get("results")):
            data = result.get("dataset")
            if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
                continue
            for metric in _mappings(result.get("metrics")):
                key, value = _figure(data.get("config"), metric.get("name")), metric.get("value")
                if key is not None and _is_proportion(value):
                    measured.setdefault(data["type"], {}).setdefault(key, []).append(float(value))
    if not measured:
        return None
    dataset, figures = max(measured.items(), key=lambda item: len(item[1]))
    downloads = entry.get("downloads")
    return ListedModel(
        entry["id"],
        dataset,
        {key: sum(values) / len(values) for key, values in figures.items()},
        downloads if type(downloads) is int else None,
    )


def _figure(config: Any, metric: Any) -> str | None:
    """The key of `FIGURES` that a result of a model-index stands for."""
    if isinstance(config, str) and config.startswith("against "):
        config = "against *"
    return next((key for key, (_, place, _) in FIGURES.items() if place == (config, metric)), None)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _is_proportion(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
