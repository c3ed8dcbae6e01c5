"""`settings.TOTANGO`: what it says, and everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
from django.conf import settings
from django.utils.module_loading import import_string

from ...errors import OptionsError
from ...options import Options
from ...show import shown
from ..settings import check_identity, with_service_id, wrong_environment, wrong_options

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = ("IDENTITY", "OUTBOX", "DATABASE", "NONCE")
_OPTIONS = tuple(field.name.upper() for field in attrs.fields(Options))
_MISSING = 'settings.TOTANGO is missing: add TOTANGO = {"SERVICE_ID": "SP-1234-01"}'


class Wrong(NamedTuple):
    """A wrong setting: the check that finds it, and what it says."""

    id: str
    text: str


class WrongSettings(OptionsError):
    """`settings.TOTANGO` cannot be used. The message is that of the first check that fails."""


@attrs.frozen(kw_only=True)
class Config:
    """What `settings.TOTANGO` says, checked."""

    options: dict[str, Any]
    identity: Callable[..., Any] | None = None
    nonce: Callable[..., Any] | None = None
    outbox: bool = False
    database: str = "default"

    @classmethod
    def read(cls) -> Config:
        """Return the project's settings. Raises `WrongSettings`."""
        for wrong in wrong_settings():
            raise WrongSettings(wrong.text)
        said = _said()
        return cls(
            options=with_service_id(_options(said)),
            identity=_function(said.get("IDENTITY")),
            nonce=_function(said.get("NONCE")),
            outbox=said.get("OUTBOX", False),
            database=said.get("DATABASE", "default"),
        )


def _said() -> dict[str, Any]:
    said = getattr(settings, "TOTANGO", None)
    return dict(said) if isinstance(said, Mapping) else {}


def _options(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in said.items() if name in _OPTIONS}


def _function(given: Any) -> Any:
    return import_string(given) if isinstance(given, str) else given


def has_identity() -> bool:
    """Whether an identity function is named."""
    return _said().get("IDENTITY") is not None


def wrong_settings() -> list[Wrong]:
    """Return everything that is wrong, the most important first."""
    given = getattr(settings, "TOTANGO", None)
    if given is not None and not isinstance(given, Mapping):
        text = f"settings.TOTANGO={shown(given)} is wrong: it is a dict, such as"
        return [Wrong("E002", f'{text} {{"SERVICE_ID": "SP-1234-01"}}')]
    if given is None and "service_id" not in with_service_id({}) and not _environment("SERVICE_ID"):
        return [Wrong("E001", _MISSING)]
    said = _said()
    found = [Wrong("E002", f"{_where(name)}: {told}") for name, told in _unknown(said)]
    options = wrong_options(_options(said))
    found += [Wrong("E002", f"{_where(name.upper())}: {error}") for name, error in options]
    found += [Wrong("E002", f"{_where(name)}: {told}") for name, told in _wrong_own(said)]
    found += _wrong_functions(said)
    found += _wrong_outbox(said)
    return found or _wrong_environment(said)


def _wrong_environment(said: Mapping[str, Any]) -> list[Wrong]:
    if wrong := wrong_environment(_options(said)):
        return [Wrong("E002", text) for text in wrong]
    try:
        Options.resolve(with_service_id(_options(said)))
    except OptionsError as error:
        return [Wrong("E002", f"the environment: {error}")]
    return []


def _environment(name: str) -> str | None:
    return os.environ.get(f"TOTANGO_{name}") or None


def _where(name: object) -> str:
    return f'settings.TOTANGO["{name}"]'


def _unknown(said: Mapping[str, Any]) -> list[tuple[object, str]]:
    """Return each key that has no meaning, with what was meant if one is near."""
    from difflib import get_close_matches

    known = (*_OWN, *_OPTIONS)
    found: list[tuple[object, str]] = []
    for name in said:
        if name in known:
            continue
        near = get_close_matches(str(name).upper(), known, n=1)
        meant = near[0] if near and str(name) != str(name).upper() else "".join(near).lower()
        hint = f"did you mean {meant!r}?" if near else f"the settings are {', '.join(known)}"
        found.append((name, f"there is no option {str(name).lower()!r}: {hint}"))
    return found


def _wrong_own(said: Mapping[str, Any]) -> list[tuple[str, OptionsError]]:
    found = []
    outbox, database = said.get("OUTBOX", False), said.get("DATABASE", "default")
    if not isinstance(outbox, bool):
        found.append(("OUTBOX", OptionsError.of("OUTBOX", outbox, "it is True or False", "True")))
    if database not in settings.DATABASES and database != "default":
        expected = "it is an alias of settings.DATABASES"
        found.append(("DATABASE", OptionsError.of("DATABASE", database, expected, "'default'")))
    return found


def _wrong_functions(said: Mapping[str, Any]) -> list[Wrong]:
    found = []
    for name in ("IDENTITY", "NONCE"):
        path = said.get(name)
        try:
            function = _function(path)
        except Exception as error:  # a module of the project's may raise anything
            found.append(Wrong("E003", _cannot(name, path, error)))
            continue
        try:
            check_identity(function, may_be_awaited=name == "IDENTITY")
        except OptionsError:
            returned = "an Identity or None" if name == "IDENTITY" else "a nonce"
            text = f"it is a function of the request that returns {returned}, or its dotted path"
            found.append(Wrong("E003", f"{_where(name)}={shown(path)} is wrong: {text}"))
    return found


def _cannot(name: str, path: Any, error: Exception) -> str:
    told = str(error) if isinstance(error, ImportError) else shown(error)
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{path}.".startswith(f"{missing}."):
        told = f"No module named {path!r}"
    return f"{_where(name)}={path!r} cannot be imported: {told}"


def _wrong_outbox(said: Mapping[str, Any]) -> list[Wrong]:
    spool = said.get("SPOOL") or _environment("SPOOL")
    a_directory = spool is None or (isinstance(spool, str | os.PathLike) and spool != "memory")
    if said.get("OUTBOX") is not True or a_directory:
        return []
    return [Wrong("E004", f"{_where('OUTBOX')} needs a spool on disk: SPOOL is {shown(spool)}")]
