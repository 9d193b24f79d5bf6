# Sourced by build scripts: how Rust becomes a component, on machines with and without rustup's
# wasm32-wasip2 target. SOURCE_ROOT, or else the directory it is sourced in, is the root of the
# sources: no path of the building machine gets into a component.
#
#   find_toolchain                        sets WASM_TARGET and what wasm_cargo needs, or fails
#   wasm_cargo rustc --release …          cargo; add --target "$WASM_TARGET" and, at the end,
#                                         -- and WASM_LIBRARY_FLAGS or WASM_COMMAND_FLAGS
#   embed_manifest IN plugin.toml OUT     the component with its manifest inside

WASM_TARGET=wasm32-wasip2

find_toolchain() {
    WASM_RUSTFLAGS=(
        # The list of languages and tools stays when all names are stripped.
        -Clink-arg=--keep-section=producers
        "--remap-path-prefix=${SOURCE_ROOT:-$PWD}=."
    )
    local registry
    for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        WASM_RUSTFLAGS+=("--remap-path-prefix=$registry=crates")
    done
    WASM_ENVIRONMENT=()
    WASM_ARGUMENTS=()
    WASM_LIBRARY_FLAGS=()
    WASM_COMMAND_FLAGS=()
    local host sysroot
    sysroot=$(rustc --print sysroot)
    if [ -d "$sysroot/lib/rustlib/$WASM_TARGET" ]; then
        return
    fi
    # Debian has no wasm32-wasip2 either, but the standard library's source to build it from.
    # Its rustc must come from the same package; rustup's brings the linker.
    host=$(rustc -vV | sed -n 's/^host: //p')
    local tools="$sysroot/lib/rustlib/$host/bin"
    if [ ! -x "$tools/wasm-component-ld" ]; then
        echo "build: run 'rustup target add $WASM_TARGET' first" >&2
        return 1
    fi
    if [ ! -d /usr/lib/wasm32-wasi ] || ! compgen -G '/usr/src/rustc-*/library' >/dev/null; then
        install_debian_packages || return 1
    fi
    WASM_RUSTFLAGS+=(
        -Clink-self-contained=no
        -Lnative=/usr/lib/wasm32-wasi
        --remap-path-prefix=/usr/lib/rustlib/src/rust=rust
    )
    WASM_ENVIRONMENT=(
        RUSTC=/usr/bin/rustc
        # The packaged compiler is a stable one; -Zbuild-std asks for this.
        RUSTC_BOOTSTRAP=1
        PATH="$tools:$tools/gcc-ld:$PATH"
        CARGO_TARGET_WASM32_WASIP2_LINKER="$tools/wasm-component-ld"
    )
    WASM_ARGUMENTS=(-Zbuild-std=std,panic_abort)
    # Without self-contained linking nobody else brings what runs before the program does.
    WASM_LIBRARY_FLAGS=(-Clink-arg=/usr/lib/wasm32-wasi/crt1-reactor.o)
    # Not crt1-command.o: with it the linker runs the constructors in every export, and one that
    # allocates for the host may not call out.
    WASM_COMMAND_FLAGS=(-Clink-arg=/usr/lib/wasm32-wasi/crt1.o)
}

install_debian_packages() {
    local packages=(rustc-web rust-web-src wasi-libc)
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "build: run 'rustup target add $WASM_TARGET', or, on Debian, as root:" \
            "apt-get install --no-install-recommends ${packages[*]}" >&2
        return 1
    fi
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends "${packages[@]}" >&2
}

wasm_cargo() {
    local command=$1
    shift
    # Encoded, because a path may hold a space.
    env ${WASM_ENVIRONMENT[@]+"${WASM_ENVIRONMENT[@]}"} \
        CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f'; echo "${WASM_RUSTFLAGS[*]}")" \
        cargo "$command" ${WASM_ARGUMENTS[@]+"${WASM_ARGUMENTS[@]}"} "$@"
}

# A custom section may follow everything else in a component: its id 0, its size, its name with
# its length, and the text.
embed_manifest() { # IN MANIFEST OUT
    local name=aos:plugin size
    size=$((1 + ${#name} + $(wc -c <"$2")))
    {
        cat "$1"
        printf '\0'
        leb128 "$size"
        leb128 "${#name}"
        printf '%s' "$name"
        cat "$2"
    } >"$3.new"
    mv "$3.new" "$3"
}

# An unsigned number as WebAssembly writes it: seven bits a byte, the last first.
leb128() {
    local rest=$1 byte
    while :; do
        byte=$((rest & 127))
        rest=$((rest >> 7))
        [ "$rest" -eq 0 ] || byte=$((byte | 128))
        # shellcheck disable=SC2059
        printf "\\x$(printf %02x "$byte")"
        [ "$rest" -ne 0 ] || break
    done
}
