"""A local collector that takes events as Totango does, and tells what Totango would not have told.

It comes with the extra `sandbox`. `running()` is for tests and programs, `serve()` for a person.
"""

from __future__ import annotations

try:
    import httptools as _httptools  # noqa: F401
    import jinja2 as _jinja2  # noqa: F401
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ModuleNotFoundError as missing:
    msg = (
        f"the sandbox needs {missing.name}, which comes with it: pip install 'totango-sdk[sandbox]'"
    )
    raise ImportError(msg) from missing

from .app import create_app
from .faults import Faults
from .report import Report
from .server import Sandbox, running, serve
from .store import Store

__all__ = ["Faults", "Report", "Sandbox", "Store", "create_app", "running", "serve"]
