//! What a call comes to: calls that make handles, in order, and then the call itself. The sandbox
//! makes the calls; this says which, and what their results mean.

use super::exports::PlainExport;
use super::shape::Shape;
use super::{Limits, Outcome, PlainError};
use wasmtime::component::{ResourceAny, Val};

/// Stands where a handle goes until it exists; only ever at a place whose shape is a resource.
pub(super) const HOLE: Val = Val::Bool(false);

/// Decoded arguments, ready to run.
#[derive(Debug)]
pub struct Plan<'a> {
    /// In the order in which they run; the last one is the call that was asked for.
    pub(super) steps: Vec<Step<'a>>,
    pub(super) limits: Limits,
}

/// One call of the plan.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) export: &'a PlainExport,
    /// Where it stands in the arguments, for messages.
    pub(super) path: String,
    pub(super) arguments: Vec<Val>,
    /// The earlier steps whose handles fill the holes in the arguments, in order.
    pub(super) holes: Vec<usize>,
}

impl<'a> Plan<'a> {
    /// How many calls it makes, the one that was asked for included.
    pub fn calls(&self) -> usize {
        self.steps.len()
    }

    /// Starts it, in a fresh instance.
    pub fn start(self) -> Run<'a> {
        let steps = self.steps.into_iter();
        Run {
            steps,
            limits: self.limits,
            handles: Vec::new(),
            current: None,
        }
    }
}

/// A plan that runs: [`Run::next_call`] and [`Run::answer`] take turns until there is an outcome.
#[derive(Debug)]
pub struct Run<'a> {
    steps: std::vec::IntoIter<Step<'a>>,
    limits: Limits,
    /// What each finished step made; `None` once it was passed on.
    handles: Vec<Option<ResourceAny>>,
    /// The call that waits for its answer: its export and its path.
    current: Option<(&'a PlainExport, String)>,
}

/// A call that the sandbox makes now.
#[derive(Debug)]
pub struct Call<'a> {
    /// What to call: `instance.get_func(&mut store, call.export.index)`.
    pub export: &'a PlainExport,
    /// With what.
    pub arguments: Vec<Val>,
    /// Space for its results, as `Func::call_async` wants it.
    pub results: Vec<Val>,
}

impl<'a> Run<'a> {
    /// The next call, or `None` once all are made.
    pub fn next_call(&mut self) -> Option<Call<'a>> {
        let Step {
            export,
            path,
            mut arguments,
            holes,
        } = self.steps.next()?;
        let mut handles = holes
            .iter()
            .filter_map(|step| self.handles.get_mut(*step)?.take());
        for ((_, shape), value) in export.parameters.iter().zip(&mut arguments) {
            fill(shape, value, &mut handles);
        }
        self.current = Some((export, path));
        Some(Call {
            export,
            arguments,
            results: export.result_space(),
        })
    }

    /// Takes the results of the call that [`Run::next_call`] gave: the outcome if it was the last.
    pub fn answer(&mut self, results: Vec<Val>) -> Result<Option<Outcome>, PlainError> {
        let mismatch = || PlainError::Mismatch {
            path: "$".to_owned(),
            expected: "handle",
        };
        let (export, path) = self.current.take().ok_or_else(mismatch)?;
        if self.steps.len() == 0 {
            return export.outcome(results, &self.limits).map(Some);
        }
        let handle = match results.into_iter().next() {
            Some(Val::Resource(handle)) => handle,
            Some(Val::Result(Ok(Some(value)))) => match *value {
                Val::Resource(handle) => handle,
                _ => return Err(mismatch()),
            },
            Some(failed @ Val::Result(Err(_))) => {
                let (Outcome::Failed(error) | Outcome::Returned(error)) =
                    export.outcome(vec![failed], &self.limits)?;
                return Err(PlainError::Nested {
                    path,
                    export: export.name.clone(),
                    error,
                });
            }
            _ => return Err(mismatch()),
        };
        self.handles.push(Some(handle));
        Ok(None)
    }
}

/// Puts handles where the shape has resources, in the order in which decoding left the holes.
fn fill(shape: &Shape, value: &mut Val, handles: &mut impl Iterator<Item = ResourceAny>) {
    if !shape.holds_handles() {
        return;
    }
    match (shape, value) {
        (Shape::Own(_) | Shape::Borrow(_), value) => {
            if let Some(handle) = handles.next() {
                *value = Val::Resource(handle);
            }
        }
        (Shape::List(item), Val::List(items))
        | (Shape::FixedList(item, _), Val::FixedLengthList(items)) => {
            items
                .iter_mut()
                .for_each(|value| fill(item, value, handles));
        }
        (Shape::Map(key, shape), Val::Map(entries)) => {
            for (k, value) in entries {
                fill(key, k, handles);
                fill(shape, value, handles);
            }
        }
        (Shape::Record(fields), Val::Record(values)) => {
            let pairs = fields.iter().zip(values);
            pairs.for_each(|((_, shape), (_, value))| fill(shape, value, handles));
        }
        (Shape::Tuple(items), Val::Tuple(values)) => {
            items
                .iter()
                .zip(values)
                .for_each(|(shape, value)| fill(shape, value, handles));
        }
        (Shape::Variant(cases), Val::Variant(name, Some(value))) => {
            let case = cases.iter().find(|(case, _)| case == name);
            if let Some(shape) = case.and_then(|(_, shape)| shape.as_ref()) {
                fill(shape, value, handles);
            }
        }
        (Shape::Option(some), Val::Option(Some(value))) => fill(some, value, handles),
        (Shape::Result { ok: Some(side), .. }, Val::Result(Ok(Some(value))))
        | (
            Shape::Result {
                err: Some(side), ..
            },
            Val::Result(Err(Some(value))),
        ) => {
            fill(side, value, handles);
        }
        // Every other pair holds no handle.
        _ => {}
    }
}
