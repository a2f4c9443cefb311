# Two images from one file: `web` without TensorFlow or any engine, `worker` with LiteRT.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/venv/bin:$PATH
RUN useradd --system --uid 10001 --no-create-home idc
WORKDIR /srv/idc

FROM base AS web-packages
COPY requirements-web.txt .
RUN python -m venv /opt/venv && pip install --no-cache-dir -r requirements-web.txt

FROM base AS worker-packages
COPY requirements-worker.txt .
RUN python -m venv /opt/venv && pip install --no-cache-dir -r requirements-worker.txt

FROM base AS worker
COPY --from=worker-packages /opt/venv /opt/venv
COPY . .
USER idc
CMD ["deploy/run", "worker"]

FROM base AS web
COPY --from=web-packages /opt/venv /opt/venv
COPY . .
ENV STATIC_ROOT=/srv/static HOST=0.0.0.0
# The values serve this one command: collecting files connects to nothing.
RUN SECRET_KEY=build DATABASE_URL=postgresql://build@127.0.0.1/build REDIS_URL=redis://127.0.0.1 \
    python manage.py collectstatic --noinput
USER idc
EXPOSE 8000
CMD ["deploy/run", "web"]
