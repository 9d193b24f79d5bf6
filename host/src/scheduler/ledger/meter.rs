//! One scope's count.

use super::MeterId;
use super::window::Window;
use crate::scheduler::options::Limits;
use crate::scheduler::{Amounts, Scope};

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
            live: false,
            held: 0,
        }
    }
}
