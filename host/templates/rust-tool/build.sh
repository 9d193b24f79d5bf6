#!/usr/bin/env bash
# Builds the plugin into dist/{{name}}.wasm.
# It takes rustup's wasm32-wasip2 target where it is installed, else Debian's packages.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
source vendor/aos-sdk/component.sh

find_toolchain
wasm_cargo rustc --release --target "$WASM_TARGET" --lib \
    -- ${WASM_LIBRARY_FLAGS[@]+"${WASM_LIBRARY_FLAGS[@]}"}
mkdir -p dist
embed_manifest "${CARGO_TARGET_DIR:-target}/$WASM_TARGET/release/{{crate_name}}.wasm" \
    plugin.toml dist/{{name}}.wasm
echo "dist/{{name}}.wasm, $(wc -c <dist/{{name}}.wasm) bytes" >&2
