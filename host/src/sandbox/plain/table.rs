//! Names in declared order, found by name without a walk over all of them: a hostile component may
//! declare thousands, and a value may hold a name a million times.

use std::collections::HashMap;

/// Fields of a record, cases of a variant, parameters of a function.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    entries: Vec<(String, T)>,
    positions: HashMap<String, usize>,
}

impl<T> Table<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them in declared order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, (String, T)> {
        self.entries.iter()
    }

    /// The names in declared order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Where a name stands in declared order.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// What stands at a position.
    pub(super) fn at(&self, position: usize) -> &T {
        &self.entries[position].1
    }

    /// What has this name.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.position(name).map(|position| self.at(position))
    }
}

impl<T> FromIterator<(String, T)> for Table<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        let entries: Vec<(String, T)> = entries.into_iter().collect();
        let names = entries.iter().enumerate();
        let positions = names.map(|(position, (name, _))| (name.clone(), position)).collect();
        Self { entries, positions }
    }
}

impl FromIterator<String> for Table<()> {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        names.into_iter().map(|name| (name, ())).collect()
    }
}

impl<T: PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}
