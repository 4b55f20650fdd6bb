# One image for the daily job and for a webserver. Compiled at build time: without .pyc files a run starts in 8 s, not 2.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements.lock ./
RUN pip install --no-deps --require-hashes -r requirements.lock

COPY pyproject.toml setup.cfg README.md workspace.yaml ./
COPY ai_usage_assets ai_usage_assets
COPY sql sql
COPY deploy deploy
RUN pip install --no-deps --no-build-isolation -e . && python -m compileall -q ai_usage_assets

# Neither root nor able to write anywhere but the data folder.
RUN useradd --uid 10001 --home-dir /data --create-home app
USER app
ENV AI_USAGE_DUCKDB_PATH=/data/ai_usage.duckdb DAGSTER_HOME=/data/dagster
VOLUME /data

ENTRYPOINT ["ai-usage"]
CMD ["run"]
