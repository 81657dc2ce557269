"""Settings, read once from environment variables named like the fields below, in upper case, or from a file .env.

Without APP_ENV the service takes itself to be in production: what is forgotten must fail, not run open.
"""

import os
{% if cookiecutter.error_tracking == "sentry" %}import re
{% endif %}from pathlib import Path
from typing import Literal, get_args
{%- if cookiecutter.background_jobs == "celery" %}
from urllib.parse import urlsplit
{%- endif %}

from click import ClickException
from flask.cli import load_dotenv
from flask.helpers import get_load_dotenv
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
{%- if cookiecutter.database != "none" %}

from {{ cookiecutter.package_name }}.core.{{ cookiecutter.database }} import check_url, development_url
{%- endif %}

METRICS_PORT = 9000
INSECURE_KEY = "insecure-key-for-development-only"
{%- if cookiecutter.background_jobs == "celery" %}


def development_redis() -> SecretStr:
    """Return where compose.yaml publishes its Redis."""
    return SecretStr(f"redis://localhost:{os.environ.get('REDIS_PORT') or 6379}/0")
{%- endif %}


class SettingsError(ClickException):
    """The environment is not fit to start with; one line per problem, without the values."""


class Settings(BaseSettings):
    """Typed settings. Unknown variables are ignored, wrong values are errors."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    app_env: Literal["development", "production"] = "production"
    """Where the service runs. Development allows an insecure SECRET_KEY and logs plain text."""

    app_version: str = "dev"
    """What is deployed, for people to read: a tag or a commit. Set when the image is built."""

    secret_key: SecretStr = SecretStr(INSECURE_KEY)
    """Signs sessions; at least 32 characters in production."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe message that is logged."""
{%- if cookiecutter.database != "none" %}

    database_url: SecretStr = Field(default_factory=lambda: SecretStr(development_url()))
    """Where the database is{% if cookiecutter.database == "sqlite" %}, like sqlite:////data/service.db{% elif cookiecutter.database == "postgresql" %}, like postgresql://user:password@host:5432/name{% endif %}."""

    database_pool_size: int = Field(default=8, ge=1)
    """How many connections each process has: fewer than WEB_THREADS, so that some are left when the database hangs."""

    database_pool_timeout: float = Field(default=2, gt=0)
    """For how many seconds a request waits for one of them."""
{%- endif %}
{%- if cookiecutter.database == "postgresql" %}

    database_connect_timeout: int = Field(default=5, ge=2)
    """After how many seconds a server that does not answer is given up."""

    database_statement_timeout: float = Field(default=20, gt=0)
    """After how many seconds the server stops a statement; not those of migrations."""
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}

    redis_url: SecretStr = Field(default_factory=development_redis)
    """Where Redis is, which keeps the jobs, like redis://:password@host:6379/0."""

    redis_timeout: float = Field(default=2, gt=0)
    """For how many seconds Redis is waited for."""

    job_timeout: int = Field(default=60, gt=0)
    """After how many seconds a job is stopped."""

    job_concurrency: int = Field(default=2, ge=1)
    """How many jobs a worker runs at once."""
{%- endif %}
{%- if cookiecutter.error_tracking == "sentry" %}

    sentry_dsn: SecretStr | None = None
    """Where Sentry takes errors; nothing is sent without it."""
{%- endif %}

    max_content_length: int = Field(default=1_048_576, gt=0)
    """The largest request body that is read, in bytes."""

    max_form_memory_size: int = Field(default=500_000, gt=0)
    """The largest field of a form that comes with files, in bytes; the files are not counted."""

    content_security_policy: str = "default-src 'self' 'nonce'; base-uri 'none'; frame-ancestors 'none'"
    """What pages may load and run. 'nonce' stands for the nonce of a page that has asked for one."""

    hsts_seconds: int = Field(default=31_536_000, ge=0)
    """For how long a browser that came by HTTPS comes by nothing else; 0 tells it nothing."""

    allowed_hosts: str = ""
    """The names that clients may call the service by, with commas: shop.example,.example.org. Empty allows all."""

    docs: bool = True
    """Whether /docs and /openapi.json are served."""

    session_cookie_secure: bool | None = None
    """Whether browsers send the session over HTTPS alone. Without a word they do in production."""

    trusted_proxies: int = Field(default=0, ge=0, le=10)
    """How many reverse proxies set X-Forwarded-For and X-Forwarded-Proto. With 0 those headers are ignored."""

    trusted_prefix: bool = False
    """Whether those proxies set X-Forwarded-Prefix, too: the path that the service is below."""

    script_name: str = Field(default="", pattern=r"^(/[^/?#]+)*$")
    """The path that the service is below when a proxy passes it on, like /shop. Without it, paths are served as well."""

    otel_traces_exporter: Literal["otlp", "console", "none"] | None = None
    """What becomes of traces; OpenTelemetry reads this and its other variables itself."""

    port: int = Field(default=8000, ge=1, le=65535)
    """Where the service listens. Platforms that choose it set it; metrics have a port of their own, 9000."""

    web_concurrency: int = Field(default=2, ge=1)
    """How many processes serve. A container sees the cores of its host, not its share of them."""

    web_threads: int = Field(default=16, ge=1)
    """How many requests each process works at."""

    web_queue: int = Field(default=32, ge=0)
    """How many more may wait in each process; the next ones are turned away with 503."""

    request_timeout: int = Field(default=25, gt=0)
    """After how many seconds without an answer a client gets 503, and a process none of whose threads comes back ends."""

    drain_seconds: float = Field(default=7, ge=0, le=600)
    """For how long the service goes on answering, when it is told to stop, while /readyz says no."""

    flask_debug: bool = False
    """Flask's own switch for its debugger, which runs any code it is sent."""

    @property
    def is_production(self) -> bool:
        """Whether insecure values are refused."""
        return self.app_env == "production"

    @field_validator("secret_key")
    @classmethod
    def refuse_weak_keys(cls, key: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuse in production a key that somebody could guess."""
        text = key.get_secret_value()
        if in_production(info) and (text == INSECURE_KEY or len(text) < 32 or len(set(text)) < 8):
            raise ValueError(
                "production needs at least 32 random characters; "
                "make some with: python -c 'import secrets; print(secrets.token_urlsafe(32))'; "
                "on your own machine, set APP_ENV=development"
            )
        return key
{%- if cookiecutter.database != "none" %}

    @field_validator("database_url")
    @classmethod
    def refuse_other_databases(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuse what is no URL of the database, and in production the one for development."""
        return SecretStr(check_url(url.get_secret_value(), production=in_production(info)))
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}

    @field_validator("redis_url")
    @classmethod
    def refuse_what_is_no_redis(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuse what is no URL of Redis, and in production the one for development."""
        if in_production(info) and url == development_redis():
            raise ValueError("production needs a Redis of its own, like redis://:password@host:6379/0")
        try:
            parsed = urlsplit(url.get_secret_value())
            known = parsed.scheme in ("redis", "rediss") and parsed.hostname and parsed.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError("this is no URL of Redis, like redis://:password@host:6379/0; write @ as %40, / as %2F")
        return url
{%- endif %}
{%- if cookiecutter.error_tracking == "sentry" %}

    @field_validator("sentry_dsn")
    @classmethod
    def refuse_what_is_no_dsn(cls, dsn: SecretStr | None) -> SecretStr | None:
        """Refuse what Sentry's library would only stumble over later."""
        if dsn and not re.fullmatch(r"https?://[^/@]+@[^/]+/\S*\d+", dsn.get_secret_value()):
            raise ValueError("this is no DSN; copy it from the settings of the project in Sentry")
        return dsn
{%- endif %}

    @field_validator("flask_debug")
    @classmethod
    def refuse_debugger(cls, on: bool, info: ValidationInfo) -> bool:
        """Refuse in production what runs any code it is sent."""
        if in_production(info) and on:
            raise ValueError("the debugger must be off in production; unset it, or set APP_ENV=development")
        return on

    @field_validator("port")
    @classmethod
    def refuse_the_port_of_metrics(cls, port: int) -> int:
        """Refuse the port that is not for the public."""
        if port == METRICS_PORT:
            raise ValueError(f"{METRICS_PORT} is the port of the metrics; choose another one")
        return port


def in_production(info: ValidationInfo) -> bool:
    """Return whether the settings read so far say production, as they do when APP_ENV is wrong."""
    return bool(info.data.get("app_env", "production") == "production")


def secrets_in_files() -> dict[str, str]:
    """Return the secrets that the environment names files of: SECRET_KEY_FILE is where SECRET_KEY stands.

    Raises:
        SettingsError: a file cannot be read, or the secret is in the environment as well.
    """
    found = {}
    for name, field in Settings.model_fields.items():
        variable = f"{name.upper()}_FILE"
        path = os.environ.get(variable)
        if path and SecretStr in (field.annotation, *get_args(field.annotation)):
            if os.environ.get(name.upper()):
                raise SettingsError(f"{variable}: {name.upper()} is set as well; keep one of them")
            try:
                if text := Path(path).read_text(encoding="utf-8").strip():
                    found[name] = text
            except (OSError, ValueError) as error:
                raise SettingsError(f"{variable}: {path} cannot be read: {error}") from None
    return found


def load_settings() -> Settings:
    """Return the settings of the environment and, for what it lacks, of the .env that Flask's own commands read too.

    Raises:
        SettingsError: a value is missing, wrong or insecure.
    """
    if get_load_dotenv():  # unless FLASK_SKIP_DOTENV is set
        load_dotenv()
    try:
        return Settings(**secrets_in_files())  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None
