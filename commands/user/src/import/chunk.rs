//! The commands of an import of users: one for a chunk of rows, and one that records that the import is complete.

use std::collections::{BTreeSet, HashMap};

use executor::{ClaimKind, Command, Standing, Work};
use importing::{Field, ImportReport, RowError, Taken, none_taken};
use kernel::Refusal;
use user_aggregates::{
    GroupId, ImportBatch, ImportBatchCommand, ImportCompleted, ImportId, ImportKind, InvitationId, UserRegistered,
};
use uuid::Uuid;

use super::{UserField, UserImport, UserRow};
use crate::access::{exceeding, existing_role, group_roles};
use crate::invitation::{self, NewInvitation};
use crate::references::existing_group;
use crate::user::{LOGIN, begin};
use crate::{group, registration};

/// Registers or invites the users of a chunk in one append. Rows that can't be imported are reported and left out.
#[derive(Clone, Debug)]
pub struct TakeUsers {
    /// The import's id; `None` for its first chunk.
    pub(super) import: Option<Uuid>,
    pub(super) rows: Vec<UserRow>,
    pub(super) asked: UserImport,
}

/// Records that an import is complete, and its report as the answer to the request.
#[derive(Clone, Debug)]
pub struct CompleteUserImport {
    pub(super) report: ImportReport,
    pub(super) kind: ImportKind,
}

/// An error in a row: its field, code and detail.
#[derive(Clone, Debug)]
struct FieldFault {
    field: UserField,
    code: &'static str,
    detail: String,
}

/// The groups that a row names, or the error in its roles and groups.
type GroupsOrFault = Result<Vec<GroupId>, FieldFault>;

/// The results of lookups for all rows of a chunk together.
struct Lookups {
    /// Holders of the rows' login names.
    logins: HashMap<String, String>,
    /// Open invitations to the rows' addresses.
    invited: HashMap<String, String>,
    /// Open registrations of the rows' addresses, which the import replaces by invitations.
    registrations: HashMap<String, InvitationId>,
    /// Groups by name, lower case.
    groups: HashMap<String, GroupId>,
}

impl Command for TakeUsers {
    const PERMISSION: &'static str = "user:import:write";
    type Answer = Taken;

    async fn run(&self, work: &mut Work<'_>) -> Result<Taken, Refusal> {
        let permissions = self.current_permissions(work).await?;
        let found = Lookups::of(work, &self.rows, self.asked.kind).await?;
        let import = self.import.unwrap_or_else(|| work.new_id());
        let (mut taken, mut errors) = (0, Vec::new());
        // Many rows have the same roles and groups.
        let mut judged: HashMap<(&[String], &[String]), GroupsOrFault> = HashMap::new();
        for row in &self.rows {
            let asked = (row.roles.as_slice(), row.groups.as_slice());
            let verdict = if let Some(verdict) = judged.get(&asked) {
                verdict.clone()
            } else {
                let verdict = self.resolve_groups(work, row, &found, permissions.as_ref()).await?;
                judged.insert(asked, verdict.clone());
                verdict
            };
            let mut wrong = found.taken_logins(row);
            match verdict {
                Ok(groups) if wrong.is_empty() => {
                    self.take(work, row, groups, &found).await?;
                    taken += 1;
                }
                Ok(_) => {}
                Err(fault) => wrong.push(fault),
            }
            errors.extend(wrong.into_iter().map(|FieldFault { field, code, detail }| RowError {
                line: row.line,
                column: Some(field.name().to_owned()),
                code: code.to_owned(),
                detail,
            }));
        }
        if taken == 0 { Err(none_taken(&errors)) } else { Ok(Taken { import, taken, errors }) }
    }
}

impl TakeUsers {
    /// The requester's current permissions, if the import runs later than it was requested; `None` if those of the request still count.
    async fn current_permissions(&self, work: &mut Work<'_>) -> Result<Option<BTreeSet<String>>, Refusal> {
        let Some(age) = self.asked.age else { return Ok(None) };
        let subject = work.caller().subject().parse::<Uuid>();
        let standing = match subject {
            Ok(subject) => self.asked.requesters.standing(work, subject).await?,
            Err(_) => Standing::Unknown,
        };
        let needed = [Self::PERMISSION, self.asked.permission()];
        importing::current_permissions(standing, &needed, age)
    }

