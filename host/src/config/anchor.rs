//! Paths of an agent's description made absolute: whoever reads it next may stand elsewhere.

use std::path::{Path, PathBuf};

use super::agent::AgentSpec;
use crate::capability::grant::{Capability, Grant, PathRoot, Scope};

/// Makes every path of `spec` absolute, relative ones below `base`: of programs and plugins that
/// are named by a path, of a script, of granted folders, of denied paths. Names stay names.
///
/// # Errors
/// One sentence about a grant that is none.
pub fn anchor(spec: &mut AgentSpec, base: &Path) -> Result<(), String> {
    spec.program = program(&spec.program, base);
    for plugin in &mut spec.plugins {
        *plugin = program(plugin, base);
    }
    for model in [&mut spec.model, &mut spec.summarise] {
        if let Some(file) = model.as_deref().and_then(|model| model.strip_prefix("script:")) {
            *model = Some(format!("script:{}", below(base, Path::new(file)).display()));
        }
    }
    for text in &mut spec.allow {
        *text = grant(text, base)?;
    }
    for path in &mut spec.deny_path {
        *path = below(base, path);
    }
    Ok(())
}

/// As [`super::plugins::find`] tells paths from names.
fn program(wanted: &str, base: &Path) -> String {
    let path = Path::new(wanted);
    let is_path =
        wanted.contains('/') || path.extension().is_some_and(|end| end == "wasm" || end == "wat");
    match is_path {
        true => below(base, path).display().to_string(),
        false => wanted.to_owned(),
    }
}

fn below(base: &Path, path: &Path) -> PathBuf {
    // Without the `.` that people write.
    base.join(path).components().collect()
}

/// The guest goes on seeing a folder where it would have seen it.
/// One grant with its host folder made absolute.
///
/// # Errors
/// One sentence about one that is none.
pub(super) fn grant(text: &str, base: &Path) -> Result<String, String> {
    let grant: Grant = text.parse().map_err(|error| format!("{error}"))?;
    let (capability, root) = match &grant.scope {
        Scope::Read(root) => (Capability::Read, root),
        Scope::Write(root) => (Capability::Write, root),
        Scope::Net(_)
        | Scope::Tcp(_)
        | Scope::Udp(_)
        | Scope::Env(_)
        | Scope::Config(_)
        | Scope::KeyValue(_)
        | Scope::Secret(_)
        | Scope::Tool(_)
        | Scope::Model(_)
        | Scope::Spawn(_) => return Ok(text.to_owned()),
    };
    let PathRoot { host, guest } = root;
    let plugin = grant.plugin.as_ref().map(|plugin| format!("{plugin}@")).unwrap_or_default();
    Ok(format!("{plugin}{capability}:{}:{guest}", below(base, host).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_and_the_guest_sees_the_same() {
        let mut spec = AgentSpec {
            program: "./agents/a.wasm".into(),
            plugins: vec!["files".into(), "tools/b.wat".into(), "/c.wasm".into()],
            model: Some("script:demo.toml".into()),
            summarise: Some("script:sum.toml".into()),
            allow: vec![
                "read:./data:/w".into(),
                "files@write:out".into(),
                "read:/abs".into(),
                "read:.".into(),
                "net:https://example.org".into(),
            ],
            deny_path: vec!["data/private".into()],
            ..AgentSpec::default()
        };
        anchor(&mut spec, Path::new("/base")).expect("anchors");
        assert_eq!(spec.program, "/base/agents/a.wasm");
        assert_eq!(spec.plugins, ["files", "/base/tools/b.wat", "/c.wasm"]);
        assert_eq!(spec.model.as_deref(), Some("script:/base/demo.toml"));
        assert_eq!(spec.summarise.as_deref(), Some("script:/base/sum.toml"));
        let allow = [
            "read:/base/data:/w",
            "files@write:/base/out:/out",
            "read:/abs:/abs",
            "read:/base:/",
            "net:https://example.org",
        ];
        assert_eq!(spec.allow, allow);
        assert_eq!(spec.deny_path, [PathBuf::from("/base/data/private")]);
        for (before, after) in ["./data:/w", "out", "/abs", "."].into_iter().zip(allow) {
            let before: PathRoot = before.parse().expect("a root");
            let after: Grant = after.parse().expect("a grant");
            let (Scope::Read(after) | Scope::Write(after)) = after.scope else { panic!() };
            assert_eq!(before.guest, after.guest);
        }
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        let mut spec = AgentSpec { allow: vec!["read".into()], ..AgentSpec::default() };
        assert!(anchor(&mut spec, Path::new("/")).expect_err("refused").contains("no grant"));
    }
}
