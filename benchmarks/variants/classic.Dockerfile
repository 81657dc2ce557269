# The classic order: a change of code keeps the packages, a change of the lock installs all of them again.
ARG PYTHON
FROM python:${PYTHON}-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements/prod.txt requirements.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn"]
