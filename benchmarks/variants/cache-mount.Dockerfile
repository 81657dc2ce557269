# The classic order with pip's cache: all packages are installed again, but only what is new is downloaded.
ARG PYTHON
FROM python:${PYTHON}-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements/prod.txt requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --require-hashes -r requirements.txt
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
