"""Every code block of README and docs holds, and the site is whole."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import tomli_w
from docs._reference.commands import examples_of, verbs
from docs._reference.settings import meaning, sections

from plaudit.pipeline.recipe import read_recipe
from plaudit.search.space import read_space
from plaudit.settings import Settings
from tests.pages import (
    ROOT,
    SITE_PAGES,
    calls,
    check_other,
    completed,
    execute,
    fences,
    page_name,
    parse,
    prepare_folder,
    run_command,
)

README = ROOT / "README.md"
LANGUAGES = {"sh", "python", "toml", "json", "text"}
every_page = pytest.mark.parametrize("page", [README, *SITE_PAGES], ids=page_name)
RUNNABLE = [
    page
    for page in SITE_PAGES
    if any(each.language in ("sh", "python") and not each.not_run for each in fences(page.read_text(encoding="utf-8")))
]


@every_page
def test_blocks_are_of_a_language_that_is_tried(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = {each.language for each in fences(text) if not each.language.startswith("{")}
    assert found <= LANGUAGES
    assert len(re.findall(r"^```", text, flags=re.MULTILINE)) == 2 * len(fences(text))


@every_page
def test_commands_name_verbs_and_options_that_there_are(page: Path) -> None:
    for each in fences(page.read_text(encoding="utf-8")):
        for line in each.commands:
            ours = list(calls(line))
            for words in ours:
                parse(words)
            if not ours and not each.not_run:
                check_other(line)


@pytest.mark.parametrize("line", ["plaudit predcit x", "plaudit predict --inptu x", "plaudit evaluate bow -o x"])
def test_commands_that_are_wrong_are_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no verb|no such option|missing"):
        parse(*calls(line))


def test_a_block_that_nothing_can_run_has_to_say_so() -> None:
    with pytest.raises(AssertionError, match="mark the block"):
        check_other("sudo systemctl start plaudit")


@every_page
def test_blocks_that_another_page_is_said_to_run_are_on_it(page: Path) -> None:
    for each in fences(page.read_text(encoding="utf-8")):
        other = re.fullmatch(r"(\S+\.md) runs it", each.not_run or "")
        if other:
            there = [other for other in fences((ROOT / other[1]).read_text(encoding="utf-8")) if not other.not_run]
            assert set(each.commands) <= {line for fence in there for line in fence.commands}


@every_page
def test_toml_blocks_are_recipes_or_parts_of_one(page: Path, tmp_path: Path) -> None:
    for each in fences(page.read_text(encoding="utf-8")):
        if each.language == "toml":
            tables = completed(tomllib.loads(each.code))
            path = tmp_path / "recipe.toml"
            path.write_bytes(tomli_w.dumps(tables).encode())
            for name in read_recipe(path).tune:
                read_space(tables["tune"], name, tables["models"], source=str(path))


@every_page
def test_json_and_python_blocks_parse(page: Path) -> None:
    for each in fences(page.read_text(encoding="utf-8")):
        if each.language == "json":
            json.loads(each.code)
        elif each.language == "python":
            ast.parse(each.code)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=page_name)
def test_blocks_run_from_top_to_bottom(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepare_folder(tmp_path))
    names: dict[str, object] = {}
    for each in fences(page.read_text(encoding="utf-8")):
        if each.file:
            Path(each.file).write_text(each.code, encoding="utf-8")
        elif each.not_run:
            continue
        elif each.language == "python":
            execute(each.code, names)
        else:
            for line in each.commands:
                if any(calls(line)):
                    run_command(line, tmp_path)


@pytest.mark.parametrize("verb", [verb for verb, _ in verbs()])
def test_examples_in_help_parse(verb: str) -> None:
    examples = examples_of(dict(verbs())[verb])
    assert examples
    for line in examples:
        for words in calls(line):
            parse(words)


def test_every_setting_of_a_recipe_is_in_the_reference() -> None:
    def below(cls: type[Settings]) -> set[type[Settings]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    shown = {cls for _, cls in sections()}
    in_recipes = {cls for cls in below(Settings) if cls.__name__.endswith("Settings") and cls.__subclasses__() == []}
    elsewhere = {"ServeSettings"}
    assert {cls.__name__ for cls in in_recipes - shown} <= elsewhere


def test_every_setting_says_what_it_means() -> None:
    named = [(title, cls, name) for title, cls in sections() for name in cls.model_fields if name != "kind"]
    assert [f"{title} {name}" for title, cls, name in named if not meaning(cls, name)] == []


class Links(HTMLParser):
    """Collects where a page leads, what it loads, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.leads, self.loads, self.ids = set(), set(), set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.leads.add(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "prefetch"):
            self.loads.add(given["href"])
        elif "src" in given:
            self.loads.add(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-n", "-b", "html", "-d", str(out / ".doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def links(site: Path) -> dict[Path, Links]:
    return {page: Links(page) for page in sorted(site.rglob("*.html")) if "_downloads" not in page.parts}


@pytest.mark.slow
def test_every_page_can_be_reached_from_the_first(site: Path, links: dict[Path, Links]) -> None:
    reached, ahead = set(), [site / "index.html"]
    while ahead:
        page = ahead.pop().resolve()
        if page in reached or page not in links:
            continue
        reached.add(page)
        ahead += [
            (page.parent / unquote(urldefrag(link).url)).resolve() for link in links[page].leads if "://" not in link
        ]
    wanted = {(site / path.relative_to(ROOT / "docs")).with_suffix(".html") for path in SITE_PAGES}
    assert wanted <= reached


@pytest.mark.slow
def test_links_lead_to_what_there_is(links: dict[Path, Links]) -> None:
    broken = []
    for page, found in links.items():
        for link in found.leads:
            url, anchor = urldefrag(link)
            if "://" in link or link.startswith("mailto:"):
                continue
            target = (page.parent / unquote(url)).resolve() if url else page
            if not target.is_file() or (anchor and target in links and unquote(anchor) not in links[target].ids):
                broken.append(f"{page.name}: {link}")
    assert broken == []


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path, links: dict[Path, Links]) -> None:
    loaded = {url for found in links.values() for url in found.loads}
    assert loaded
    assert [url for url in sorted(loaded) if re.match(r"(https?:)?//", url)] == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"""(@import|url\()\s*["']?(https?:)?//""", sheet.read_text(encoding="utf-8")), sheet.name


@pytest.mark.slow
def test_every_verb_and_option_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for verb, command in verbs():
        assert f"<h2>{verb}<" in page
        assert [
            option for each in command.params for option in each.opts if option.startswith("--") and option not in page
        ] == []


@pytest.mark.slow
def test_the_search_index_holds_every_page(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert [
        page_name(path) for path in SITE_PAGES if f'"{path.relative_to(ROOT / "docs").with_suffix("")}"' not in index
    ] == []


def test_contributing_names_what_there_is() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| question |")[2].partition("## Rules")[0]
    places = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?|[a-z_]+\.py)`", table)
    assert len(places) > 20
    assert [place for place in places if not (ROOT / "src" / "plaudit" / place).exists()] == []
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    chain = text.partition("<!-- layers -->")[2].partition("<!-- /layers -->")[0]
    assert re.findall(r"`(\w+)`", chain) == contract["layers"]
    for dictionary, place in re.findall(r"`([A-Z]+)` in\s+`(\S+)`", table):
        assert re.search(rf"^{dictionary}\b", (ROOT / "src" / "plaudit" / place).read_text(), flags=re.MULTILINE)


def test_links_in_the_sources_lead_to_files() -> None:
    broken = []
    for page in (README, *SITE_PAGES):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page_name(page)}: {link}")
    assert broken == []
