#!/bin/sh
# Starts the image that is to become the next version and asks it. It needs no server, so none is reachable;
# a setting that the service cannot do without belongs below.
set -eu
container=$(docker run --detach --read-only --tmpfs /tmp --env-file /dev/stdin {{ cookiecutter.project_slug }}:candidate <<'END'
SECRET_KEY=of-a-container-that-nobody-can-reach
{%- if cookiecutter.database == "sqlite" %}
DATABASE_URL=sqlite:////tmp/service.db
{%- elif cookiecutter.database == "postgresql" %}
DATABASE_URL=postgresql://nobody@127.0.0.1:9/nothing
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
REDIS_URL=redis://127.0.0.1:9/0
{%- endif %}
END
)
trap 'docker rm --force "$container" >/dev/null' EXIT

failed() {
    docker logs "$container"
    echo "smoke: the image does not answer, see above" >&2
    exit 1
}

{% if cookiecutter.background_jobs == "celery" -%}
docker exec "$container" celery --app {{ cookiecutter.package_name }}.worker report >/dev/null || failed
{% endif -%}
docker exec --interactive "$container" python - <<'END' || failed
import time
import urllib.request

deadline = time.monotonic() + 60
for url in ("http://127.0.0.1:8000/livez", "http://127.0.0.1:8000/openapi.json", "http://127.0.0.1:9000/metrics"):
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{url}: {error}")
            time.sleep(0.2)
END
echo "smoke: the image starts and answers"
