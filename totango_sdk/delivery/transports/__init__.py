"""Carry: the one place that knows an HTTP library."""

from .base import CONTENT_TYPE, MOST_ANSWER_BYTES, Answer, Settings, Transport

__all__ = ["CONTENT_TYPE", "MOST_ANSWER_BYTES", "Answer", "Settings", "Transport"]
