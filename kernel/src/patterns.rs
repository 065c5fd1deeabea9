//! Patterns that select event types, such as those of a webhook subscription.

use std::fmt;

use crate::EventType;

/// A selection of event types: full names (`crm.lead.qualified`) or prefixes (`crm.lead.*`). An empty list selects every type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypePatterns(Vec<String>);

/// A malformed pattern, or one that no event type matches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{pattern:?} matches no event type; allowed are names such as crm.lead.qualified, and crm.lead.* for all below one"
)]
pub struct PatternError {
    /// The pattern's index in the list, from 0.
    pub index: usize,
    /// The pattern.
    pub pattern: String,
}

impl TypePatterns {
    /// Validates patterns. Each has to match at least one type of the catalogue: a misspelt one would silently never match.
    ///
    /// # Errors
    /// [`PatternError`], for the first pattern that matches nothing.
    pub fn new<T: AsRef<str>>(
        patterns: impl IntoIterator<Item = T>,
        catalogue: &[EventType],
    ) -> Result<Self, PatternError> {
        let mut kept: Vec<String> = Vec::new();
        for (index, pattern) in patterns.into_iter().enumerate() {
            let pattern = pattern.as_ref().trim();
            if !catalogue.iter().any(|known| matches(pattern, known.name)) {
                return Err(PatternError { index, pattern: pattern.to_owned() });
            }
            if !kept.iter().any(|known| known == pattern) {
                kept.push(pattern.to_owned());
            }
        }
        Ok(Self(kept))
    }

    /// Patterns that were validated before they were stored.
    pub const fn stored(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Whether events of this type are selected.
    pub fn wants(&self, event_type: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| matches(pattern, event_type))
    }

    /// The patterns; an empty list selects every type.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for TypePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("*") } else { f.write_str(&self.0.join(", ")) }
    }
}

fn matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with('.') && event_type.len() > prefix.len() && event_type.starts_with(prefix),
        None => pattern == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Vec<EventType> {
        let known = |name| EventType {
            aggregate_type: "crm.lead",
            name,
            version: 1,
            retired: false,
            schema: schemars::Schema::default(),
        };
        vec![known("crm.lead.captured"), known("crm.lead.qualified")]
    }

    #[test]
    fn names_and_whole_branches_match() {
        let wanted = TypePatterns::new(["crm.lead.qualified"], &catalogue()).unwrap();
        assert!(wanted.wants("crm.lead.qualified") && !wanted.wants("crm.lead.captured"));
        let branch = TypePatterns::new(["crm.lead.*", "crm.lead.*"], &catalogue()).unwrap();
        assert!(branch.wants("crm.lead.captured") && !branch.wants("crm.leader.captured"));
        assert_eq!(branch.as_slice(), ["crm.lead.*"]);
        assert!(TypePatterns::default().wants("crm.lead.captured"));
        assert!(TypePatterns::new(["*"], &catalogue()).unwrap().wants("erp.order.placed"));
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        for pattern in ["", "crm", "crm.lead", "crm.lead*", "crm.lead.qualified.*", "crm.leads.*", "*.qualified"] {
            assert!(
                TypePatterns::new(["crm.lead.*", pattern], &catalogue()).is_err_and(|error| error.index == 1),
                "{pattern}"
            );
        }
    }
}
