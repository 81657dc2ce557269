# pip fills an environment in a first stage; the image gets a copy of all of it.
ARG PYTHON
FROM python:${PYTHON}-slim AS builder
ENV PATH="/opt/venv/bin:$PATH"
WORKDIR /app
RUN python -m venv /opt/venv
COPY requirements/prod.txt requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --require-hashes -r requirements.txt

FROM python:${PYTHON}-slim
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
