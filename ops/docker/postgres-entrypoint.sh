#!/usr/bin/env bash
# Stands in for the official Postgres image's entrypoint where that image cannot be pulled: makes the cluster, role and database that
# POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD name, once, then runs the server.
set -euo pipefail
: "${POSTGRES_PASSWORD:?is not set}"
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -U "$user" --pwfile=<(printf '%s' "$POSTGRES_PASSWORD") --auth=scram-sha-256 --encoding=UTF8 --locale=C >/dev/null
  printf "host all all all scram-sha-256\n" >>"$PGDATA/pg_hba.conf"
  PGPASSWORD=$POSTGRES_PASSWORD pg_ctl -w start -o "-c listen_addresses='' -k /tmp" >/dev/null
  [ "$database" = postgres ] || PGPASSWORD=$POSTGRES_PASSWORD createdb -h /tmp -U "$user" "$database"
  PGPASSWORD=$POSTGRES_PASSWORD pg_ctl -w stop >/dev/null
fi
exec postgres -c listen_addresses='*' -k /tmp
