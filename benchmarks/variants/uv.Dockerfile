# The classic order with uv and its cache. It compiles no bytecode, which is uv's default and its fastest.
ARG PYTHON
FROM python:${PYTHON}-slim AS uv
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=bind,source=installers.txt,target=/tmp/installers.txt \
    pip install --no-deps --prefix /uv --constraint /tmp/installers.txt uv

FROM python:${PYTHON}-slim
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    UV_LINK_MODE=copy \
    VIRTUAL_ENV=/opt/venv
WORKDIR /app
COPY --from=uv /uv/bin/uv /bin/
RUN uv venv /opt/venv
COPY requirements/prod.txt requirements.txt
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    uv pip sync --require-hashes requirements.txt
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
