import re
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.core.settings import Settings, SettingsError, load_settings

GOOD_KEY = "0123456789abcdef0123456789abcdef"


def test_a_forgotten_environment_is_production_and_refuses_to_start() -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY: production needs at least 32 random characters"):
        load_settings()


@pytest.mark.parametrize("key", ["short", "x" * 64, "insecure-key-for-development-only"])
def test_production_refuses_a_weak_key_without_showing_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", key)
    with pytest.raises(SettingsError, match="SECRET_KEY: production needs") as error:
        load_settings()
    assert key not in str(error.value)


def test_production_refuses_the_debugger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD_KEY)
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with pytest.raises(SettingsError, match="FLASK_DEBUG"):
        load_settings()


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "SECRET_KEY",
        "LOG_LEVEL",
{%- if cookiecutter.database != "none" %}
        "DATABASE_URL",
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
        "REDIS_URL",
{%- endif %}
        "PORT",
        "WEB_CONCURRENCY",
    ]


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD_KEY)
    monkeypatch.setenv("APP_VERSION", "2026.1")
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
{%- if cookiecutter.database == "sqlite" %}
    monkeypatch.setenv("DATABASE_URL", "sqlite:////data/service.db")
{%- elif cookiecutter.database == "postgresql" %}
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@db/service")
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
    monkeypatch.setenv("REDIS_URL", "rediss://:password@redis:6379/0")
{%- endif %}
    settings = load_settings()
    assert (settings.app_version, settings.trusted_proxies) == ("2026.1", 1)


def test_development_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "development")
    assert not load_settings().is_production


def test_a_variable_of_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_ENV=development\nLOG_LEVEL=ERROR\nWEB_THREADS=7\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("APP_ENV", "WEB_THREADS", "FLASK_SKIP_DOTENV"):  # what is loaded goes away after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load_settings()
    assert (settings.app_env, settings.log_level, settings.web_threads) == ("development", "DEBUG", 7)


def test_the_example_of_an_env_file_has_every_setting_and_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parent.parent.parent
    example = (folder / ".env.example").read_text(encoding="utf-8")
    assert not re.findall(r"^[^#\n].*", example, flags=re.MULTILINE), "a copy of it would change something"
    defaults = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, flags=re.MULTILINE))
    settings = {name.upper() for name in Settings.model_fields}
    assert settings <= defaults.keys(), "a setting is missing"
    ports = defaults.keys() - settings  # where compose.yaml publishes its servers
    assert all(name.endswith("_PORT") for name in ports), "there is no such setting"
    assert defaults.pop("APP_ENV") == "production"
    monkeypatch.setenv("APP_ENV", "development")
    for name in ports:
        monkeypatch.delenv(name, raising=False)
    without = load_settings()
    for name, value in defaults.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == without
