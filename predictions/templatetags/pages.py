"""What pages of every kind are made of."""

from __future__ import annotations

from django import template
from django.template.context import RequestContext
from django.template.defaultfilters import floatformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag
def table(content: SafeString, name: str, is_shown: bool = True) -> SafeString:
    """A table of the rows between the tags, which scrolls by itself where it is too wide, by keyboard too.

    name: what it is called, once on a page. is_shown: as its caption, and not to screen readers alone.
    """
    return format_html(
        '<div class="scroll" role="region" tabindex="0" aria-label="{}"><table class="table">{}{}</table></div>',
        name,
        format_html("<caption>{}</caption>", name) if is_shown else "",
        content,
    )


@register.filter
def decimals(value: float | None, digits: int) -> str:
    """-0.0123 to so many digits, with a true minus sign: a hyphen is shorter, and lines break after it."""
    return floatformat(value, digits).replace("-", "\N{MINUS SIGN}")


@register.simple_tag(takes_context=True)
def current(context: RequestContext, view: str) -> str:
    """Marks the link of a menu that leads to the page one is on."""
    match = context["request"].resolver_match
    return SafeString(' aria-current="page"') if match and match.view_name == view else ""
