//! The tree over the chains' heads: a Merkle tree of blake3, in the shape of RFC 9162 (section
//! 2.1), whose leaves are the chains in the order of their numbers. Pure.
//!
//! Leaves and nodes begin with different tags, so that no node can pass for a leaf.

use crate::storage::Digest;

const LEAF: &[u8] = b"aos-host leaf 1";
const NODE: &[u8] = b"aos-host node 1";
/// The root of a tree without leaves.
const EMPTY: &[u8] = b"aos-host tree 1";

/// The leaf of a chain that has come to `rows` rows, the last of them with this hash.
pub(in crate::journal) fn leaf(number: i64, id: &[u8], rows: i64, hash: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let (number, rows) = (number.to_le_bytes(), rows.to_le_bytes());
    for field in [LEAF, &number[..], id, &rows, hash] {
        hasher.update(&(field.len() as u64).to_le_bytes()).update(field);
    }
    Digest(*hasher.finalize().as_bytes())
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(NODE).update(&left.0).update(&right.0);
    Digest(*hasher.finalize().as_bytes())
}

/// Builds the root from leaves in order. Memory: one hash a level.
#[derive(Clone, Debug, Default)]
pub(in crate::journal) struct Tree {
    /// Full subtrees, the largest first: their heights and roots.
    full: Vec<(u32, Digest)>,
    leaves: u64,
}

impl Tree {
    /// The next leaf.
    pub(in crate::journal) fn push(&mut self, leaf: Digest) {
        self.leaves += 1;
        let (mut height, mut root) = (0, leaf);
        while let Some((_, left)) = self.full.pop_if(|(other, _)| *other == height) {
            root = node(&left, &root);
            height += 1;
        }
        self.full.push((height, root));
    }

    /// How many leaves it has.
    pub(in crate::journal) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The root over all leaves so far.
    pub(in crate::journal) fn root(&self) -> Digest {
        let mut subtrees = self.full.iter().rev().map(|(_, root)| *root);
        match subtrees.next() {
            None => Digest(*blake3::hash(EMPTY).as_bytes()),
            Some(last) => subtrees.fold(last, |right, left| node(&left, &right)),
        }
    }
}

/// The hashes that lead from the leaf at `index` to the root, the lowest first. Empty for a leaf
/// that is not there, as for the only one.
pub(in crate::journal) fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
    let root = |leaves: &[Digest]| {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree.root()
    };
    let (mut leaves, mut index, mut path) = (leaves, index, Vec::new());
    while leaves.len() > 1 && index < leaves.len() {
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            (leaves, index) = (right, index - left.len());
        }
    }
    path.reverse();
    path
}

/// The root that a path leads to from the leaf at `index` of a tree with so many leaves (RFC 9162,
/// section 2.1.3.2). `None` when the path is not as long as such a leaf's.
pub(in crate::journal) fn root_of(
    leaf: Digest,
    index: u64,
    leaves: u64,
    path: &[Digest],
) -> Option<Digest> {
    let mut last = leaves.checked_sub(1).filter(|last| index <= *last)?;
    let (mut index, mut root) = (index, leaf);
    for side in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            root = node(side, &root);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            root = node(&root, side);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|n| leaf(n.into(), &[n; 16], 3, &[n; 32])).collect()
    }

    fn root(leaves: &[Digest]) -> Digest {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree.root()
    }

    #[test]
    fn every_leaf_of_every_tree_is_led_to_its_root_and_no_other_leaf_is() {
        for count in 1..70 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for index in 0..leaves.len() {
                let path = path(&leaves, index);
                let to = |leaf, at: usize, size: u64| root_of(leaf, at as u64, size, &path);
                let size = u64::from(count);
                assert_eq!(to(leaves[index], index, size), Some(root), "{index} of {count}");
                let other = leaf(99, &[9; 16], 3, &[9; 32]);
                assert_ne!(to(other, index, size), Some(root));
                for at in 0..leaves.len() {
                    let passes = to(leaves[index], at, size) == Some(root);
                    assert_eq!(passes, at == index, "{index} at {at} of {count}");
                }
                assert_eq!(to(leaves[index], leaves.len(), size), None);
            }
        }
    }

    #[test]
    fn the_root_depends_on_order_and_number() {
        let all = leaves(9);
        let mut swapped = all.clone();
        swapped.swap(3, 4);
        let roots = [root(&all), root(&all[..8]), root(&swapped), root(&[]), root(&all[..1])];
        for (at, one) in roots.iter().enumerate() {
            assert!(roots[at + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn a_path_of_another_length_leads_nowhere() {
        let all = leaves(11);
        let mut long = path(&all, 5);
        long.push(all[0]);
        assert_eq!(root_of(all[5], 5, 11, &long), None);
        long.truncate(2);
        assert_eq!(root_of(all[5], 5, 11, &long), None);
        assert_eq!(root_of(all[5], 5, 0, &[]), None);
    }
}
