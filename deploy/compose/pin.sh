#!/bin/sh
# Print the images of the compose files with the digests that their tags have now: lines for `.env`. It pulls them.
set -eu
cd "$(dirname "$0")/../.."
grep -ho '\${[A-Z]*_IMAGE:-[^}]*}' docker-compose.yml deploy/compose/production.yml | sort -u | while read -r found; do
    name=${found#??}
    name=${name%%:-*}
    image=${found#*:-}
    image=${image%\}}
    docker pull --quiet "$image" >/dev/null
    printf '%s=%s\n' "$name" "$(docker image inspect --format '{{index .RepoDigests 0}}' "$image")"
done
