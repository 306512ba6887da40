"""The table of settings in docs/settings.md says the same as shared/settings.py and s.yaml."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shared import settings
from shared.adapters.dashscope import DashScope
from shared.adapters.openai_images import OpenAiImages
from shared.domain.errors import ConfigurationError
from shared.domain.models import ProviderName

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret of at least thirty-two bytes"
GOOD = {
    "OSS_BUCKET": "media",
    "OSS_REGION": "oss-cn-hangzhou",
    "OSS_ACCESS_KEY": "LTAI",
    "OSS_SECRET": SECRET,
    "DATABASE_URL": "mysql+pymysql://user:password@db:3306/media",
    "DASHSCOPE_API_KEY": SECRET,
    "OPENAI_API_KEY": SECRET,
    "AUTH_HS256_SECRET": SECRET,
    "DISPATCH_ENDPOINT": "https://fc.example.com",
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
READERS: tuple[Callable[[], object], ...] = (
    settings.OssSettings.read,
    settings.oss_credentials,
    settings.DatabaseSettings.read,
    partial(settings.ProviderSettings.read, ProviderName.DASHSCOPE, DashScope.BASE_URL),
    partial(settings.ProviderSettings.read, ProviderName.OPENAI, OpenAiImages.BASE_URL),
    settings.read_web_policy,
    settings.DownloadSettings.read,
    settings.WebhookSettings.read,
    settings.webhooks_are_enabled,
    settings.AuthSettings.read,
    settings.DispatchSettings.read,
    settings.QuotaSettings.read,
    settings.RuntimeSettings.read,
)
VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
# The texts in place of a literal default; the meaning of each is tested in test_settings.py.
IN_WORDS = {
    "the function's role",
    "from `OSS_REGION`",
    "the bucket's domain",
    "public URLs",
    "not checked",
    "none",
    "from account and region",
}


def tables(page: str) -> list[list[list[str]]]:
    """Return the body of each table of a page: rows of cells."""
    found = re.findall(r"^\|[-|]+\|\n((?:\|.*\|\n)+)", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M)
    return [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines()] for body in found]


def names_in(rows: list[list[str]]) -> set[str]:
    return {name for row in rows for name in VARIABLE.findall(row[0])}


def names_in_settings() -> set[str]:
    """Return each variable that the source of shared/settings.py names."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', source)) - set(settings.SslMode)
    suffixes = re.findall(r'f"\{prefix\}(_[A-Z_]+)"', source)
    return names | {provider.upper() + suffix for provider in ProviderName for suffix in suffixes}


OURS, PLATFORM = tables("settings.md")
DEFAULTS = {name: row[1] for row in OURS for name in VARIABLE.findall(row[0])}
LITERALS = {name: match[1] for name, text in DEFAULTS.items() if (match := re.match(r"`([^`]+)`", text))}
S_YAML = (ROOT / "s.yaml").read_text(encoding="utf-8")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in names_in_settings():
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def read_all() -> list[object]:
    return [read() for read in READERS]


def test_the_tables_name_each_variable_of_the_settings_and_no_other() -> None:
    assert names_in(OURS) | names_in(PLATFORM) == names_in_settings()
    assert not names_in(OURS) & names_in(PLATFORM)


@pytest.mark.parametrize(("name", "default"), LITERALS.items(), ids=LITERALS.keys())
def test_a_variable_set_to_its_documented_default_changes_nothing(
    environment: pytest.MonkeyPatch, name: str, default: str
) -> None:
    by_default = read_all()
    environment.setenv(name, default)
    assert read_all() == by_default


@pytest.mark.parametrize("name", [name for name, text in DEFAULTS.items() if text == "–"])
def test_a_variable_without_a_default_is_required(environment: pytest.MonkeyPatch, name: str) -> None:
    # The three sources of keys for tokens stand in for each other.
    environment.delenv("AUTH_HS256_SECRET" if name.startswith("AUTH_") else name)
    with pytest.raises(ConfigurationError, match=name):
        read_all()


def test_every_other_default_is_one_of_the_known_texts() -> None:
    assert {text for name, text in DEFAULTS.items() if name not in LITERALS and text != "–"} == IN_WORDS


def test_s_yaml_passes_only_variables_that_the_settings_know() -> None:
    assert set(re.findall(r"^        ([A-Z][A-Z0-9_]+):", S_YAML, re.M)) <= names_in(OURS)


def test_a_default_of_s_yaml_is_in_the_table() -> None:
    said = {name: " ".join(row[1:]) for row in OURS for name in VARIABLE.findall(row[0])}
    defaults = re.findall(r"env\('([A-Z0-9_]+)', '([^']+)'\)", S_YAML)
    assert [(name, value) for name, value in defaults if name in said and f"`{value}`" not in said[name]] == []


def test_the_page_on_deploying_lists_the_other_variables_of_s_yaml() -> None:
    exported = set(re.findall(r"env\('([A-Z0-9_]+)'", S_YAML)) - names_in(OURS)
    listed = [rows for rows in tables("deploy.md") if "SERVERLESS_ACCESS" in names_in(rows)]
    assert [names_in(rows) for rows in listed] == [exported]
