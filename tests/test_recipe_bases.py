"""Recipes with a base, and options written as in other scripts."""

import pytest
import yaml

import hfmix
from hfmix.recipe import parse
from hfmix.utils.errors import UsageError

BASE = {"model_name_or_path": "test_resnet", "dataset_name": "digits", "output_dir": "run", "seed": 1}


def write(folder, **recipes):
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return str(folder / f"{name}.yaml")


def test_a_recipe_starts_from_its_bases_and_its_own_keys_win(tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path, data={**BASE, "mix_alpha": 3.0}, net={"seed": 2, "weight_decay": 0.1})
    leaf = write(tmp_path / "deep", middle={"base": "../data.yaml", "seed": 5}, leaf={"base": ["middle.yaml"]})
    assert parse([leaf]).training.seed == 5
    leaf = write(tmp_path, leaf={"base": ["deep/middle.yaml", "net.yaml"], "mix": "mixup"})
    recipe = parse([leaf, "--weight_decay", "0.2"])
    assert recipe.training.seed == 2 and recipe.training.policy().alpha == 3
    assert recipe.training.weight_decay == 0.2 and recipe.training.mix == "mixup"
    assert "base" not in recipe.resolved and recipe.resolved["dataset_name"] == "digits"
    alone = write(tmp_path, resolved=recipe.resolved)
    assert parse([alone]).resolved == recipe.resolved


def test_a_key_without_a_value_takes_the_default_back(tmp_path):
    write(tmp_path, data={**BASE, "mix_alpha": 3.0})
    assert parse([write(tmp_path, leaf={"base": "data.yaml", "mix_alpha": None})]).training.mix_alpha is None


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ({"leaf": {"base": "nowhere.yaml"}}, "cannot read the recipe '.*nowhere.yaml': No such file"),
        (
            {"data": {"seeed": 1}, "leaf": {"base": "data.yaml"}},
            "data.yaml: unknown key seeed: did you mean seed",
        ),
        ({"leaf": {"bse": "data.yaml"}}, "leaf.yaml: unknown key bse: did you mean base?"),
        ({"leaf": {"base": {"a": 1}}}, "base is the path of a recipe, or a list of paths"),
        (
            {"a": {"base": "leaf.yaml"}, "leaf": {"base": "a.yaml"}},
            "base: .*leaf.* -> .*a.* -> .*leaf",
        ),
        ({"leaf": {"base": "leaf.yaml"}}, "each other's base"),
    ],
)
def test_a_wrong_base_is_named(tmp_path, recipes, message):
    with pytest.raises(UsageError, match=message):
        parse([write(tmp_path, **recipes)])


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--train_val_split=0.15", "it is validation_fraction here"),
        ("--ignore-mismatched-sizes", "always replaced: leave it out"),
        ("--train_dir=images", "set dataset_name to the folder"),
        ("--epochs=3", "it is num_train_epochs"),
        ("--warmup_ratio=0.1", "it is warmup_steps"),
    ],
)
def test_the_words_of_other_scripts_are_translated(option, hint):
    with pytest.raises(UsageError, match=f"unknown option {option.split('=')[0]}: .*{hint}"):
        parse(["--model_name_or_path", "test_resnet", "--dataset_name", "digits", "--output_dir", "run", option])


def test_a_translation_is_into_an_option_that_is_there():
    from hfmix.recipe import _ELSEWHERE, _GROUPS, _Parser

    known = _Parser(_GROUPS).keys()
    words = " ".join(_ELSEWHERE.values()).replace(",", " ").replace(":", " ").split()
    assert {word for word in words if "_" in word and not word.isupper()} <= set(known)
    assert not set(_ELSEWHERE) & set(known)


def test_another_policy_comes_without_the_strength_of_the_one_below(tmp_path):
    (tmp_path / "below.yaml").write_text(
        "model_name_or_path: resnet18\noutput_dir: runs/x\ndataset_name: digits\n"
        "mix: regmixup\nmix_alpha: 20\nmix_eta: 2\n"
    )
    (tmp_path / "above.yaml").write_text("base: below.yaml\nmix: cutmix\nmix_settings: {p: 0.5}\n")
    above = parse([str(tmp_path / "above.yaml")]).training
    assert (above.mix, above.mix_alpha, above.mix_eta, above.mix_settings) == ("cutmix", None, None, {"p": 0.5})
    path = str(tmp_path / "below.yaml")
    for options in (["--mix", "erm"], ["--mix=erm"]):
        assert parse([path, *options]).training.policy() == hfmix.ERM()
    assert parse([path, "--mix", "mixup", "--mix_alpha", "0.3"]).training.policy() == hfmix.Mixup(0.3)
    assert parse([path, "--mix", "regmixup"]).training.policy() == hfmix.RegMixup(20.0, eta=2.0)
    assert parse([path, "--mix_alpha", "5"]).training.policy() == hfmix.RegMixup(5.0, eta=2.0)
