from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class AdminConfig(DjangoAdminConfig):
    """Django's admin with our door before it."""

    default_site = "idc_site.admin_site.AdminSite"
