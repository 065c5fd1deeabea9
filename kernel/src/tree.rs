//! The Merkle tree over a tenant's history (RFC 6962 section 2.1). [`Tree`] computes the root of a growing tree; [`Leaves`] computes the
//! audit path that proves that a leaf is in a tree.

use sha2::{Digest, Sha256};

use crate::LeafHash;

/// An append-only tree that knows its root. It stores one hash for each set bit of its size, not the leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Roots of the complete subtrees, the largest first: one for each bit that is set in `size`.
    peaks: Vec<LeafHash>,
}

impl Tree {
    /// A tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// Restores a tree from its stored size and peaks; `None` if the number of peaks does not fit the size.
    pub fn resumed(size: u64, peaks: Vec<LeafHash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Roots of the complete subtrees, the largest first: one for each bit that is set in the size.
    pub fn peaks(&self) -> &[LeafHash] {
        &self.peaks
    }

    /// Adds a leaf at the end.
    pub fn push(&mut self, leaf: LeafHash) {
        let mut node = leaf;
        // As in binary counting: each bit that carries joins two subtrees of the same size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = parent(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root hash; for an empty tree, the hash of the empty string.
    pub fn root(&self) -> LeafHash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(*last, |right, left| parent(left, &right))
    }
}

/// A complete tree with all nodes, to compute audit paths.
#[derive(Clone, Debug)]
pub struct Leaves {
    /// The leaves, then the levels of nodes above them, up to the root. A node without a sibling is copied to the next level unchanged.
    levels: Vec<Vec<LeafHash>>,
}

impl Leaves {
    /// Builds the tree of these leaves. It takes twice their memory.
    pub fn new(leaves: Vec<LeafHash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => parent(left, right),
                _ => pair[0],
            });
            let above = above.collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The audit path of the leaf with this index, from 0 (RFC 6962 section 2.1.1): the siblings of the nodes from the leaf up to the root.
    pub fn path(&self, index: usize) -> Vec<LeafHash> {
        let siblings = self.levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1));
        siblings.copied().collect()
    }
}

/// The root hash that an audit path proves for a leaf with this index in a tree of `size` leaves (RFC 9162 section 2.1.3.2); `None`: the
/// path does not fit the index and size.
pub fn root_by_path(leaf: &LeafHash, index: u64, size: u64, path: &[LeafHash]) -> Option<LeafHash> {
    if index >= size {
        return None;
    }
    let (mut node, mut at, mut last) = (*leaf, index, size - 1);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            node = parent(sibling, &node);
            // On these levels the node had no sibling.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = parent(&node, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

fn parent(left: &LeafHash, right: &LeafHash) -> LeafHash {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: LeafHash) -> String {
        hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn roots_are_those_of_the_reference_vectors_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::new();
        assert_eq!(hex(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in leaves.into_iter().zip(roots) {
            let mut hasher = Sha256::new();
            hasher.update([0]);
            hasher.update(leaf);
            tree.push(hasher.finalize().into());
            assert_eq!(hex(tree.root()), root, "of {} leaves", tree.size());
        }
    }

    #[test]
    fn each_leaf_leads_to_the_root_by_its_path_and_no_other_does() {
        for size in 1..=33_u64 {
            let leaves: Vec<LeafHash> = (0..size).map(|leaf| Sha256::digest(leaf.to_be_bytes()).into()).collect();
            let (mut tree, whole) = (Tree::new(), Leaves::new(leaves.clone()));
            for leaf in &leaves {
                tree.push(*leaf);
            }
            assert_eq!(Tree::resumed(size, tree.peaks().to_vec()), Some(tree.clone()));
            assert_eq!(Tree::resumed(size, [tree.peaks(), &[[0; 32]]].concat()), None);
            for (index, leaf) in (0..).zip(&leaves) {
                let path = whole.path(index as usize);
                assert_eq!(root_by_path(leaf, index, size, &path), Some(tree.root()), "{index} of {size}");
                assert_ne!(root_by_path(&[7; 32], index, size, &path), Some(tree.root()));
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert_ne!(
                        root_by_path(leaf, other, size, &path),
                        Some(tree.root()),
                        "{index} as {other} of {size}"
                    );
                }
                if !path.is_empty() {
                    assert_ne!(root_by_path(leaf, index, size, &path[1..]), Some(tree.root()));
                }
                assert_ne!(root_by_path(leaf, index, size, &[&path[..], &[[0; 32]]].concat()), Some(tree.root()));
            }
        }
    }
}
