# Poetry in an environment of its own, then the packages, then the code.
ARG PYTHON
FROM python:${PYTHON}-slim
ENV PATH="/app/.venv/bin:$PATH" \
    POETRY_NO_INTERACTION=1 \
    POETRY_VIRTUALENVS_IN_PROJECT=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=bind,source=installers.txt,target=/tmp/installers.txt \
    python -m venv /opt/poetry && \
    /opt/poetry/bin/pip install --constraint /tmp/installers.txt poetry
COPY poetry/pyproject.toml poetry/poetry.lock ./
RUN --mount=type=cache,target=/root/.cache/pypoetry \
    /opt/poetry/bin/poetry install --only main --no-root
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
