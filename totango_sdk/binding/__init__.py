"""Which IDs are one and the same: one set of rules for the sandbox's page and for the audit.

`findings` takes a plain value of what was seen; `keys` and `pairs` are what it stands on, ID by ID.
"""

from .findings import Finding, findings
from .people import is_foreign_key
from .seen import Seen, SeenAccount, Sighting

__all__ = ["Finding", "Seen", "SeenAccount", "Sighting", "findings", "is_foreign_key"]
