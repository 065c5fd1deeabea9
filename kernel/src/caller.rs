//! The authenticated caller, the roles, and the permission checks.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Refusal, TenantId};

/// A role of a person or machine within its tenant. The [`Grant`] tables of the domains assign permissions to roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything within the tenant.
    Admin,
    /// Runs a team: reads and writes, reassigns, imports.
    Manager,
    /// Does the daily work.
    Member,
    /// Reads the read models.
    Viewer,
    /// Reads everything, history included; writes nothing.
    Auditor,
}

impl Role {
    /// All roles, in the order in which tables list them.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Manager, Self::Member, Self::Viewer, Self::Auditor];

    /// Allowed length of a role's name (a built-in role or one that a tenant defined), in characters.
    pub const NAME_LENGTH: RangeInclusive<usize> = 2..=50;

    /// Whether a text is allowed as the name of a role (built-in or defined by a tenant): lower-case letters, digits and `_`, beginning
    /// with a letter, with a length in [`NAME_LENGTH`](Self::NAME_LENGTH).
    pub fn is_name(text: &str) -> bool {
        Self::NAME_LENGTH.contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    /// The role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }

    /// The permissions that a permission table gives to this role.
    pub fn permissions<'g>(self, grants: impl IntoIterator<Item = &'g Grant>) -> impl Iterator<Item = &'static str> {
        grants.into_iter().filter(move |grant| grant.roles.contains(&self)).map(|grant| grant.permission)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("unknown role {text:?}; allowed: {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// One line of the permission table: a permission (`service:resource:action`), the roles that have it, and what it allows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Grant {
    /// The permission, for example `crm:lead:write`.
    pub permission: &'static str,
    /// The roles that have it.
    pub roles: &'static [Role],
    /// What the permission allows, in words.
    pub meaning: &'static str,
}

impl Grant {
    /// Whether a scope such as `crm:lead:read`, `crm:lead:*` or `crm:*` covers this permission.
    pub fn is_covered_by(&self, scope: &str) -> bool {
        covers(scope, self.permission)
    }
}

/// An authenticated caller. Commands and queries take their tenant only from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    tenant: TenantId,
    subject: Arc<str>,
    permissions: Arc<BTreeSet<&'static str>>,
    authenticated_at: Option<DateTime<Utc>>,
}

impl Caller {
    /// A caller whose token was verified. `grants` is the whole permission table; the caller gets the permissions of `roles`.
    pub fn new<'a>(
        tenant: TenantId,
        subject: impl Into<Arc<str>>,
        roles: &[Role],
        grants: impl IntoIterator<Item = &'a Grant>,
    ) -> Self {
        let permissions = grants
            .into_iter()
            .filter(|grant| grant.roles.iter().any(|role| roles.contains(role)))
            .map(|grant| grant.permission)
            .collect();
        Self { tenant, subject: subject.into(), permissions: Arc::new(permissions), authenticated_at: None }
    }

    /// A caller with exactly these permissions, for callers whose permissions were looked up elsewhere.
    pub fn holding(tenant: TenantId, subject: impl Into<Arc<str>>, permissions: BTreeSet<&'static str>) -> Self {
        Self { tenant, subject: subject.into(), permissions: Arc::new(permissions), authenticated_at: None }
    }

    /// The same caller, with the time of their last authentication, as their token states it.
    #[must_use]
    pub fn with_authenticated_at(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.authenticated_at = at;
        self
    }

    /// When the caller last authenticated. `None`: the caller is not a person who signs in, or the token does not state it.
    pub const fn authenticated_at(&self) -> Option<DateTime<Utc>> {
        self.authenticated_at
    }

    /// The same caller, reduced to the permissions that at least one of `scopes` covers: an empty list leaves none. `None`: no reduction.
    #[must_use]
    pub fn limited_to(mut self, scopes: Option<&[String]>) -> Self {
        if let Some(scopes) = scopes {
            let covered = |permission: &str| scopes.iter().any(|scope| covers(scope, permission));
            self.permissions = Arc::new(self.permissions.iter().copied().filter(|one| covered(one)).collect());
        }
        self
    }

    /// The tenant in whose name the caller acts.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The subject of the token: the id of a user or a machine.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether the caller has a permission.
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.contains(permission)
    }

    /// Whether the caller has all of these permissions.
    pub fn may_all<'p>(&self, permissions: impl IntoIterator<Item = &'p str>) -> bool {
        permissions.into_iter().all(|permission| self.may(permission))
    }

    /// Checks that the caller has `permission`.
    ///
    /// # Errors
    /// `permission_missing`.
    pub fn require(&self, permission: &'static str) -> Result<(), Refusal> {
        if self.may(permission) {
            return Ok(());
        }
        Err(Refusal::forbidden(
            "permission_missing",
            format!("this needs the permission {permission}, which none of the caller's roles gives"),
        )
        .with("permission", permission))
    }

    /// Checks that the caller has all of these permissions: before the caller gives or takes them, acts on somebody or something that has
    /// them, or decides what is left to those who have them. Nobody may act on permissions beyond their own.
    ///
    /// # Errors
    /// `exceeds_own_permissions`, which lists the permissions that the caller lacks.
    pub fn require_all<'p>(&self, permissions: impl IntoIterator<Item = &'p str>) -> Result<(), Refusal> {
        let exceeding: Vec<&str> = permissions.into_iter().filter(|permission| !self.may(permission)).collect();
        if exceeding.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "this needs permissions that the caller does not have ({}); ask an administrator",
            abbreviate(&exceeding)
        );
        let exceeding: Vec<String> = exceeding.into_iter().map(str::to_owned).collect();
        Err(Refusal::forbidden("exceeds_own_permissions", detail).with("permissions", exceeding))
    }
}

/// The first 20 of a list of permissions as text, and how many more there are.
pub fn abbreviate(permissions: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<&str> = permissions.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match permissions.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether a scope covers a permission: they are equal, or the scope is a prefix that ends in `:*`.
pub fn covers(scope: &str, permission: &str) -> bool {
    match scope.strip_suffix('*') {
        Some(beginning) => beginning.ends_with(':') && permission.starts_with(beginning),
        None => scope == permission,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_takes_away_and_never_gives() {
        let grant = |permission, roles| Grant { permission, roles, meaning: "" };
        let grants = [
            grant("crm:lead:read", &[Role::Viewer, Role::Admin]),
            grant("crm:lead:write", &[Role::Admin]),
            grant("crm:leader:read", &[Role::Viewer]),
            grant("auth:key:read", &[Role::Viewer]),
        ];
        #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
        let tenant = TenantId::vouched(uuid::Uuid::nil());
        let of = |scopes: Option<&[String]>| {
            let caller = Caller::new(tenant, "ada", &[Role::Viewer], &grants).limited_to(scopes);
            grants.iter().map(|grant| grant.permission).filter(|one| caller.may(one)).collect::<Vec<_>>()
        };
        let may = |scopes: &[&str]| of(Some(&scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>()));
        assert_eq!(of(None), ["crm:lead:read", "crm:leader:read", "auth:key:read"]);
        assert!(may(&[]).is_empty(), "a limit to nothing is a limit");
        assert_eq!(may(&["crm:lead:*"]), ["crm:lead:read"]);
        assert_eq!(may(&["crm:*"]), ["crm:lead:read", "crm:leader:read"]);
        assert_eq!(may(&["crm:lead:write", "auth:key:read"]), ["auth:key:read"]);
        for nothing in ["*", "crm*", "crm", ":*", "crm:lead"] {
            assert!(may(&[nothing]).is_empty(), "{nothing}");
        }
    }
}
