# What rarely changes in a layer of its own: an addition installs the volatile file, a new framework both.
ARG PYTHON
FROM python:${PYTHON}-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements/stable.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --require-hashes -r stable.txt
COPY requirements/volatile.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --require-hashes -r volatile.txt
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
