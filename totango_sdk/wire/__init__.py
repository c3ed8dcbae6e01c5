"""On the wire: an event as the parameters that Totango reads, and back.

The only place that knows how Totango spells things. Here is what sends; whoever understands requests
imports `read`, `meant` and `redact` from their own modules, so that a host does not load them.
"""

from .about import claimed_keys, decode, records
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
    "Beginning",
    "Due",
    "Request",
    "activity_pairs",
    "beginning",
    "beginning_of_ids",
    "claimed_keys",
    "decode",
    "encode",
    "quote",
    "records",
    "requests",
    "token_suffix",
    "user_attributes",
    "user_pair",
    "user_record",
]
