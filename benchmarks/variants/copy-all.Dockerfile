# Everything at once: whatever changes, all packages are installed again.
ARG PYTHON
FROM python:${PYTHON}-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --no-cache-dir --require-hashes -r requirements/prod.txt
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