    /// Resolves the groups that a row names. Reports an error if a role or group does not exist or gives permissions that the requester
    /// lacks.
    async fn resolve_groups(
        &self,
        work: &mut Work<'_>,
        row: &UserRow,
        found: &Lookups,
        permissions: Option<&BTreeSet<String>>,
    ) -> Result<GroupsOrFault, Refusal> {
        for role in &row.roles {
            if let Some(wrong) = unknown(UserField::Roles, existing_role(work, role, "/roles").await)? {
                return Ok(Err(wrong));
            }
        }
        let mut groups = Vec::with_capacity(row.groups.len());
        let mut roles = row.roles.clone();
        for name in &row.groups {
            let Some(group) = name.parse().ok().or_else(|| found.groups.get(&name.to_lowercase()).copied()) else {
                let detail = format!("there is no group {name:?}");
                return Ok(Err(FieldFault { field: UserField::Groups, code: "not_found", detail }));
            };
            if let Some(wrong) = unknown(UserField::Groups, existing_group(work, group, "/groups").await)? {
                return Ok(Err(wrong));
            }
            roles.extend(group_roles(work, group).await?);
            groups.push(group);
        }
        groups.sort_unstable();
        groups.dedup();
        let exceeding = exceeding(work, &self.asked.requesters.catalogue, roles, permissions).await?;
        if exceeding.is_empty() {
            return Ok(Ok(groups));
        }
        let field = if row.roles.is_empty() { UserField::Groups } else { UserField::Roles };
        let detail =
            format!("they would have permissions that the requester does not have: {}", kernel::abbreviate(&exceeding));
        Ok(Err(FieldFault { field, code: "exceeds_own_permissions", detail }))
    }

    async fn take(
        &self,
        work: &mut Work<'_>,
        row: &UserRow,
        groups: Vec<GroupId>,
        found: &Lookups,
    ) -> Result<(), Refusal> {
        let UserRow { login, profile, roles, .. } = row.clone();
        match self.asked.kind {
            ImportKind::Users => {
                let invitation = None;
                let registered = UserRegistered { login, email_verified: false, profile, roles, groups, invitation };
                let user = work.new_id();
                begin(work, user, registered).await
            }
            ImportKind::Invitations => {
                let name = Some(profile.name).filter(|name| !name.reveal().is_empty());
                let email = login.email.into_inner();
                if let Some(before) = found.registrations.get(&email) {
                    registration::take_back(work, *before, &email).await?;
                }
                let new = NewInvitation { email, name, roles, groups, by_policy: false };
                invitation::send(work, new).map(drop)
            }
        }
    }
}

/// Turns a reference that does not exist into an error of the row. Any other refusal ends the import.
fn unknown(field: UserField, looked: Result<(), Refusal>) -> Result<Option<FieldFault>, Refusal> {
    let Err(refusal) = looked else { return Ok(None) };
    match refusal.errors() {
        [error, ..] => Ok(Some(FieldFault { field, code: error.code, detail: error.detail.clone() })),
        [] => Err(refusal),
    }
}

impl Lookups {
    async fn of(work: &mut Work<'_>, rows: &[UserRow], kind: ImportKind) -> Result<Self, Refusal> {
        let logins = rows.iter().flat_map(|row| row.login.names());
        let logins = owned(work.holders(&LOGIN, logins).await?);
        let (mut invited, mut registrations) = (HashMap::new(), HashMap::new());
        if kind == ImportKind::Invitations {
            let addresses = rows.iter().filter_map(|row| row.login.names().next());
            for (email, holder) in owned(work.holders(&invitation::EMAIL, addresses).await?) {
                match holder.parse() {
                    Ok(before) if registration::is_registration(work, before).await? => {
                        registrations.insert(email, before);
                    }
                    _ => _ = invited.insert(email, holder),
                }
            }
        }
        let names: BTreeSet<String> = rows.iter().flat_map(|row| &row.groups).map(|name| name.to_lowercase()).collect();
        let groups = work.holders(&group::NAME, names.iter().map(String::as_str)).await?;
        let groups = groups.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id.parse().ok()?))).collect();
        Ok(Self { logins, invited, registrations, groups })
    }

    /// Errors for login names of a row that are taken.
    fn taken_logins(&self, row: &UserRow) -> Vec<FieldFault> {
        let mut wrong = Vec::new();
        for (place, name) in row.login.names().enumerate() {
            let field = if place == 0 { UserField::Email } else { UserField::UserName };
            if let Some(holder) = self.logins.get(name) {
                wrong.push(taken(field, &LOGIN, holder));
            }
            if let Some(holder) = self.invited.get(name) {
                wrong.push(taken(field, &invitation::EMAIL, holder));
            }
        }
        wrong
    }
}

fn taken(field: UserField, kind: &ClaimKind, holder: &str) -> FieldFault {
    FieldFault { field, code: kind.code, detail: format!("{} (holder: {holder})", kind.detail) }
}

fn owned(held: HashMap<&str, String>) -> HashMap<String, String> {
    held.into_iter().map(|(value, holder)| (value.to_owned(), holder)).collect()
}

impl Command for CompleteUserImport {
    const PERMISSION: &'static str = "user:import:write";
    type Answer = ImportReport;

    async fn run(&self, work: &mut Work<'_>) -> Result<ImportReport, Refusal> {
        let ImportReport { rows, taken, refused, .. } = self.report;
        let import = self.report.import_id.map_or_else(|| work.new_id(), ImportId::new);
        let completed = ImportCompleted { kind: self.kind, rows, taken, refused };
        work.create::<ImportBatch>(import, ImportBatchCommand::Complete(completed))?;
        Ok(ImportReport { import_id: Some(import.uuid()), ..self.report.clone() })
    }
}
