# The image of the jobs: `docker build --build-arg VERSION=0.1.0 --build-arg IMAGE=<registry>/ai-usage:0.1.0 .`
# Nothing is written outside /tmp (Dagster's history of one run) and /data (a DuckDB warehouse, if there is one), so the root
# may be read-only: `docker run --read-only --tmpfs /tmp -v ai_usage:/data <image> run`.

# Both stages have one interpreter, in one place: the second takes over compiled code.
FROM python:3.12-slim AS base

FROM base AS build
WORKDIR /app
# Without a pip of its own: what is in there is what a run needs.
RUN python -m venv --without-pip /opt/venv
COPY requirements.lock ./
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml setup.cfg README.md ./
COPY ai_usage_assets ai_usage_assets
COPY sql sql
COPY deploy/dagster deploy/dagster
COPY deploy/metabase deploy/metabase
# Where it lies, because sql/ lies beside it. Then away with what only building and looking need: the builder, the UI, tests
# of libraries, and descriptions of Google's APIs, of which none is called by this way.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --no-build-isolation --editable . \
    && pip --python /opt/venv/bin/python uninstall --yes setuptools dagster-webserver \
    && find /opt/venv -type d \( -name tests -o -path '*/discovery_cache/documents' \) -prune -exec rm -rf {} + \
    # Without compiled code a run takes five seconds more to start. Never compared with its source, whatever happens to the
    # times of files on their way.
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app/ai_usage_assets

FROM base
ARG VERSION=unknown
ARG REVISION=unknown
ARG IMAGE=
LABEL org.opencontainers.image.title="ai-usage" \
      org.opencontainers.image.description="Who spends what on AI tools, and is it right: the daily job." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Neither root nor able to write anywhere but to /tmp and /data.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin app \
    && install --directory --owner app --group app /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AI_USAGE_IMAGE=${IMAGE} \
    AI_USAGE_DUCKDB_PATH=/data/ai_usage.duckdb \
    DAGSTER_HOME=/tmp/dagster
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["ai-usage"]
CMD ["run"]
