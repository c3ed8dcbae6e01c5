"""Every question that is asked of the sandbox's database. What is written stands in `tally`."""

from __future__ import annotations

# -- requests

_REQUEST = """
SELECT id, time, method, source, query, body, accepted, account, user, activity, module, problems,
       kind, severity, fault, service, (SELECT agent FROM heads WHERE heads.id = requests.head)
FROM requests"""
LAST_ID = "SELECT coalesce(max(id), 0) FROM requests"
SIZE = """
SELECT count(*), coalesce(sum(length(query) + length(body)), 0) +
       (SELECT coalesce(sum(length(head)), 0) FROM heads)
FROM requests
"""
REQUEST = f"{_REQUEST} WHERE id = ?"
HEAD = (
    "SELECT heads.head FROM requests JOIN heads ON heads.id = requests.head WHERE requests.id = ?"
)
ROWS = """
SELECT id, CAST(time * 1000 AS INTEGER), substr(account, 1, 300), substr(product, 1, 300),
       substr(user, 1, 300), substr(activity, 1, 300), substr(module, 1, 300),
       source, severity, kind, fault, substr(service, 1, 300)
FROM requests ORDER BY id DESC LIMIT ?
"""
SESSION = """
SELECT requests.id, CAST(time * 1000 + 0.001 AS INTEGER) AS ms, method, query, body, agent,
       heads.head, malformed, fault
FROM requests JOIN heads ON heads.id = requests.head
WHERE requests.id > ? ORDER BY requests.id LIMIT ?
"""
EARLIER = """
SELECT query, body FROM requests WHERE account IS ? AND service IS ? AND id < ? AND accepted
ORDER BY id DESC LIMIT ?
"""
NTH_OLDEST = "SELECT id FROM requests ORDER BY id LIMIT 1 OFFSET ?"
FORGET = "DELETE FROM requests WHERE id < ?"
COUNT_FORGOTTEN = """
INSERT INTO totals VALUES ('forgotten', ?) ON CONFLICT (name) DO UPDATE SET count = count + ?
"""
FORGET_HEADS = "DELETE FROM heads WHERE id NOT IN (SELECT head FROM requests)"
FORGET_ACCOUNTS = """
DELETE FROM accounts WHERE last_request <=
    (SELECT last_request FROM accounts ORDER BY last_request DESC LIMIT 1 OFFSET ?)
"""
FORGET_NAMES = """
DELETE FROM names WHERE last_request <=
    (SELECT last_request FROM names ORDER BY last_request DESC LIMIT 1 OFFSET ?)
"""
FORGET_ACTIVITIES = """
DELETE FROM activities WHERE last_request <=
    (SELECT last_request FROM activities ORDER BY last_request DESC LIMIT 1 OFFSET ?)
"""
FORGET_USERS = """
DELETE FROM users WHERE last_request <=
    (SELECT last_request FROM users ORDER BY last_request DESC LIMIT 1 OFFSET ?)
"""


def requests(wanted: list[str]) -> str:
    """Return how requests are found for which all of these hold."""
    return f"{_REQUEST} WHERE {' AND '.join(wanted)} ORDER BY id LIMIT ?"


def ids(wanted: list[str]) -> str:
    """Return how the numbers of requests are found for which all of these hold."""
    return f"SELECT id FROM requests WHERE {' AND '.join(wanted)} ORDER BY id LIMIT ?"


# -- totals

TOTALS = "SELECT name, count FROM totals"
TAB_COUNTS = """
SELECT (SELECT count(*) FROM accounts WHERE product_id IS NULL OR parent_id IS NULL) +
       (SELECT count(*) FROM (SELECT DISTINCT service, parent_id FROM accounts AS child
            WHERE parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM accounts
                WHERE service = child.service AND id = child.parent_id))),
       (SELECT count(*) FROM (SELECT DISTINCT service, id FROM users))
"""
COUNTS = """
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM users),
       (SELECT count(*) FROM accounts WHERE parent_id IS NOT NULL AND product_id IS NOT NULL)
"""
ACTIVITIES = """
SELECT module, activity, sum(count) FROM activities GROUP BY module, activity
ORDER BY module, activity LIMIT ?
"""
SERVICES = """
SELECT service, count(*), max(id), group_concat(DISTINCT source) FROM requests
WHERE accepted GROUP BY service ORDER BY count(*) DESC, service
"""
PROBLEMS = """
SELECT field, severity, rule, count, example FROM problems ORDER BY count DESC, rowid LIMIT ?
"""
PRODUCT_ACCOUNTS = """
SELECT id, parent_id, product_id, name FROM accounts
WHERE parent_id IS NOT NULL AND product_id IS NOT NULL ORDER BY number LIMIT ?
"""

