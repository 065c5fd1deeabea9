//! Imports users from a CSV file: the columns and rows are in `row`, the commands in `chunk`. The crate `importing` reads the file and runs
//! the import.

mod chunk;
mod row;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use executor::Command;
use importing::{Field, Import, ImportReport, RequestAge, Sheet};
use kernel::{Caller, Checks, Refusal};
use user_aggregates::ImportKind;
use uuid::Uuid;

use crate::{InviteUser, RegisterUser, SubjectsInLog};
pub use chunk::{CompleteUserImport, TakeUsers};
pub use row::{UserField, UserRow};

/// The permission to import.
pub const IMPORT: &str = CompleteUserImport::PERMISSION;

/// An import of users.
#[derive(Clone, Debug)]
pub struct UserImport {
    /// Whether the rows become users immediately, or get invitations by mail.
    pub kind: ImportKind,
    /// Maps headers in the file to fields of the user (or `ignore`), for headers that differ from the name of the field.
    pub mapping: BTreeMap<String, String>,
    /// How long ago the import was requested, if a background job runs it: the requester's current permissions then limit what it may give.
    pub age: Option<RequestAge>,
    /// Looks up the requester of such an import, and what the roles of the rows allow.
    pub requesters: SubjectsInLog,
}

impl UserImport {
    /// The permission for one row: that of the corresponding single command.
    fn permission(&self) -> &'static str {
        match self.kind {
            ImportKind::Users => RegisterUser::PERMISSION,
            ImportKind::Invitations => InviteUser::PERMISSION,
        }
    }
}

impl Import for UserImport {
    type Field = UserField;
    type Row = UserRow;
    /// Login names of earlier rows, with their lines.
    type Seen = HashMap<String, u64>;
    type Chunk = TakeUsers;
    type Complete = CompleteUserImport;

    fn mapping(&self) -> &BTreeMap<String, String> {
        &self.mapping
    }

    fn allow(&self, caller: &Caller, sheet: &Sheet<'_, UserField>) -> Result<(), Refusal> {
        caller.require(self.permission())?;
        match self.kind {
            ImportKind::Users if !sheet.has(UserField::Name) => {
                let refusal = Refusal::invalid("csv_missing_column", "the column \"name\" is missing");
                Err(refusal.with("columns", vec!["name"]))
            }
            ImportKind::Users => Ok(()),
            ImportKind::Invitations => {
                let kept = |field: &UserField| UserField::OF_INVITATIONS.contains(field);
                let columns = sheet.columns().iter().filter(|column| column.field.is_some_and(|field| !kept(&field)));
                let columns: Vec<_> = columns.map(|column| column.header.clone()).collect();
                if columns.is_empty() {
                    return Ok(());
                }
                let detail = "invitations do not support these columns, because invited people enter this data themselves: leave them out, or map them to \"ignore\"";
                let allowed: Vec<_> = UserField::OF_INVITATIONS.iter().map(|field| field.name()).collect();
                let refusal = Refusal::invalid("csv_column_not_of_invitations", detail);
                Err(refusal.with("columns", columns).with("allowed", allowed))
            }
        }
    }

    fn row(&self, line: u64, cells: Vec<(UserField, String)>, checks: &mut Checks, _: DateTime<Utc>) -> UserRow {
        row::read(line, cells, self.kind, checks)
    }

    fn again(&self, seen: &mut HashMap<String, u64>, row: &UserRow, checks: &mut Checks) {
        row::again(seen, row, checks);
    }

    fn chunk(&self, import: Option<Uuid>, rows: Vec<UserRow>) -> TakeUsers {
        TakeUsers { import, rows, asked: self.clone() }
    }

    fn complete(&self, report: ImportReport) -> CompleteUserImport {
        CompleteUserImport { report, kind: self.kind }
    }
}
