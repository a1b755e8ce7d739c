"""Every option of every command: its two spellings, its usage and its help; the cases follow from the parsers."""

import re
from argparse import ArgumentParser, _SubParsersAction

import pytest

from hfmix import cli, recipe
from hfmix.cli.parsing import Parser
from hfmix.utils.arguments import as_declared


def parsers() -> dict[str, ArgumentParser]:
    """The parser of every command and sub-command but `train`, by what it is called with."""
    found, waiting = {}, [cli._parser()]
    while waiting:
        parser = waiting.pop()
        found[parser.prog] = parser
        for action in parser._actions:
            if isinstance(action, _SubParsersAction):
                waiting += action.choices.values()
    # these two take their options from the dataclasses
    return {name: parser for name, parser in found.items() if name not in ("hfmix train", "hfmix inspect")}


PARSERS = parsers()
TRAIN = recipe._Parser(recipe._GROUPS)


def words(action) -> list[str]:
    """A value that the action takes."""
    if action.nargs == 0:
        return []
    if action.choices:
        return [str(next(iter(action.choices)))]
    return ["a=b"] if action.metavar == "NAME=SOURCE" else ["1"]


def calls(parser):
    """A command line for each option, with what is required beside it."""
    required = [w for a in parser._actions if not a.option_strings for w in words(a)]
    for action in parser._actions:
        if not action.option_strings or action.dest in ("help", "version"):
            continue
        others = [a for a in parser._actions if a.option_strings and a.required and a is not action]
        for option in action.option_strings:
            yield option, words(action), required + [w for a in others for w in (a.option_strings[0], *words(a))]


def spellings(option):
    """An option in hyphens, in underscores, and in both by turns."""
    parts = re.split("[-_]", option.removeprefix("--"))
    mixed = "".join(f"{part}{'-_'[i % 2]}" for i, part in enumerate(parts))[:-1]
    return {"--" + "-".join(parts), "--" + "_".join(parts), "--" + mixed} - {option}


OPTIONS = [
    pytest.param(parser, *call, id=f"{name} {call[0]}")
    for name, parser in PARSERS.items()
    if not any(isinstance(action, _SubParsersAction) for action in parser._actions)
    for call in calls(parser)
]


@pytest.mark.parametrize(("parser", "option", "values", "others"), OPTIONS)
def test_hyphens_and_underscores_are_alike(parser, option, values, others):
    expected = parser.parse_args([*others, option, *values])
    for other in spellings(option):
        assert parser.parse_args([*others, other, *values]) == expected
        if values:
            assert parser.parse_args([*others, f"{other}={values[0]}"]) == expected


def test_so_they_are_in_the_options_of_training():
    for action in TRAIN._actions:
        for option in action.option_strings:
            for other in spellings(option) if option.startswith("--") else ():
                assert as_declared([other], TRAIN._option_string_actions)[0] in action.option_strings
    options = ["--dataset_name", "digits", "--model_name_or_path", "resnet18", "--output_dir", "runs/x"]
    parsed = recipe.parse([*options, "--per_device-train_batch-size=3", "--mix", "mixup", "--mix-alpha", "0.3"])
    assert parsed.training.per_device_train_batch_size == 3 and parsed.training.mix_alpha == 0.3


def test_values_and_unknown_options_stay_as_they_are():
    argv = ["a-b_c", "--out-file=x-y_z", "--else_where", "-1", "--", "--out-file"]
    assert as_declared(argv, ["--out_file"]) == ["a-b_c", "--out_file=x-y_z", *argv[2:]]


def test_a_sweep_hands_on_what_it_does_not_know():
    argv = ["sweep", "a.yaml", "--out=o", "--vary-split", "--mix-alpha", "a-b_c", "--learning_rate=1"]
    arguments, others = cli._parser().parse_known_args(argv)
    assert others == ["--mix-alpha", "a-b_c", "--learning_rate=1"] and arguments.vary_split


@pytest.mark.parametrize("columns", ["60", "100"])
@pytest.mark.parametrize("name", [*PARSERS, "hfmix train"])
def test_usage_is_one_line(name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    parser = PARSERS.get(name, TRAIN)
    usage, rest = parser.format_help().split("\n", 1)
    assert usage.startswith(f"usage: {name}") and len(usage) <= 100 and rest.startswith("\n")
    for action in parser._actions:
        if action.required and action.option_strings:
            assert action.option_strings[0] in usage


@pytest.mark.parametrize("name", PARSERS)
def test_help_says_of_each_option_once_what_it_takes(name):
    body = PARSERS[name].format_help().split("\noptions:", 1)[1].removesuffix(PARSERS[name].epilog or "")
    for action in PARSERS[name]._actions:
        for option in action.option_strings if action.dest != "help" else ():
            assert len(re.findall(rf"^  {option}\b", body, re.M)) == 1
            assert action.help
            for choice in action.choices or ():
                assert str(choice) in body
            if action.default not in (None, False, []) and action.dest != "version":
                assert action.help.endswith("]")


def test_options_are_written_out():
    with pytest.raises(ValueError, match="unrecognized arguments: --ou"):
        cli._run(["compare", "a", "--ou", "b"])
    assert not Parser().allow_abbrev
