#!/usr/bin/env bash
# Builds the plugins into components.
#
#   plugins/build.sh                 every plugin, into plugins/dist/
#   plugins/build.sh NAME...         these plugins only
#   plugins/build.sh --out DIR ...   into DIR instead, which then gets no manifest.toml
#   plugins/build.sh --check         compiles nothing: fails when plugins/dist/ is not up to date
#
# It takes the wasm32-wasip2 target where rustup has it, else Debian's packages (README.md).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=component.sh
source ../sdk/component.sh
SOURCE_ROOT=$(cd .. && pwd)

out=dist
check=no
names=()
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=${2:?--out needs a directory}; shift 2 ;;
        --check) check=yes; shift ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "build.sh: there is no option $1" >&2; exit 2 ;;
        *) names+=("$1"); shift ;;
    esac
done

all=()
# python has no crate: `aos-host plugin build python` builds it.
for manifest in */Cargo.toml; do all+=("${manifest%/Cargo.toml}"); done
for name in ${names[@]+"${names[@]}"}; do
    [ -f "$name/plugin.toml" ] || { echo "build.sh: there is no plugin $name" >&2; exit 2; }
done
[ ${#names[@]} -gt 0 ] || names=("${all[@]}")

# README.md, "Is a component up to date?", has the rule in words.
hash_sources() { # NAME
    local roots=("plugins/$1" plugins/Cargo.toml plugins/Cargo.lock
        sdk/src sdk/macros sdk/wit sdk/Cargo.toml wit)
    (
        cd ..
        find "${roots[@]}" -type f -not -path '*/target/*' -print0 | LC_ALL=C sort -z |
            xargs -0 sha256sum | sha256sum | cut -d' ' -f1
    )
}

entry() { # NAME: its table in manifest.toml
    printf '[%s]\nsha256 = "%s"\nsources_sha256 = "%s"\n' "$1" \
        "$(sha256sum <"dist/$1.wasm" | cut -d' ' -f1)" "$(hash_sources "$1")"
}

recorded() { # NAME: the same, as it was written
    sed -n "/^\[$1\]\$/,/^sources_sha256/p" dist/manifest.toml
}

if [ $check = yes ]; then
    stale=0
    for name in "${names[@]}"; do
        if [ ! -f "dist/$name.wasm" ] || [ "$(entry "$name")" != "$(recorded "$name")" ]; then
            echo "plugins/dist/$name.wasm is not up to date: run plugins/build.sh $name" >&2
            stale=1
        fi
    done
    exit $stale
fi

# QuickJS, in javascript, is C: zig has clang with a C library for WebAssembly in one package.
ZIG_PACKAGE=ziglang==0.17.1

find_c_compiler() {
    local kit=$PWD/target/c zig
    if [ -x "${WASI_SDK_PATH:-/nowhere}/bin/clang" ]; then
        export WASI_SDK=$WASI_SDK_PATH
        return
    fi
    zig=$(command -v zig || command -v python-zig || true)
    if [ -z "$zig" ]; then
        if [ ! -x "$kit/venv/bin/python-zig" ]; then
            { python3 -m venv "$kit/venv" && "$kit/venv/bin/pip" install --quiet "$ZIG_PACKAGE"; } >&2 || {
                echo "build.sh: javascript needs a C compiler for WebAssembly: set WASI_SDK_PATH," \
                    "or put zig on PATH (pip install $ZIG_PACKAGE)" >&2
                return 1
            }
        fi
        zig=$kit/venv/bin/python-zig
    fi
    mkdir -p "$kit"
    # The target is said in zig's own words, not in those of Rust.
    cat >"$kit/cc" <<CC
#!/usr/bin/env bash
words=()
for word in "\$@"; do [[ \$word == --target=* ]] || words+=("\$word"); done
exec "$zig" cc -target wasm32-wasi "\${words[@]}"
CC
    printf '#!/usr/bin/env bash\nexec "%s" ar "$@"\n' "$zig" >"$kit/ar"
    chmod +x "$kit/cc" "$kit/ar"
    export "CC_${WASM_TARGET//-/_}=$kit/cc" "AR_${WASM_TARGET//-/_}=$kit/ar"
    export RQUICKJS_SYS_NO_WASI_SDK=1
}

find_toolchain
if [[ " ${names[*]} " == *" javascript "* ]]; then find_c_compiler; fi
mkdir -p "$out"
for name in "${names[@]}"; do
    echo "building $name" >&2
    built=${CARGO_TARGET_DIR:-target}/$WASM_TARGET/release
    if [ -f "$name/src/main.rs" ]; then
        wasm_cargo rustc --release --target "$WASM_TARGET" -p "$name" --bin "$name" \
            -- ${WASM_COMMAND_FLAGS[@]+"${WASM_COMMAND_FLAGS[@]}"}
        built=$built/$name.wasm
    else
        wasm_cargo rustc --release --target "$WASM_TARGET" -p "$name" --lib \
            -- ${WASM_LIBRARY_FLAGS[@]+"${WASM_LIBRARY_FLAGS[@]}"}
        built=$built/${name//-/_}.wasm
    fi
    embed_manifest "$built" "$name/plugin.toml" "$out/$name.wasm"
done

[ "$out" = dist ] || exit 0
{
    cat <<'HEAD'
# Written by plugins/build.sh; do not edit.
# sha256: of the component. sources_sha256: of what it was built from, by the rule in
# plugins/README.md; a test fails when the two are apart.
HEAD
    for name in "${all[@]}"; do
        [ -f "dist/$name.wasm" ] || continue
        echo
        if [[ " ${names[*]} " == *" $name "* ]]; then entry "$name"; else recorded "$name"; fi
    done
} >dist/manifest.toml.new
mv dist/manifest.toml.new dist/manifest.toml
