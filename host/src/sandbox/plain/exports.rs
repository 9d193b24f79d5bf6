//! The exported functions of a component, each with its names, signature, schemas and index.

use super::names::{Index, Names, Unknown};
use super::shape::{Builder, Shape, TooLarge};
use super::{Limits, Outcome, PlainError, Plan, decode, encode, schema, signature};
use serde_json::Value;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Val};

/// Functions listed of one component; what exports more is listed up to here.
const EXPORTS_MAX: usize = 4_096;
/// Instances inside of instances; a world written in WIT has one level.
const INSTANCE_DEPTH_MAX: usize = 8;

/// The exported functions of one component.
#[derive(Debug, Default)]
pub struct Exports {
    list: Vec<PlainExport>,
    index: Index,
    /// Whether the component exports more functions than are listed.
    truncated: bool,
}

/// One exported function.
#[derive(Debug)]
pub struct PlainExport {
    /// Its stable name, by the rule of the `names` module: `demo:text/case.upper`.
    pub name: String,
    /// Its signature in WIT syntax: `upper: func(text: string) -> string`.
    pub signature: String,
    /// Why it cannot be called through JSON, if so.
    pub not_callable: Option<String>,
    /// How an instance finds it: `instance.get_func(&mut store, export.index)`.
    pub index: ComponentExportIndex,
    pub(super) parameters: Vec<(String, Shape)>,
    pub(super) result: Option<Shape>,
}

impl Exports {
    /// Reads the exports of a compiled component. It cannot fail: what has no form in JSON is
    /// listed with its reason.
    pub fn of(component: &Component) -> Self {
        let mut reader = Reader {
            component,
            builder: Builder::default(),
            found: Vec::new(),
            truncated: false,
        };
        let ty = component.component_type();
        let engine = component.engine();
        for (name, item) in ty.imports(engine).chain(ty.exports(engine)) {
            reader.name_resources(name, &item.ty, 0);
        }
        for (name, item) in ty.exports(engine) {
            reader.read(&mut Vec::new(), None, name, &item.ty);
        }
        Self::assemble(reader)
    }

    fn assemble(reader: Reader<'_>) -> Self {
        let names: Vec<Names> = reader
            .found
            .iter()
            .map(|found| found.names.clone())
            .collect();
        let index = Index::of(&names);
        let export = |(position, found): (usize, Found)| PlainExport {
            name: index.stable(position).to_owned(),
            signature: found.signature,
            not_callable: found.not_callable,
            index: found.index,
            parameters: found.parameters,
            result: found.result,
        };
        let list = reader.found.into_iter().enumerate().map(export).collect();
        let mut exports = Self {
            list,
            index,
            truncated: reader.truncated,
        };
        exports.refuse_unreachable();
        exports
    }

    /// Marks what needs a handle that no export makes.
    fn refuse_unreachable(&mut self) {
        let made: Vec<usize> = self
            .list
            .iter()
            .filter_map(|e| e.makes().map(|r| r.id))
            .collect();
        for export in &mut self.list {
            let needed = export
                .parameters
                .iter()
                .flat_map(|(_, shape)| shape.needed());
            let missing = needed
                .into_iter()
                .find(|resource| !made.contains(&resource.id));
            if let (Some(resource), None) = (missing, &export.not_callable) {
                let name = &resource.name;
                export.not_callable = Some(format!("it needs a `{name}`, which no export makes"));
            }
        }
    }

    /// All exports, in the component's order.
    pub fn list(&self) -> &[PlainExport] {
        &self.list
    }

    /// Whether the component exports more than the 4,096 functions that are listed.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The export with this name, by the rule of the `names` module.
    pub fn resolve(&self, name: &str) -> Result<&PlainExport, Unknown> {
        self.index.find(name).map(|position| &self.list[position])
    }

    /// Checks and decodes the arguments of a call, with the calls inside of them that make handles.
    /// `null` stands for no arguments.
    pub fn plan<'a>(
        &'a self,
        export: &'a PlainExport,
        arguments: &Value,
        limits: &Limits,
    ) -> Result<Plan<'a>, PlainError> {
        decode::plan(self, export, arguments, limits)
    }

    /// The JSON Schema (2020-12) of an export's arguments: an object, one property a parameter.
    pub fn arguments_schema(&self, export: &PlainExport) -> Value {
        schema::arguments(self, &export.parameters)
    }
}

impl PlainExport {
    /// Whether the function returns a `result`, so that a call can fail with an error of its own.
    pub fn is_fallible(&self) -> bool {
        matches!(self.result, Some(Shape::Result { .. }))
    }

