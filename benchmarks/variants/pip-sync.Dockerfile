# An older lock in a first layer, and pip-sync from there to today's: the difference in a second one.
ARG PYTHON
FROM python:${PYTHON}-slim
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=bind,source=installers.txt,target=/tmp/installers.txt \
    python -m venv /opt/pip-tools && \
    /opt/pip-tools/bin/pip install --constraint /tmp/installers.txt pip-tools && \
    python -m venv /opt/venv
COPY requirements/baseline.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --require-hashes -r baseline.txt
COPY requirements/prod.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/pip-tools/bin/pip-sync --python-executable /opt/venv/bin/python prod.txt
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
