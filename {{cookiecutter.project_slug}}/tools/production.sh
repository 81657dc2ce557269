#!/bin/sh
# What the Makefile does in production, on this machine or, where it manages a swarm, in that.
set -eu
umask 077
name={{ cookiecutter.project_slug }}
action=$1
services="web{% if cookiecutter.background_jobs == "celery" %} worker{% endif %}" # what a version consists of

set -a
. ./production.env
set +a

stop() {
    echo "$action: $*" >&2
    exit 1
}

compose() { docker compose --project-name "$name" --file compose.production.yaml "$@"; }

# The newest container of a service here, of compose or of a swarm.
container() {
    found=$(docker ps --quiet --filter "name=^${name}[-_]$1[-.]" | head -n 1)
    [ "$found" ] || stop "no container of $1 runs here"
    echo "$found"
}

# Wait until new containers are healthy, for two minutes at most. One that has ended once will do so again.
ready() {
    for _ in $(seq 120); do
        case $(docker inspect "$@" | grep -oE '"(RestartCount": [1-9]|Status": "(starting|healthy|unhealthy|exited))' | sort -u) in
            '"Status": "healthy') return ;;
            *RestartCount* | *unhealthy* | *exited*) break ;;
        esac
        sleep 1
    done
    return 1
}

# The new containers first; when they are ready, the proxy is told how the replicas are called, and then the old ones to go.
# They go on when the new ones do not get ready. Those that have stopped would only be started again.
# shellcheck disable=SC2046,SC2086 # several words
deploy_here() {
    RELEASE=web-$(date +%s)
    export RELEASE UPSTREAM="{file./data/upstream}"
    compose up --detach --no-deps --wait proxy{% if cookiecutter.database == "postgresql" %} database{% endif %}{% if cookiecutter.background_jobs == "celery" %} redis{% endif %}
{%- if cookiecutter.database != "none" %}
    compose run --rm --no-deps migrate || stop "the migration failed; what ran before still runs"
{%- endif %}
    docker container prune --force --filter "label=com.docker.compose.project=$name" >/dev/null
    scale() { echo "--scale=$1=$(($(compose ps --quiet "$1" | wc -l) + $2))"; }
    old=$(compose ps --quiet $services)
    made() { compose ps --all --quiet $services | grep -vxF "$old"; }
    if ! { compose up --detach --no-deps --no-recreate $(scale web "$REPLICAS") {% if cookiecutter.background_jobs == "celery" %}$(scale worker 1) {% endif %}$services && ready $(made); }; then
        for new in $(made); do
            docker logs --tail 20 "$new" >&2
            docker rm --force "$new" >/dev/null
        done
        stop "version $VERSION does not get ready, see above; what ran before still runs"
    fi
{%- if cookiecutter.background_jobs == "celery" %}
    # An old worker throws away what only the new version knows.
    compose ps --quiet worker | grep -xF "$old" | xargs -r docker stop >/dev/null
{%- endif %}
    compose exec -T proxy sh -c "echo $RELEASE >/data/upstream.new && mv /data/upstream.new /data/upstream"
    echo "$old" | xargs -r docker stop >/dev/null
    echo "$old" | xargs -r docker rm >/dev/null
}

# What a swarm has taken back, the rest of the version has to follow.
deploy_to_swarm() {
    docker stack deploy --compose-file compose.production.yaml --with-registry-auth --resolve-image changed --detach=false --quiet "$name"
    back='' on=''
    for service in $services; do
        case $(docker service inspect --format json "${name}_$service") in
            *'"State":"rollback_'*) back=$service ;;
            *) on=$service ;;
        esac
    done
    [ "$back" ] || return 0
    [ -z "$on" ] || docker service rollback --detach=false --quiet "${name}_$on"
    stop "version $VERSION did not get ready, the one before is back; docker service ps ${name}_$back says more"
}

deploy() {
    export VERSION="$1"
    [ "$VERSION" ] || stop "say which version: make $action VERSION=..."
    [ -s secrets/secret_key ] || stop "there are no secrets; make them with: make secrets"
    docker pull --quiet "$IMAGE:$VERSION" >/dev/null 2>&1 || docker image inspect "$IMAGE:$VERSION" >/dev/null 2>&1 ||
        stop "there is no image $IMAGE:$VERSION, neither in its registry nor here"
    if docker info --format json | grep -q '"ControlAvailable":true'; then deploy_to_swarm; else deploy_here; fi
}

