"""Settings, read once from environment variables named like the fields below, in upper case.

Without APP_ENV the service takes itself to be in production: what is forgotten must fail, not run open.
"""

from typing import Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

INSECURE_KEY = "insecure-key-for-development-only"


class SettingsError(Exception):
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

    max_content_length: int = Field(default=1_048_576, gt=0)
    """The largest request body that is read, in bytes."""

    trusted_proxies: int = Field(default=0, ge=0, le=10)
    """How many reverse proxies set X-Forwarded-For and X-Forwarded-Proto. With 0 those headers are ignored."""

    web_concurrency: int = Field(default=2, ge=1)
    """How many worker processes serve. A container sees the cores of its host, not its share of them."""

    web_threads: int = Field(default=4, ge=1)
    """How many threads each worker has."""

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
                "make some with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        return key

    @field_validator("flask_debug")
    @classmethod
    def refuse_debugger(cls, on: bool, info: ValidationInfo) -> bool:
        """Refuse in production what runs any code it is sent."""
        if in_production(info) and on:
            raise ValueError("the debugger must be off in production; unset it, or set APP_ENV=development")
        return on


def in_production(info: ValidationInfo) -> bool:
    """Return whether the settings read so far say production, as they do when APP_ENV is wrong."""
    return bool(info.data.get("app_env", "production") == "production")


def load_settings() -> Settings:
    """Return the settings that the environment holds.

    Raises:
        SettingsError: a value is missing, wrong or insecure.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None
