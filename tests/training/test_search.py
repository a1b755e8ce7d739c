"""`hyperparameter_search` over what is mixed: each trial has its own policy, seed and folder."""

from dataclasses import dataclass, field

import pytest
import torch
from tiny import Pictures, tiny_model, tiny_trainer, weights
from transformers.trainer_utils import HPSearchBackend

from hfmix import ERM, CutMix, MixTrainer, Mixup, RegMixup, load_backbone

SETTINGS = {
    "max_steps": 2,
    "learning_rate": 1e-3,
    "save_strategy": "steps",
    "save_steps": 2,
    "train_sampling_strategy": "sequential",
}


@dataclass
class Trial:
    """What optuna gives the Trainer."""

    number: int
    params: dict = field(default_factory=dict)


def searcher(folder, policy=None, model_init=tiny_model, **settings):
    args = tiny_trainer(folder, **{**SETTINGS, **settings}).args
    return MixTrainer(
        model_init=model_init, args=args, policy=policy, train_dataset=Pictures(), eval_dataset=Pictures()
    )


@pytest.fixture
def without_optuna(monkeypatch):
    """Lets the trainer's state take the trials above: it asks the installed packages what a trial is."""
    monkeypatch.setattr("transformers.integrations.hp_params", lambda trial: trial.params)


def run(trainer, trials):
    """Trains each trial as `run_hp_search_optuna` does; gives their policies, averages and losses."""
    trainer.hp_search_backend, trainer.hp_space = HPSearchBackend.OPTUNA, lambda trial: trial.params
    found = []
    for number, params in enumerate(trials):
        trainer.train(trial=Trial(number, params))
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        found.append((trainer.policy, trainer._average and trainer._average.decay, losses))
    trainer.hp_search_backend = None
    return found


def test_each_trial_mixes_as_it_says(tmp_path, without_optuna):
    trials = [{"mix_alpha": alpha} for alpha in (0.2, 1.0, 20.0)]
    found = run(searcher(tmp_path / "search", mix="mixup", mix_alpha=1), trials)
    assert [policy for policy, *_ in found] == [Mixup(0.2), Mixup(1.0), Mixup(20.0)]
    for number, (policy, _, losses) in enumerate(found):
        alone = tiny_trainer(tmp_path / "alone", policy, **SETTINGS)
        alone.train()
        assert [entry["loss"] for entry in alone.state.log_history if "loss" in entry] == losses
        assert (tmp_path / "search" / f"run-{number}" / "checkpoint-2" / "hfmix.json").is_file()
    assert len({tuple(losses) for *_, losses in found}) == 3
    assert not list((tmp_path / "search").glob("checkpoint-*"))


def test_any_mix_argument_can_be_searched(tmp_path, without_optuna):
    trials = [
        {"mix": "mixup", "mix_alpha": 0.5, "mix_settings": {"p": 0.5}},
        {"mix": "regmixup", "mix_alpha": 10.0, "mix_settings": {"ratio": 0.25}, "ema_decay": 0.9},
        {"mix": "cutmix"},
    ]
    found = run(searcher(tmp_path), trials)
    assert [part[:2] for part in found] == [
        (Mixup(0.5, p=0.5), None),
        (RegMixup(10.0, ratio=0.25), 0.9),
        (CutMix(), None),
    ]
    with pytest.raises(ValueError, match="alpha"):
        run(searcher(tmp_path), [{"mix": "mixup", "mix_alpha": -1.0}])


def test_a_trials_seed_draws_its_net_and_its_plans(tmp_path, without_optuna):
    def fresh():
        return load_backbone("test_vit", list("abcd"), pretrained=False, image_size=16)[0]

    trials = [{"seed": 1}, {"seed": 2}, {"seed": 1}]
    first, second, again = run(searcher(tmp_path, model_init=fresh, mix="mixup"), trials)
    assert first == again and first[2] != second[2]


def test_a_given_policy_cannot_be_searched(tmp_path, without_optuna):
    trainer = searcher(tmp_path, policy=ERM(), mix="mixup")
    run(trainer, [{"learning_rate": 1e-4}])
    assert trainer.policy == ERM() and trainer.args.learning_rate == 1e-4
    with pytest.raises(ValueError, match="MixTrainer was given a policy: leave policy out"):
        run(trainer, [{"mix_alpha": 0.5}])


def test_optuna_finds_the_best_trial(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trainer, alphas = searcher(tmp_path, mix="mixup"), [0.2, 1.0, 20.0]
    best = trainer.hyperparameter_search(
        lambda trial: {"mix_alpha": trial.suggest_categorical("mix_alpha", alphas)},
        n_trials=3,
        direction="minimize",
        backend="optuna",
        sampler=optuna.samplers.GridSampler({"mix_alpha": alphas}),
    )
    found = {}
    for alpha in alphas:
        alone = tiny_trainer(tmp_path / "alone", Mixup(alpha), **SETTINGS)
        alone.train()
        found[alpha] = alone.evaluate()["eval_loss"]
        assert torch.isfinite(weights(alone)).all()
    assert best.hyperparameters["mix_alpha"] == min(found, key=found.get)
    assert best.objective == pytest.approx(min(found.values()), rel=1e-6)
