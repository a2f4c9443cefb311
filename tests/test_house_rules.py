"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from django.urls import get_resolver
from packaging.requirements import Requirement
from packaging.version import Version

from tests.processes import PATIENCE

BASE_DIR = Path(__file__).parent.parent
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=BASE_DIR, capture_output=True, text=True, check=True
).stdout.splitlines()
SOURCES = [name for name in TRACKED if (BASE_DIR / name).is_file()]
PYTHON = [name for name in SOURCES if name.endswith(".py")]
FLOORS = {"django": "5.2.18", "pillow": "12.3.0", "django-allauth": "65.19.4", "celery": "5.7.0"}
LONGEST = 400


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported_by(name: str) -> set[str]:
    tree = ast.parse((BASE_DIR / name).read_text())
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("name", [name for name in PYTHON if name.startswith("ml/")])
def test_ml_knows_no_django(name: str) -> None:
    foreign = {"django", "rest_framework", "celery", "idc_site", "accounts", "predictions", "reviews", "webhooks"}
    assert not {module.partition(".")[0] for module in imported_by(name)} & foreign


def test_the_web_process_loads_neither_tensorflow_nor_an_engine() -> None:
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'idc_site.settings'; django.setup()\n"
        "import idc_site.urls, idc_site.wsgi\n"
        "print([name for name in ('tensorflow', 'keras', 'ai_edge_litert', 'sklearn') if name in sys.modules])"
    )
    assert in_a_fresh_process(code).strip() == "[]"


def test_the_decoder_needs_pillow_and_numpy_alone() -> None:
    code = (
        "import sys, ml.images; loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'keras', 'tensorflow', 'sklearn', 'django'}))"
    )
    assert in_a_fresh_process(code).strip() == "[]"


def test_only_the_seam_imports_engines() -> None:
    # The services for the types alone.
    seam = {"predictions/inference.py", "predictions/services/queue.py", "predictions/services/stacks.py"}
    ours = ("predictions/", "accounts/", "idc_site/", "reviews/", "webhooks/")
    importing = {name for name in PYTHON if name.startswith(ours)
                 and imported_by(name) & {"ml.engine", "ml.networks", "ml.backend"}}  # fmt: skip
    assert importing <= seam


def test_ml_runs_without_django() -> None:
    code = (
        "import sys; sys.modules['django'] = None; sys.modules['rest_framework'] = None\n"
        "from ml.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print(end.code)"
    )
    assert in_a_fresh_process(code).splitlines()[-1] == "0"


@pytest.mark.parametrize("package", FLOORS)
def test_versions_are_above_their_floors(package: str) -> None:
    assert Version(version(package)) >= Version(FLOORS[package])


def requirements(name: str) -> dict[str, str]:
    lines = (BASE_DIR / name).read_text().splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    assert all(str(one.specifier).startswith("==") for one in parsed)
    return {one.name.lower(): str(one.specifier) for one in parsed}


def test_requirements_are_pinned_from_pyproject_and_agree() -> None:
    groups = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["dependency-groups"]
    files = {"web": "requirements-web.txt", "worker": "requirements-worker.txt", "run": "requirements.txt",
             "dev": "requirements-dev.txt"}  # fmt: skip
    pinned = {group: requirements(name) for group, name in files.items()}

    def wanted(group: str) -> set[Requirement]:
        found = set()
        for entry in groups[group]:
            found |= wanted(entry["include-group"]) if isinstance(entry, dict) else {Requirement(entry)}
        return found

    for group, pins in pinned.items():
        for requirement in wanted(group):
            pin = pins[requirement.name.lower()].removeprefix("==")
            assert requirement.specifier.contains(pin), (group, requirement, pin)
        assert pins.items() <= pinned["dev"].items()
    assert not {"tensorflow", "keras", "ai-edge-litert"} & set(pinned["web"])
    assert "tensorflow" not in pinned["worker"]
    assert version("tensorflow") == pinned["run"]["tensorflow"].removeprefix("==")


def test_every_dependency_has_its_reason_beside_it() -> None:
    text = (BASE_DIR / "pyproject.toml").read_text()
    block = text[text.index("[dependency-groups]") : text.index("[tool.ruff]")]
    lines = [line for line in block.splitlines() if line.strip().startswith('"')]
    assert len(lines) > 25
    lines += re.findall(r'^    ".*', (BASE_DIR / "clients/python/pyproject.toml").read_text(), re.MULTILINE)
    assert [line for line in lines if not re.search(r'",\s+# \S', line)] == []


