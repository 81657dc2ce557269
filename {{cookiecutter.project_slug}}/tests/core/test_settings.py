import pytest

from {{ cookiecutter.package_name }}.core.settings import SettingsError, load_settings

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
