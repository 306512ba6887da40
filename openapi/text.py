"""Docstrings as Markdown, and Python's names as those of the API."""

import re

from pydantic.alias_generators import to_camel

from routing import Route


def to_markdown(docstring: str | None) -> str:
    """Return a docstring with one line for each paragraph and Markdown's backticks."""
    paragraphs = re.split(r"\n\s*\n", (docstring or "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).replace("``", "`")


def operation_id(route: Route) -> str:
    """Return what generated clients call the operation: ``getJobOutputs``."""
    return to_camel(route.endpoint.__name__)
