//! Texts of strangers, mutated from committed seeds: nothing panics, and what is said of each
//! reader holds for whatever it takes.
//!
//! Each target runs over its seeds and some thousands of mutations in every test run. With
//! `AOS_FUZZ_S=1800 cargo test --test aos fuzz` each runs for that many seconds;
//! `AOS_FUZZ_SEED` repeats one. A failure prints the seed and the input.

use std::time::{Duration, Instant};

use aos_host::capability::grant::{Ask, Grant, PathRoot};
use aos_host::capability::network::host::Host;
use aos_host::capability::network::pattern::{HttpPattern, SocketPattern};
use aos_host::config::supply::trust::Signature;
use aos_host::container::catalogue;
use aos_host::container::manifest::Native;
use aos_host::container::parameter::plain_path;
use aos_host::container::template::Word;
use aos_host::journal::verify_export;
use aos_host::model::sse::Events;
use aos_host::sandbox::inspect::inspect;

use crate::support::{plugin, top};

/// Inputs of a run that is not told a time.
const INPUTS: u64 = 2_000;
/// Longer inputs are slower, and find no more here.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }
}

/// Words that mean something to some reader.
const WORDS: [&str; 24] = [
    "/",
    "..",
    "./",
    "//",
    "\0",
    "\n",
    "-",
    "--",
    "@",
    "*",
    "%2e",
    ":",
    "[::1]",
    "[",
    "]",
    "\"",
    "\\u0000",
    "{}",
    "0",
    "-1",
    "99999999999999999999",
    "é",
    "\u{202e}",
    "=",
];

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => {
                bytes.remove(at);
            }
            2 => bytes.truncate(at),
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            4 => {
                let end = (at + random.below(32)).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let word = WORDS[random.below(WORDS.len())].bytes();
                bytes.splice(at..at, word);
            }
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

/// The seeds of a target: each file of its folder, and for texts each line of it.
fn seeds(target: &str, lines: bool) -> Vec<Vec<u8>> {
    let folder = top().join("tests/corpus").join(target);
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("reads");
        match lines {
            true => seeds.extend(bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec)),
            false => seeds.push(bytes),
        }
    }
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs a claim over the seeds, and over mutations for the time or the number that is asked for.
fn fuzz(target: &str, seeds: &[Vec<u8>], claim: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let check = |seed: u64, input: &[u8]| {
        let held = std::panic::catch_unwind(|| claim(input));
        assert!(
            held.is_ok(),
            "{target}: AOS_FUZZ_SEED={seed}: {:?}",
            String::from_utf8_lossy(input)
        );
    };
    seeds.iter().for_each(|seed| check(0, seed));
    if let Some(seed) = variable("AOS_FUZZ_SEED") {
        return check(seed, &mutate(&mut Random(seed), seeds));
    }
    let time = variable("AOS_FUZZ_S").map(Duration::from_secs);
    let (began, first) = (Instant::now(), time.map_or(1, |_| now()));
    let goes_on = |count: u64| match time {
        Some(time) => began.elapsed() < time,
        None => count < INPUTS,
    };
    let mut count = 0;
    while goes_on(count) {
        let seed = first.wrapping_add(count);
        check(seed, &mutate(&mut Random(seed), seeds));
        count += 1;
    }
    eprintln!("{target}: {count} inputs from seed {first} in {:?}", began.elapsed());
}

/// Another beginning for each long run.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs() << 32
}

#[test]
fn fuzz_paths() {
    fuzz("paths", &seeds("paths", true), |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(path) = plain_path(&text) {
            assert!(path.starts_with('/') && !path.contains("//"));
            assert!(!path.split('/').any(|part| part == ".." || part == "."));
            assert!(!path.chars().any(char::is_control));
            assert_eq!(plain_path(&path), Ok(path.clone()));
        }
        if let Ok(root) = text.parse::<PathRoot>() {
            assert!(root.guest.starts_with('/') && !root.guest.contains("//"));
            assert!(!root.guest.split('/').any(|part| part == ".."));
        }
    });
}

#[test]
fn fuzz_grants_and_patterns() {
    fuzz("grants", &seeds("grants", true), |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(grant) = text.parse::<Grant>() {
            assert!(grant.covers(&grant), "{grant:?} does not cover itself");
        }
        let _ask = text.parse::<Ask>();
        let pattern = text.split_once(':').map_or(&*text, |(_, pattern)| pattern);
        let _http = pattern.parse::<HttpPattern>();
        let _socket = pattern.parse::<SocketPattern>();
    });
}

