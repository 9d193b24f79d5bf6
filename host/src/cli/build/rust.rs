//! Rust: cargo with rustup's `wasm32-wasip2`, or with Debian's packages where that is not there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use super::project::{Kind, Project};
use super::toolchain::{Step, answer, find, missing};

const TARGET: &str = "wasm32-wasip2";
/// Where Debian's package wasi-libc lies.
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";
/// How to get what is missing.
const REMEDY: &str = "run `rustup target add wasm32-wasip2`, or, on Debian, as root: `apt-get \
                      install --no-install-recommends rustc-web rust-web-src wasi-libc`";

/// Builds the crate and returns its component.
pub fn build(project: &Project) -> Result<Vec<u8>, Failure> {
    let folder = &project.folder;
    let install = "install Rust with rustup: https://rustup.rs";
    let cargo = find("cargo", folder, &[]).ok_or_else(|| missing("cargo", install))?;
    let rustc = find("rustc", folder, &[]).ok_or_else(|| missing("rustc", install))?;
    let sysroot = answer(&rustc, &["--print", "sysroot"])
        .ok_or_else(|| missing("a rustc that runs", install))?;
    let sysroot = PathBuf::from(sysroot);
    let command = project.kind == Kind::Command;
    let name = crate_name(folder, command)?;
    let mut flags = vec![
        // The list of languages and tools stays when all names are stripped.
        "-Clink-arg=--keep-section=producers".to_owned(),
        // No path of this machine gets into a component.
        format!("--remap-path-prefix={}=.", folder.display()),
    ];
    let mut arguments: Vec<OsString> = vec!["rustc".into()];
    let mut last: Vec<OsString> = Vec::new();
    let mut variables: Vec<(&'static str, OsString)> = Vec::new();
    if !sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        let debian = Debian::find(&rustc, &sysroot)
            .ok_or_else(|| missing("the compiler's WebAssembly target wasm32-wasip2", REMEDY))?;
        flags.extend(debian.flags());
        variables.extend(debian.variables());
        arguments.push("-Zbuild-std=std,panic_abort".into());
        // Without self-contained linking nobody else brings what runs before the program does.
        let start = if command { "crt1.o" } else { "crt1-reactor.o" };
        last.extend(["--".into(), format!("-Clink-arg={DEBIAN_LIBC}/{start}").into()]);
    }
    arguments.extend(["--release", "--target", TARGET].map(OsString::from));
    match command {
        true => arguments.extend(["--bin".into(), OsString::from(&name)]),
        false => arguments.push("--lib".into()),
    }
    arguments.extend(last);
    let mut step = Step::new(cargo, folder)
        .arguments(arguments)
        .variable("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    for (name, value) in variables {
        step = step.variable(name, value);
    }
    step.run()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let file = if command { name } else { name.replace('-', "_") };
    let built = folder.join(target).join(TARGET).join("release").join(format!("{file}.wasm"));
    project.read(&built)
}

/// The name of the library or program in `Cargo.toml`.
fn crate_name(folder: &Path, command: bool) -> Result<String, Failure> {
    let path = folder.join("Cargo.toml");
    let wrong = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    let named = |table: Option<&toml::Value>| Some(table?.get("name")?.as_str()?.to_owned());
    let own = match command {
        true => named(table.get("bin").and_then(|bins| bins.get(0))),
        false => named(table.get("lib")),
    };
    own.or_else(|| named(table.get("package")))
        .ok_or_else(|| wrong("it names no package: `aos-host build` builds one crate".into()))
}

/// Debian has no `wasm32-wasip2` either, but the standard library's source to build it from. Its
/// rustc must come from the same package; rustup's brings the linker.
struct Debian {
    tools: PathBuf,
}

impl Debian {
    fn find(rustc: &Path, sysroot: &Path) -> Option<Self> {
        let about = answer(rustc, &["-vV"])?;
        let host = about.lines().find_map(|line| line.strip_prefix("host: "))?;
        let tools = sysroot.join("lib/rustlib").join(host).join("bin");
        let source = std::fs::read_dir("/usr/src").ok()?.filter_map(Result::ok).any(|entry| {
            let named = entry.file_name().to_string_lossy().starts_with("rustc-");
            named && entry.path().join("library").is_dir()
        });
        let linker = tools.join("wasm-component-ld").is_file();
        let there = linker && source && Path::new(DEBIAN_LIBC).is_dir();
        (there && Path::new("/usr/bin/rustc").is_file()).then_some(Self { tools })
    }

    fn flags(&self) -> [String; 3] {
        [
            "-Clink-self-contained=no".into(),
            format!("-Lnative={DEBIAN_LIBC}"),
            "--remap-path-prefix=/usr/lib/rustlib/src/rust=rust".into(),
        ]
    }

    fn variables(&self) -> [(&'static str, OsString); 4] {
        let mut path = OsString::from(&self.tools);
        path.push(":");
        path.push(self.tools.join("gcc-ld"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let linker = self.tools.join("wasm-component-ld").into_os_string();
        [
            ("RUSTC", "/usr/bin/rustc".into()),
            // The packaged compiler is a stable one; -Zbuild-std asks for this.
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("PATH", path),
            ("CARGO_TARGET_WASM32_WASIP2_LINKER", linker),
        ]
    }
}
