//! One scope's count.

use super::MeterId;
use super::window::Window;
use crate::scheduler::event::{Amounts, Scope};
use crate::scheduler::options::Limits;

#[derive(Debug)]
pub(super) struct Meter {
    pub(super) scope: Scope,
    pub(super) parent: Option<MeterId>,
    pub(super) limits: Limits,
    pub(super) window: Window,
    pub(super) total: Amounts,
    pub(super) wasted: Amounts,
    pub(super) reserved: Amounts,
    pub(super) wall_ns: u64,
    /// Its limit on one request is the usual one of agents: one of a scope above replaces it.
    pub(super) usual_request: bool,
    /// Its agent is there.
    pub(super) live: bool,
    /// Meters and calls that hang on it.
    pub(super) held: u32,
}

impl Meter {
    pub(super) fn new(scope: Scope, parent: Option<MeterId>, limits: Limits) -> Self {
        Self {
            scope,
            parent,
            limits,
            window: Window::default(),
            total: Amounts::default(),
            wasted: Amounts::default(),
            reserved: Amounts::default(),
            wall_ns: 0,
            usual_request: false,
            live: false,
            held: 0,
        }
    }
}
