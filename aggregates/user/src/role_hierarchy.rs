//! The roles that roles include, directly or not.
//!
//! Each role's definition is an aggregate of its own, so a command that changes one cannot see what changes in others at that moment:
//! inclusions may form cycles, and may be very many. Whoever follows them does it with a [`RoleTraversal`], wherever the definitions come
//! from: the log in a command and for a token, read models for a past moment, or a change that is only tried out.

use std::collections::{BTreeSet, VecDeque};

use kernel::Refusal;

/// How many roles a command follows: those that it gives, takes or defines, and those that they include.
pub const MOST_INCLUDED_ROLES: usize = 200;

/// How many roles are resolved for one bearer, with those that they include. More than [`MOST_INCLUDED_ROLES`], because the included
/// roles may get more later.
pub const MOST_RESOLVED_ROLES: usize = 500;

/// Visits roles and all roles that they include, each once, until there are no more or a limit is reached.
///
/// The built-in ones of the given roles come first, then the others breadth first: whoever may change one of the given roles can't make it
/// include so many that the other given ones are not visited.
#[derive(Clone, Debug)]
pub struct RoleTraversal {
    open: VecDeque<String>,
    visited: BTreeSet<String>,
    limit: usize,
    truncated: bool,
}

/// Roles include too many others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("with the roles that they include, these are more than {limit} roles: include fewer, then try again")]
pub struct TooManyIncludedRoles {
    /// How many were allowed.
    pub limit: usize,
}

impl From<TooManyIncludedRoles> for Refusal {
    fn from(error: TooManyIncludedRoles) -> Self {
        Self::unprocessable("too_many_roles", error.to_string())
    }
}

impl RoleTraversal {
    /// Begins with these roles. At most `limit` roles are visited, these included.
    pub fn new(roles: impl IntoIterator<Item = String>, limit: usize) -> Self {
        let is_built_in = |role: &String| role.parse::<kernel::Role>().is_ok();
        let (built_in, own): (Vec<String>, Vec<String>) = roles.into_iter().partition(is_built_in);
        let open = built_in.into_iter().chain(own).collect();
        Self { open, visited: BTreeSet::new(), limit, truncated: false }
    }

    /// Visits these roles and all that they include, by definitions that are in memory: `includes` returns the roles that a role includes
    /// directly, or `None` if there is no such role.
    pub fn through<'r>(
        roles: impl IntoIterator<Item = String>,
        limit: usize,
        includes: impl Fn(&str) -> Option<&'r BTreeSet<String>>,
    ) -> Self {
        let mut traversal = Self::new(roles, limit);
        while let Some(role) = traversal.next_role() {
            traversal.include(includes(&role).into_iter().flatten().cloned());
        }
        traversal
    }

    /// The next role, which now counts as visited. If it includes others, [`include`](Self::include) takes them.
    pub fn next_role(&mut self) -> Option<String> {
        let next = loop {
            let role = self.open.pop_front()?;
            if !self.visited.contains(&role) {
                break role;
            }
        };
        if self.visited.len() >= self.limit {
            self.truncated = true;
            return None;
        }
        self.visited.insert(next.clone());
        Some(next)
    }

    /// Also visits these roles, after those that are known already.
    pub fn include(&mut self, roles: impl IntoIterator<Item = String>) {
        self.open.extend(roles);
    }

    /// Whether the limit was reached before all roles were visited.
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The roles that were visited so far. Whether they exist is not known here.
    pub const fn visited(&self) -> &BTreeSet<String> {
        &self.visited
    }

    /// All roles, after the last one was visited.
    ///
    /// # Errors
    /// There are more than the limit.
    pub fn finish(self) -> Result<BTreeSet<String>, TooManyIncludedRoles> {
        if self.truncated { Err(TooManyIncludedRoles { limit: self.limit }) } else { Ok(self.visited) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;

    type Definitions = BTreeMap<String, BTreeSet<String>>;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn through(definitions: &Definitions, roles: &[&str], limit: usize) -> RoleTraversal {
        RoleTraversal::through(names(roles), limit, |role| definitions.get(role))
    }

    #[test]
    fn roles_that_include_each_other_are_visited_once() {
        let definitions = Definitions::from([
            ("a".to_owned(), names(&["a", "b", "viewer"])),
            ("b".to_owned(), names(&["a", "c"])),
            ("c".to_owned(), names(&["nobody"])),
        ]);
        let all = names(&["a", "b", "c", "viewer", "nobody"]);
        assert_eq!(through(&definitions, &["a"], 5).finish(), Ok(all));
        assert_eq!(through(&definitions, &["c"], 5).finish(), Ok(names(&["c", "nobody"])));
        assert_eq!(through(&definitions, &[], 0).finish(), Ok(BTreeSet::new()));
    }

    #[test]
    fn a_role_that_includes_more_than_the_limit_hides_no_other_that_was_given() {
        let many: BTreeSet<String> = (0..9).map(|nth| format!("many{nth}")).collect();
        let definitions = Definitions::from([("a".to_owned(), many), ("b".to_owned(), names(&["c"]))]);
        let cut = through(&definitions, &["a", "b", "viewer"], 4);
        assert!(cut.is_truncated());
        assert_eq!(*cut.visited(), names(&["a", "b", "viewer", "many0"]));
        assert_eq!(cut.finish(), Err(TooManyIncludedRoles { limit: 4 }));
        // One that is known already is not one too many.
        let definitions = Definitions::from([("a".to_owned(), names(&["b"])), ("b".to_owned(), names(&["a", "b"]))]);
        assert_eq!(through(&definitions, &["a"], 2).finish(), Ok(names(&["a", "b"])));
    }

    /// All roles that these include, found in another way: until nothing is added any more.
    fn closure(definitions: &Definitions, roles: &BTreeSet<String>) -> BTreeSet<String> {
        let mut all = roles.clone();
        loop {
            let more: BTreeSet<String> =
                all.iter().filter_map(|role| definitions.get(role)).flatten().cloned().collect();
            if more.is_subset(&all) {
                return all;
            }
            all.extend(more);
        }
    }

    proptest! {
        #[test]
        fn exactly_the_included_roles_are_visited_as_far_as_the_limit_allows(
            definitions in btree_map("[a-h]", btree_set("[a-j]|viewer|admin", 0..4), 0..8),
            roles in btree_set("[a-j]|viewer|admin", 0..4),
            limit in 0_usize..13,
        ) {
            let all = closure(&definitions, &roles);
            let found = RoleTraversal::through(roles.clone(), limit, |role| definitions.get(role));
            prop_assert_eq!(found.is_truncated(), all.len() > limit);
            prop_assert_eq!(found.visited().len(), all.len().min(limit));
            prop_assert!(found.visited().is_subset(&all));
            prop_assert!(roles.len() > limit || roles.is_subset(found.visited()));
            let built_in: BTreeSet<String> = roles.into_iter().filter(|role| role.len() > 1).collect();
            prop_assert!(built_in.len() > limit || built_in.is_subset(found.visited()));
        }
    }
}
