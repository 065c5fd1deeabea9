//! What the bearers of tokens may do, as the user service's log has it: people by their roles and groups, others by the roles
//! that their tokens name; roles by the tenant's definitions.
//!
//! It asks the log, not the read models: what was taken from somebody must not come back for as long as a view is late. Whoever
//! remembers an answer remembers with it what it rests on ([`EffectivePermissions::rests_on`]), and asks again when one of these changes
//! ([`touches`]). A role that there is not (yet) is among them too: its id follows from its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use executor::Executor;
use face::Addressee;
use kernel::{Aggregate, Caller, Grant, RecordedEvent, Refusal, TenantId, UserId};
use user_aggregates::{Group, Owners, Role, RoleId, User, UserStatus};
use uuid::Uuid;

use crate::mailed_links::addressee;

/// How many roles are looked at for one bearer, one including the other. Commands let no role include so many.
const MOST_ROLES: usize = 500;

/// What everybody may who is a user and may sign in, whatever their roles: see and change what is their own.
const OWN: &str = "user:self:write";

/// Looks up what bearers may do. Cheap to clone.
#[derive(Clone)]
pub struct Bearers {
    executor: Executor,
    /// Each permission that roles can have, and the built-in roles that have it.
    permissions: Arc<BTreeMap<&'static str, &'static [kernel::Role]>>,
}

/// What a bearer may do, and on what that rests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectivePermissions {
    /// What they may do.
    pub permissions: BTreeSet<&'static str>,
    /// The user, groups and roles that were looked at: when one of them changes, this may be another.
    pub rests_on: Vec<Uuid>,
}

impl Bearers {
    /// Over the user service's log; `grants` is the whole permission table.
    pub fn new(executor: Executor, grants: &[Grant]) -> Self {
        let permissions = grants.iter().filter(|grant| !grant.roles.is_empty());
        Self { executor, permissions: Arc::new(permissions.map(|grant| (grant.permission, grant.roles)).collect()) }
    }

    /// What a subject may do: a user of the tenant by the roles that they and their groups have now, whatever their token says;
    /// anybody else by the roles that it names.
    ///
    /// # Errors
    /// `user_inactive` for a user who may not sign in; else that it can't be told now.
    pub async fn of(&self, tenant: TenantId, subject: &str, named: &[String]) -> Result<EffectivePermissions, Refusal> {
        let asking = asking(tenant);
        let user = match subject.parse::<UserId>() {
            Ok(id) => self.executor.load::<User>(&asking, &id.to_string()).await?.map(|(user, _)| (id, user)),
            Err(_) => None,
        };
        let Some((id, user)) = user else { return self.with_roles(tenant, named).await };
        if user.status != UserStatus::Active {
            let detail = "the token's user can't sign in now: they are locked, deactivated or no longer a user";
            return Err(Refusal::unauthenticated("user_inactive", detail));
        }
        let mut effective = self.with_roles_of(tenant, &user).await?;
        effective.permissions.extend(self.permissions.get_key_value(OWN).map(|(permission, _)| *permission));
        effective.rests_on.push(id.uuid());
        Ok(effective)
    }

