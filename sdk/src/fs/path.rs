//! Guest paths are text: absolute, `/` between names, without `.` and `..`.

/// The path as the host's roots are written: absolute, without `.`, `..` and double slashes.
/// A relative path starts at `/`, which is where a guest starts. `..` takes back the name before
/// it, as text; what symbolic links make of it is the host's business.
#[must_use]
pub fn normalize(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// Whether `path` is `root` or below it; both are normalized.
pub(crate) fn is_under(path: &str, root: &str) -> bool {
    root == "/"
        || path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) fn join(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}

/// A hidden name beside `path`, which no other call uses: each call has an id of its own.
pub(crate) fn temporary(path: &str) -> String {
    let path = normalize(path);
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let call: String = crate::call::id().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{parent}/.{name}.{call}.tmp")
}

/// The root that an operator would most likely grant for `path`: its first directory.
pub(crate) fn likely_root(path: &str) -> String {
    let path = normalize(path);
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    format!("/{first}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalize_makes_paths_absolute_and_plain() {
        assert_eq!(normalize("src//./main.rs"), "/src/main.rs");
        assert_eq!(normalize("/src/../etc/"), "/etc");
        assert_eq!(normalize("../../.."), "/");
    }

    #[test]
    fn a_root_covers_whole_names_only() {
        assert!(is_under("/src/main.rs", "/src"));
        assert!(is_under("/src", "/src"));
        assert!(is_under("/src", "/"));
        assert!(!is_under("/srcs", "/src"));
    }

    #[test]
    fn a_temporary_file_is_hidden_and_beside_its_target() {
        assert!(temporary("/out/a.txt").starts_with("/out/.a.txt."));
        assert!(temporary("a").starts_with("/.a."));
    }
}
