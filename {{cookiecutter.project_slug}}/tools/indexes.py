"""Knows the package indexes of this machine: who is asked, with which settings, and what of it nobody may read.

Of the settings of a person, in the environment or in pip's configuration, those count that say where packages come
from and how they are fetched. Standard library only.
"""

from __future__ import annotations  # an older Python may run tools/lock.py

import configparser
import contextlib
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote

import manager
from pins import LockError

PROJECT = Path(__file__).resolve().parent.parent
CACHE = PROJECT / ".cache"

# The settings that count. The others mislead: they would install elsewhere, resolve otherwise, or keep their reasons to
# themselves.
SETTINGS = {
    "PIP": r"(EXTRA_)?INDEX_URL|FIND_LINKS|NO_INDEX|TRUSTED_HOST|PROXY|(CLIENT_)?CERT|KEYRING_PROVIDER|RETRIES|"
    r"(DEFAULT_)?TIMEOUT|(NO_)?CACHE_DIR|(ONLY|PREFER)_BINARY|UPLOADED_PRIOR_TO",
    "UV": r"\w*INDEX\w*|FIND_LINKS|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|KEYRING_PROVIDER|HTTP_\w+|REQUEST_TIMEOUT|"
    r"OFFLINE|NO_BUILD|NO_CACHE|CACHE_DIR|CONFIG_FILE|CREDENTIALS_DIR|CONCURRENT_\w+|EXCLUDE_NEWER",
    "POETRY": r"(HTTP_BASIC|PYPI_TOKEN|REPOSITORIES|CERTIFICATES|REQUESTS|KEYRING|SOLVER_MIN)_\w+|(CACHE|CONFIG|DATA)_DIR|"
    r"HOME",
    "PIPENV": r"PYPI_MIRROR|CACHE_DIR|TIMEOUT|REQUESTS_TIMEOUT|MAX_RETRIES",
}
OF_TOOLS = "|".join(f"{tool}_" for tool in SETTINGS)

# Where uv has the settings of a person: the first file that is there counts.
UV_TOML = ("$UV_CONFIG_FILE", "$XDG_CONFIG_HOME/uv/uv.toml", "~/.config/uv/uv.toml", "/etc/uv/uv.toml")

# Prints the package index that pip asks by default. Needs a Python that has pip, or Pipenv.
DEFAULT = """
try: from pip._internal.models.index import PyPI
except ImportError:
    try: from pipenv.patched.pip._internal.models.index import PyPI
    except ImportError: raise SystemExit
print(PyPI.simple_url)
"""


def settings() -> dict[str, str]:
    """Return the environment for tools: without settings that mislead. Raises LockError when pip's cannot be read."""
    kept = "|".join(f"{tool}_({names})" for tool, names in SETTINGS.items())
    found = {
        name: value
        for name, value in os.environ.items()
        if not re.match(f"PYTHON(PATH|HOME)$|{OF_TOOLS}", name, re.I) or re.fullmatch(kept, name, re.I)
    }
    found |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_RETRIES": "1"}
    found |= {f"PIP_{name}": value for name, value in of_pip().items()} | {"PIP_CONFIG_FILE": os.devnull}
    return found | a_cache()


