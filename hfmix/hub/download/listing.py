"""The models on the Hub that carry hfmix's tag, with the figures that their cards claim."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfmix.utils.hub_connection import hub_reachable
from hfmix.utils.text import aligned

TAG = "hfmix"
# title; place in a card's model-index (dataset config, metric name); whether lower is better; all in [0, 1]
FIGURES: dict[str, tuple[str, tuple[str, str], bool]] = {
    "accuracy": ("accuracy, %", ("clean", "accuracy"), False),
    "corruption": ("corrupted, %", ("all-corruptions", "mean accuracy"), False),
    "ece": ("ECE, %", ("clean", "ece 15"), True),
    "ood": ("OOD AUROC, %", ("against *", "msp auroc"), False),
}
# most models to read when they are to be sorted
_MOST = 2_000


@dataclass(frozen=True)
class ListedModel:
    """A model on the Hub as its card describes it: nothing has been checked.

    Attributes:
        id: "namespace/name".
        dataset: the data set it was measured on.
        figures: the figures on the card, in [0, 1], by the keys of `FIGURES`; "ood" is the mean over its OOD sets.
        downloads: downloads in the last month; None if the Hub does not say.
    """

    id: str
    dataset: str
    figures: dict[str, float]
    downloads: int | None


def list_models(
    best: str | None = None, dataset: str | None = None, limit: int | None = None
) -> tuple[list[ListedModel], int]:
    """Lists the models under hfmix's tag, and counts those whose card has no figures that can be read.

    Args:
        best: a key of `FIGURES` to sort by, best first, models without it last; None keeps the Hub's order.
        dataset: a Hub id or its last part, to list only the models measured on it.
        limit: the most models to list; without `best`, unreadable cards after the last of them are not counted.

    Raises:
        ValueError: `best` is not a key of `FIGURES`.
        ConnectionError: the Hub cannot be reached, or does not answer as it should.
    """
    if best is not None and best not in FIGURES:
        raise ValueError(f"no figure {best!r} to sort by: there are {', '.join(FIGURES)}")
    models, unreadable = [], 0
    for entry in _entries():
        model = _read(entry)
        if model is None:
            unreadable += 1
        elif dataset is None or dataset.lower() in (model.dataset.lower(), model.dataset.lower().split("/")[-1]):
            models.append(model)
        if best is None and limit is not None and len(models) == limit:
            break
    if best is not None:
        sign = 1 if FIGURES[best][2] else -1
        models.sort(key=lambda model: sign * model.figures[best] if best in model.figures else math.inf)
    return models[:limit], unreadable


def models_table(models: Sequence[ListedModel]) -> str:
    """Formats models and their figures as a table for a terminal."""
    rows = [["model", "measured on", *(title for title, _, _ in FIGURES.values()), "downloads"]]
    for model in models:
        figures = [f"{100 * model.figures[key]:.1f}" if key in model.figures else "–" for key in FIGURES]
        rows.append([model.id, model.dataset, *figures, "–" if model.downloads is None else str(model.downloads)])
    return aligned(rows)


def _entries() -> list[Any]:
    """Reads the Hub's listing; not with `HfApi.list_models`, which fails if a single card is malformed."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    where = constants.ENDPOINT
    if not hub_reachable():
        raise ConnectionError(f"no connection to the Hub ({where}), which lists the models: check the network")
    headers = build_hf_headers(library_name="hfmix")
    url, query = f"{where}/api/models", {"filter": TAG, "full": True, "cardData": True}
    entries: list[Any] = []
    try:
        while url and len(entries) < _MOST:
            answer = get_session().get(url, params=query, headers=headers, timeout=30)
            hf_raise_for_status(answer)
            entries += answer.json()
            url, query = answer.links.get("next", {}).get("url"), None  # the next page's URL holds the query
        return entries[:_MOST]
    except HfHubHTTPError as error:
        raise ConnectionError(
            f"the Hub ({where}) answered {error.response.status_code}: try again later"
        ) from error
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise ConnectionError(f"no answer from the Hub ({where}): check the network") from error
    except (ValueError, TypeError) as error:
        raise ConnectionError(f"{where} does not answer as a Hub: check HF_ENDPOINT") from error


def _read(entry: Any) -> ListedModel | None:
    """Reads a model of the listing; None if its card has no figures that can be read."""
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
    """Returns the key of `FIGURES` for a result of a model-index; None if there is none."""
    if isinstance(config, str) and config.startswith("against "):
        config = "against *"
    return next((key for key, (_, place, _) in FIGURES.items() if place == (config, metric)), None)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _is_proportion(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