    /// What a user of the tenant may by the roles that they and their groups have now, whether they may sign in or not; nothing, if there is
    /// no such user.
    ///
    /// # Errors
    /// When it can't be told now.
    pub async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        match self.executor.load::<User>(&asking(tenant), &user.to_string()).await? {
            Some((user, _)) => Ok(self.with_roles_of(tenant, &user).await?.permissions),
            None => Ok(BTreeSet::new()),
        }
    }

    /// The owners of a tenant: its administrators who may sign in.
    ///
    /// # Errors
    /// When it can't be told now.
    pub async fn owners(&self, tenant: TenantId) -> Result<Vec<UserId>, Refusal> {
        let found = self.executor.load::<Owners>(&asking(tenant), &tenant.to_string()).await?;
        Ok(found.map(|(owners, _)| owners.users.iter().copied().collect()).unwrap_or_default())
    }

    /// Where mail for a user of the tenant goes; none: there is no such user, or they may not sign in.
    ///
    /// # Errors
    /// When it can't be told now.
    pub async fn addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<Addressee>, Refusal> {
        let found = self.executor.load::<User>(&asking(tenant), &user.to_string()).await?;
        Ok(found.map(|(user, _)| addressee(&user)).filter(|addressee| addressee.may_sign_in))
    }

    /// Whether there is a role of this name.
    ///
    /// # Errors
    /// When it can't be told now.
    pub async fn is_role(&self, tenant: TenantId, name: &str) -> Result<bool, Refusal> {
        if name.parse::<kernel::Role>().is_ok() {
            return Ok(true);
        }
        let found = self.executor.load::<Role>(&asking(tenant), &RoleId::of(tenant, name).to_string()).await?;
        Ok(found.is_some_and(|(role, _)| !role.retired))
    }

    async fn with_roles_of(&self, tenant: TenantId, user: &User) -> Result<EffectivePermissions, Refusal> {
        let (mut roles, mut rests_on) = (user.roles.clone(), Vec::new());
        for group in &user.groups {
            rests_on.push(group.uuid());
            if let Some((group, _)) = self.executor.load::<Group>(&asking(tenant), &group.to_string()).await?
                && !group.dissolved
            {
                roles.extend(group.roles.iter().cloned());
            }
        }
        let mut effective = self.with_roles(tenant, roles.iter()).await?;
        effective.rests_on.extend(rests_on);
        Ok(effective)
    }

    /// What these roles of a tenant allow together. A name that is no role's, or a retired one's, allows nothing.
    ///
    /// # Errors
    /// When it can't be told now.
    pub async fn with_roles(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = &String>,
    ) -> Result<EffectivePermissions, Refusal> {
        let asking = asking(tenant);
        let mut open: Vec<String> = names.into_iter().cloned().collect();
        let (mut seen, mut effective) = (BTreeSet::new(), EffectivePermissions::default());
        while let Some(name) = open.pop() {
            if seen.len() >= MOST_ROLES || !seen.insert(name.clone()) {
                continue;
            }
            if let Ok(built_in) = name.parse::<kernel::Role>() {
                let allowed = self.permissions.iter().filter(|(_, roles)| roles.contains(&built_in));
                effective.permissions.extend(allowed.map(|(permission, _)| *permission));
                continue;
            }
            let id = RoleId::of(tenant, &name);
            effective.rests_on.push(id.uuid());
            let found = self.executor.load::<Role>(&asking, &id.to_string()).await?;
            let Some((role, _)) = found.filter(|(role, _)| !role.retired) else { continue };
            // What there is no permission for any more is allowed to nobody.
            let allowed = role.permissions.iter().filter_map(|name| self.permissions.get_key_value(name.as_str()));
            effective.permissions.extend(allowed.map(|(permission, _)| *permission));
            open.extend(role.includes.iter().cloned());
        }
        Ok(effective)
    }
}

/// The user, group or role on which [`EffectivePermissions`] may rest, and which is another after this event.
pub fn touches(event: &RecordedEvent) -> Option<Uuid> {
    let step = event.change();
    let matters = match event.aggregate_type.as_str() {
        Role::TYPE => true,
        Group::TYPE => matches!(step, "role_granted" | "role_revoked" | "dissolved"),
        User::TYPE => matches!(
            step,
            "role_granted"
                | "role_revoked"
                | "group_joined"
                | "group_left"
                | "locked"
                | "unlocked"
                | "deactivated"
                | "reactivated"
                | "removed"
                | "erased"
        ),
        _ => false,
    };
    if matters { event.aggregate_id.parse().ok() } else { None }
}

/// In whose name it is looked: who reads an aggregate needs no permission, only its tenant.
fn asking(tenant: TenantId) -> Caller {
    Caller::holding(tenant, "gateway", BTreeSet::new())
}