def a_cache() -> dict[str, str]:
    """Return the settings that let tools cache in the project, where a home folder cannot be written to."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    try:
        place.mkdir(parents=True, exist_ok=True)
        return {} if os.access(place, os.W_OK) else {"XDG_CACHE_HOME": str(CACHE / "home")}
    except OSError:
        return {"XDG_CACHE_HOME": str(CACHE / "home")}


def of_pip() -> dict[str, str]:
    """Return the settings of pip that count, by their names in the environment without PIP_. Raises LockError."""
    counts = re.compile(f"PIP_({SETTINGS['PIP']})")
    return {name[4:]: " ".join(value.split()) for name, value in all_of_pip().items() if counts.fullmatch(name)}


@cache
def all_of_pip() -> dict[str, str]:
    """Return the settings of pip on this machine, by their names in the environment. Raises LockError."""
    named, found = os.environ.get("PIP_CONFIG_FILE", ""), configparser.RawConfigParser(strict=False)
    shared = [f"{place}/pip" for place in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    personal = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    folders = [*reversed(shared), "/etc", "~/.pip", f"{personal}/pip"]
    if sys.platform == "darwin":
        folders = ["/Library/Application Support/pip", *folders, "~/Library/Application Support/pip"]
    elif os.name == "nt":
        folders = [os.path.expandvars(place) for place in ("%ProgramData%/pip", "~/pip", "%APPDATA%/pip")]
    files = [f"{place}/pip.{'ini' if os.name == 'nt' else 'conf'}" for place in (*folders, sys.prefix)]
    for path in map(os.path.expanduser, [] if named == os.devnull else [*files, named]):
        try:
            found.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeError) as error:
            line = f" (line {error.lineno})" if isinstance(error, configparser.MissingSectionHeaderError) else ""
            raise LockError(f"{path} is no configuration that pip can read{line}; mend it") from None
    sections = [dict(found[name]) for name in ("global", "install") if name in found]
    listed = {f"PIP_{key.upper().replace('-', '_')}": value for part in sections for key, value in part.items()}
    return listed | {name: value for name, value in os.environ.items() if value and name.startswith("PIP_")}


def for_uv() -> dict[str, str]:
    """Return the settings with which uv asks where pip would, and as pip would; those that are made for uv come first."""
    pip = of_pip()
    found = {
        "UV_DEFAULT_INDEX": pip.get("INDEX_URL", ""),
        "UV_INDEX": pip.get("EXTRA_INDEX_URL", ""),
        "UV_FIND_LINKS": ",".join(pip.get("FIND_LINKS", "").split()),
        "UV_INSECURE_HOST": pip.get("TRUSTED_HOST", ""),
        "UV_KEYRING_PROVIDER": "subprocess" if pip.get("KEYRING_PROVIDER") == "subprocess" else "",
        "UV_HTTP_RETRIES": "1",
        "UV_HTTP_TIMEOUT": pip.get("TIMEOUT") or pip.get("DEFAULT_TIMEOUT", "15"),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if "EXTRA_INDEX_URL" in pip else "",  # pip takes the best of all
        "SSL_CERT_FILE": pip.get("CERT", ""),
        "SSL_CLIENT_CERT": pip.get("CLIENT_CERT", ""),
    }
    found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), pip.get("PROXY", ""))
    return {name: value for name, value in found.items() if value and name not in os.environ}


def options_for_uv() -> list[str]:
    """Return what uv has to be told besides."""
    return ["--no-index"] if of_pip().get("NO_INDEX", "").lower() in ("1", "true", "yes", "on") else []


def cooled_down(days: int) -> dict[str, str]:
    """Return the settings with which uv, pip-tools, Poetry and Pipenv leave out releases of the last days."""
    if not days:
        return {}
    return {
        "UV_EXCLUDE_NEWER": f"{days} days",
        "PIP_UPLOADED_PRIOR_TO": f"P{days}D",
        "POETRY_SOLVER_MIN_RELEASE_AGE": str(days),
    }


def configured(of_manifest: dict[str, str]) -> list[str]:
    """Return the URLs of the package indexes that are configured, of none when the default counts.

    Args:
        of_manifest: what `manager.index` says.
    """
    found = {**for_uv(), **os.environ, **of_manifest}
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
    said = "\n".join([read(uv_toml()), *(read(PROJECT / name) for name in manager.MANIFESTS if manager.NAME == "uv")])
    texts = [found.get(name, "") for name in names] + re.findall(r'(?m)^\s*(?:index-)?url\s*=\s*"(.+)"', said)
    return list(dict.fromkeys(re.findall(r"https?://\S+", " ".join(texts))))


def trouble(urls: Iterable[str]) -> str:
    """Return what is wrong with a package index, going by one request to each; "" if all is well."""
    found = {**for_uv(), **os.environ}
    trusted = found.get("UV_INSECURE_HOST", "").split()
    # Who has a login that is not in the URL: then a refusal of a request without one says nothing.
    elsewhere = (Path.home() / ".netrc").exists() or any(re.match("UV_(KEYRING|INDEX_.+_PASS)", name) for name in found)
    proxy = of_pip().get("PROXY")
    through = [urllib.request.ProxyHandler({"http": proxy, "https": proxy})] if proxy else []
    for url in urls:
        login, _, place = url.partition("://")[2].rpartition("@")
        page = f"{url.partition('://')[0]}://{place.rstrip('/')}/pip/"  # nearly all have that
        request = urllib.request.Request(page)
        if login:
            user, _, password = map(unquote, login.partition(":"))
            encoded = b64encode(f"{user}:{password}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {encoded}")  # for nobody else
        shown = f"the package index {masked(f'://{place}')[3:]}"
        try:
            context = ssl.create_default_context(cafile=found.get("SSL_CERT_FILE"))
            if {place.partition("/")[0], place.partition("/")[0].partition(":")[0]} & {*trusted}:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), *through)
            opener.open(request, timeout=float(found["UV_HTTP_TIMEOUT"])).close()
        except urllib.error.HTTPError as error:
            if error.code in (401, 403) and (login or not elsewhere):
                return f"{shown} refuses the login ({error.code}); check the user name and password that are configured"
            if error.code >= 500:
                return f"{shown} has a fault of its own ({error.code}); try again later"
        except (OSError, HTTPException) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"{shown} has a certificate that is not trusted here; name its authority in SSL_CERT_FILE and PIP_CERT"
            return f"{shown} does not answer: {getattr(cause, 'strerror', None) or cause}; check the network and the address"
    return ""


@cache
def secrets() -> list[str]:
    """Return what nobody may read of the package indexes that are configured on this machine, the longest first.

    Those are logins, what is given by a `?`, and parts of the path that look like tokens. What the project says
    itself is none.
    """
    given = {name: value for name, value in os.environ.items() if re.match(OF_TOOLS, name)}
    found = {value for name, value in given.items() if re.search("PASSWORD|TOKEN|HTTP_BASIC", name)}
    texts = [*given.values(), read(uv_toml())]
    with contextlib.suppress(LockError):
        texts += of_pip().values()
    for url in re.findall(r"""://[^\s"',]+""", "\n".join(texts)):
        login, _, place = url[3:].rpartition("@")
        path, _, query = place.partition("?")
        found |= {login, login.partition(":")[2], *re.findall("=([^&]+)", query)}
        found |= {*filter(is_token, path.split("/")[1:])}
    found |= {unquote(secret) for secret in found}
    public = "".join(read(PROJECT / name) for name in manager.MANIFESTS)
    for login in re.findall(r"://\S*@", public):
        found |= {os.environ.get(name, "") for name in re.findall(r"\$\{?(\w+)", login)}
    return sorted((secret for secret in found if len(secret) > 3 and secret not in public), key=len, reverse=True)


def is_token(part: str) -> bool:
    """Return whether a part of a path looks like a token: long, its letters and digits mixed; my-project-123456 is none."""
    mixed = [piece for piece in part.split("-") if re.search(r"\d", piece) and re.search("[A-Za-z]", piece)]
    return len(part) >= 16 and len(re.findall(r"\d", part)) > 2 and bool(mixed)


def is_word(secret: str) -> bool:
    """Return whether a secret is so short that it may stand anywhere: the name of a user, for example."""
    return len(secret) < 8


def masked(text: str) -> str:
    """Return text without the secrets of package indexes."""
    for secret in secrets():
        text = (text if is_word(secret) else text.replace(secret, "****")).replace(f"{secret}@", "****@")
    return re.sub(r"://[^/\s]*@", "://****@", text)


def uv_toml() -> Path | None:
    """Return the file that holds the settings of uv of this person, if there is one."""
    places = (Path(os.path.expandvars(place)).expanduser() for place in UV_TOML)
    return next((path for path in places if path.is_file()), None)


def read(path: Path | None) -> str:
    """Return the text of a file, "" when there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path else ""
    except OSError:
        return ""
