"""At home in a framework: one module for each, and none knows another.

Each needs the extra of its own name, and says so: `pip install 'totango-sdk[flask]'`.
"""

from __future__ import annotations


def missing(module: str, framework: str, extra: str) -> ImportError:
    """Return the error of a module whose framework is not installed."""
    name = f"totango_sdk.integrations.{module}"
    return ImportError(f"{name} needs {framework}: pip install 'totango-sdk[{extra}]'", name=name)
