# The image of the jobs: `docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) -t ai-usage .`
# A run writes to /tmp (Dagster's history of the run) and /data (the DuckDB warehouse, if it is used) only, so the root file
# system may be read-only: `docker run --read-only --tmpfs /tmp -v ai_usage:/data <image> run`.

# Both stages use the same interpreter at the same path, because the second one reuses compiled code.
FROM python:3.12-slim AS base

FROM base AS build
WORKDIR /build
# The environment has no pip of its own: it contains only what a run needs.
RUN python -m venv --without-pip /opt/venv
COPY requirements.lock ./
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml setup.py setup.cfg README.md LICENSE ./
COPY ai_usage_assets ai_usage_assets
COPY sql sql
COPY deploy/dagster deploy/dagster
COPY deploy/metabase deploy/metabase
# Installs the project, then removes what a run does not use: the build tool, the UI, the tests of libraries, and
# descriptions of Google APIs that are not called this way.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
    && pip --python /opt/venv/bin/python uninstall --yes setuptools dagster-webserver \
    && find /opt/venv -type d \( -name tests -o -path '*/discovery_cache/documents' \) -prune -exec rm -rf {} + \
    # Compiled code saves five seconds at each start. It is never compared with its source, so file times do not matter.
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM base
ARG VERSION=unknown
ARG REVISION=unknown
ARG IMAGE=
LABEL org.opencontainers.image.title="ai-usage" \
      org.opencontainers.image.description="Who spends what on AI tools, and is it right: the daily job." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The user is not root and can write to /tmp and /data only.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin app \
    && install --directory --owner app --group app /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AI_USAGE_IMAGE=${IMAGE} \
    AI_USAGE_DUCKDB_PATH=/data/warehouse.duckdb \
    DAGSTER_HOME=/tmp/dagster
WORKDIR /data
USER 10001:10001
ENTRYPOINT ["ai-usage"]
CMD ["run"]
