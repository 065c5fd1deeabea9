//! The names by which jobs are listed: those of their kinds and queues, in one service or in several.

use std::collections::BTreeSet;

use crate::{Kinds, Listing};

/// The names of kinds and queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobNames {
    kinds: BTreeSet<&'static str>,
    queues: BTreeSet<&'static str>,
}

/// A filter of a list that no job can match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct UnknownName {
    /// The filter: `kind` or `queue`.
    pub filter: &'static str,
    /// What is allowed, for people.
    pub detail: String,
}

impl JobNames {
    /// The same names and those of one more kind.
    #[must_use]
    pub fn with(mut self, kind: &'static str, queue: &'static str) -> Self {
        self.kinds.insert(kind);
        self.queues.insert(queue);
        self
    }

    /// Checks the names in a list's filter. Lists check them only when they find nothing: jobs of a kind or queue that only an earlier
    /// version of the program had remain for some days.
    ///
    /// # Errors
    /// There is no kind or no queue of that name.
    pub fn check(&self, listing: &Listing) -> Result<(), UnknownName> {
        if let Some(kind) = listing.kind.as_deref().filter(|kind| !self.kinds.contains(*kind)) {
            return Err(UnknownName { filter: "kind", detail: self.no_kind(kind) });
        }
        if let Some(queue) = listing.queue.as_deref().filter(|queue| !self.queues.contains(*queue)) {
            return Err(UnknownName { filter: "queue", detail: self.no_queue(queue) });
        }
        Ok(())
    }

    /// Says that there is no kind of this name, and which there are.
    pub(crate) fn no_kind(&self, name: &str) -> String {
        format!("there are no {name:?} jobs; allowed: {}", list(&self.kinds))
    }

    /// Says that there is no queue of this name, and which there are.
    pub(crate) fn no_queue(&self, name: &str) -> String {
        format!("there is no queue {name:?}; allowed: {}", list(&self.queues))
    }
}

fn list(names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

impl From<&Kinds> for JobNames {
    fn from(kinds: &Kinds) -> Self {
        Self { kinds: kinds.names().into_iter().collect(), queues: kinds.queues().into_iter().collect() }
    }
}

/// Of several services.
impl FromIterator<Self> for JobNames {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), |mut together, names| {
            together.kinds.extend(names.kinds);
            together.queues.extend(names.queues);
            together
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_if_one_of_the_services_has_it_and_otherwise_all_are_named() {
        let services = [("export_leads", "exports"), ("import_users", "imports")];
        let names: JobNames = services.into_iter().map(|(kind, queue)| JobNames::default().with(kind, queue)).collect();
        let listing = |kind: &str, queue: &str| Listing {
            kind: Some(kind.to_owned()),
            queue: Some(queue.to_owned()),
            ..Listing::default()
        };
        assert_eq!(names.check(&Listing::default()), Ok(()));
        assert_eq!(names.check(&listing("import_users", "exports")), Ok(()));
        let unknown = |filter, detail: &str| Err(UnknownName { filter, detail: detail.to_owned() });
        assert_eq!(
            names.check(&listing("export", "x")),
            unknown("kind", "there are no \"export\" jobs; allowed: export_leads, import_users")
        );
        assert_eq!(
            names.check(&listing("export_leads", "x")),
            unknown("queue", "there is no queue \"x\"; allowed: exports, imports")
        );
        assert_eq!(
            JobNames::default().check(&listing("export", "x")),
            unknown("kind", "there are no \"export\" jobs; allowed: none")
        );
    }
}
