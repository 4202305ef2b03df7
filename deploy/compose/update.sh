#!/bin/sh
# Bring everything to a new version without losing a request: run it from the folder of docker-compose.yml, after
# `docker compose build` or `docker compose pull`. It needs deploy/compose/production.yml (COMPOSE_FILE in `.env`).
set -eu
compose=${COMPOSE:-docker compose}
patience=${PATIENCE:-180}

# Replace a service's containers, and wait until all of them are healthy.
replace() {
    $compose up --detach --no-deps "$1"
    left=$patience
    until healthy "$1"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "$1 is not healthy after $patience s; the rest was left as it is" >&2; exit 1; }
        sleep 1
    done
    echo "replaced $1"
}

healthy() {
    containers=$($compose ps -q "$1")
    [ -n "$containers" ] || return 1
    for container in $containers; do
        [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ] || return 1
    done
}

# 3: there is a backup without files that the store has lost, which a later one would lack too.
$compose run --rm -T backup || [ $? -eq 3 ]
$compose run --rm -T migrate
# Workers before the API: they leave kinds of jobs that they don't have to newer ones.
for service in relay worker-default worker-mail worker-files; do replace "$service"; done
for service in api-2 api; do
    replace "$service"
    sleep "${PROXY_NOTICES:-5}" # until the proxy sends it requests, before the other one stops
done
$compose up --detach
