//! Whether a component needs an engine with concurrency, read from its bytes before it is compiled.

use wasmparser::{
    CanonicalFunction, CanonicalOption, Chunk, ComponentDefinedType, ComponentType,
    ComponentTypeDeclaration, InstanceTypeDeclaration, Parser, Payload,
};

use crate::sandbox::engine::Concurrency;

/// Components inside components, and types inside types: what is deeper is left to the compiler,
/// which refuses it.
const DEPTH_MAX: usize = 100;

/// What a component needs. Of bytes that do not hold together it says [`Concurrency::Off`]: the
/// compiler has the words for what is wrong with them.
pub(crate) fn needed(component: &[u8]) -> Concurrency {
    match scan(component) {
        Some(true) => Concurrency::On,
        Some(false) | None => Concurrency::Off,
    }
}

/// Whether anything in it is asynchronous; none when it cannot be read. Core modules, nearly all
/// of a component's bytes, are stepped over.
fn scan(mut rest: &[u8]) -> Option<bool> {
    if !Parser::is_component(rest) {
        return Some(false);
    }
    let (mut parser, mut outer) = (Parser::new(0), Vec::new());
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).ok()? else {
            return None;
        };
        rest = rest.get(consumed..)?;
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                rest = rest.get(unchecked_range.len()..)?;
            }
            Payload::ComponentSection { parser: inner, .. } => {
                if outer.len() >= DEPTH_MAX {
                    return None;
                }
                outer.push(std::mem::replace(&mut parser, inner));
            }
            Payload::End(_) => match outer.pop() {
                Some(around) => parser = around,
                None => return Some(false),
            },
            section => {
                if is_asynchronous(&section)? {
                    return Some(true);
                }
            }
        }
    }
}

fn is_asynchronous(section: &Payload<'_>) -> Option<bool> {
    match section {
        Payload::ComponentImportSection(imports) => {
            for import in imports.clone() {
                if is_wasi_0_3(import.ok()?.name.name) {
                    return Some(true);
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports.clone() {
                if is_wasi_0_3(export.ok()?.name.name) {
                    return Some(true);
                }
            }
        }
        Payload::ComponentTypeSection(types) => {
            for ty in types.clone() {
                if type_is_asynchronous(&ty.ok()?, 0)? {
                    return Some(true);
                }
            }
        }
        Payload::ComponentCanonicalSection(functions) => {
            for function in functions.clone() {
                if function_is_asynchronous(&function.ok()?) {
                    return Some(true);
                }
            }
        }
        _ => {}
    }
    Some(false)
}

/// An interface of WASI 0.3, which is one even where a component uses none of its functions that
/// wait.
pub(crate) fn is_wasi_0_3(name: &str) -> bool {
    let version = name.split_once('@').map(|(_, version)| version);
    name.starts_with("wasi:") && version.is_some_and(|version| version.starts_with("0.3."))
}

fn function_is_asynchronous(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.iter().any(|option| {
                matches!(option, CanonicalOption::Async | CanonicalOption::Callback(_))
            })
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        // All others are about tasks, streams, futures and threads.
        _ => true,
    }
}

fn type_is_asynchronous(ty: &ComponentType<'_>, depth: usize) -> Option<bool> {
    if depth > DEPTH_MAX {
        return None;
    }
    match ty {
        ComponentType::Func(function) => Some(function.async_),
        ComponentType::Defined(defined) => Some(matches!(
            defined,
            ComponentDefinedType::Future(_) | ComponentDefinedType::Stream(_)
        )),
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                if let ComponentTypeDeclaration::Type(ty) = declaration
                    && type_is_asynchronous(ty, depth + 1)?
                {
                    return Some(true);
                }
            }
            Some(false)
        }
        ComponentType::Instance(declarations) => {
            for declaration in declarations {
                if let InstanceTypeDeclaration::Type(ty) = declaration
                    && type_is_asynchronous(ty, depth + 1)?
                {
                    return Some(true);
                }
            }
            Some(false)
        }
        ComponentType::Resource { .. } => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Concurrency {
        needed(&wat::parse_str(text).expect("a component"))
    }

    #[test]
    fn what_waits_for_nothing_needs_none() {
        assert_eq!(of("(component)"), Concurrency::Off);
        assert_eq!(of("(module)"), Concurrency::Off);
        let wasi = r#"(component (import "wasi:cli/exit@0.2.0" (instance
            (export "exit" (func (param "status" (result)))))))"#;
        assert_eq!(of(wasi), Concurrency::Off);
        let resource = "(component (type $r (resource (rep i32)))
            (core func (canon resource.drop $r)))";
        assert_eq!(of(resource), Concurrency::Off);
        assert_eq!(needed(b"\0asm cut off"), Concurrency::Off);
    }

    #[test]
    fn an_interface_of_wasi_0_3_needs_it_however_it_is_used() {
        let wasi = r#"(component (import "wasi:random/random@0.3.0" (instance
            (export "get-random-u64" (func (result u64))))))"#;
        assert_eq!(of(wasi), Concurrency::On);
    }

    #[test]
    fn functions_types_and_built_ins_that_wait_need_it_at_every_depth() {
        for text in [
            r#"(component (import "f" (func async)))"#,
            r#"(component (import "i" (instance (export "f" (func async)))))"#,
            "(component (type (stream u8)))",
            "(component (core func (canon task.cancel)))",
            "(component (core module) (component (core module) (component
                (type (future)))))",
            r#"(component (import "f" (func $f)) (core func (canon lower (func $f) async)))"#,
        ] {
            assert_eq!(of(text), Concurrency::On, "{text}");
        }
    }
}
