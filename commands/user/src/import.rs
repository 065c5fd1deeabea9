//! Import of users from a CSV file: what its columns are (`row`), and the commands that it is made of (`chunk`). How files are read
//! and taken is the crate `importing`'s.

mod chunk;
mod row;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use executor::Command;
use importing::{Field, Import, ImportReport, Sheet};
use kernel::{Caller, Checks, Machines, Refusal};
use user_aggregates::ImportKind;
use uuid::Uuid;

use crate::{Catalogue, InviteUser, RegisterUser};
pub use chunk::{CompleteUserImport, TakeUsers};
pub use row::{UserField, UserRow};

/// The permission for importing at all.
pub const IMPORT: &str = CompleteUserImport::PERMISSION;

/// What a file of users is to become, and how it is to be read.
#[derive(Clone, Debug)]
pub struct UserImport {
    /// Users at once, or invitations that are mailed.
    pub kind: ImportKind,
    /// Header in the file → field of the user (or `ignore`), for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// It is done later than it was asked for: then whoever asked gives no more than they can still give.
    pub later: Option<Later>,
    pub catalogue: Catalogue,
}

/// What it takes to tell later what whoever asked for an import may still do.
#[derive(Clone)]
pub struct Later {
    /// When they asked.
    pub asked_at: DateTime<Utc>,
    /// Who knows how it stands with those who are no users.
    pub machines: Arc<dyn Machines>,
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Later(asked at {})", self.asked_at)
    }
}

impl UserImport {
    /// What each row needs who does the same by hand.
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
    /// What each row before signs in with, and on which line it stands.
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