#[test]
fn fuzz_tool_files() {
    fuzz("tools", &seeds("tools", false), |input| {
        let Ok(native) = Native::parse(input) else { return };
        let written = native.file.text().expect("what was read can be written");
        let again = Native::parse(written.as_bytes()).expect("what was written can be read");
        assert_eq!(again.file, native.file);
        assert_eq!(native.definitions().len(), native.file.tools.len());
    });
}

#[test]
fn fuzz_arguments_of_tools() {
    let tools: Vec<_> = catalogue::entries().into_iter().flat_map(|entry| entry.tools).collect();
    fuzz("arguments", &seeds("arguments", true), |input| {
        let text = String::from_utf8_lossy(input);
        let value = serde_json::from_str(&text).unwrap_or_else(|_| text.clone().into());
        let value: serde_json::Value = value;
        for tool in &tools {
            for name in tool.parameters.keys() {
                let required = tool.parameters.iter().filter(|(_, of)| of.required);
                let mut arguments: serde_json::Map<_, _> = required
                    .map(|(name, of)| (name.clone(), if of.is_path() { "/w" } else { "x" }.into()))
                    .collect();
                arguments.insert(name.clone(), value.clone());
                let Ok(filled) = tool.fill(&arguments) else { continue };
                // Before the end of flags no word is a text of the caller's that begins with `-`.
                let end = filled.words.iter().position(|word| word == "--");
                let flags = &filled.words[..end.unwrap_or(filled.words.len())];
                if let Some(text) = value.as_str().filter(|text| text.starts_with('-')) {
                    // The template may have that very word itself.
                    let same = |words: &[String]| words.iter().filter(|word| *word == text).count();
                    let is_own = |word: &&Word| match word {
                        Word::Literal(literal) => literal == text,
                        Word::Place(place) => place.option.as_deref() == Some(text),
                    };
                    let own = tool.argv.iter().filter(is_own);
                    assert!(same(flags) <= own.count(), "{}: {name}", tool.name);
                }
                assert!(filled.words.iter().all(|word| !word.contains('\0')));
            }
        }
    });
}

#[test]
fn fuzz_exports_of_the_journal() {
    let seeds = seeds("journal", false);
    let whole: Vec<u64> = seeds.iter().map(|seed| rows(seed).expect("a good seed")).collect();
    let most = whole.into_iter().max().expect("a seed");
    fuzz("journal", &seeds, |input| {
        // What verifies has no more rows than a whole one: none can be made without its hash.
        if let Some(count) = rows(input) {
            assert!(count <= most, "{count} rows verify");
        }
    });
}

/// How many rows of an export verify; none when it is damaged.
fn rows(bytes: &[u8]) -> Option<u64> {
    let report = verify_export(bytes, None::<&[u8]>).ok()?;
    report.problems.is_empty().then_some(report.rows)
}

#[test]
fn fuzz_signatures() {
    fuzz("trust", &seeds("trust", false), |input| {
        if let Ok(signature) = Signature::parse(input) {
            assert_eq!(Signature::parse(signature.text().as_bytes()).ok(), Some(signature));
        }
    });
}

#[test]
fn fuzz_components() {
    // The seed is a built plugin, which is not committed twice.
    let seed = std::fs::read(plugin("text-case")).expect("reads");
    let seed = [seed[..seed.len().min(INPUT_BYTES_MAX)].to_vec(), seed];
    fuzz("components", &seed, |input| {
        let _read = inspect(input);
        let _manifest = aos_host::sandbox::manifest::Manifest::of(input);
    });
}

#[test]
fn fuzz_hosts() {
    fuzz("hosts", &seeds("hosts", true), |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(host) = Host::parse(&text) {
            assert!(host.name().is_some() != host.address().is_some());
            if let Some(name) = host.name() {
                assert!(!name.is_empty() && !name.contains(['/', '@', ' ', '\0']), "{name:?}");
                // What is an address in some notation is no name, or its rules would not hold.
                assert!(name.parse::<std::net::IpAddr>().is_err(), "{name:?}");
            }
        }
    });
}

#[test]
fn fuzz_streams_of_models() {
    fuzz("streams", &seeds("streams", false), |input| {
        let whole = events(input, input.len().max(1));
        for piece in [1, 7] {
            assert_eq!(events(input, piece), whole, "in pieces of {piece}");
        }
    });
}

/// The events of a stream that comes in pieces of so many bytes; none when one is too large.
fn events(bytes: &[u8], piece: usize) -> Option<Vec<String>> {
    let (mut events, mut out) = (Events::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        events.push(piece, &mut out).ok()?;
    }
    out.extend(events.finish().ok()?);
    Some(out)
}
