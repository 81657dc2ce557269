# Pipenv makes the environment in a first stage; the image gets a copy of it, and no Pipenv.
ARG PYTHON
FROM python:${PYTHON}-slim AS builder
ENV PIPENV_VENV_IN_PROJECT=1
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=bind,source=installers.txt,target=/tmp/installers.txt \
    pip install --constraint /tmp/installers.txt pipenv
COPY Pipfile Pipfile.lock ./
RUN --mount=type=cache,target=/root/.cache/pipenv \
    pipenv sync

FROM python:${PYTHON}-slim
ENV PATH="/app/.venv/bin:$PATH" \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=builder /app/.venv .venv
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
