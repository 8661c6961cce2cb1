"""The manual names what there is, and what it shows is what the code does.

Words are read from the code, then looked for in the pages; figures in the pages are computed again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import typer.main
import yaml

from alerts.enforcement.workflow import TRANSITIONS, Action, State, Track
from alerts.rules import catalogue
from api.app import create_app
from api.routes.health import COMPONENTS
from plant.hours import average_hours
from plant.months import JudgedHour, judge_month
from plant.packs import all_packs, outlets_by_pack, pack
from plant.periods import MINUTE
from plant.readings import Rows
from plant.register import parse_register
from plant.settings import Settings, manual
from plant.verdicts import Reason, Verdict, judge_hours, method_of
from stackwatch.cli import app
from store.migrate import migrations
from store.principals import ROLES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows_of(page: str) -> list[list[str]]:
    """The cells of every table row of *page*."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in page.splitlines()
        if line.lstrip().startswith("|")
    ]


def names_in(page: str) -> set[str]:
    """Every word that stands in *page* as code, blocks aside."""
    lines = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", lines) for word in code.split()}


def called(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands() -> Iterator[tuple[str, Any]]:
    """Each command of the command line by its full name."""
    waiting: list[tuple[str, Any]] = [("stackwatch", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        inner: Mapping[str, Any] = getattr(command, "commands", {})
        waiting += [(f"{name} {word}", item) for word, item in inner.items()]
        if not inner:
            yield name, command


def rule_names() -> set[str]:
    return set(catalogue.names())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))


@pytest.mark.parametrize(("name", "default", "about"), manual(), ids=[row[0] for row in manual()])
def test_each_setting_stands_in_the_manual_with_its_default(name: str, default: str, about: str) -> None:
    rows = {row[0]: row for row in rows_of(text_of("docs/settings.md"))}
    assert rows[f"`{name}`"][1] == (f"`{default}`" if default else "none"), about


def test_the_manual_names_no_setting_that_does_not_exist() -> None:
    known = {name for name, _, _ in manual()}
    known |= {f"{name}_FILE" for name in known}  # the file that holds its value
    for page in PAGES:
        named = set(re.findall(r"STACKWATCH_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
        assert named <= known, called(page)


@pytest.mark.parametrize(("name", "command"), sorted(commands()), ids=[name for name, _ in sorted(commands())])
def test_each_command_has_a_section_that_names_its_options(name: str, command: Any) -> None:
    page = text_of("docs/commands.md")
    sections = dict(re.findall(r"^## (stackwatch [a-z0-9 -]+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    assert name in sections
    options = {long for parameter in command.params for long in parameter.opts if long.startswith("--")}
    assert {option for option in options if not re.search(rf"{option}\b", sections[name])} == set()


def test_the_manual_has_no_command_or_target_that_does_not_exist() -> None:
    names = {name for name, _ in commands()}
    known = names | {name.rsplit(" ", 1)[0] for name in names}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
        if page.name == "CHANGELOG.md":
            shown = ""  # it names several in one breath
        for words in re.findall(r"(?<![\w-])stackwatch((?: [a-z][a-z0-9-]*)+)", shown):
            first, *more = words.split()
            name = f"stackwatch {first}"
            assert name in known, f"{called(page)}: {name}"
            if name not in names:
                assert more, f"{called(page)}: {name}"
                assert f"{name} {more[0]}" in names, f"{called(page)}: {name} {more[0]}"
        targets = set(re.findall(r"\bmake ([a-z-]+)", shown))
        assert targets <= make_targets(), called(page)


def test_the_first_screen_of_the_readme_shows_the_two_commands() -> None:
    first_screen = "\n".join(text_of("README.md").splitlines()[:45])
    assert {"demo", "test"} <= set(re.findall(r"^make ([a-z]+)", first_screen, re.MULTILINE)) <= make_targets()
    assert re.search(r"[\u4e00-\u9fff]{4}", first_screen), "a Chinese reader finds a few lines too"


@pytest.mark.parametrize("name", sorted(rule_names()))
def test_each_rule_has_a_row_in_the_manual(name: str) -> None:
    assert f"`{name}`" in {row[0] for row in rows_of(text_of("docs/rules.md"))}


def test_the_manual_describes_no_rule_that_does_not_exist() -> None:
    table = {row[0].strip("`") for row in rows_of(text_of("docs/rules.md")) if row[0].startswith("`")}
    assert table == rule_names() != set()


def test_each_state_action_and_track_of_a_case_is_named() -> None:
    named = names_in(text_of("docs/cases.md"))
    assert {*State, *Action, *Track} - named == set()


def test_the_table_of_transitions_is_the_one_of_the_code() -> None:
    table = {
        (row[0].strip("`"), row[1].strip("`"), row[2].strip("`"), row[3])
        for row in rows_of(text_of("docs/cases.md"))
        if len(row) == 5 and row[0].startswith("`")
    }
    assert table == {
        (str(state), str(action), str(step.to), ", ".join(step.roles)) for (state, action), step in TRANSITIONS.items()
    }


def test_each_condition_of_a_migration_is_explained() -> None:
    page = text_of("docs/operations.md")
    for condition in {migration.condition for migration in migrations()}:
        pattern = f"NNNN_name.{condition}.sql" if condition else "NNNN_name.sql"
        assert f"`{pattern}`" in {row[0] for row in rows_of(page)}


def test_each_health_check_is_explained() -> None:
    explained = {row[0].strip("`") for row in rows_of(text_of("docs/operations.md"))}
    assert {"database", "migrations", *COMPONENTS} <= explained


def test_each_role_is_named() -> None:
    assert set(ROLES) <= names_in(text_of("docs/operations.md"))


def test_each_verdict_and_reason_of_an_hour_is_explained() -> None:
    cells = {cell.strip("`") for row in rows_of(text_of("docs/judging.md")) for cell in row}
    assert {*Verdict} <= {word for cell in cells for word in cell.replace(",", " ").split()}
    assert {*Reason} <= cells


def test_log_events_in_the_manual_are_events_of_the_code() -> None:
    table = text_of("docs/operations.md").partition("| event | what to do |")[2].partition("\n\n")[0]
    events = set(re.findall(r"`([a-z_]+)`", "\n".join(row[0] for row in rows_of(table))))
    folders = ("alerts", "api", "edge", "ingestor", "stackwatch", "store")
    code = "".join(file.read_text(encoding="utf-8") for folder in folders for file in (ROOT / folder).rglob("*.py"))
    assert events
    assert {event for event in events if f'"{event}"' not in code} == set()


def test_calls_in_the_manual_are_calls_of_the_api() -> None:
    paths = create_app(Settings(database_url="postgresql://nowhere")).openapi()["paths"]
    known = [re.compile(re.sub(r"\\\{[a-z]+\\\}", "[^/]+", re.escape(path))) for path in (*paths, "/v1/openapi.json")]
    for page in PAGES:
        for call in re.findall(r"(?<!ule)(/v1/[\w{}./-]+)", page.read_text(encoding="utf-8")):
            path = call.rstrip(".")
            assert any(pattern.fullmatch(path) for pattern in known), f"{called(page)}: {path}"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_each_decision_has_its_sections(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(rf"# {page.stem[:4]} \S", text)
    assert re.search(r"^- Status: (accepted|proposed|superseded by \d{4})$", text, re.MULTILINE)
    assert re.search(r"^- Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    sections = re.findall(r"^## (.+)\n\n(?=\S)", text, re.MULTILINE)
    assert sections == ["Context", "Decision", "Consequences", "Alternatives"]
    assert f"({page.name})" in text_of("docs/decisions/README.md")


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.stem[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            file = (page.parent / target.partition("#")[0]).resolve()
            assert file.exists(), target
            assert file.is_relative_to(ROOT), target


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_files_that_a_decision_refers_to_exist(page: Path) -> None:
    references = page.read_text(encoding="utf-8").partition("\nReferences: ")[2]
    paths = re.findall(r"`([\w./-]*/[\w./-]*|[\w-]+\.toml)`", references)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_changelog_has_its_form() -> None:
    unreleased = text_of("CHANGELOG.md").partition("## [Unreleased]\n")[2].partition("\n## ")[0]
    entries = re.findall(r"^- (.+)$", unreleased, re.MULTILINE)
    assert entries
    assert [entry for entry in entries if not re.fullmatch(r"[a-z]+: .+\.", entry)] == []


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert "Apache License" in text_of("LICENSE").splitlines()[1]
    assert "END OF TERMS AND CONDITIONS" in text_of("LICENSE")


def test_the_hooks_run_what_make_check_runs() -> None:
    hooks = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    programs = {re.split(r"[/ ]", hook["entry"])[2] for hook in hooks}
    check = text_of("Makefile").partition("\ncheck:")[2].partition("\n\n")[0]
    assert programs == set(re.findall(r"\$\(BIN\)/([a-z-]+)", check))
    assert {hook["language"] for hook in hooks} == {"system"}


def test_the_example_register_can_be_imported() -> None:
    text = text_of("docs/examples/register.toml")
    register = parse_register(text, "register.toml", packs=outlets_by_pack())
    assert [site.code for site in register.sites] == ["works-1"]


def test_packs_that_the_changelog_names_are_those_there_are() -> None:
    assert set(re.findall(r"`((?:cn|eu|us|example)-[a-z0-9-]+)`", text_of("CHANGELOG.md"))) == set(all_packs())


def test_the_hour_by_hand_is_the_hour_of_the_code() -> None:
    """30 minutes of SO2 28.0 at O2 16.5, 24 of 34.0 at 17.0, 6 of calibration, at a sinter head."""
    rule = pack("cn-steel-ule-2019")
    register = parse_register(text_of("docs/examples/register.toml"), "register.toml", packs=outlets_by_pack())
    flags = np.frombuffer(b"N" * 54 + b"C" * 6, dtype=np.uint8)
    rows = Rows(
        sampled_at=np.arange(60, dtype=np.int64) * MINUTE,
        interval_s=np.full(60, 60, dtype=np.int64),
        not_running=np.zeros(60, dtype=bool),
        values={
            "so2": np.array([28.0] * 30 + [34.0] * 24 + [1.0] * 6),
            "o2": np.array([16.5] * 30 + [17.0] * 24 + [20.0] * 6),
        },
        flags={},
        row_flag=flags,
    )
    method = method_of(rule, "sinter_head", already_corrected=False)
    stack = register.sites[0].stacks[0]
    means = average_hours({"main": rows}, "so2", stack, method, first=0, n_hours=1)
    judged = judge_hours(means, rule, "sinter_head", "so2", already_corrected=False, now=62 * MINUTE)
    results = _results("## An hour by hand")
    assert int(means.valid_minutes[0]) == int(results["valid minutes"].split(",")[0])
    assert f"{means.mean[0]:.4f}" == results["mean SO2"]
    assert f"{means.o2[0]:.4f}" == results["mean O2"]
    assert f"{judged.corrected[0]:.4f}" == results["corrected"]
    assert f"{judged.corrected_from_minutes[0]:.4f}" == results["corrected from minutes"]
    assert f"{judged.verdict[0]}, `{judged.reason[0]}`" == results["verdict"]
    assert not judged.method_sensitive[0]


def test_the_month_by_hand_is_the_month_of_the_code() -> None:
    """640 hours within, 30 above, 20 excluded, 10 undecided by claims, 20 without data, of 720."""
    rule = pack("cn-steel-ule-2019").month
    assert rule is not None
    month = judge_month(
        {
            JudgedHour(Verdict.CLEAR, Reason.WITHIN, claimed=False): 640,
            JudgedHour(Verdict.BREACHED, Reason.ABOVE, claimed=False): 30,
            JudgedHour(Verdict.EXCLUDED, Reason.NOT_RUNNING, claimed=False): 20,
            JudgedHour(Verdict.UNDECIDED, Reason.TOO_FEW_MINUTES, claimed=True): 10,
        },
        rule,
        hours_ended=720,
        hours_to_come=0,
        has_ended=True,
    )
    results = _results("## A month by hand")
    assert month.share is not None
    assert month.share_worst is not None
    assert str(month.hours_valid) == results["`hours_valid`"]
    assert str(month.hours_undecided) == results["`hours_undecided`"]
    assert f"{month.share:.4f}" == results["`share`"]
    assert str(month.budget) == results["`budget`"]
    assert str(month.budget_left) == results["`budget_left`"]
    assert f"{month.share_worst:.4f}" == results["`share_worst`"]
    assert month.verdict == results["verdict"]


def _results(heading: str) -> dict[str, str]:
    """First to last column of the first table under *heading* of the page about judging."""
    section = text_of("docs/judging.md").partition(heading)[2].partition("\n## ")[0]
    return {row[0]: row[-1] for row in rows_of(section)}


#: What each extra brings, by the name that is imported.
BROUGHT: Mapping[str, frozenset[str]] = {
    "edge": frozenset({"paho", "cryptography"}),
    "ingestor": frozenset({"paho", "psycopg", "psycopg_pool", "pydantic", "numpy"}),
    "alerts": frozenset({"aiomqtt", "paho", "psycopg", "psycopg_pool", "numpy", "cryptography", "httpx", "apprise"}),
    "api": frozenset(
        {"fastapi", "starlette", "uvicorn", "pydantic", "psycopg", "psycopg_pool", "numpy", "cryptography"}
    ),
}
_IMPORT_WITHOUT: Final = """
import sys
name, *missing = sys.argv[1:]
sys.modules.update(dict.fromkeys(missing))
import stackwatch.cli
__import__(f"{name}.serve")
"""


@pytest.mark.parametrize("process", BROUGHT)
def test_a_process_needs_its_own_extra_only(process: str) -> None:
    everything = {"pyarrow"}.union(*BROUGHT.values())
    missing = sorted(everything - BROUGHT[process])
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_WITHOUT, process, *missing], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"`pip install '.[{process}]'`" in text_of("README.md")
