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
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
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
    return found | transport() | a_cache()


def transport() -> dict[str, str]:
    """Return the settings with which every tool goes the way to indexes that pip goes. Raises LockError."""
    pip = of_pip()
    found = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), pip.get("CERT", ""))
    found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), pip.get("PROXY", ""))
    found |= {"SSL_CLIENT_CERT": pip.get("CLIENT_CERT", "")}
    found = {name: value for name, value in found.items() if value}
    return found | (dict.fromkeys(("NO_PROXY", "no_proxy"), "") if "PROXY" in pip else {})


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
    folders = [*shared, "/etc", "~/.pip", f"{personal}/pip"]
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
    }
    return {name: value for name, value in found.items() if value and name not in os.environ}


def options_for_uv() -> list[str]:
    """Return what uv has to be told besides."""
    return ["--no-index"] if of_pip().get("NO_INDEX", "").lower() in ("1", "true", "yes", "on", "y", "t") else []


def cooled_down(days: int) -> dict[str, str]:
    """Return the settings with which uv, pip-tools, Poetry and Pipenv leave out releases of the last days."""
    if not days:
        return {}
    return {
        "UV_EXCLUDE_NEWER": f"{days} days",
        "PIP_UPLOADED_PRIOR_TO": f"P{days}D",
        "POETRY_SOLVER_MIN_RELEASE_AGE": str(days),
    }


def configured(of_manifest: dict[str, str], read_toml: Callable[[str, str], dict[str, Any]]) -> list[str]:
    """Return the URLs of the package indexes that are configured, of none when the default counts. Raises LockError.

    Args:
        of_manifest: what `manager.index` says.
        read_toml: returns what a text says, with the name of its file.
    """
    found = {**for_uv(), **os.environ, **of_manifest}
    texts = [found.get(name, "") for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")]
    of_uv = [read_toml(read(path), str(path)) for path in uv_tomls()]
    if manager.NAME == "uv":
        of_uv.append(read_toml(read(PROJECT / "pyproject.toml"), "pyproject.toml").get("tool", {}).get("uv", {}))
    for facts in of_uv:
        texts += [facts.get("index-url", ""), *facts.get("extra-index-url", [])]
        texts += [index.get("url", "") for index in facts.get("index", [])]
    return list(dict.fromkeys(re.findall(r"https?://\S+", " ".join(texts))))


def trouble(urls: Iterable[str]) -> str:
    """Return what is wrong with a package index, going by one request to each; "" if all is well."""
    found = {**os.environ, **for_uv(), **transport()}
    trusted = found.get("UV_INSECURE_HOST", "").split()
    # Where there may be a login that is not in the URL, a refusal of a request without one says nothing.
    keyrings = (of_pip().get("KEYRING_PROVIDER"), found.get("UV_KEYRING_PROVIDER"))
    elsewhere = any(keyring not in (None, "disabled") for keyring in keyrings) or manager.NAME == "Poetry"
    elsewhere |= (Path.home() / ".netrc").exists() or any(re.match("UV_INDEX_.+_PASS", name) for name in found)
    proxy = of_pip().get("PROXY")
    through = f" through the proxy {masked(f'://{proxy}').rpartition('://')[2]}" if proxy else ""
    proxies = [urllib.request.ProxyHandler({"http": proxy, "https": proxy})] if proxy else []
    for url in urls:
        try:
            context = context_of(found)  # for this index alone: another may need no certificate
        except OSError as error:
            return f"the certificates that SSL_CERT_FILE, PIP_CERT or PIP_CLIENT_CERT name cannot be read: {error}"
        login, _, place = url.partition("://")[2].rpartition("@")
        page = f"{url.partition('://')[0]}://{place.rstrip('/')}/pip/"  # nearly all have that
        request = urllib.request.Request(page)
        if login:
            user, _, password = map(unquote, login.partition(":"))
            encoded = b64encode(f"{user}:{password}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {encoded}")  # for nobody else
        shown = f"the package index {masked(f'://{place}')[3:]}"
        try:
            if {place.partition("/")[0], place.partition("/")[0].partition(":")[0]} & {*trusted}:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), *proxies)
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
            words = getattr(cause, "strerror", None) or cause
            return f"{shown} does not answer{through}: {words}; check the network and the address"
    return ""


def context_of(found: Mapping[str, str]) -> ssl.SSLContext:
    """Return what is to be trusted, and shown, by the settings of uv. Raises OSError when a file of it cannot be read."""
    place = found.get("SSL_CERT_FILE") or None
    if place and not os.path.isdir(place):
        context = ssl.create_default_context(cafile=place)
    else:
        context = ssl.create_default_context(capath=place)
    if shown := found.get("SSL_CLIENT_CERT"):
        context.load_cert_chain(shown)
    return context


@cache
def secrets() -> list[str]:
    """Return what nobody may read of the package indexes that are configured on this machine, the longest first.

    Those are logins, what is given by a `?`, and parts of the path that look like tokens. What the project says
    itself is none.
    """
    given = {name: value for name, value in os.environ.items() if re.match(OF_TOOLS, name)}
    found = {value for name, value in given.items() if re.search("PASSWORD|TOKEN|HTTP_BASIC", name)}
    texts = [*given.values(), *map(read, uv_tomls())]
    with contextlib.suppress(LockError):
        texts += [*of_pip().values(), f"://{of_pip().get('PROXY', '')}"]
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
    """Return whether a part of a path looks like a token: long, and letters take turns with digits."""
    return len(part) >= 16 and len(re.findall(r"(?i)(?<=[a-z])\d|(?<=\d)[a-z]", part)) > 2


def is_word(secret: str) -> bool:
    """Return whether a secret is so short that it may stand anywhere: the name of a user, for example."""
    return len(secret) < 8


def masked(text: str) -> str:
    """Return text without the secrets of package indexes."""
    for secret in secrets():
        text = (text if is_word(secret) else text.replace(secret, "****")).replace(f"{secret}@", "****@")
    return re.sub(r"://[^/\s]*@", "://****@", text)


def uv_tomls() -> list[Path]:
    """Return the files that hold the settings of uv on this machine, the one that comes first before others."""
    shared = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    folders = [os.environ.get("XDG_CONFIG_HOME") or "~/.config", *shared, "/etc"]
    named = os.environ.get("UV_CONFIG_FILE")
    places = [named] if named else [f"{folder}/uv/uv.toml" for folder in folders]
    return [path for path in (Path(place).expanduser() for place in places) if path.is_file()]


def read(path: Path) -> str:
    """Return the text of a file, "" when there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
