"""What the documents say is what the code does."""

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import ifw
from ifw.cli.app import app
from ifw.types import Segment, Transcript, Word

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def command_lines():
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).splitlines():
            for part in line.split("#")[0].split("|"):
                if part.split()[:1] == ["ifw"]:
                    yield pytest.param(shlex.split(part)[1:], id=f"{page.name}: {part.strip()}")


def test_generated_parts_are_up_to_date():
    command = [sys.executable, "tools/write_docs.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_command_is_on_the_command_line_page():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in get_command(app).commands:
        assert f"## `ifw {name}`\n\n<!-- generated: {name} -->" in text


@pytest.mark.parametrize("arguments", list(command_lines()))
def test_every_command_line_in_the_documents_is_understood(arguments):
    name, *rest = arguments
    get_command(app).commands[name].make_context(name, rest)


def test_the_python_of_the_readme_runs():
    code = blocks(ROOT / "README.md", "python")[-1]  # those before are for a server; test_api_examples.py runs them
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 5


def test_every_json_key_is_on_the_formats_page():
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for made in (Transcript, Segment, Word):
        for field in dataclasses.fields(made):
            assert f"`{field.name}`" in text, field.name


def test_the_changelog_has_this_version():
    assert f"## [{ifw.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_changelog_says_nothing_twice():
    entries = re.findall(r"^- .*", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(entries) == sorted(set(entries))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def anchors(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_sections_that_exist(page):
    for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z]+)", "".join(blocks(ROOT / "README.md", "sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_architecture_has_the_layers_that_are_checked():
    layers = re.search(r'^layers = \[\n    "__main__",\n(.*?)^\]', (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    written = " > ".join(re.findall(r'"(.+)"', layers[1]))
    assert f"\n    {written}\n" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_names_of_modules_in_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Modules")[0]
    packages = {path.name for path in (ROOT / "src" / "ifw").iterdir() if path.is_dir()}
    for name in re.findall(r"`(\w+\.\w+)`", text):
        package, module = name.split(".")
        if package in packages:
            folder = ROOT / "src" / "ifw" / package
            assert (folder / f"{module}.py").exists() or (folder / module).is_dir(), name
