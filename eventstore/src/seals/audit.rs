//! [`Audit`]: checks a history against its seals, event by event.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use kernel::{Leaf, LeafHash, Position, Tree};

use super::{Seal, SealedBy};
use crate::backup::StoredEvent;

/// The first difference between a history and what was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An event's bytes do not give the hash that its writer computed.
    Altered {
        /// Its number in the history, from 1.
        number: u64,
        /// Its position.
        position: Position,
        /// The aggregate's type and id.
        stream: String,
        /// Its number in the stream.
        sequence: u64,
    },
    /// An event is not the next one of its stream: one is missing, duplicated or misplaced.
    OutOfStream {
        /// Its number in the history, from 1.
        number: u64,
        /// Its position.
        position: Position,
        /// The aggregate's type and id.
        stream: String,
        /// The expected number in the stream.
        expected: u64,
        /// The event's number in the stream.
        found: u64,
    },
    /// A seal is not signed by a trusted key.
    NotSigned {
        /// The number of events that the seal covers.
        size: u64,
        /// The id of the key in the seal.
        key: String,
        /// The ids of the trusted keys.
        trusted: Vec<String>,
    },
    /// A seal names a trusted key, but does not have its signature: it was altered after it was signed.
    SealAltered {
        /// The number of events that the seal says it covers.
        size: u64,
        /// The id of the key in the seal.
        key: String,
    },
    /// A seal does not refer to the one before it: a seal was removed or inserted.
    NotNext {
        /// The number of events that the seal covers.
        size: u64,
    },
    /// The events up to a seal are not those that were sealed, although each of them matches its own hash: some were replaced, moved or
    /// removed together with their hashes.
    Replaced {
        /// How many events from the first on match a seal.
        intact: u64,
        /// The number of events that the seal covers.
        size: u64,
    },
    /// The history has fewer events than a seal covers.
    CutOff {
        /// The number of events.
        events: u64,
        /// The number of events that the seal covers.
        size: u64,
    },
    /// Two seals that somebody kept outside the log cover the same number of events and have different roots: they are of two histories,
    /// and no history matches both.
    TwoHistories {
        /// The number of events that both seals cover.
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
            Self::NotSigned { size, key, trusted } => write!(
                f,
                "the seal of {size} events is not signed by a trusted key (it names {key}; trusted: {})",
                trusted.join(", ")
            ),
            Self::SealAltered { size, key } => write!(
                f,
                "the seal of {size} events is not the one that was signed: its signature is not by {key}, which it names"
            ),
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
            Self::TwoHistories { size } => write!(
                f,
                "two seals of {size} events that were kept have different roots: both are signed, so there are two histories"
            ),
        }
    }
}

impl std::error::Error for Finding {}

/// Checks that one of these keys signed a seal.
///
/// # Errors
/// [`Finding::SealAltered`] if it names one of them, else [`Finding::NotSigned`].
pub fn check_signature(seal: &Seal, trusted: &[SealedBy]) -> Result<(), Finding> {
    if trusted.iter().any(|key| key.has_signed(seal)) {
        return Ok(());
    }
    let (size, key) = (seal.size, seal.key.clone());
    let trusted: Vec<_> = trusted.iter().map(SealedBy::id).collect();
    Err(if trusted.contains(&key) {
        Finding::SealAltered { size, key }
    } else {
        Finding::NotSigned { size, key, trusted }
    })
}

/// The result for a history without differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The number of events.
    pub events: u64,
    /// The root of the tree over all of them.
    pub root: LeafHash,
    /// The number of verified seals.
    pub seals: u64,
    /// The last of them; `None` if there are none.
    pub last: Option<Seal>,
}

impl Verdict {
    /// The number of events at the end that no seal covers yet.
    pub fn unsealed(&self) -> u64 {
        self.events - self.last.as_ref().map_or(0, |seal| seal.size)
    }
}

/// A running check of a history. Seals have to be passed before the events that they cover; both in order.
pub struct Audit {
    trusted: Vec<SealedBy>,
    tree: Tree,
    /// The version of each stream so far, by the hash of its type and id.
    streams: HashMap<u64, u64>,
    /// Seals that were passed, and whose last event was not reached yet.
    pending: VecDeque<Seal>,
    /// Seals that somebody kept outside the log and whose last event was not reached yet, by size.
    kept: BTreeMap<u64, Seal>,
    /// The last seal that was passed.
    known: Option<Seal>,
    /// The last seal whose last event was reached.
    reached: Option<Seal>,
    seals: u64,
}

impl Audit {
    /// Begins before the first event. `trusted` are the keys whose signatures are accepted.
    pub fn new(trusted: Vec<SealedBy>) -> Self {
        Self {
            trusted,
            tree: Tree::new(),
            streams: HashMap::new(),
            pending: VecDeque::new(),
            kept: BTreeMap::new(),
            known: None,
            reached: None,
            seals: 0,
        }
    }

    /// The number of events that the last passed seal covers. Before events beyond it are passed, the next seals have to be.
    pub fn sealed(&self) -> u64 {
        self.known.as_ref().map_or(0, |seal| seal.size)
    }

    /// The number of events that were passed.
    pub fn events(&self) -> u64 {
        self.tree.size()
    }

    /// Passes the next seal.
    ///
    /// # Errors
    /// If it is not signed by a trusted key, or does not refer to the previous seal.
    pub fn seal(&mut self, seal: Seal) -> Result<(), Finding> {
        check_signature(&seal, &self.trusted)?;
        let previous = self.known.as_ref().map_or([0; 32], Seal::digest);
        if seal.previous != previous || seal.size <= self.sealed() {
            return Err(Finding::NotNext { size: seal.size });
        }
        self.known = Some(seal.clone());
        self.pending.push_back(seal);
        Ok(())
    }

    /// Also requires that the history matches this seal, which was kept outside the log. It has to be passed before the last event that it
    /// covers. An attacker with access to the tables and to the signing could replace all seals in a log, but not those that were given
    /// away.
    ///
    /// # Errors
    /// If it is not signed by a trusted key, or contradicts another seal that was kept.
    pub fn require(&mut self, seal: Seal) -> Result<(), Finding> {
        check_signature(&seal, &self.trusted)?;
        // The later one must not take the earlier one's place: whoever sealed another history could have it compared with that alone.
        if self.kept.get(&seal.size).is_some_and(|kept| kept.root != seal.root) {
            return Err(Finding::TwoHistories { size: seal.size });
        }
        self.kept.insert(seal.size, seal);
        Ok(())
    }

    /// Passes the next event.
    ///
    /// # Errors
    /// If it differs from what its writer wrote, or the events up to it differ from a seal.
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
        if let Some(seal) = self.pending.pop_front_if(|seal| seal.size == number) {
            if seal.root != self.tree.root() {
                return Err(Finding::Replaced { intact, size: seal.size });
            }
            self.seals += 1;
            self.reached = Some(seal);
        }
        Ok(())
    }

    /// Ends after the last event.
    ///
    /// # Errors
    /// If a seal covers more events.
    pub fn finish(self) -> Result<Verdict, Finding> {
        match self.pending.front().or_else(|| self.kept.values().next()) {
            Some(seal) => Err(Finding::CutOff { events: self.tree.size(), size: seal.size }),
            None => {
                Ok(Verdict { events: self.tree.size(), root: self.tree.root(), seals: self.seals, last: self.reached })
            }
        }
    }
}
