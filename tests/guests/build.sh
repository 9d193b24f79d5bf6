#!/usr/bin/env bash
# Builds the hostile guests that are written in Rust into tests/guests/dist/. The others are text.
#
#   tests/guests/build.sh             builds
#   tests/guests/build.sh --out DIR   into DIR instead
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../sdk/component.sh
source ../../sdk/component.sh
SOURCE_ROOT=$(cd ../.. && pwd)

out=$PWD/dist
[ "${1:-}" != --out ] || out=$(cd "${2:?--out needs a directory}" && pwd)

find_toolchain
mkdir -p "$out"
built=${CARGO_TARGET_DIR:-target}/$WASM_TARGET/release
(
    cd misbehave
    wasm_cargo rustc --release --target "$WASM_TARGET" --bin misbehave \
        -- ${WASM_COMMAND_FLAGS[@]+"${WASM_COMMAND_FLAGS[@]}"}
    cp "$built/misbehave.wasm" "$out/misbehave.wasm"
)
(
    # A command of WASI 0.3 is a library that exports `wasi:cli/run`.
    cd overlap
    wasm_cargo rustc --release --target "$WASM_TARGET" --lib \
        -- ${WASM_LIBRARY_FLAGS[@]+"${WASM_LIBRARY_FLAGS[@]}"}
    cp "$built/overlap.wasm" "$out/overlap.wasm"
)
