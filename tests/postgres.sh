#!/usr/bin/env bash
# Starts a PostgreSQL of its own for the tests, in a folder of its own, and stops it.
#
#   tests/postgres.sh start FOLDER   installs the server if it is missing and this is root with
#                                    apt-get, starts it, and prints lines for the environment:
#                                    AOS_TEST_POSTGRES=…, and AOS_TEST_POSTGRES_CA=… with TLS
#   tests/postgres.sh stop FOLDER    stops it and removes the folder
#
# It listens on a free port of 127.0.0.1 and asks for a password. As root it runs as `nobody`, since
# PostgreSQL refuses root. It ends with 1 and a sentence when no server can be had.
set -euo pipefail

action=${1:?start or stop} folder=${2:?a folder}

binaries() { # prints the folder of the newest server that is installed
    local found
    found=$(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -V | tail -1)
    if [ -z "$found" ] && command -v initdb >/dev/null; then
        found=$(dirname "$(command -v initdb)")
    fi
    if [ -n "$found" ] && [ -x "$found/initdb" ]; then
        echo "$found"
    fi
}

as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups env -u PGDATA HOME="$folder")
fi
# PostgreSQL looks at the folder it is started in.
server() { (cd / && ${as[@]+"${as[@]}"} "$@"); }

if [ "$action" = stop ]; then
    bin=$(binaries)
    if [ -f "$folder/data/postmaster.pid" ]; then
        server "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null || true
    fi
    rm -rf "$folder"
    exit 0
fi

bin=$(binaries)
if [ -z "$bin" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "postgres.sh: installing Debian's postgresql" >&2
    # The package would start a server of its own, which nobody asked for.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold postgresql >&2 ||
        { apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
            --no-install-recommends -o Dpkg::Options::=--force-confold postgresql >&2; } || true
    bin=$(binaries)
fi
if [ -z "$bin" ]; then
    echo "postgres.sh: there is no PostgreSQL here: install it (Debian: apt-get install" \
        "postgresql), or set AOS_TEST_POSTGRES=postgres://USER:PASSWORD@HOST:PORT/DATABASE" >&2
    exit 1
fi

mkdir -p "$folder/data"
password=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
printf '%s\n' "$password" >"$folder/password"
settings=(-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200)
tls=no
if command -v openssl >/dev/null; then
    tls=yes
    # An authority, and the server's certificate by it: one for both is refused.
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=aos-test-authority \
        -keyout "$folder/ca-key.pem" -out "$folder/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost \
        -keyout "$folder/key.pem" -out "$folder/request.pem" 2>/dev/null
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$folder/names"
    openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$folder/ca-key.pem" \
        -CAcreateserial -days 30 -extfile "$folder/names" -out "$folder/cert.pem" 2>/dev/null
    chmod 600 "$folder/key.pem"
    settings+=(-c ssl=on -c ssl_cert_file="$folder/cert.pem" -c ssl_key_file="$folder/key.pem")
fi
if [ "$(id -u)" = 0 ]; then
    chmod 755 "$folder"
    chown -R nobody "$folder"
fi
server "$bin/initdb" -D "$folder/data" -U aos -E UTF8 --locale=C --auth=scram-sha-256 \
    --pwfile="$folder/password" >"$folder/initdb.log" ||
    { cat "$folder/initdb.log" >&2; exit 1; }

# Another may take a port between the look and the start: then another one is tried.
for try in 1 2 3 4 5; do
    port=$((20000 + (RANDOM * 7 + try) % 30000))
    if server "$bin/pg_ctl" -D "$folder/data" -l "$folder/data/log" -w -t 60 \
        -o "-p $port ${settings[*]}" start >/dev/null; then
        echo "AOS_TEST_POSTGRES=postgres://aos:$password@localhost:$port/postgres"
        [ $tls = no ] || echo "AOS_TEST_POSTGRES_CA=$folder/ca.pem"
        exit 0
    fi
done
cat "$folder/data/log" >&2
echo "postgres.sh: the server did not start" >&2
exit 1
