"""Everything that is looked at, in the order in which one thing rests on another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from ..delivery.transports.base import Settings
from ..endpoint import REGIONS, check_endpoint, is_totangos, with_path
from ..errors import OptionsError
from ..identity import service_id_problem
from ..options import from_environment
from ..show import shown
from .disk import spool_checks
from .verdicts import Check, fail, ok, skip, warn
from .way import way_checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARIABLES = {
    "service_id": "TOTANGO_SERVICE_ID",
    "region": "TOTANGO_REGION",
    "endpoint": "TOTANGO_ENDPOINT",
    "api_token": "TOTANGO_API_TOKEN",
    "spool": "TOTANGO_SPOOL",
}


@attrs.frozen(kw_only=True)
class Asked:
    """What a client would be told, before it is known to be right."""

    service_id: str | None = None
    region: str | None = None
    endpoint: str | None = None
    api_token: str | None = attrs.field(default=None, repr=False)
    spool: str | None = None
    proxy: str | None = attrs.field(default=None, repr=False)
    timeout: float = 10.0
    allow_http: bool = False

    @classmethod
    def of(cls, *, environ: Mapping[str, str] | None = None, **given: Any) -> Asked:
        """Return what is given, and what the environment says where nothing is."""
        around = os.environ if environ is None else environ
        known = {name: value for name, value in given.items() if value is not None}
        for name, variable in _VARIABLES.items():
            if name not in known and around.get(variable):
                known[name] = around[variable]
        allowed = around.get("TOTANGO_ALLOW_HTTP", "").strip().lower()
        return cls(**{"allow_http": allowed in ("1", "true", "yes", "on"), **known})

    @property
    def address(self) -> str:
        """Where events would go."""
        if self.endpoint is not None:
            return with_path(self.endpoint)
        return REGIONS.get((self.region or "us").lower(), REGIONS["us"])


def examine(asked: Asked, environ: Mapping[str, str] | None = None) -> Iterator[Check]:
    """Look at one thing after another; each is told as soon as it is known."""
    yield _settings(os.environ if environ is None else environ)
    yield _service_id(asked)
    region = _region(asked)
    yield region
    yield _token(asked)
    yield from _way(asked)
    yield from spool_checks(asked.spool)


def _settings(environ: Mapping[str, str]) -> Check:
    name = "settings"
    try:
        known = from_environment(environ, besides=())
    except OptionsError as error:
        return fail(name, str(error), "mend it, or unset it: no client starts with it")
    if known.get("disabled"):
        found = "TOTANGO_DISABLED is set: everything is checked, and nothing sent"
        return warn(name, found, "unset it where events are to arrive")
    variables = sorted(each for each in environ if each.startswith("TOTANGO_") and environ[each])
    return ok(
        name, f"{', '.join(variables)} in force" if variables else "no TOTANGO_ variable is set"
    )


def _service_id(asked: Asked) -> Check:
    name = "service id"
    problem = service_id_problem(asked.service_id)
    if problem is None:
        return ok(name, str(asked.service_id))
    advice = "give --service-id, or set TOTANGO_SERVICE_ID to what Totango's settings show"
    tell = fail if problem.severity == "error" else warn
    return tell(name, problem.message, advice)


def _region(asked: Asked) -> Check:
    name = "region"
    region = (asked.region or "us").lower()
    if region not in REGIONS:
        found = f"{shown(asked.region)} is no region"
        return fail(name, found, f"give one of {', '.join(REGIONS)}")
    try:
        check_endpoint(asked.address, allow_http=asked.allow_http)
    except OptionsError as error:
        return fail(name, str(error), "mend the endpoint, or leave it out and give the region")
    host = urlsplit(asked.address).hostname or ""
    if not is_totangos(host):
        found = f"{asked.address} is another collector than Totango's"
        return ok(name, f"{found}: what is sent there does not reach Totango")
    return _region_of_totango(asked, host, region)


def _region_of_totango(asked: Asked, host: str, region: str) -> Check:
    name = "region"
    hosts = {urlsplit(address).hostname: each for each, address in REGIONS.items() if each != "eu"}
    if host not in hosts:
        found = f"{host} is Totango's, but no collector"
        return fail(name, found, f"leave the endpoint out; the collectors are {', '.join(hosts)}")  # type: ignore[arg-type]
    wanted = urlsplit(REGIONS[region]).hostname
    if asked.region is not None and host != wanted:
        found = (
            f"the region is {region}, but the endpoint is {host}, the collector of {hosts[host]}: "
            "it drops the events of other regions in silence, and answers 200"
        )
        return fail(name, found, f"leave the endpoint out, or give the region {hosts[host]}")
    found = f"{hosts[host]}, {asked.address}"
    return ok(
        name, f"{found}; which region a service is in cannot be asked: see Totango's settings"
    )


def _token(asked: Asked) -> Check:
    token = asked.api_token
    if token is None:
        return ok("token", "none; only a service that enforces one needs it")
    if token != token.strip():
        found = "it has a space or a line end around it, which would be sent too"
        return fail("token", found, "copy it again into TOTANGO_API_TOKEN")
    if not token.isascii() or not token.isprintable():
        found = "it has characters that no token has (it is not shown)"
        return fail("token", found, "copy it again into TOTANGO_API_TOKEN")
    return ok(
        "token", f"{len(token)} characters, which are not shown; only Totango can tell if it fits"
    )


def _has_address(asked: Asked) -> bool:
    try:
        check_endpoint(asked.address, allow_http=asked.allow_http)
    except OptionsError:
        return False
    return True


def _way(asked: Asked) -> Iterator[Check]:
    if not _has_address(asked):
        yield skip("network", "there is no address to try: mend what is told above")
        return
    yield from way_checks(Settings(asked.address, asked.timeout, 1, "", asked.proxy))
