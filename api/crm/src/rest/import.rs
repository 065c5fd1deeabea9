//! Import of leads from a CSV file.

use crm_aggregates::{ImportBatch, LeadId, LeadSource, Revert};
use crm_commands::{BACKDATE, IMPORT, LeadImport, RequestImportRevert};
use crm_jobs::{IMPORT_LEADS, ImportLeads};
use crm_projections::leads;
use executor::Command as _;
use face::import::{ImportResult, Mapping, begin, take};
use face::operation::{ChangeResult, EnqueueResult, ReadResult, Target, change, find, id};
use face::{Authenticated, Command, Example, Parameter, Purpose, Runtime, Upload, Word, example};
use kernel::{Caller, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::MetaSchema;
use projector::read_models_unreadable;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::form;

/// The import of leads.
pub struct Imports {
    runtime: Runtime,
}

impl Imports {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// A lead of an import that is not on record, because it was interrupted or still runs.
    async fn lead_of(&self, caller: &Caller, import: Uuid) -> Result<Option<LeadId>, Refusal> {
        if self.runtime.executor.load::<ImportBatch>(caller, &import.to_string()).await?.is_some() {
            return Ok(None);
        }
        let service = self.runtime.service;
        let begun = self.runtime.read_models.begin(caller.tenant()).await;
        let mut tables = begun.map_err(|error| read_models_unreadable(service, &error))?;
        let found = leads::of_import(&mut tables, caller.tenant(), import).await;
        Ok(found.map_err(|error| read_models_unreadable(service, &error))?.map(LeadId::new))
    }
}

/// An upload of a CSV file of leads.
struct LeadFile;

impl Purpose for LeadFile {
    const PERMISSION: &'static str = IMPORT;
}

/// The source of the imported leads, as a query parameter.
struct Source(LeadSource);

/// The reason for reverting an import.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "the wrong file"}))]
struct Reverting {
    /// Free text.
    #[schemars(with = "form::Reason")]
    reason: String,
}

/// A completed import, or one that was reverted before it was completed. Of the latter all numbers are 0.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Import")]
struct ImportResource {
    /// Its id.
    id: Uuid,
    /// Rows in the file, without its header.
    rows: u64,
    /// Rows that were imported as leads.
    taken: u64,
    /// Rows that were refused.
    refused: u64,
    /// Whether the import was reverted: `none` (no), `requested` (in progress) or `done`.
    #[schemars(extend("enum" = ["none", "requested", "done"]))]
    revert: &'static str,
}

impl Example for ImportResource {
    fn example() -> Self {
        Self { id: example::id(1), rows: 250, taken: 248, refused: 2, revert: "none" }
    }
}

#[OpenApi(tag = "Tag::Leads")]
impl Imports {
    /// Get a completed import
    ///
    /// Needs the permission `crm:import:read`.
    #[oai(path = "/v1/crm/imports/:import", method = "get", operation_id = "getImport")]
    async fn get(&self, Authenticated(caller): Authenticated, import: Path<Uuid>) -> ReadResult<ImportResource> {
        find(&self.runtime, &caller, "crm:import:read", import.0, |state: &ImportBatch| ImportResource {
            id: import.0,
            rows: state.rows,
            taken: state.taken,
            refused: state.refused,
            revert: match state.revert {
                Revert::None => "none",
                Revert::Requested => "requested",
                Revert::Done => "done",
            },
        })
        .await
    }

    /// Revert an import
    ///
    /// Withdraws, in batches, all leads of the import that were not changed since; the other leads stay. It starts at once and
    /// continues in the background, as the saga `revert_import` whose key is this id. `GET /v1/sagas/crm?key=…` shows its
    /// progress. Cancelling the saga restores the leads. An import that was interrupted, or that still runs, is reverted in the
    /// same way as soon as the read models show one of its leads, and imports no further rows.
    #[oai(path = "/v1/crm/imports/:import/revert", method = "post", operation_id = "revertImport")]
    async fn revert(&self, import: Path<Uuid>, command: Command<Reverting>) -> ChangeResult<Target> {
        let Command { request, body: Reverting { reason } } = command;
        request.caller.require(RequestImportRevert::PERMISSION)?;
        let lead = self.lead_of(&request.caller, import.0).await?;
        change(&self.runtime, &request, import.0, RequestImportRevert { import: id(&import), reason, lead }).await
    }

    /// Start a job that imports leads from CSV
    ///
    /// The file has the same format as for `POST /v1/crm/leads/import` and up to 1,000,000 rows. A file that is invalid as a
    /// whole is refused at once. `GET /v1/jobs/crm/{id}` shows the progress and the numbers of rows imported and refused. When
    /// the job is completed, `GET /v1/jobs/crm/{id}/output` lists the errors of the rows (CSV: line, column, code, detail). If
    /// its process is killed, the job continues where it was. It can be cancelled and retried. It ends if its requester may not
    /// import any more: the permissions of users and machines are checked again before every fifty rows. For a requester who is
    /// neither a user nor a machine, the permissions in their token count for one hour. Needs the permission `crm:import:write`.
    #[oai(path = "/v1/crm/imports", method = "post", operation_id = "startImport")]
    async fn start(
        &self,
        /// Maps headers of the file to fields, for headers that differ from the field's name: `E-Mail:email,Firma:company`.
        mapping: Query<Option<Parameter<Mapping>>>,
        /// The source of rows that do not name one, such as `campaign`.
        source: Query<Option<Parameter<Source>>>,
        // The last parameter: the file is not read if another one is refused.
        upload: Upload<LeadFile>,
    ) -> EnqueueResult {
        let import = options(mapping, source);
        let LeadImport { mapping, source, .. } = import.clone();
        let asked = ImportLeads { mapping, source, backdate: upload.request.caller.may(BACKDATE) };
        begin(&self.runtime, &upload, &import, IMPORT_LEADS, &asked).await
    }

    /// Import leads from a CSV file
    ///
    /// The file is in UTF-8 and has a header row. Its cells are separated by commas, semicolons or tabs, the same in all rows.
    /// Columns: name, company, title, email, phone, country, source, owner, occurred_at (or captured_at; needs the permission
    /// crm:history:backdate), and for the postal address: street, locality (or city), region (or state), postal_code (or zip,
    /// postcode), address_country. The country of a row is also the country of its address, unless that has its own. A file of
    /// an export can be imported as it is; its columns id and status are ignored. Invalid rows, and rows whose owner has the id
    /// of nobody who can sign in now, are reported with their line number, and the other rows are imported. A file that is
    /// invalid as a whole is refused.
    ///
    /// Send an Idempotency-Key. If an import is interrupted, send the same file again with the same key, and the import
    /// continues where it was. Without a key it starts again, and leads that were already imported are imported twice.
    #[oai(path = "/v1/crm/leads/import", method = "post", operation_id = "importLeads")]
    async fn import(
        &self,
        /// If true, the file is only checked and nothing is written.
        dry_run: Query<Option<bool>>,
        /// Maps headers of the file to fields, for headers that differ from the field's name: `E-Mail:email,Firma:company`.
        mapping: Query<Option<Parameter<Mapping>>>,
        /// The source of rows that do not name one, such as `campaign`.
        source: Query<Option<Parameter<Source>>>,
        // The last parameter: the file is not read if another one is refused.
        upload: Upload<LeadFile>,
    ) -> ImportResult {
        take(&self.runtime, &upload, &options(mapping, source), dry_run.0.unwrap_or_default()).await
    }
}

/// The options of an import, from the query parameters.
fn options(mapping: Query<Option<Parameter<Mapping>>>, source: Query<Option<Parameter<Source>>>) -> LeadImport {
    LeadImport {
        mapping: mapping.0.map(|Parameter(Mapping(mapping))| mapping).unwrap_or_default(),
        source: source.0.map(|Parameter(Source(source))| source).unwrap_or_default(),
        ..LeadImport::default()
    }
}

impl Word for Source {
    const NAME: &'static str = "source";

    fn schema() -> MetaSchema {
        let names = LeadSource::ALL.map(|source| source.as_str().into()).to_vec();
        MetaSchema { enum_items: names, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        let found = LeadSource::ALL.into_iter().find(|source| source.as_str() == text);
        found.map(Self).ok_or_else(|| format!("{text:?} is not a source of leads"))
    }
}
