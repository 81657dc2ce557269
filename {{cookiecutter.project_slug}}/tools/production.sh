#!/bin/sh
# What the Makefile does in production, on this machine or, where it manages a swarm, in that.
set -eu
umask 077
name={{ cookiecutter.project_slug }}
action=$1

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

# The new replicas first; when they are ready, the proxy is told how they are called, and then the old ones to go. They go
# on when the new ones do not get ready.
deploy_here() {
    RELEASE=web-$(date +%s)
    export RELEASE UPSTREAM="{file./data/upstream}"
    compose up --detach --no-deps --wait proxy{% if cookiecutter.database == "postgresql" %} database{% endif %}{% if cookiecutter.background_jobs == "celery" %} redis{% endif %}
{%- if cookiecutter.database != "none" %}
    compose run --rm --no-deps migrate || stop "the migration failed; what ran before still runs"
{%- endif %}
    old=$(compose ps --quiet web)
    count=$(echo "$old" | grep -c .) || true
    if ! compose up --detach --no-deps --no-recreate --wait --wait-timeout 120 --scale "web=$((count + REPLICAS))" web; then
        compose logs --tail 20 web >&2
        for new in $(compose ps --all --quiet web); do
            case $old in *"$new"*) ;; *) docker rm --force "$new" >/dev/null ;; esac
        done
        stop "version $VERSION does not get ready, see above; what ran before still runs"
    fi
    compose exec -T proxy sh -c "echo $RELEASE >/data/upstream.new && mv /data/upstream.new /data/upstream"
    # shellcheck disable=SC2086 # several ids
    [ -z "$old" ] || { docker stop $old && docker rm $old; } >/dev/null
{%- if cookiecutter.background_jobs == "celery" %}
    compose up --detach --no-deps worker
{%- endif %}
}

deploy_to_swarm() {
    docker stack deploy --compose-file compose.production.yaml --with-registry-auth --resolve-image changed --detach=false --quiet "$name"
    case $(docker service inspect --format json "${name}_web") in
        *'"State":"rollback_'*) stop "version $VERSION did not get ready, the one before is back; docker service ps ${name}_web says more" ;;
    esac
}

deploy() {
    export VERSION="$1"
    [ "$VERSION" ] || stop "say which version: make $action VERSION=..."
    [ -s secrets/secret_key ] || stop "there are no secrets; make them with: make secrets"
    docker pull --quiet "$IMAGE:$VERSION" >/dev/null 2>&1 || docker image inspect "$IMAGE:$VERSION" >/dev/null 2>&1 ||
        stop "there is no image $IMAGE:$VERSION, neither in its registry nor here"
    if docker info --format json | grep -q '"ControlAvailable":true'; then deploy_to_swarm; else deploy_here; fi
}

case $action in
    deploy)
        deploy "$2"
        [ "$(tail -n 1 .releases 2>/dev/null)" = "$2" ] || echo "$2" >>.releases
        ;;
    rollback)
        [ "$(grep -c . .releases 2>/dev/null)" -ge 2 ] || stop "no version was deployed here before; name one: make deploy VERSION=..."
        deploy "$(tail -n 2 .releases | head -n 1)"
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
        mkdir -p backups
        file=backups/$(date -u +%Y%m%dT%H%M%SZ).db
        web=$(container web)
        docker exec "$web" python -c "import sqlite3; sqlite3.connect('/data/service.db').execute(\"VACUUM INTO '/data/backup.db'\")"
        docker cp --quiet "$web:/data/backup.db" "$file.part"
        docker exec "$web" rm /data/backup.db
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
        mkdir -p backups
        file=backups/$(date -u +%Y%m%dT%H%M%SZ).dump
        docker exec "$(container database)" pg_dump --username postgres --format custom service >"$file.part"
        mv "$file.part" "$file"
        echo "$file"
        ;;
    restore)
        # Into a database beside the one that is in use, which keeps its data under another name until the next time.
        [ -s "$2" ] || stop "there is no backup ${2:-}; name one: make restore FILE=backups/..."
        sql() { docker exec --interactive "$database" psql --username postgres --quiet --set ON_ERROR_STOP=1 "$@" >/dev/null; }
        database=$(container database)
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
        docker exec "$(container web)" flask --app {{ cookiecutter.package_name }} migrate
        ;;
{%- endif %}
esac
