"""What a parameter was meant for that Totango does not know."""

from __future__ import annotations

import re

# What other clients and their documentation call a parameter, in letters and digits alone.
_OTHER_NAMES = {
    "sdr_s": ("srds", "sdrservice", "sdrserviceid", "service", "serviceid", "sid", "s"),
    "sdr_o": (
        *("srdo", "sdraccount", "sdraccountid", "account", "accountid"),
        *("sdrorganization", "organization", "organizationid", "orgid", "o"),
    ),
    "sdr_u": ("srdu", "sdruser", "sdruserid", "user", "userid", "username", "u"),
    "sdr_a": ("srda", "sdractivity", "sdraction", "activity", "action", "event", "a"),
    "sdr_m": ("srdm", "sdrmodule", "module", "m"),
    "sdr_odn": ("srdodn", "sdraccountname", "accountname", "sdrdisplayname", "displayname", "odn"),
    "sdr_ofid": ("srdofid", "sdrfid", "ofid"),
    "api-token": ("apitoken", "sdrtoken", "sdrapitoken", "token"),
}
_MEANT = {other: name for name, others in _OTHER_NAMES.items() for other in others} | {
    name.replace("_", "").replace("-", ""): name for name in _OTHER_NAMES
}
_MEANT_ATTRIBUTE = re.compile(
    r"(?:(?:sdr|srd)[_.-]?(?P<short>[ou])|(?P<long>account|user))"
    r"(?P<mark>[._:\[-])(?P<name>[^\]]+)\]?",
    re.IGNORECASE | re.DOTALL,
)
_LETTERS = {"o": "o", "u": "u", "account": "o", "user": "u"}
_LONGEST_MEANT = 500


def meant_name(name: str) -> str | None:
    """Return the parameter that a name was probably meant for; `None` if that is not plain."""
    name = name.strip()
    head, dot, tail = name.partition(".")
    if tail.lower() == "name":  # the display name, in lower case
        tail = "name"
    meant = f"{head.lower()}{dot}{tail}"
    if meant in _OTHER_NAMES or (tail and meant.startswith(("sdr_o.", "sdr_u."))):
        return meant
    return _guessed(name) if len(name) <= _LONGEST_MEANT else None


def _guessed(name: str) -> str | None:
    """Return the parameter that others call by this name, or by one like it."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    found = _MEANT_ATTRIBUTE.fullmatch(name)
    if found is None or (plain in _MEANT and found["mark"] in "_-"):
        return _MEANT.get(plain)

    entity = (found["short"] or found["long"]).lower()
    inner = found["name"].strip()
    if inner.lower() == "id":
        return f"sdr_{_LETTERS[entity]}"
    return f"sdr_{_LETTERS[entity]}.{inner}"
