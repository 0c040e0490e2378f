"""The pages agree with the program: commands, options, config keys, make targets and links exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from cli.main import app
from pipeline.config import ExperimentConfig, load_config
from pipeline.explain import explain
from pipeline.packaged import packaged_configs
from tests.docs.pages import PAGES, ROOT, inline_code, shell_lines, yaml_blocks

ROOT_COMMAND = typer.main.get_command(app)
GROUPS = "data|views|teachers|student|objective|optimiser|evaluation|runtime"
KEY = re.compile(rf"(?<![\w./-])(?:{GROUPS})(?:\.[a-z][a-z_0-9]*)+(?![\w/(*])")
OVERRIDE = re.compile(r"--set '?([a-z][\w.]*)=")
FILES = re.compile(r"\.(yaml|json|jsonl|png|md|py|txt|csv|safetensors|pt2|onnx|npy|lock|html)$")


def words_of(text: str) -> Iterator[list[str]]:
    """The words behind `rsmtdf` of each command in a line, without the comment."""
    if "rsmtdf" not in text:
        return
    for command in re.split(r";|&&", text.replace("$(which rsmtdf)", "rsmtdf")):
        words = shlex.split(command, comments=True)
        if words and words[0] in {"rsmtdf", "torchrun"}:
            yield words[words.index("rsmtdf") + 1 :]


def resolved(words: list[str]):
    """The command that the words name, and the words behind its name."""
    command, rest = ROOT_COMMAND, list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"no command {rest[0]!r} in `rsmtdf {' '.join(words)}`"
        command = command.commands[rest.pop(0)]
    return command, rest


def options_of(command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestPage:
    def test_commands_in_blocks_are_complete(self, page: Path):
        for line in shell_lines(page):
            for words in words_of(line):
                command, rest = resolved(words)
                if rest and rest[0] != "--version":
                    command.make_context(" ".join(words), rest)  # parses, and does not run

    def test_commands_in_sentences_exist(self, page: Path):
        for code in inline_code(page):
            if not code.startswith("rsmtdf "):
                continue
            command, rest = resolved(code.removeprefix("rsmtdf ").split())
            given = {word.partition("=")[0] for word in rest if word.startswith("-")}
            assert given <= options_of(command), code

    def test_config_keys_exist(self, page: Path):
        code = [*inline_code(page), *shell_lines(page)]
        keys = {match for text in code for match in KEY.findall(text) if not FILES.search(match)}
        keys |= {match for text in code for match in OVERRIDE.findall(text)}
        for key in keys:
            explain(re.sub(r"^teachers\.(dino|clip|NAME)(?=\.|$)", "teachers", key))

    def test_links_lead_to_files(self, page: Path):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" in target or page.name == "changelog.md":
                continue
            path = page.parent / target
            notebook = path.with_suffix(".ipynb")
            generated = path.name in {"commands.md", "config.md"}
            assert path.exists() or notebook.exists() or generated, target

    def test_make_targets_exist(self, page: Path):
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        for code in [*inline_code(page), *shell_lines(page)]:
            for names in re.findall(r"^make ([a-z -]+)", code):
                assert set(names.split()) <= targets, code


def test_examples_of_configs_are_valid():
    examples = [yaml.safe_load(block) for page in PAGES for block in yaml_blocks(page)]
    configs = [example for example in examples if set(example) & set(ExperimentConfig.model_fields)]
    assert configs
    packaged = yaml.safe_load(packaged_configs()["folder"].read_text())
    for config in configs:
        data = packaged["data"] | config.get("data", {})  # an example may omit manifest and root
        load_config(packaged | config | {"data": data})


def test_the_checks_find_what_is_wrong(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`rsmtdf no-such-verb`\n\n```\nrsmtdf train a.yaml --no-such-option # x\n```\n")
    with pytest.raises(AssertionError, match="no-such-verb"):
        TestPage().test_commands_in_sentences_exist(page)
    with pytest.raises(Exception, match="no-such-option"):
        TestPage().test_commands_in_blocks_are_complete(page)
    page.write_text("`optimiser.no_such_key`, `make no-such-target`, [a](missing.md)")
    with pytest.raises(Exception, match="no_such_key"):
        TestPage().test_config_keys_exist(page)
    with pytest.raises(AssertionError):
        TestPage().test_make_targets_exist(page)
    with pytest.raises(AssertionError):
        TestPage().test_links_lead_to_files(page)


def test_the_pages_have_commands_to_check():
    commands = [words for page in PAGES for line in shell_lines(page) for words in words_of(line)]
    assert len(commands) > 50
    assert {"train", "probe", "cache", "data"} <= {words[0] for words in commands}
    assert load_config("folder").name == "mine"  # the name in `runs/mine-rs-mtdf-seed0`
