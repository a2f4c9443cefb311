"""What gunicorn serves."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from idc_site.bodies import whole_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "idc_site.settings")

application = whole_bodies(get_wsgi_application())

# All that the views import is there before the first request, and stays: the collector of cycles need not look at it
# again and again, which took a fifth of the time of large uploads.
get_resolver().url_patterns  # noqa: B018  # the property imports them
gc.collect()
gc.freeze()
