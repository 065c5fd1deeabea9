//! Import of users from a CSV file.

use face::import::{ImportResult, Mapping, begin, take};
use face::operation::{EnqueueResult, ReadResult, find};
use face::{Authenticated, Example, Parameter, Purpose, Upload, Word, example};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::MetaSchema;
use schemars::JsonSchema;
use serde::Serialize;
use user_aggregates::{ImportBatch, ImportKind};
use user_commands::{IMPORT, UserImport};
use user_jobs::{IMPORT_USERS, ImportUsers};
use uuid::Uuid;

use super::{Service, Tag};

/// Operations on imports of users.
pub struct Imports {
    service: Service,
}

impl Imports {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    /// The kind of import and its column mapping, from the query parameters.
    fn asked(&self, into: Query<Option<Parameter<Rows>>>, mapping: Query<Option<Parameter<Mapping>>>) -> UserImport {
        UserImport {
            kind: into.0.map(|Parameter(Rows(kind))| kind).unwrap_or_default(),
            mapping: mapping.0.map(|Parameter(Mapping(mapping))| mapping).unwrap_or_default(),
            age: None,
            requesters: self.service.subjects(),
        }
    }
}

/// An upload of a CSV file of users.
struct UserFile;

impl Purpose for UserFile {
    const PERMISSION: &'static str = IMPORT;
}

/// Whether rows are imported as users or as invitations, as a query parameter.
struct Rows(ImportKind);

impl Word for Rows {
    const NAME: &'static str = "into";

    fn schema() -> MetaSchema {
        MetaSchema { enum_items: vec!["users".into(), "invitations".into()], ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "users" => Ok(Self(ImportKind::Users)),
            "invitations" => Ok(Self(ImportKind::Invitations)),
            _ => Err(format!("rows can't be imported as {text:?}; allowed: users, invitations")),
        }
    }
}

/// A completed import of users.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserImport")]
struct ImportResource {
    /// Id of the import.
    id: Uuid,
    /// What the rows were imported as.
    kind: ImportKind,
    /// Number of rows in the file, without the header.
    rows: u64,
    /// Number of rows imported.
    taken: u64,
    /// Number of rows refused.
    refused: u64,
}

impl Example for ImportResource {
    fn example() -> Self {
        Self { id: example::id(1), kind: ImportKind::Users, rows: 250, taken: 248, refused: 2 }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl Imports {
    /// Get a completed import of users
    ///
    /// Needs the permission `user:import:read`.
    #[oai(path = "/v1/user/imports/:import", method = "get", operation_id = "getUserImport")]
    async fn get(&self, Authenticated(caller): Authenticated, import: Path<Uuid>) -> ReadResult<ImportResource> {
        let show = |state: &ImportBatch| {
            let ImportBatch { kind, rows, taken, refused } = *state;
            ImportResource { id: import.0, kind, rows, taken, refused }
        };
        find(&self.service.runtime, &caller, "user:import:read", import.0, show).await
    }

    /// Import users from a large CSV file in the background
    ///
    /// The file has the same format as for `POST /v1/user/users/import`, with up to 1,000,000 rows. Errors in the file as a whole are
    /// reported at once. `GET /v1/jobs/user/{id}` shows the progress and how many rows were imported or refused. When the job is completed,
    /// `GET /v1/jobs/user/{id}/output` lists the errors of single rows as CSV (line, column, code, detail). If the process is killed, the
    /// job resumes where it was; it can be cancelled and retried. The import grants only what the requester could grant when they asked for
    /// it and still can: the permissions of users and machines are checked again before every fifty rows. For a requester who is neither a
    /// user nor a machine, the permissions in their token count for one hour.
    #[oai(path = "/v1/user/imports", method = "post", operation_id = "startUserImport")]
    async fn start(
        &self,
        /// Import the rows as users, or as invitations that are sent by e-mail.
        into: Query<Option<Parameter<Rows>>>,
        /// Maps column headers to fields if they are named differently: `E-Mail:email,Rolle:roles`.
        mapping: Query<Option<Parameter<Mapping>>>,
        // The last parameter: the file is not read if another one is refused.
        upload: Upload<UserFile>,
    ) -> EnqueueResult {
        let import = self.asked(into, mapping);
        let arguments = ImportUsers::asked(&import, &upload.request.caller);
        begin(&self.service.runtime, &upload, &import, IMPORT_USERS, &arguments).await
    }

    /// Import users from a CSV file
    ///
    /// The file is UTF-8 with a header row. Columns for users: email, name, user_name, given_name, family_name, title, phone, street,
    /// locality, region, postal_code, country, picture, locale, time_zone, roles, groups. Columns for invitations: email, name, roles,
    /// groups. Roles are given by name, groups by name or id; separate several in one cell by semicolons. An invalid row is reported with
    /// its line number and the other rows are imported; an error in the file as a whole refuses all of it. A row is also invalid if its
    /// e-mail address or user name is already in use, in the directory or earlier in the file, or if it grants more than the caller may
    /// (`exceeds_own_permissions`).
    ///
    /// Also needs the permission `user:user:write`, or `user:invitation:write` for invitations. Send an `Idempotency-Key`: if an import is
    /// interrupted, sending the same file again with the same key resumes it. Without a key it starts over, and reports every row that was
    /// already imported as already existing.
    #[oai(path = "/v1/user/users/import", method = "post", operation_id = "importUsers")]
    async fn import(
        &self,
        /// Only validate: the answer shows what would be imported. Nothing is written and no e-mail is sent.
        dry_run: Query<Option<bool>>,
        /// Import the rows as users, or as invitations that are sent by e-mail.
        into: Query<Option<Parameter<Rows>>>,
        /// Maps column headers to fields if they are named differently: `E-Mail:email,Rolle:roles`.
        mapping: Query<Option<Parameter<Mapping>>>,
        // The last parameter: the file is not read if another one is refused.
        upload: Upload<UserFile>,
    ) -> ImportResult {
        let import = self.asked(into, mapping);
        take(&self.service.runtime, &upload, &import, dry_run.0.unwrap_or_default()).await
    }
}
