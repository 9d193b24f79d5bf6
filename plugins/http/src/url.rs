//! Links and redirects are written relative to a page (RFC 3986, section 5); requests are not.

/// `link` as it is meant on the page at `base`.
pub(crate) fn join(base: &str, link: &str) -> String {
    let link = link.trim();
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    if has_scheme(link) {
        return link.to_owned();
    }
    if let Some(host) = link.strip_prefix("//") {
        return format!("{scheme}://{host}");
    }
    let page = rest.split('#').next().unwrap_or_default();
    let authority_end = page.find(['/', '?']).unwrap_or(page.len());
    let (authority, target) = page.split_at(authority_end);
    let path = target.split('?').next().unwrap_or_default();
    let joined = if link.starts_with('/') {
        plain(link)
    } else if link.starts_with('?') {
        format!("{path}{link}")
    } else if link.is_empty() || link.starts_with('#') {
        format!("{target}{link}")
    } else {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        plain(&format!("{directory}/{link}"))
    };
    let slash = if joined.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{authority}{slash}{joined}")
}

/// Whether two URLs have scheme, host and port in common.
pub(crate) fn same_origin(one: &str, other: &str) -> bool {
    origin(one).eq_ignore_ascii_case(origin(other))
}

fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    &url[..end]
}

/// Whether the link names a scheme of its own, as `mailto:` does.
fn has_scheme(link: &str) -> bool {
    link.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// The path without `.` and `..`; what follows `?` or `#` stays as it is.
fn plain(link: &str) -> String {
    let end = link.find(['?', '#']).unwrap_or(link.len());
    let (path, rest) = link.split_at(end);
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/').skip(1) {
        match name {
            "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let directory = path.ends_with("/.") || path.ends_with("/..");
    let slash = if directory && !names.is_empty() { "/" } else { "" };
    format!("/{}{slash}{rest}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_joined_as_in_rfc_3986() {
        for (link, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g/x", "http://g/x"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d?q#s"),
            ("..", "http://a/b/"),
            ("../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("", "http://a/b/c/d?q"),
            ("mailto:x@y", "mailto:x@y"),
            ("https://z/", "https://z/"),
        ] {
            assert_eq!(join("http://a/b/c/d?q", link), expected, "{link}");
        }
        assert_eq!(join("https://a", "g"), "https://a/g");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(same_origin("https://A/x", "https://a?y"));
        assert!(!same_origin("https://a/", "http://a/"));
        assert!(!same_origin("https://a/", "https://a:8443/"));
    }
}
