//! Holding a history against its seals, event by event.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use kernel::{Leaf, LeafHash, Position, Tree};

use super::{Seal, SealedBy};
use crate::backup::StoredEvent;

/// A history that is not what was sealed: the first thing that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An event's bytes do not give the hash that its writer computed.
    Altered {
        /// Which one it is in the history, from 1.
        number: u64,
        /// Where it stands.
        position: Position,
        /// The aggregate's type and id.
        stream: String,
        /// Its number in the stream.
        sequence: u64,
    },
    /// An event is not the next one of its stream: one is missing, there twice, or elsewhere.
    OutOfStream {
        /// Which one it is in the history, from 1.
        number: u64,
        /// Where it stands.
        position: Position,
        /// The aggregate's type and id.
        stream: String,
        /// The number in the stream that comes next.
        expected: u64,
        /// The one that it has.
        found: u64,
    },
    /// A seal is not signed by a key that is trusted.
    NotSigned {
        /// How many events it is of.
        size: u64,
        /// The key that it names.
        key: String,
    },
    /// A seal does not name the one before it: one was taken away, or put in.
    NotNext {
        /// How many events it is of.
        size: u64,
    },
    /// The events up to a seal are not those that were sealed, though each of them fits its own hash: some were replaced, moved or taken out
    /// together with their hashes.
    Replaced {
        /// So many events from the first on are those that were sealed.
        intact: u64,
        /// The seal is of so many.
        size: u64,
    },
    /// The history ends before a seal does.
    CutOff {
        /// How many events there are.
        events: u64,
        /// How many were sealed.
        size: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { number, position, stream, sequence } => write!(
                f,
                "event {number} (position {position}, {stream} {sequence}) is not the one that was written: its bytes do not give its hash"
            ),
            Self::OutOfStream { number, position, stream, expected, found } => write!(
                f,
                "event {number} (position {position}) is number {found} of {stream}, where {expected} comes next: an event is missing, there \
                 twice, or elsewhere"
            ),
            Self::NotSigned { size, key } => {
                write!(f, "the seal of {size} events is not signed by a trusted key (it names {key})")
            }
            Self::NotNext { size } => {
                write!(
                    f,
                    "the seal of {size} events does not follow on the one before it: a seal was taken away or put in"
                )
            }
            Self::Replaced { intact, size } => write!(
                f,
                "the first {size} events are not those that were sealed: among events {} to {size} some were replaced, moved or taken out",
                intact + 1
            ),
            Self::CutOff { events, size } => {
                write!(f, "the history has {events} events, and {size} were sealed: its end is missing")
            }
        }
    }
}

impl std::error::Error for Finding {}

/// What a history comes to in which nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many events it has.
    pub events: u64,
    /// Root of the tree over all of them.
    pub root: LeafHash,
    /// How many seals were verified.
    pub seals: u64,
    /// The last of them; none: nothing was sealed.
    pub last: Option<Seal>,
}

impl Verdict {
    /// How many events at the end are in no seal yet.
    pub fn unsealed(&self) -> u64 {
        self.events - self.last.as_ref().map_or(0, |seal| seal.size)
    }
}

/// A history on its way past its seals. Takes seals before the events that they are of, both in order.
pub struct Audit {
    trusted: Vec<SealedBy>,
    tree: Tree,
    /// Of each stream, by its hash, the version that it comes to.
    streams: HashMap<u64, u64>,
    /// Not reached yet.
    ahead: VecDeque<Seal>,
    /// Seals that somebody kept elsewhere and that were not reached yet, by their size.
    kept: BTreeMap<u64, Seal>,
    /// The last one that was taken.
    known: Option<Seal>,
    /// The last one that was reached.
    reached: Option<Seal>,
    seals: u64,
}

impl Audit {
    /// Begins before the first event. `trusted`: whose signatures count.
    pub fn new(trusted: Vec<SealedBy>) -> Self {
        Self {
            trusted,
            tree: Tree::new(),
            streams: HashMap::new(),
            ahead: VecDeque::new(),
            kept: BTreeMap::new(),
            known: None,
            reached: None,
            seals: 0,
        }
    }

    /// How many events are the most that a seal was taken of: more seals have to be taken before the events after them.
    pub fn sealed(&self) -> u64 {
        self.known.as_ref().map_or(0, |seal| seal.size)
    }

    /// How many events were taken.
    pub fn events(&self) -> u64 {
        self.tree.size()
    }

    /// Takes the next seal.
    ///
    /// # Errors
    /// When it is not signed by whom we trust, or does not follow on the one before it.
    pub fn seal(&mut self, seal: Seal) -> Result<(), Finding> {
        if !self.trusted.iter().any(|key| key.has_signed(&seal)) {
            return Err(Finding::NotSigned { size: seal.size, key: seal.key });
        }
        let previous = self.known.as_ref().map_or([0; 32], Seal::digest);
        if seal.previous != previous || seal.size <= self.sealed() {
            return Err(Finding::NotNext { size: seal.size });
        }
        self.known = Some(seal.clone());
        self.ahead.push_back(seal);
        Ok(())
    }

    /// Requires that the history is also the one that this seal is of, which was kept elsewhere: before its last event is taken. All seals
    /// of a log could be made anew by who has its tables and can have it sealed again; those that were given away could not.
    ///
    /// # Errors
    /// When it is not signed by whom we trust.
    pub fn keep(&mut self, seal: Seal) -> Result<(), Finding> {
        if !self.trusted.iter().any(|key| key.has_signed(&seal)) {
            return Err(Finding::NotSigned { size: seal.size, key: seal.key });
        }
        self.kept.insert(seal.size, seal);
        Ok(())
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// What is wrong with it, or with all up to a seal.
    pub fn event(&mut self, StoredEvent { event, leaf_hash }: &StoredEvent) -> Result<(), Finding> {
        let number = self.tree.size() + 1;
        let stream = || format!("{} {}", event.aggregate_type, event.aggregate_id);
        if Leaf::from(event).hash() != *leaf_hash {
            let (position, sequence) = (event.position, event.sequence);
            return Err(Finding::Altered { number, position, stream: stream(), sequence });
        }
        let mut hasher = DefaultHasher::new();
        (&event.aggregate_type, &event.aggregate_id).hash(&mut hasher);
        let version = self.streams.entry(hasher.finish()).or_default();
        *version += 1;
        if *version != event.sequence {
            let (expected, found) = (*version, event.sequence);
            return Err(Finding::OutOfStream { number, position: event.position, stream: stream(), expected, found });
        }
        self.tree.push(*leaf_hash);
        let intact = self.reached.as_ref().map_or(0, |seal| seal.size);
        if let Some(seal) = self.kept.remove(&number)
            && seal.root != self.tree.root()
        {
            return Err(Finding::Replaced { intact: 0, size: seal.size });
        }
        if let Some(seal) = self.ahead.pop_front_if(|seal| seal.size == number) {
            if seal.root != self.tree.root() {
                return Err(Finding::Replaced { intact, size: seal.size });
            }
            self.seals += 1;
            self.reached = Some(seal);
        }
        Ok(())
    }

    /// After the last event.
    ///
    /// # Errors
    /// When more was sealed.
    pub fn finish(self) -> Result<Verdict, Finding> {
        match self.ahead.front().or_else(|| self.kept.values().next()) {
            Some(seal) => Err(Finding::CutOff { events: self.tree.size(), size: seal.size }),
            None => {
                Ok(Verdict { events: self.tree.size(), root: self.tree.root(), seals: self.seals, last: self.reached })
            }
        }
    }
}
