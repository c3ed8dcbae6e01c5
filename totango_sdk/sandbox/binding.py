"""What will not join up among what was accepted: the rules of `binding`, for each service ID."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ..binding import Finding, Seen, SeenAccount, Sighting, is_foreign_key
from ..binding import findings as found_in
from .habits import habits

if TYPE_CHECKING:
    from .views import Views

_MOST = 200
_MOST_SERVICES = 20
_FIELDS = ("kind", "title", "sides", "advice")


def findings(views: Views) -> list[Finding]:
    """Return what looks like one account or one user, and is two; at most 200."""
    return [{name: each[name] for name in _FIELDS} for each in told(views)]


def problem_kinds(views: Views) -> list[dict[str, Any]]:
    """Return what is wrong with single events, each kind once, with its `key`, and whether it is to
    be `ignored`.
    """
    ignored = views.ignored()
    found = views.problems()
    for each in found:
        each["key"] = f"{each['severity']} {json.dumps([each['field'], each['rule']])}"
        each["ignored"] = each["key"] in ignored
    return found


def told(views: Views) -> list[Finding]:
    """Return the findings, each with its `service`, its `key`, and whether it is to be `ignored`."""
    found = [*_services(views), *_of_services(views)][:_MOST]
    users = [side for each in found for side in each["sides"] if side["what"] == "user"]
    names = views.user_names([side["id"] for side in users]) if users else {}
    for side in users:
        side["name"] = names.get(side["id"])
    ignored = views.ignored()
    for each in found:
        each["key"] = _key(each)
        each["ignored"] = each["key"] in ignored
    return found


def _key(found: Finding) -> str:
    """Return what tells a finding from others, and is the same when it is found again."""
    sides = sorted(found.pop("about", None) or {side["id"] for side in found["sides"]})
    return f"{found['kind']} {json.dumps(sides)}"


def _of_services(views: Views) -> list[Finding]:
    seen = _seen(views)
    most = _MOST // max(len(seen), 1)
    found: list[Finding] = []
    for service, each in seen.items():
        of_service = [*found_in(each, most=most), *habits(views, service)]
        found += [{**one, "service": service} for one in of_service]
    return found


def _seen(views: Views) -> dict[str, Seen]:
    """Return what was seen with each of the service IDs that came most often."""
    services = [each["service"] for each in views.services()[:_MOST_SERVICES]]
    accounts: defaultdict[str, list[SeenAccount]] = defaultdict(list)
    sightings: defaultdict[str, list[Sighting]] = defaultdict(list)
    for row in views.seen_accounts():
        accounts[row[0]].append(_account(*row[1:]))
    for row in views.sightings():
        sightings[row[0]].append(Sighting._make(row[1:]))
    older = views.users_without_requests()
    known = {(service, each.id) for service in services for each in accounts[service] if older}
    for service, account, user, last in older:
        if (service, account) in known:
            sightings[service].append(Sighting(account, user, event=last))
    return {
        service: Seen(accounts=accounts[service], sightings=sightings[service])
        for service in services or accounts
    }


def _services(views: Views) -> list[Finding]:
    """Return that there are two service IDs, if there are."""
    services = views.services()
    if len(services) < 2:
        return []
    title = f"Events came with {len(services)} service IDs, which are separate worlds in Totango"
    advice = (
        "Accounts and users are kept apart by service ID, here as there. If page and backend "
        "belong to one product, give both the same one, as Totango's Settings show it"
    )
    sides = [
        {
            "what": "service",
            "id": each["service"],
            "name": None,
            "sources": sorted(each["sources"]),
            "detail": f"{each['events']} event{'s' if each['events'] != 1 else ''}",
            "event": each["last_event"],
        }
        for each in services[:10]
    ]
    return [{"kind": "services", "title": title, "sides": sides, "advice": advice, "service": None}]


def _account(
    account: str,
    name: str | None,
    ofid: str | None,
    parent: str | None,
    product: str | None,
    attributes: str,
    last: int,
) -> SeenAccount:
    if ofid is None and attributes == "{}":
        return SeenAccount(account, name, parent, product, event=last)
    keys = foreign_keys(ofid, json.loads(attributes))
    return SeenAccount(account, name, parent, product, keys, last)


def foreign_keys(ofid: str | None, attributes: dict[str, Any]) -> dict[str, str]:
    """Return what names an account in other systems."""
    found = {name: value for name, value in attributes.items() if is_foreign_key(name)}
    return found if ofid is None else {"ofid": ofid, **found}
