//! Import of users from a CSV file.

use face::import::{Mapping, Report, begin, take};
use face::operation::{Asked, Done, Found, find};
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

/// The import of users.
pub struct Imports {
    service: Service,
}

impl Imports {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    /// What a file is to become and how it is to be read, as it was said.
    fn asked(&self, into: Query<Option<Parameter<Rows>>>, mapping: Query<Option<Parameter<Mapping>>>) -> UserImport {
        UserImport {
            kind: into.0.map(|Parameter(Rows(kind))| kind).unwrap_or_default(),
            mapping: mapping.0.map(|Parameter(Mapping(mapping))| mapping).unwrap_or_default(),
            later: None,
            catalogue: self.service.catalogue.clone(),
        }
    }
}

/// A file of users.
struct UserFile;

impl Purpose for UserFile {
    const PERMISSION: &'static str = IMPORT;
}

/// What the rows become.
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
            _ => Err(format!("{text:?} is not what rows can become; allowed: users, invitations")),
        }
    }
}

/// An import of users that is done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserImport")]
struct ImportResource {
    /// Its id.
    id: Uuid,
    /// What its rows became.
    kind: ImportKind,
    /// Rows in the file, without its header.
    rows: u64,
    /// Rows that were taken.
    taken: u64,
    /// Rows that were refused.
    refused: u64,
}

impl Example for ImportResource {
    fn example() -> Self {
        Self { id: example::id(1), kind: ImportKind::Users, rows: 250, taken: 248, refused: 2 }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl Imports {
    /// An import of users that is done
    ///
    /// Needs the permission `user:import:read`.
    #[oai(path = "/v1/user/imports/:import", method = "get", operation_id = "getUserImport")]
    async fn get(&self, Authenticated(caller): Authenticated, import: Path<Uuid>) -> Found<ImportResource> {
        let show = |state: &ImportBatch| {
            let ImportBatch { kind, rows, taken, refused } = *state;
            ImportResource { id: import.0, kind, rows, taken, refused }
        };
        find(&self.service.runtime, &caller, "user:import:read", import.0, show).await
    }

    /// Import users from a large CSV file, as a job
    ///
    /// The file is as for `POST /v1/user/users/import`, with up to 1,000,000 rows; what is wrong with it as a whole is refused at once.
    /// `GET /v1/jobs/user/{id}` tells how far it is, and what became of the rows; what is wrong with rows stands, line by line, in
    /// `GET /v1/jobs/user/{id}/output` (CSV: line, column, code, detail) when it is completed. It goes on where it was when a process is
    /// killed, and may be cancelled and retried. It gives nobody more than whoever asked could give when they asked, and still can: users
    /// and machines are looked up before every hundred rows. Of whom there is only a token's word, it is taken for an hour.
    #[oai(path = "/v1/user/imports", method = "post", operation_id = "startUserImport")]
    async fn start(
        &self,
        /// What the rows become: users at once, or invitations that are mailed.
        into: Query<Option<Parameter<Rows>>>,
        /// Headers of the file that are not named like the field: `E-Mail:email,Rolle:roles`.
        mapping: Query<Option<Parameter<Mapping>>>,
        // Last: a file is not read for nothing.
        upload: Upload<UserFile>,
    ) -> Asked {
        let import = self.asked(into, mapping);
        let arguments = ImportUsers::asked(&import, &upload.request.caller);
        begin(&self.service.runtime, &upload, &import, IMPORT_USERS, &arguments).await
    }

    /// Import users from a CSV file
    ///
    /// UTF-8 with a header row. Columns: email, name, user_name, given_name, family_name, title, phone, street, locality, region,
    /// postal_code, country, picture, locale, time_zone, roles, groups; of invitations email, name, roles, groups. Roles by name, groups by name or id, several of them in a cell
    /// between semicolons. What is wrong with a row is reported with its line, the other rows are taken; what is wrong with the
    /// file as a whole refuses all of it. A row is wrong, too, when somebody signs in with its address or name already, in the
    /// directory or further up in the file, and when it gives more than the caller may (`exceeds_own_permissions`).
    ///
    /// Needs `user:user:write` besides, or for invitations `user:invitation:write`. Send an Idempotency-Key: an import that was cut
    /// off goes on where it was when the same file comes again under the same key. Without one it begins anew, and says of each
    /// row that was taken that it is there already.
    #[oai(path = "/v1/user/users/import", method = "post", operation_id = "importUsers")]
    async fn import(
        &self,
        /// Only check: the answer is what would be done, and nothing is written or mailed.
        dry_run: Query<Option<bool>>,
        /// What the rows become: users at once, or invitations that are mailed.
        into: Query<Option<Parameter<Rows>>>,
        /// Headers of the file that are not named like the field: `E-Mail:email,Rolle:roles`.
        mapping: Query<Option<Parameter<Mapping>>>,
        // Last: a file is not read for nothing.
        upload: Upload<UserFile>,
    ) -> Done<Report> {
        let import = self.asked(into, mapping);
        take(&self.service.runtime, &upload, &import, dry_run.0.unwrap_or_default()).await
    }
}
