"""The files of production, parsed: what they promise, and that they agree with the site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from idc_site.devserver import procfile

BASE_DIR = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_every_service_is_there_and_says_whether_it_is_well() -> None:
    assert set(SERVICES) == {"postgres", "redis", "setup", "web", "worker", "chores", "nginx"}
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"setup"}


def test_the_broker_forgets_nothing() -> None:
    command = SERVICES["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_no_secret_has_a_default() -> None:
    text = (BASE_DIR / "docker-compose.yml").read_text() + (BASE_DIR / ".env.example").read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert re.findall(rf"\${{{name}(?!:\?)", text) == []
        assert re.findall(rf"^{name}=(.*)$", text, re.MULTILINE) == [""]


def test_only_nginx_is_reached_from_outside_and_the_database_reaches_nothing() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"nginx"}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["inside"]


@pytest.mark.parametrize("name", ["web", "worker", "chores"])
def test_a_service_runs_the_procfiles_process(name: str) -> None:
    assert SERVICES[name]["command"] == ["deploy/run", name]
    assert name in procfile()


def test_a_process_that_does_not_exist_is_named() -> None:
    done = subprocess.run([BASE_DIR / "deploy/run", "none"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (64, "The Procfile has no process named none.\n")


def test_the_images_are_small_in_rights_and_the_webs_has_no_engine() -> None:
    dockerfile = (BASE_DIR / "Dockerfile").read_text()
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    by_name = {stage.splitlines()[0].rpartition(" ")[2]: stage for stage in stages}
    for name in ("web", "worker"):
        assert "\nUSER idc\n" in by_name[name]
        assert f"--from={name}-packages" in by_name[name]
        assert f"requirements-{name}.txt" in by_name[f"{name}-packages"]


def test_the_proxy_takes_what_the_site_takes() -> None:
    from django.conf import settings

    proxy = (BASE_DIR / "deploy/nginx.conf.template").read_text()
    assert f"client_max_body_size {settings.REQUEST_MEGABYTES}m;" in proxy
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in proxy


def test_the_proxy_hands_on_that_an_answer_broke_off() -> None:
    assert "proxy_http_version 1.1;" in (BASE_DIR / "deploy/nginx.conf.template").read_text()


def environment(**values: str) -> dict[str, str]:
    names = ("PATH", "DATABASE_URL", "REDIS_URL", "SECRET_KEY")
    return {name: os.environ[name] for name in names} | values


def manage(*arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=BASE_DIR,
        env=environment(**values),
        capture_output=True,
        text=True,
    )


def test_every_variable_the_settings_read_is_in_the_example() -> None:
    settings = (BASE_DIR / "idc_site/settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|required)\(\s*"([A-Z_]+)"', settings)) - {"IDC_IS_WORKER"}
    assert len(read) > 15
    example = (BASE_DIR / ".env.example").read_text()
    assert {name for name in read if not re.search(rf"^#? ?{name}=", example, re.MULTILINE)} == set()


def test_the_deployment_checks_pass_for_an_https_site() -> None:
    key = "k3y-" * 20 + "abcdefgh"
    done = manage("check", "--deploy", "--fail-level", "WARNING", SITE_URL="https://idc.example.org", SECRET_KEY=key)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"SECRET_KEY": ""}, "Set SECRET_KEY (a long random string)"),
        ({"DATABASE_URL": ""}, "Set DATABASE_URL"),
        ({"REDIS_URL": ""}, "Set REDIS_URL"),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "must name a PostgreSQL database"),
        ({"SITE_URL": "idc.example.org"}, "SITE_URL must be an address"),
        ({"PATCHES_PER_DAY": "many"}, "PATCHES_PER_DAY"),
        ({"IDC_ENGINE": "random"}, "IDC_ENGINE"),
        ({"WEBHOOK_ALLOWED_NETWORKS": "10.1.0.0/16,10.2.0.1/16"}, "WEBHOOK_ALLOWED_NETWORKS must be networks"),
        ({"WEBHOOK_TIMEOUT_SECONDS": "3600"}, "WEBHOOK_TIMEOUT_SECONDS"),
        ({"EMAIL_URL": "smtp://mail.example.org"}, "Set DEFAULT_FROM_EMAIL"),
    ],
)
def test_the_site_refuses_to_start_on_settings_that_make_no_sense(values: dict[str, str], sentence: str) -> None:
    done = manage("check", **values)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_models_and_migrations_agree() -> None:
    done = manage("makemigrations", "--check", "--dry-run", SITE_URL="http://testserver")
    assert (done.returncode, done.stdout) == (0, "No changes detected\n")
