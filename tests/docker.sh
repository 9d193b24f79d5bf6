#!/usr/bin/env bash
# A Docker daemon of the tests' own, on a socket in a folder: needs root and Debian's packages.
#
#   bash tests/docker.sh start FOLDER   starts it, loads an image of busybox as `aos-test:1`, and
#                                       prints AOS_TEST_DOCKER=unix://FOLDER/docker.sock
#   bash tests/docker.sh stop FOLDER    stops it and removes what it stored
set -euo pipefail

folder=${2:?a folder}
socket=$folder/docker.sock
client() { docker --host "unix://$socket" "$@"; }

stop() {
    if [ -s "$folder/pid" ]; then
        pid=$(cat "$folder/pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    rm -rf "$folder/data" "$folder/exec"
}

case ${1:?start or stop} in
start)
    for package in dockerd:docker.io busybox:busybox-static; do
        command -v "${package%%:*}" >/dev/null && continue
        [ "$(id -u)" = 0 ] || { echo "docker.sh: ${package##*:} is missing" >&2; exit 1; }
        apt-get install -y --no-install-recommends "${package##*:}" >&2
    done
    dockerd --host "unix://$socket" --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/pid" >"$folder/log" 2>&1 &
    for _ in $(seq 300); do
        client version >/dev/null 2>&1 && break
        sleep 0.1
    done
    client version >/dev/null || { tail -5 "$folder/log" >&2; stop; exit 1; }
    root=$folder/root
    mkdir -p "$root/bin" "$root/tmp" "$root/etc"
    cp "$(command -v busybox)" "$root/bin/busybox"
    "$root/bin/busybox" --list | while read -r name; do
        [ "$name" = busybox ] || ln -sf busybox "$root/bin/$name"
    done
    tar -C "$root" -c . | client import - aos-test:1 >/dev/null
    echo "AOS_TEST_DOCKER=unix://$socket"
    ;;
stop) stop ;;
*) echo "docker.sh: start or stop" >&2; exit 2 ;;
esac
