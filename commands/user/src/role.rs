//! Roles that a tenant defines.

use executor::{Command, Work};
use kernel::{Checks, Refusal};
use user_aggregates::{Role, RoleChanged, RoleCommand, RoleDefined, RoleId};

use crate::access::{self, Catalogue, existing_roles};
use crate::lengths;

/// The details of a role as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct RoleFields {
    /// Its display name.
    pub title: String,
    pub permissions: Vec<String>,
    /// The roles whose permissions it includes.
    pub includes: Vec<String>,
}

/// Defines a role.
#[derive(Clone, Debug)]
pub struct DefineRole {
    /// Its name in tokens and events: it never changes.
    pub name: String,
    pub fields: RoleFields,
    pub catalogue: Catalogue,
}

/// Replaces all details of a role.
#[derive(Clone, Debug)]
pub struct ChangeRole {
    pub name: String,
    pub fields: RoleFields,
    pub catalogue: Catalogue,
}

/// Retires a role: it has no permissions any more.
#[derive(Clone, Debug)]
pub struct RetireRole {
    pub name: String,
    pub catalogue: Catalogue,
}

impl RoleFields {
    fn check(&self, checks: &mut Checks, catalogue: &Catalogue) -> RoleChanged {
        let title = checks.line("/title", &self.title, lengths::NAME);
        for (place, permission) in self.permissions.iter().enumerate().take(lengths::PERMISSIONS) {
            if !catalogue.has(permission) {
                let detail =
                    format!("there is no permission {permission:?}; `GET /v1/user/permissions` lists all permissions");
                checks.refuse(format!("/permissions/{place}"), "permission_unknown", detail);
            }
        }
        let permissions = checks.distinct("/permissions", &self.permissions, lengths::PERMISSIONS);
        let includes = checks.distinct("/includes", &self.includes, lengths::ROLES);
        RoleChanged { title, permissions, includes }
    }
}

/// Refuses to change or retire a role that has permissions that the caller lacks: whoever has the role would lose them.
async fn authorize_change(work: &mut Work<'_>, name: &str, catalogue: &Catalogue) -> Result<(), Refusal> {
    access::require_within_own(work, catalogue, [name.to_owned()]).await
}

/// Refuses a role that includes itself, or permissions that the caller lacks.
async fn sound(work: &mut Work<'_>, name: &str, role: &RoleChanged, catalogue: &Catalogue) -> Result<(), Refusal> {
    let included = access::allowed(work, catalogue, role.includes.iter().cloned()).await?;
    if included.roles.contains(name) {
        return Err(Refusal::field("/includes", "circular", format!("the role {name} would include itself")));
    }
    work.caller().require_all(included.permissions.iter().map(String::as_str))?;
    let exceeding: Vec<&str> =
        role.permissions.iter().map(String::as_str).filter(|permission| !work.caller().may(permission)).collect();
    if exceeding.is_empty() {
        return Ok(());
    }
    let detail =
        format!("a role can't allow more than the caller's own permissions; here {}", kernel::abbreviate(&exceeding));
    Err(Refusal::forbidden("exceeds_own_permissions", detail).with("permissions", exceeding))
}

impl Command for DefineRole {
    const PERMISSION: &'static str = "user:role:write";
    type Answer = String;

    async fn run(&self, work: &mut Work<'_>) -> Result<String, Refusal> {
        let mut checks = Checks::default();
        let name = checks.role_name("/name", &self.name);
        if name.parse::<kernel::Role>().is_ok() {
            checks.refuse("/name", "built_in", format!("the role {name} is built in; choose another name"));
        }
        let fields = self.fields.check(&mut checks, &self.catalogue);
        checks.finish()?;
        let id = RoleId::of(work.caller().tenant(), &name);
        if work.find::<Role>(id).await?.is_some() {
            let detail =
                format!("there is already a role {name}, perhaps a retired one; choose another name, or change it");
            return Err(Refusal::conflict("already_exists", detail));
        }
        existing_roles(work, &self.fields.includes, "/includes").await?;
        sound(work, &name, &fields, &self.catalogue).await?;
        let RoleChanged { title, permissions, includes } = fields;
        let defined = RoleDefined { name: name.clone(), title, permissions, includes };
        work.create::<Role>(id, RoleCommand::Define(defined))?;
        Ok(name)
    }
}

impl Command for ChangeRole {
    const PERMISSION: &'static str = "user:role:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let fields = self.fields.check(&mut checks, &self.catalogue);
        checks.finish()?;
        let id = RoleId::of(work.caller().tenant(), &self.name);
        work.read::<Role>(id).await?;
        authorize_change(work, &self.name, &self.catalogue).await?;
        existing_roles(work, &self.fields.includes, "/includes").await?;
        sound(work, &self.name, &fields, &self.catalogue).await?;
        work.update::<Role>(id, RoleCommand::Change(fields)).await
    }
}

impl Command for RetireRole {
    const PERMISSION: &'static str = "user:role:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let id = RoleId::of(work.caller().tenant(), &self.name);
        work.read::<Role>(id).await?;
        authorize_change(work, &self.name, &self.catalogue).await?;
        work.update::<Role>(id, RoleCommand::Retire).await
    }
}
