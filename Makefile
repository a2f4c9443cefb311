# Every command a person needs. The environment is .venv, made from the pinned files.

PYTHON ?= python3.11
BIN := .venv/bin
MODEL_DATA := $(IDC_DATA)/idc-train.zip $(IDC_DATA)/idc-val.zip
# So that `check` needs no service: nothing connects to these.
CHECK_ENV := SECRET_KEY=only-for-the-checks-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFG SITE_URL=https://idc.example.org \
	DATABASE_URL=postgresql://nobody@127.0.0.1:9/none REDIS_URL=redis://127.0.0.1:9/0
WRITE_SCHEMA := $(CHECK_ENV) $(BIN)/python -W error manage.py spectacular --validate --fail-on-warn

# All tests run in three processes, as they mostly wait. What servers DATABASE_URL and REDIS_URL name are used by one.
IN_PARALLEL := $(if $(DATABASE_URL)$(REDIS_URL),,-n 3)

.PHONY: help run test check schema fix messages requirements train evaluate errors bench bench-engine bench-api
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

.venv/.run: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/.run

run: export PORT := $(or $(PORT),8000)
run: .venv/.run  ## the whole site on http://127.0.0.1:$PORT (default 8000); Ctrl-C stops it
	@exec $(BIN)/python -m idc_site.devserver

test: .venv/.dev  ## every test, on real PostgreSQL, Valkey, worker and browser
	$(BIN)/python -m pytest $(or $(ARGS),$(IN_PARALLEL))

check: .venv/.dev  ## linters, types, templates, migrations, deployment checks; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --check --lint --quiet templates
	$(CHECK_ENV) $(BIN)/mypy .
	$(CHECK_ENV) $(BIN)/python -W error -W "ignore:Got an error checking" manage.py makemigrations --check --dry-run
	$(CHECK_ENV) $(BIN)/python -W error manage.py check --deploy --fail-level WARNING
	$(WRITE_SCHEMA) | diff docs/openapi.yaml - >&2 || { echo "docs/openapi.yaml is not what the API is: run make schema, and commit it." >&2; exit 1; }

schema: .venv/.dev  ## write docs/openapi.yaml from the API's views; fails on a warning
	@$(WRITE_SCHEMA) > docs/openapi.yaml.new && mv docs/openapi.yaml.new docs/openapi.yaml

fix: .venv/.dev  ## repair what linters can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djlint --reformat --quiet templates

messages: .venv/.dev  ## collect the strings to translate (needs gettext)
	$(CHECK_ENV) $(BIN)/python manage.py makemessages --locale ko --no-obsolete --no-wrap --ignore .venv --ignore var
	$(CHECK_ENV) $(BIN)/python manage.py makemessages --locale ko --no-obsolete --no-wrap --ignore .venv --ignore var --domain djangojs

requirements: .venv/.dev  ## pin the dependencies of pyproject.toml
	$(BIN)/uv pip compile -q --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 --group dev pyproject.toml -o requirements-dev.txt
	for group in run web worker; do \
		$(BIN)/uv pip compile -q --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 -c requirements-dev.txt \
			--group $$group pyproject.toml -o requirements$$(test $$group = run || echo -$$group).txt; \
	done

train: .venv/.run  ## train the network of 2020 on the patches in $IDC_DATA
	$(BIN)/python -m ml train --recipe mobilenetv2 --data $(MODEL_DATA) --run var/runs/mobilenetv2

evaluate: .venv/.run  ## figures of the default model on the validation patients in $IDC_DATA
	$(BIN)/python -m ml evaluate --data $(IDC_DATA)/idc-val.zip

errors: .venv/.run  ## contact sheets of the default model's worst errors, in var/errors/
	$(BIN)/python -m ml errors --data $(IDC_DATA)/idc-val.zip --out var/errors

bench-engine: .venv/.dev  ## the engine alone, beside Keras and a bare LiteRT loop
	$(BIN)/python -m benchmarks.engine

bench-api: .venv/.dev  ## the API of a running site: bulk, one by one, twenty clients (real patches with IDC_DATA)
	$(BIN)/python -m benchmarks.api

bench: .venv/.dev  ## measure the engine, the pages, the API, lists and memory; prints the table of docs/performance.md
	$(BIN)/python -m benchmarks
