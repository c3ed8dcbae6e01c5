"""Carry: the one place that knows an HTTP library."""

from .base import CONTENT_TYPE, MOST_ANSWER_BYTES, Answer, Settings, Transport
from .choice import make_transport

__all__ = ["CONTENT_TYPE", "MOST_ANSWER_BYTES", "Answer", "Settings", "Transport", "make_transport"]
