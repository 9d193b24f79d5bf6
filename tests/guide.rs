//! The guide for plugin authors, a page a language: every command in it is executed, and does what
//! the page says; every line of code in it is a line of the language's template.
//!
//! A page's blocks: `sh` is executed; `text` is what the block before it prints; `LANGUAGE FILE` is
//! a part of FILE in a new project.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{User, top};

const LANGUAGES: [&str; 7] = ["rust", "python", "javascript", "typescript", "c", "zig", "go"];

/// A fenced block: what stands behind the fence, and what is in it.
struct Block {
    info: String,
    text: String,
}

fn blocks(language: &str) -> Vec<Block> {
    let path = top().join(format!("sdk/guide/{language}.md"));
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{language}: {error}"));
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(info) => {
                inside = true;
                blocks.push(Block { info: info.into(), text: String::new() });
            }
            None if inside => {
                let block = blocks.last_mut().expect("a block was begun");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!inside, "{language}: the last block has no end");
    blocks
}

#[test]
fn the_code_in_the_guide_is_the_templates() {
    for language in LANGUAGES {
        let mut code = 0;
        for Block { info, text } in blocks(language) {
            let Some((_, file)) = info.split_once(' ') else {
                assert!(matches!(info.as_str(), "sh" | "text"), "{language}: a block of {info:?}");
                continue;
            };
            let templates = top().join("host/templates");
            let of = |kind: &str| templates.join(format!("{language}-{kind}")).join(file);
            let found = [of("tool"), of("agent")];
            let found = found.iter().filter_map(|path| fs::read_to_string(path).ok());
            let there = found.into_iter().any(|source| source.contains(&text));
            assert!(there, "{language}: {file} has not these lines:\n{text}");
            code += 1;
        }
        assert!(code > 1, "{language}: the page shows no code");
    }
}

#[test]
fn each_page_leads_from_nothing_to_a_tested_tool() {
    for language in LANGUAGES {
        let all = blocks(language);
        let commands: String =
            all.iter().filter(|one| one.info == "sh").map(|one| one.text.as_str()).collect();
        let new = format!("aos-host new weather --lang {language}\n");
        for step in [new.as_str(), "aos-host build\n", "aos-host run dist/", "aos-host test dist/"]
        {
            assert!(commands.contains(step), "{language}: no {step:?}");
        }
    }
    let index = fs::read_to_string(top().join("sdk/guide/README.md")).expect("an index");
    for language in LANGUAGES {
        assert!(index.contains(&format!("({language}.md)")), "{language} is not in the index");
    }
}

/// Executes all commands of a page in one shell, and holds what they print against the page.
fn follow(language: &str) {
    let user = User::new();
    let all = blocks(language);
    let mut script = String::from("set -eu\n");
    for (number, block) in all.iter().enumerate().filter(|(_, block)| block.info == "sh") {
        // A group is no shell of its own, so its `cd` stays.
        script.push_str(&format!("{{\n{}}} >\"$OUT/{number}\"\n", block.text));
    }
    let out = user.folder().join("out");
    fs::create_dir(&out).expect("made");
    let host = Path::new(env!("CARGO_BIN_EXE_aos-host")).parent().expect("a folder");
    let mut path = vec![host.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // One for all runs: the libraries of a project in Rust are the same each time.
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .unwrap_or_else(|| top().join("target/new-tool").into_os_string());
    // A user's own environment, since that is where toolchains are; the host's folders are new.
    let ran = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", std::env::join_paths(path).expect("a path"))
        .env("OUT", &out)
        .env("CARGO_TARGET_DIR", target)
        .env("XDG_STATE_HOME", user.folder())
        .env("XDG_DATA_HOME", user.folder())
        .env("AOS_STORE", "memory:")
        .current_dir(user.folder())
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{language}: {}\n{said}", ran.status);
    let mut held = 0;
    for (number, pair) in all.windows(2).enumerate() {
        if let [run, expected] = pair
            && run.info == "sh"
            && expected.info == "text"
        {
            let printed = fs::read_to_string(out.join(number.to_string())).expect("was executed");
            // What commands say of their work comes before their result.
            assert!(printed.ends_with(&expected.text), "{language}: {printed}\n{said}");
            held += 1;
        }
    }
    assert!(held >= 2, "{language}: the page says of {held} commands what they print");
}

macro_rules! pages {
    ($($name:ident),+) => {
        $(
            #[test]
            #[ignore = "needs the language's toolchain: tests/run.sh, with --long for the most"]
            fn $name() {
                follow(stringify!($name));
            }
        )+
    };
}

/// One test a page, by the name of its language.
mod commands {
    use super::follow;

    pages!(rust, python, javascript, typescript, c, zig, go);
}
