"""A table of three ways to publish a classifier: what each leaves on the Hub, and what can load it.

python -m experiments.papers.pushes    prints it in Markdown; the Hub is the tests' own
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from experiments.papers import ROOT

sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from hub_server import WRITER, HubServer
from pushing import environment

# Each runs in its own process. All publish the same trained net, a run of the digits recipe.
PUSHES = {
    "timm `push_to_hf_hub`": """
import timm
model = timm.create_model(f"local-dir:{run}", pretrained=True).eval()
with open(run + "/config.json") as file:
    config = {"label_names": json.load(file)["label_names"]}
timm.models.push_to_hf_hub(model, repo, model_config=config)
""",
    "stock `Trainer`, `push_to_hub=True`": """
from transformers import AutoImageProcessor, AutoModelForImageClassification, Trainer, TrainingArguments
model = AutoModelForImageClassification.from_pretrained(run)
args = TrainingArguments(run + "_stock", push_to_hub=True, hub_model_id=repo, use_cpu=True, report_to="none")
trainer = Trainer(model, args, processing_class=AutoImageProcessor.from_pretrained(run))
trainer.save_model(_internal_call=True)
trainer.push_to_hub()
""",
    "`hfmix push`": """
from experiments.papers import ROOT
from hfmix.hub.upload.publish import push_to_hub
push_to_hub(run, repo)
""",
}
LOADS = {
    '`timm.create_model("hf-hub:…", pretrained=True)`': """
import timm
model = timm.create_model(f"hf-hub:{repo}", pretrained=True).eval()
logits = model(x)
names = model.pretrained_cfg.get("label_names")
""",
    "`AutoModelForImageClassification`": """
from transformers import AutoModelForImageClassification
model = AutoModelForImageClassification.from_pretrained(repo).eval()
logits = model(pixel_values=x).logits
names = list(model.config.id2label.values())
""",
    '`pipeline("image-classification")`': """
from PIL import Image
from transformers import pipeline
entries = pipeline("image-classification", repo, top_k=10)(Image.new("RGB", (32, 32), "grey"))
logits = None
names = sorted(entry["label"] for entry in entries)
""",
}
NOTES = """\
A `test_vit` at 32 pixels, trained for 20 steps on the handwritten digits by `hfmix train`, is published in
three ways (huggingface_hub {}, timm {}, transformers {}) and loaded by new processes. *Loads* means with logits
within 1e-5 of the original net's. `python -m experiments.papers.pushes` makes the table.
"""
HEAD = "import sys, json, torch\nrun, repo = sys.argv[1:]\n"
X = "x = torch.linspace(-1, 1, {numbers}).reshape({shape})\n"
TAIL = """
print(json.dumps([None if logits is None else logits.flatten().tolist(), names]))
"""


def main() -> None:
    """Trains, pushes in three ways, loads in three ways, and prints the table."""
    with HubServer() as hub, tempfile.TemporaryDirectory() as folder:
        run, env = f"{folder}/run", environment(hub.endpoint, Path(folder, "home"), HF_TOKEN=WRITER)
        env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}

        def python(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True)

        recipe = str(ROOT / "recipes/digits/regmixup.yaml")
        quick = ["--max_steps", "20", "--max_test_samples", "60", "--eval_strategy", "no", "--save_strategy", "no"]
        backbone = ["--model_name_or_path", "test_vit", "--image_size", "32"]
        python("-m", "hfmix", "train", recipe, *backbone, *quick, "--output_dir", run).check_returncode()
        config = json.loads(Path(run, "config.json").read_text())
        shape = [1, *config["pretrained_cfg"]["input_size"]]
        x = X.format(numbers=shape[1] * shape[2] * shape[3], shape=shape)
        truth = json.loads(
            python("-c", HEAD + x + LOADS["`AutoModelForImageClassification`"] + TAIL, "", run).stdout
        )
        versions = ("huggingface_hub", "timm", "transformers")
        print(NOTES.format(*(version(name) for name in versions)))
        print(f"| | commits | pickles | {' | '.join(LOADS)} |")
        print("| --- " * (3 + len(LOADS)) + "|")
        for number, (name, push) in enumerate(PUSHES.items()):
            repo = f"me/way{number}"
            pushed = python("-c", HEAD + push, run, repo)
            assert pushed.returncode == 0, pushed.stderr
            commits = hub.repos[repo].commits[1:]
            pickles = sorted(path for path in commits[-1].files if path.endswith((".bin", ".pt", ".pkl")))
            cells = [str(len(commits)), ", ".join(f"`{path}`" for path in pickles) or "none"]
            for load in LOADS.values():
                cells.append(verdict(python("-c", HEAD + x + load + TAIL, run, repo), truth))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def verdict(done: subprocess.CompletedProcess[str], truth: list) -> str:
    """Says in words whether the model was loaded, with which logits and class names."""
    if done.returncode:
        return f"fails: {done.stderr.strip().splitlines()[-1][:160]}"
    logits, names = json.loads(done.stdout.splitlines()[-1])
    same = logits is None or max(abs(a - b) for a, b in zip(logits, truth[0], strict=True)) < 1e-5
    named = names == truth[1]
    which = "right" if named else "wrong" if names else "no"
    return f"{'loads' if same else 'OTHER LOGITS'}, {which} class names"


if __name__ == "__main__":
    main()
