//! The outermost sections of a component or core module, as bytes: walked, found, added, stripped.
//! Knows nothing of what a section means.

use std::ops::Range;

/// Custom sections that only this host reads: the compiler never sees them.
pub const OWN_PREFIX: &str = "aos:";
/// The tools of a plugin as JSON, written by `aos-host build`.
pub const DEFINITIONS: &str = "aos:definitions";

/// Bytes of the preamble: magic, version and layer, by the binary format.
const PREAMBLE: usize = 8;
/// Ids of sections, by the binary format and that of components.
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// Components inside components, as `inspect` has it.
const DEPTH_MAX: u32 = 100;

/// One section: its id, the name of a custom one, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// The id.
    pub id: u8,
    /// The name of a custom section.
    pub name: Option<&'a str>,
    /// The whole of it, with id and size.
    pub range: Range<usize>,
    /// Its contents; of a custom section what follows the name.
    pub data: &'a [u8],
}

/// The outermost sections, in order. What is cut off or malformed ends the list: the engine's
/// validation is who refuses it.
pub fn outermost(binary: &[u8]) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut at = PREAMBLE;
    while let Some(section) = section(binary, at) {
        at = section.range.end;
        sections.push(section);
    }
    sections
}

fn section(binary: &[u8], start: usize) -> Option<Section<'_>> {
    let id = *binary.get(start)?;
    let (size, contents) = number(binary, start + 1)?;
    let end = contents.checked_add(size)?;
    let data = binary.get(contents..end)?;
    let named = || {
        let (length, at) = number(data, 0)?;
        let name = data.get(at..at.checked_add(length)?)?;
        Some((std::str::from_utf8(name).ok()?, &data[at + length..]))
    };
    let (name, data) = match (id, named()) {
        (CUSTOM, Some((name, rest))) => (Some(name), rest),
        (_, _) => (None, data),
    };
    Some(Section { id, name, range: start..end, data })
}

/// Where what the host appended begins: from there on only its own custom sections follow, so that
/// the bytes before are a whole component, and all that is compiled.
pub fn code_end(binary: &[u8]) -> usize {
    let sections = outermost(binary);
    if sections.last().is_none_or(|last| last.range.end != binary.len()) {
        return binary.len();
    }
    let own = |section: &&Section<'_>| section.name.is_some_and(|n| n.starts_with(OWN_PREFIX));
    sections.iter().rev().take_while(own).last().map_or(binary.len(), |first| first.range.start)
}

/// The contents of the outermost custom section of that name.
pub fn find<'a>(binary: &'a [u8], name: &str) -> Option<&'a [u8]> {
    outermost(binary).into_iter().find(|section| section.name == Some(name)).map(|s| s.data)
}

/// The same without its own section of that name.
pub fn without(binary: &[u8], name: &str) -> Vec<u8> {
    let mut rest = binary.get(..PREAMBLE).unwrap_or(binary).to_vec();
    for section in outermost(binary).into_iter().filter(|section| section.name != Some(name)) {
        rest.extend(&binary[section.range]);
    }
    rest
}

/// The same with this custom section at its end, instead of one of that name.
pub fn with(binary: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let mut all = without(binary, name);
    let mut contents = Vec::with_capacity(name.len() + data.len() + 2);
    write_number(&mut contents, name.len());
    contents.extend(name.as_bytes());
    contents.extend(data);
    write_section(&mut all, CUSTOM, &contents);
    all
}

/// The same without names, debugging data and other notes, at every depth. Producers, the
/// features that a compiler noted and component types stay: toolchains read them.
pub fn strip(binary: &[u8]) -> Vec<u8> {
    strip_at(binary, 0)
}

fn strip_at(binary: &[u8], depth: u32) -> Vec<u8> {
    let kept = |name: &str| {
        name == "producers"
            || name == "target_features"
            || name.starts_with("component-type")
            || name.starts_with("dylink")
            || name.starts_with(OWN_PREFIX)
    };
    let is_component = binary.get(4) == Some(&0x0d);
    let sections = outermost(binary);
    if depth > DEPTH_MAX || sections.last().is_none_or(|last| last.range.end != binary.len()) {
        return binary.to_vec();
    }
    let mut rest = binary[..PREAMBLE].to_vec();
    for section in sections {
        match (section.id, section.name) {
            (CUSTOM, Some(name)) if !kept(name) => {}
            (CORE_MODULE | COMPONENT, _) if is_component => {
                let inner = strip_at(section.data, depth + 1);
                write_section(&mut rest, section.id, &inner);
            }
            (_, _) => rest.extend(&binary[section.range]),
        }
    }
    rest
}

fn write_section(into: &mut Vec<u8>, id: u8, contents: &[u8]) {
    into.push(id);
    write_number(into, contents.len());
    into.extend(contents);
}

/// An unsigned number of seven bits a byte, the last first, and where it ends.
fn number(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, at));
        }
    }
    None
}

fn write_number(into: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        into.push(u8::try_from(value & 0x7f).expect("invariant: seven bits") | 0x80);
        value >>= 7;
    }
    into.push(u8::try_from(value).expect("invariant: seven bits"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component() -> Vec<u8> {
        let text = "(component (core module $named (func $a) (@custom \".debug_info\" \"x\")))";
        wat::parse_str(text).expect("parses")
    }

    #[test]
    fn a_section_is_added_found_replaced_and_taken_away() {
        let bare = component();
        let one = with(&bare, DEFINITIONS, b"[1]");
        assert_eq!(find(&one, DEFINITIONS), Some(&b"[1]"[..]));
        let two = with(&one, DEFINITIONS, &[7; 300]);
        assert_eq!(find(&two, DEFINITIONS), Some(&[7; 300][..]));
        assert_eq!(without(&two, DEFINITIONS), bare);
        assert!(wasmparser::Validator::new().validate_all(&two).is_ok());
    }

    #[test]
    fn only_own_sections_at_the_end_are_no_code() {
        let bare = component();
        assert_eq!(code_end(&bare), bare.len());
        let manifest = with(&bare, "aos:plugin", b"name = 'x'");
        assert_eq!(code_end(&with(&manifest, DEFINITIONS, b"[]")), bare.len());
        // Somebody else's section behind one of its own is code, and so is all before it.
        let foreign = with(&manifest, "other", b"");
        assert_eq!(code_end(&foreign), foreign.len());
        // What does not hold together is the validator's to refuse, whole.
        let cut = &manifest[..manifest.len() - 1];
        assert_eq!(code_end(cut), cut.len());
    }

    #[test]
    fn names_and_debugging_data_are_stripped_at_every_depth() {
        let bare = component();
        let stripped = strip(&with(&bare, "aos:plugin", b"kept"));
        assert!(wasmparser::Validator::new().validate_all(&stripped).is_ok());
        let has = |text: &[u8]| stripped.windows(text.len()).any(|window| window == text);
        assert!(has(b"aos:plugin") && !has(b".debug_info") && !has(b"named"));
        assert!(stripped.len() < bare.len() + 20);
    }
}
