#!/usr/bin/env bash
# Makes the base images that docker-compose.yml and the Dockerfile name, for machines that cannot pull them: Debian trixie by debootstrap,
# then Node from npm's own packages, Redis and Postgres from Debian's. Same names, same environment variables, same user names as the
# official ones as far as this project uses them. Usage: base-images.sh IMAGE... (node:24-trixie-slim, redis:8.0, postgres:17); needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

base() {
  docker image inspect flotilla-base:trixie >/dev/null 2>&1 && return
  command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
  debootstrap --variant=minbase --include=ca-certificates trixie "$work/root" >"$work/debootstrap.log" 2>&1 || { tail -20 "$work/debootstrap.log" >&2; exit 1; }
  # the machine's own certificates, so that package clients inside reach what they reach outside
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$work/root/etc/apt/apt.conf.d"
  grep -rhi 'acquire::.*proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d 2>/dev/null >"$work/root/etc/apt/apt.conf.d/90machine" || true
  tar -C "$work/root" -c . | docker import \
    --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - flotilla-base:trixie >/dev/null
}

build() { # image, Dockerfile on stdin
  mkdir -p "$work/$1"
  cat >"$work/$1/Dockerfile"
  cp "$here/postgres-entrypoint.sh" "$work/$1/"
  [ -d "$work/npm" ] && cp -r "$work/npm" "$work/$1/" || true
  DOCKER_BUILDKIT=0 docker build --network host -q -t "$1" "$work/$1" >/dev/null
}

for image in "$@"; do
  docker image inspect "$image" >/dev/null 2>&1 && continue
  echo "making $image"
  base
  case "$image" in
    node:24-trixie-slim)
      mkdir -p "$work/npm"
      (cd "$work/npm" && npm pack --silent --pack-destination . "node-linux-$(dpkg --print-architecture | sed s/amd64/x64/)@24" npm@11 >/dev/null && for part in *.tgz; do mkdir "${part%.tgz}" && tar -xzf "$part" -C "${part%.tgz}" --strip-components=1 && rm "$part"; done && mv node-* node && mv npm-* npm)
      build "$image" <<'DOCKERFILE'
FROM flotilla-base:trixie
COPY npm/node/bin/node /usr/local/bin/node
COPY npm/npm /usr/local/lib/node_modules/npm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libatomic1 >/dev/null && rm -rf /var/lib/apt/lists/* \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && useradd --uid 1000 --create-home --shell /bin/bash node && node --version && npm --version
CMD ["node"]
DOCKERFILE
      rm -rf "$work/npm" ;;
    redis:*)
      build "$image" <<'DOCKERFILE'
FROM flotilla-base:trixie
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server >/dev/null && rm -rf /var/lib/apt/lists/* && mkdir -p /data && chown redis /data
WORKDIR /data
USER redis
EXPOSE 6379
CMD ["redis-server"]
ENTRYPOINT ["/bin/sh", "-c", "exec \"$@\" --bind 0.0.0.0 --protected-mode no --daemonize no", "redis"]
DOCKERFILE
      ;;
    postgres:*)
      build "$image" <<'DOCKERFILE'
FROM flotilla-base:trixie
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-17 >/dev/null && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /var/lib/postgresql/data && chown postgres /var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data
USER postgres
EXPOSE 5432
ENTRYPOINT ["/bin/bash", "/usr/local/bin/docker-entrypoint.sh"]
DOCKERFILE
      ;;
    *) echo "base-images.sh: cannot make $image" >&2; exit 2 ;;
  esac
done