def test_no_image_of_the_data_set_and_no_array_is_in_the_repository() -> None:
    assert [
        name for name in SOURCES if re.search(r"_idx5_x\d+_y\d+_class[01]|\.(npz|npy|tfrecord|zip|h5)$", name)
    ] == []


def test_no_third_party_file_is_vendored() -> None:
    assert [name for name in SOURCES if re.search(r"vendor|node_modules|\.min\.", name)] == []


def test_no_file_outgrows_its_reader() -> None:
    kinds = (".py", ".html", ".css", ".js")
    long = [name for name in SOURCES if name.endswith(kinds) and "migrations/" not in name
            and len((BASE_DIR / name).read_text().splitlines()) > LONGEST]  # fmt: skip
    assert long == []


def test_writes_are_in_services() -> None:
    """Views, API and admin change no row themselves."""
    writing = re.compile(r"\.(save|create|update|delete|bulk_create|bulk_update|get_or_create|update_or_create)\(")
    doors = ["predictions/views.py", "predictions/explanation_views.py", "predictions/model_views.py",
             "predictions/tasks.py", "accounts/views.py", "accounts/admin.py", "accounts/data_views.py",
             "accounts/worker.py", "idc_site/admin_site.py",
             "webhooks/views.py", "webhooks/admin.py", "webhooks/worker.py",
             *(name for name in PYTHON if re.match("(predictions/admin|(predictions|webhooks)/api)/", name)),
             *(name for name in PYTHON if re.match("reviews/(?!services/|migrations/)", name))]  # fmt: skip
    for name in doors:
        assert writing.findall((BASE_DIR / name).read_text()) == [], name


def test_who_acts_as_staff_is_asked_in_one_place() -> None:
    """`is_staff` is a role; whether it counts for this request is User.sees_all (docs/adr/0014)."""
    allowed = re.compile("accounts/|tests/|templates/(base|mfa/.*).html")  # the menu's link, and warnings
    asked = [name for name in SOURCES if name.endswith((".py", ".html")) and not allowed.match(name)]
    assert [name for name in asked if re.search(r"\.is_staff\b", (BASE_DIR / name).read_text())] == []


def test_every_address_is_known() -> None:
    """A new address must be added here, and to the permission tests."""
    ours = {str(pattern.pattern) for pattern in get_resolver().url_patterns}
    assert ours == {
        "", "gallery/", "gallery/export.csv", "gallery/export.json", "predictions/",
        "batches/<uuid:batch_id>/", "batches/<uuid:batch_id>/progress/",
        "models/", "models/<str:version>/", "models/<str:version>/card.json",
        "models/<str:version>/<str:kind>-<str:scheme>.svg",
        "models/<str:version>/evidence/", "models/<str:version>/evidence/<str:table>.csv",
        "models/<str:version>/evidence/<str:kind>-<str:scheme>.svg", "reviews/",
        "models/<str:version>/trial/",
        "examples/<int:number>.png", "accounts/data/", "accounts/tokens/",
        "accounts/tokens/<uuid:token_id>/revoke/", "accounts/webhooks/", "accounts/2fa/totp/activate/",
        "accounts/2fa/recovery-codes/", "accounts/2fa/", "accounts/sessions/",
        "accounts/", "admin/", "api/v1/",
        "api/schema/", "api/docs/", "healthz", "readyz",
    }  # fmt: skip


def test_templates_hold_no_inline_script_or_style() -> None:
    inline = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son(click|load|error|submit)=", re.IGNORECASE)
    assert [
        name for name in SOURCES if name.startswith("templates/") and inline.search((BASE_DIR / name).read_text())
    ] == []


def test_every_table_is_one_that_scrolls() -> None:
    """Made by {% table %} (predictions/templatetags/pages.py), or by Django in its admin."""
    assert [
        name for name in SOURCES if name.startswith("templates/") and "<table" in (BASE_DIR / name).read_text()
    ] == []


def test_every_sentence_of_a_template_is_translatable() -> None:
    """Text between tags stands inside translate or blocktranslate."""
    found = []
    for name in SOURCES:
        if not name.startswith("templates/") or not name.endswith(".html"):
            continue
        text = (BASE_DIR / name).read_text()
        text = re.sub(r"{% block (width|action) %}.*?{% endblock %}", "", text, flags=re.DOTALL)
        text = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", text, flags=re.DOTALL)
        text = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}|<[^>]*>|&\w+;", " ", text, flags=re.DOTALL)
        words = re.findall(r"[A-Za-z]{3,}", text.replace("IDC Finder", "").replace("UTC", ""))
        found += [(name, words)] if words else []
    assert found == []