# The system takes the lock back when this has ended, however it did.
case $action in
    deploy | rollback | restore)
        exec 9<.
        flock --nonblock 9 || stop "a deployment or a restore is under way here; try again when it has ended"
        ;;
esac

case $action in
    deploy)
        deploy "$2"
        [ "$(tail -n 1 .releases 2>/dev/null)" = "$2" ] || echo "$2" >>.releases
        ;;
    rollback)
        before=$(sed -n 'x;$p' .releases 2>/dev/null) || true
        [ "$before" ] || stop "no version was deployed here before; name one: make deploy VERSION=..."
        deploy "$before"
        sed '$d' .releases >.releases.new
        mv .releases.new .releases
        ;;
    secrets)
        # The folder keeps people out; containers, whoever runs in them, read the files.
        mkdir -p secrets
        umask 022
        write() { [ -e "secrets/$1" ] || echo "$2" >"secrets/$1"; }
        write secret_key "$(openssl rand -hex 32)"
{%- if cookiecutter.database == "postgresql" %}
        write database_password "$(openssl rand -hex 32)"
        write database_url "postgresql://postgres:$(cat secrets/database_password)@database:5432/service"
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
        write redis.conf "requirepass $(openssl rand -hex 32)"
        write redis_url "redis://:$(cut -d ' ' -f 2 secrets/redis.conf)@redis:6379/0"
{%- endif %}
{%- if cookiecutter.error_tracking == "sentry" %}
        [ -s secrets/sentry_dsn ] || stop "write the DSN of Sentry into secrets/sentry_dsn, which everybody may read; the rest is made"
{%- endif %}
        ;;
{%- if cookiecutter.database == "sqlite" %}
    backup)
        web=$(container web)
        mkdir -p backups
        file=backups/$(date -u +%Y%m%dT%H%M%SZ).db
        trap 'rm -f "$file.part"; docker exec "$web" rm -f /data/backup.db' EXIT
        docker exec "$web" python -c "import sqlite3; sqlite3.connect('/data/service.db').execute(\"VACUUM INTO '/data/backup.db'\")"
        docker cp --quiet "$web:/data/backup.db" "$file.part"
        mv "$file.part" "$file"
        echo "$file"
        ;;
    restore)
        # In one transaction: all of it or nothing.
        [ -s "$2" ] || stop "there is no backup ${2:-}; name one: make restore FILE=backups/..."
        web=$(container web)
        docker exec --interactive "$web" sh -c 'cat >/data/restore.db' <"$2"
        docker exec --interactive "$web" python - <<'EOF' || stop "nothing was restored"
import sqlite3
source = sqlite3.connect("/data/restore.db")
assert source.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the backup is damaged"
source.backup(sqlite3.connect("/data/service.db", timeout=60))
EOF
        docker exec "$web" sh -c 'rm /data/restore.db* && flask --app {{ cookiecutter.package_name }} migrate'
        ;;
{%- elif cookiecutter.database == "postgresql" %}
    backup)
        database=$(container database)
        mkdir -p backups
        file=backups/$(date -u +%Y%m%dT%H%M%SZ).dump
        trap 'rm -f "$file.part"' EXIT
        docker exec "$database" pg_dump --username postgres --format custom service >"$file.part"
        mv "$file.part" "$file"
        echo "$file"
        ;;
    restore)
        # Into a database beside the one that is in use, which keeps its data under another name until the next time.
        [ -s "$2" ] || stop "there is no backup ${2:-}; name one: make restore FILE=backups/..."
        sql() { docker exec --interactive "$database" psql --username postgres --quiet --set ON_ERROR_STOP=1 "$@" >/dev/null; }
        database=$(container database)
        web=$(container web)
        sql --command "DROP DATABASE IF EXISTS restored" --command "CREATE DATABASE restored"
        docker exec --interactive "$database" pg_restore --username postgres --exit-on-error --dbname restored <"$2" ||
            stop "nothing was restored: $2 is no whole backup"
        sql --command "DROP DATABASE IF EXISTS before_restore WITH (FORCE)" \
            --command "ALTER DATABASE service ALLOW_CONNECTIONS false"
        sql <<'EOF'
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'service';
BEGIN;
ALTER DATABASE service RENAME TO before_restore;
ALTER DATABASE restored RENAME TO service;
COMMIT;
EOF
        docker exec "$web" flask --app {{ cookiecutter.package_name }} migrate
        ;;
{%- endif %}
esac
