# uv installs and compiles in a first stage; the image gets packages and code in one copy, and no uv.
ARG PYTHON
FROM python:${PYTHON}-slim AS uv
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=bind,source=installers.txt,target=/tmp/installers.txt \
    pip install --no-deps --prefix /uv --constraint /tmp/installers.txt uv

FROM python:${PYTHON}-slim AS builder
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=0
COPY --from=uv /uv/bin/uv /bin/
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements/prod.txt,target=requirements.txt \
    uv venv && uv pip sync --require-hashes requirements.txt
COPY . .

FROM python:${PYTHON}-slim
ENV PATH="/app/.venv/bin:$PATH" \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=builder --chown=10001:10001 /app /app
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