# -- accounts

ACCOUNTS = """
SELECT number, service, id, name, ofid, parent_id, product_id, attributes,
       first_request, last_request
FROM accounts WHERE number > ? ORDER BY number LIMIT ?
"""
FIRST_OF_ACCOUNT = "SELECT first_request FROM accounts WHERE service = ? AND id = ?"
SERVICE_OF_ACCOUNT = "SELECT service FROM accounts WHERE id = ? ORDER BY number LIMIT 1"
SERVICE_OF_CHILD = "SELECT service FROM accounts WHERE parent_id = ? ORDER BY number LIMIT 1"
IS_PARENT = "SELECT 1 FROM accounts WHERE service = ? AND parent_id = ? LIMIT 1"
TREE = "SELECT service, id, name, parent_id, product_id FROM accounts ORDER BY number"
_KEYS = "(SELECT value ->> 0, value ->> 1 FROM json_each(?))"
NODES = f"""
SELECT service, id, name, ofid, product_id, attributes,
       (SELECT count(*) FROM users WHERE service = accounts.service AND account = accounts.id)
FROM accounts WHERE (service, id) IN {_KEYS}
"""
EVENTS_OF_ACCOUNTS = """
SELECT service, account, source, count(*) FROM requests
WHERE account IN (SELECT value ->> 1 FROM json_each(?)) AND accepted
GROUP BY service, account, source
"""
SPAN_OF_ACCOUNT = """
SELECT min(time), max(time) FROM requests WHERE service = ? AND account = ? AND accepted
"""
SERIES_OF_ACCOUNT = """
SELECT min(CAST((time * 1000 - ?3) / ?4 AS INTEGER), ?5), count(*) FROM requests
WHERE service = ?1 AND account = ?2 AND accepted GROUP BY 1
"""

# -- users

USERS_OF_ACCOUNT = """
SELECT id, attributes FROM users WHERE service = ? AND account = ?
ORDER BY first_request, id LIMIT ?
"""
USER_COUNT = "SELECT count(*) FROM users WHERE service = ? AND account = ?"
FIRST_OF_USER = "SELECT first_request FROM users WHERE service = ? AND account = ? AND id = ?"
USERS = """
SELECT service, id, account, json_extract(attributes, '$.name') FROM users
ORDER BY last_request DESC, id
"""
SAID_OF_USERS = f"""
SELECT service, id, account, attributes FROM users
WHERE (service, id) IN {_KEYS} ORDER BY last_request
"""
NAMES_OF_USERS = """
SELECT id, json_extract(attributes, '$.name') FROM users
WHERE id IN (SELECT value FROM json_each(?)) ORDER BY last_request
"""
EVENTS_OF_USERS = f"""
SELECT service, user, source, count(*), max(time) FROM requests
WHERE (service, user) IN {_KEYS} AND accepted GROUP BY service, user, source
"""
SPAN_OF_USERS = f"""
SELECT min(time), max(time) FROM requests WHERE (service, user) IN {_KEYS} AND accepted
"""
SERIES_OF_USERS = f"""
SELECT service, user, min(CAST((time * 1000 - ?2) / ?3 AS INTEGER), ?4), count(*) FROM requests
WHERE (service, user) IN {_KEYS.replace("?", "?1")} AND accepted GROUP BY 1, 2, 3
"""

# -- what was seen, for what will not join up

SEEN_ACCOUNTS = """
SELECT service, id, name, ofid, parent_id, product_id, attributes, last_request FROM accounts
ORDER BY number
"""
SIGHTINGS = """
SELECT service, account, user, source, product, max(id), count(*), parent,
       sum(kind != 'attributes')
FROM requests WHERE accepted GROUP BY service, account, user, source, product, parent
"""
USERS_WITHOUT_REQUESTS = """
SELECT service, account, id, last_request FROM users
WHERE last_request < (SELECT coalesce(min(id), 1 << 62) FROM requests)
"""
NAMES = "SELECT service, what, name, count, last_request FROM names"
ALL_ACTIVITIES = "SELECT service, module, activity, count, last_request FROM activities"

# -- what is to be ignored

IGNORED = "SELECT key FROM ignored ORDER BY key"
IGNORE = "INSERT OR IGNORE INTO ignored VALUES (?)"
NO_LONGER_IGNORE = "DELETE FROM ignored WHERE key = ?"
