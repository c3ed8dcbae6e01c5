"""On the wire: an event as the parameters that Totango reads, and back.

The only place that knows how Totango spells things.
"""

from .meant import meant_name
from .read import (
    LEFTOVERS,
    Reading,
    Sorted,
    as_sent,
    claimed_keys,
    decode,
    names_service,
    parameter_name,
    read,
    records,
)
from .redact import redact
from .write import (
    Beginning,
    Due,
    Request,
    activity_pairs,
    beginning,
    beginning_of_ids,
    encode,
    quote,
    requests,
    token_suffix,
    user_attributes,
    user_pair,
    user_record,
)

__all__ = [
    "LEFTOVERS",
    "Beginning",
    "Due",
    "Reading",
    "Request",
    "Sorted",
    "activity_pairs",
    "as_sent",
    "beginning",
    "beginning_of_ids",
    "claimed_keys",
    "decode",
    "encode",
    "meant_name",
    "names_service",
    "parameter_name",
    "quote",
    "read",
    "records",
    "redact",
    "requests",
    "token_suffix",
    "user_attributes",
    "user_pair",
    "user_record",
]
