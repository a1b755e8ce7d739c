"""The scripts that make the pages, tables and pictures of `experiments/results`."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
