//! Protection against privilege escalation: nobody may grant or withdraw permissions that they lack themselves, or control somebody who has
//! such permissions.
//!
//! A command makes these checks in each of its attempts. The append then fails if a machine that was checked has changed in the meantime,
//! and the next attempt checks it again. The permissions of roles and users are in the user service's log, and verified domains
//! in the directory, which the append here can't check; they are looked up in each attempt.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use auth_aggregates::Machine;
use executor::{DomainPolicy, Permissions, Work};
use kernel::{Caller, FieldError, MachineId, Refusal, UserId};
use uuid::Uuid;

use crate::saml_connection::one_spelling;

/// The limit of the permissions that a command's target may have. Targets beyond it are refused with `exceeds_own_permissions`.
#[derive(Clone)]
pub enum Reach {
    /// No limit, for commands of the installation itself or of its operator.
    Everything,
    /// The caller's own permissions, and the domains of the caller's tenant.
    Own {
        /// The permissions of roles and users.
        permissions: Arc<dyn Permissions>,
        /// The e-mail domains whose addresses identity providers may assert.
        domains: Arc<dyn DomainPolicy>,
    },
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "Everything",
            Self::Own { .. } => "Own",
        })
    }
}

impl Reach {
    /// Refuses to grant these roles if one of them does not exist or has permissions that the caller lacks. `pointer`: the JSON pointer of
    /// the role at an index.
    pub(crate) async fn to_give(
        &self,
        caller: &Caller,
        roles: &[String],
        pointer: impl Fn(usize) -> String,
    ) -> Result<(), Refusal> {
        let Self::Own { permissions, .. } = self else { return Ok(()) };
        let mut unknown = Vec::new();
        for (index, name) in roles.iter().enumerate() {
            if !permissions.is_role(caller.tenant(), name).await? {
                let detail = format!("there is no role {name:?}");
                unknown.push(FieldError::new(pointer(index), "not_found", detail));
            }
        }
        if !unknown.is_empty() {
            return Err(Refusal::references(unknown));
        }
        self.over_roles(caller, roles).await
    }

    /// The permissions of roles and users, if any of them can exceed the caller's.
    ///
    /// Nothing exceeds those of administrators, so what they act on is not looked up: roles that include too many others to be resolved
    /// keep nobody out of their reach.
    async fn limit(&self, caller: &Caller) -> Result<Option<&Arc<dyn Permissions>>, Refusal> {
        let Self::Own { permissions, .. } = self else { return Ok(None) };
        let of_administrators = permissions.of_administrators(caller.tenant()).await?;
        Ok(if caller.may_all(of_administrators) { None } else { Some(permissions) })
    }

    /// Refuses to control something that grants these roles if they have permissions that the caller lacks.
    pub(crate) async fn over_roles(&self, caller: &Caller, roles: &[String]) -> Result<(), Refusal> {
        let Some(permissions) = self.limit(caller).await? else { return Ok(()) };
        caller.require_all(permissions.of_roles(caller.tenant(), roles).await?)
    }

    /// Refuses to change a machine, its roles or its credentials if it has permissions that the caller lacks. With `scopes`, only the
    /// permissions within these scopes count; without, all do. A machine that does not exist passes: the command itself refuses it.
    pub(crate) async fn over_machine(
        &self,
        work: &mut Work<'_>,
        machine: MachineId,
        scopes: &[String],
    ) -> Result<(), Refusal> {
        let Some(permissions) = self.limit(work.caller()).await? else { return Ok(()) };
        let Some(machine) = work.rely::<Machine>(machine).await? else { return Ok(()) };
        let caller = work.caller();
        let mut allowed = permissions.of_roles(caller.tenant(), &machine.roles).await?;
        if !scopes.is_empty() {
            allowed.retain(|permission| scopes.iter().any(|scope| kernel::covers(scope, permission)));
        }
        caller.require_all(allowed)
    }

    /// Refuses to act on a user who has permissions that the caller lacks.
    pub(crate) async fn over_user(&self, caller: &Caller, user: UserId) -> Result<(), Refusal> {
        let Some(permissions) = self.limit(caller).await? else { return Ok(()) };
        caller.require_all(permissions.of_user(caller.tenant(), user).await?)
    }

    /// Refuses to act on a token subject (a user or machine) that has permissions that the caller lacks.
    pub(crate) async fn over_subject(&self, work: &mut Work<'_>, subject: Uuid) -> Result<(), Refusal> {
        self.over_user(work.caller(), UserId::new(subject)).await?;
        self.over_machine(work, MachineId::new(subject), &[]).await
    }

    /// Refuses to let an identity provider assert addresses of e-mail domains that the tenant would have to verify first. Domains in
    /// `before`, which the provider already has, are exempt.
    pub(crate) async fn to_assert(&self, caller: &Caller, sent: &[String], before: &[String]) -> Result<(), Refusal> {
        let Self::Own { domains, .. } = self else { return Ok(()) };
        // Compared in one canonical form (IDNA), as both may be given in different spellings.
        let spelled = |domain: &str| one_spelling(domain).unwrap_or_else(|| domain.to_owned());
        let before: BTreeSet<_> = before.iter().map(|domain| spelled(domain)).collect();
        let mut unverified = Vec::new();
        for (index, domain) in sent.iter().enumerate() {
            let domain = kernel::folded(domain.trim());
            if !before.contains(&spelled(&domain)) && !domains.may_be_asserted(&domain, caller.tenant()).await? {
                let detail = "verify first that this domain is yours (POST /v1/user/domains)";
                unverified.push(FieldError::new(format!("/domains/{index}"), "domain_not_verified", detail));
            }
        }
        if unverified.is_empty() { Ok(()) } else { Err(Refusal::fields(unverified)) }
    }

    /// Refuses to control something that can act for any user, unless the caller has all permissions of administrators.
    pub(crate) async fn over_anybody(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(permissions) = self.limit(caller).await? else { return Ok(()) };
        caller.require_all(permissions.of_administrators(caller.tenant()).await?)
    }
}
