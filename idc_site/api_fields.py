"""Bodies of requests, and fields of them, that take what the schema says and nothing that merely looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.settings import api_settings

NO_TEXT = "\ufffd"  # stands where bytes of a form were no UTF-8
CSRF_FIELD = "csrfmiddlewaretoken"  # a browser's session may send it so: Django reads it, no view does


class Body(serializers.Serializer[Any]):
    """An object of fields that are known. Any other is refused: `visibilty=public` was meant, and would be lost.

    files: fields that the view itself reads.
    """

    files: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def known(self) -> frozenset[str]:
        return frozenset({*self.fields, *self.files})

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """First what is no field: it may be the slip for which another seems to be missing."""
        if not isinstance(data, Mapping):
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [_("Send a JSON object.")]})
        for name in data:
            if name not in self.known and name != CSRF_FIELD:
                fields = ", ".join(sorted(self.known))
                message = _("There is no such field. There are: %(fields)s.") % {"fields": fields}
                raise serializers.ValidationError({name: [message]})
            if not isinstance(data, MultiValueDict):
                continue
            values = data.getlist(name)
            # Text under the name of a file is no file, and is passed over: Swagger UI sends "string" beside the images.
            if name not in self.files and len(values) > 1:
                raise serializers.ValidationError({name: [_("This field is there more than once. Send it once.")]})
            if name in self.files and any(isinstance(value, str) and NO_TEXT in value for value in values):
                raise serializers.ValidationError({name: [_("A file needs a “filename” beside its field.")]})
        return super().run_validation(data)


class TextField(serializers.CharField):
    """A string: a number is none."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class FlagField(serializers.BooleanField):
    """true or false: neither 0 nor "off"."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data
