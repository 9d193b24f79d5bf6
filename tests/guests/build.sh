#!/usr/bin/env bash
# Builds the hostile guests that are written in Rust into tests/guests/dist/. The others are text.
#
#   tests/guests/build.sh             builds
#   tests/guests/build.sh --out DIR   into DIR instead, which then gets no manifest.toml
#   tests/guests/build.sh --check     compiles nothing: fails when dist/ is not up to date
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../sdk/component.sh
source ../../sdk/component.sh
SOURCE_ROOT=$(cd ../.. && pwd)

out=$PWD/dist
check=no
case ${1:-} in
    --out) out=$(cd "${2:?--out needs a directory}" && pwd) ;;
    --check) check=yes ;;
    "") ;;
    *) echo "build.sh: there is no option $1" >&2; exit 2 ;;
esac

guests=()
for manifest in */Cargo.toml; do guests+=("${manifest%/Cargo.toml}"); done

# By the rule of plugins/README.md, over the guest's own folder and the contract.
entry() { # NAME: its table in manifest.toml
    local sources
    sources=$(
        cd ../..
        find "tests/guests/$1" wit -type f -not -path '*/target/*' -print0 | LC_ALL=C sort -z |
            xargs -0 sha256sum | sha256sum | cut -d' ' -f1
    )
    printf '[%s]\nsha256 = "%s"\nsources_sha256 = "%s"\n' "$1" \
        "$(sha256sum <"dist/$1.wasm" | cut -d' ' -f1)" "$sources"
}

if [ $check = yes ]; then
    for guest in "${guests[@]}"; do
        recorded=$(sed -n "/^\[$guest\]\$/,/^sources_sha256/p" dist/manifest.toml)
        [ "$(entry "$guest")" = "$recorded" ] || {
            echo "tests/guests/dist/$guest.wasm is not up to date: run tests/guests/build.sh" >&2
            exit 1
        }
    done
    exit 0
fi

find_toolchain
mkdir -p "$out"
built=${CARGO_TARGET_DIR:-target}/$WASM_TARGET/release
for guest in "${guests[@]}"; do
    (
        cd "$guest"
        # A command of WASI 0.2 is a program; agents and commands of 0.3 are libraries that export
        # what the host runs.
        if [ -f src/main.rs ]; then
            wasm_cargo rustc --release --target "$WASM_TARGET" --bin "$guest" \
                -- ${WASM_COMMAND_FLAGS[@]+"${WASM_COMMAND_FLAGS[@]}"}
        else
            wasm_cargo rustc --release --target "$WASM_TARGET" --lib \
                -- ${WASM_LIBRARY_FLAGS[@]+"${WASM_LIBRARY_FLAGS[@]}"}
        fi
        cp "$built/$guest.wasm" "$out/$guest.wasm"
    )
done
[ "$out" = "$PWD/dist" ] || exit 0
{
    echo '# Written by tests/guests/build.sh; do not edit. A test fails when a guest is older than'
    echo '# its sources.'
    for guest in "${guests[@]}"; do
        echo
        entry "$guest"
    done
} >dist/manifest.toml
