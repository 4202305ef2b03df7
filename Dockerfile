# One image for every role: API, workers, relay, migrations. The command says which.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
RUN python3 -m venv /opt/tulou
COPY requirements requirements
RUN /opt/tulou/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements/run.txt
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY domains domains
COPY bootstrap bootstrap
# Without the columns of each instruction, which only a terminal shows below a traceback, a process takes 2 MB less.
RUN /opt/build/bin/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/tulou/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps dist/*.whl \
    && PYTHONNODEBUGRANGES=1 /opt/tulou/bin/python -m compileall -q -f /opt/tulou/lib \
    && /opt/tulou/bin/pip uninstall --quiet --yes pip

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent tulou \
    && mkdir /data /scratch /backups \
    && chown tulou:tulou /data /scratch /backups && chmod 700 /data /scratch /backups
COPY --from=build /opt/tulou /opt/tulou
ENV PATH=/opt/tulou/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TULOU_HOST=0.0.0.0 \
    TULOU_LOG_FORMAT=json \
    TULOU_DATA_DIR=/data \
    TULOU_BACKUP_PLACE=/backups \
    TULOU_PULSE_FILE=/tmp/pulse
# `make image` gives these: the version of pyproject.toml, the commit, its time (RFC 3339), the repository's address.
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
ENV TULOU_BUILD=${REVISION}
LABEL org.opencontainers.image.title="Tulou" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.licenses="MIT"
USER 10001:10001
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["tulou-alive"]
ENTRYPOINT ["tulou"]
CMD ["serve"]