    /// The JSON Schema (2020-12) of what a call returns: of the `ok` side where it is a `result`,
    /// of `null` where the function returns nothing.
    pub fn result_schema(&self) -> Value {
        match &self.result {
            Some(Shape::Result { ok, .. }) => schema::output(ok.as_deref()),
            other => schema::output(other.as_ref()),
        }
    }

    /// The JSON Schema (2020-12) of the error of a function that returns a `result`.
    pub fn error_schema(&self) -> Option<Value> {
        match &self.result {
            Some(Shape::Result { err, .. }) => Some(schema::output(err.as_deref())),
            _ => None,
        }
    }

    /// Space for the results of `Func::call_async`, which wants exactly as many as there are.
    pub fn result_space(&self) -> Vec<Val> {
        self.result.iter().map(|_| Val::Bool(false)).collect()
    }

    /// What a finished call means: the `ok` value, or the `err` value of a `result`.
    pub fn outcome(&self, results: Vec<Val>, limits: &Limits) -> Result<Outcome, PlainError> {
        encode::outcome(self.result.as_ref(), results, limits)
    }

    /// The resource that calling it makes.
    pub(super) fn makes(&self) -> Option<&super::shape::Resource> {
        self.result
            .as_ref()
            .filter(|_| self.not_callable.is_none())
            .and_then(Shape::made)
    }
}

/// One function on the way to a [`PlainExport`].
struct Found {
    names: Names,
    signature: String,
    not_callable: Option<String>,
    index: ComponentExportIndex,
    parameters: Vec<(String, Shape)>,
    result: Option<Shape>,
}

/// Walks the exports of a component.
struct Reader<'a> {
    component: &'a Component,
    builder: Builder,
    found: Vec<Found>,
    truncated: bool,
}

impl Reader<'_> {
    fn name_resources(&mut self, name: &str, item: &ComponentItem, depth: usize) {
        match item {
            ComponentItem::Resource(ty) => self.builder.name_resource(*ty, name),
            ComponentItem::ComponentInstance(instance) if depth < INSTANCE_DEPTH_MAX => {
                for (name, item) in instance.exports(self.component.engine()) {
                    self.name_resources(name, &item.ty, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn read(
        &mut self,
        interfaces: &mut Vec<String>,
        parent: Option<&ComponentExportIndex>,
        name: &str,
        item: &ComponentItem,
    ) {
        if self.truncated {
            return;
        }
        let Some(index) = self.component.get_export_index(parent, name) else {
            return;
        };
        match item {
            ComponentItem::ComponentFunc(_) if self.found.len() >= EXPORTS_MAX => {
                self.truncated = true;
            }
            ComponentItem::ComponentFunc(func) => self.read_function(interfaces, index, name, func),
            ComponentItem::ComponentInstance(instance) if interfaces.len() < INSTANCE_DEPTH_MAX => {
                interfaces.push(name.to_owned());
                for (name, item) in instance.exports(self.component.engine()) {
                    self.read(interfaces, Some(&index), name, &item.ty);
                }
                interfaces.pop();
            }
            _ => {}
        }
    }

    fn read_function(
        &mut self,
        interfaces: &[String],
        index: ComponentExportIndex,
        name: &str,
        func: &ComponentFunc,
    ) {
        let names = Names::of(interfaces, name);
        let keyword = if func.async_() { "async func" } else { "func" };
        let head = format!("{}: {keyword}", super::names::readable(name));
        let found = match self.types(func) {
            Ok((parameters, result)) => Found {
                signature: signature::signature(&head, &parameters, result.as_ref()),
                not_callable: no_form_in_json(&parameters, result.as_ref()),
                names,
                index,
                parameters,
                result,
            },
            Err(too_large) => Found {
                signature: format!("{head}(…)"),
                not_callable: Some(too_large.to_string()),
                names,
                index,
                parameters: Vec::new(),
                result: None,
            },
        };
        self.found.push(found);
    }

    fn types(&mut self, func: &ComponentFunc) -> Result<Types, TooLarge> {
        self.builder.start_export();
        let mut parameters = Vec::new();
        for (name, ty) in func.params() {
            parameters.push((name.to_owned(), self.builder.shape(&ty)?));
        }
        // A function has at most one result since named results left the component model.
        let result = func
            .results()
            .next()
            .map(|ty| self.builder.shape(&ty))
            .transpose()?;
        Ok((parameters, result))
    }
}

/// Parameters and result of a function.
type Types = (Vec<(String, Shape)>, Option<Shape>);

fn no_form_in_json(parameters: &[(String, Shape)], result: Option<&Shape>) -> Option<String> {
    let channel = parameters
        .iter()
        .map(|(_, shape)| shape)
        .chain(result)
        .find_map(Shape::channel)?;
    let article = if channel == "error-context" {
        "an"
    } else {
        "a"
    };
    Some(format!(
        "its type holds {article} {channel}, which has no form in JSON"
    ))
}
