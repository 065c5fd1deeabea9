//! Import of leads from a CSV file.

use crm_aggregates::{ImportBatch, LeadSource, Revert};
use crm_commands::{BACKDATE, IMPORT, LeadImport, RequestImportRevert};
use crm_jobs::{IMPORT_LEADS, ImportLeads};
use face::import::{Mapping, Report, begin, take};
use face::operation::{Asked, Done, Found, Target, change, find, id};
use face::{Authenticated, Command, Example, Parameter, Purpose, Runtime, Upload, Word, example};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::MetaSchema;
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
}

/// A file of leads.
struct LeadFile;

impl Purpose for LeadFile {
    const PERMISSION: &'static str = IMPORT;
}

/// Where leads came from.
struct Source(LeadSource);

/// Why an import is taken back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "the wrong file"}))]
struct Reverting {
    /// In the caller's words.
    #[schemars(with = "form::Reason")]
    reason: String,
}

/// An import that is done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Import")]
struct ImportResource {
    /// Its id.
    id: Uuid,
    /// Rows in the file, without its header.
    rows: u64,
    /// Rows that became leads.
    taken: u64,
    /// Rows that were refused.
    refused: u64,
    /// Whether it is taken back: none, requested or done.
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
    /// An import that is done
    ///
    /// Needs the permission `crm:import:read`.
    #[oai(path = "/v1/crm/imports/:import", method = "get", operation_id = "getImport")]
    async fn get(&self, Authenticated(caller): Authenticated, import: Path<Uuid>) -> Found<ImportResource> {
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

    /// Take an import back
    ///
    /// Each of its leads that nobody touched is withdrawn, batch by batch; the others stay. It begins at once, and goes on by
    /// itself: the saga `revert_import` about this id shows how far it is (`GET /v1/sagas/crm?key=…`), and cancelling that
    /// restores the leads.
    #[oai(path = "/v1/crm/imports/:import/revert", method = "post", operation_id = "revertImport")]
    async fn revert(&self, import: Path<Uuid>, command: Command<Reverting>) -> Done<Target> {
        let request = RequestImportRevert { import: id(&import), reason: command.body.reason };
        change(&self.runtime, &command.request, import.0, request).await
    }

    /// Import leads from a large CSV file, as a job
    ///
    /// The file is as for `POST /v1/crm/leads/import`, with up to 1,000,000 rows; what is wrong with it as a whole is refused at once.
    /// `GET /v1/jobs/crm/{id}` tells how far it is, and what became of the rows; what is wrong with rows stands, line by line, in
    /// `GET /v1/jobs/crm/{id}/output` (CSV: line, column, code, detail) when it is completed. It goes on where it was when a process is
    /// killed, and may be cancelled and retried. Needs the permission `crm:import:write`.
    #[oai(path = "/v1/crm/imports", method = "post", operation_id = "startImport")]
    async fn start(
        &self,
        /// Headers of the file that are not named like the field: `E-Mail:email,Firma:company`.
        mapping: Query<Option<Parameter<Mapping>>>,
        /// Where rows without a source came from, such as `campaign`.
        source: Query<Option<Parameter<Source>>>,
        // Last: a file is not read for nothing.
        upload: Upload<LeadFile>,
    ) -> Asked {
        let import = options(mapping, source);
        let LeadImport { mapping, source } = import.clone();
        let asked = ImportLeads { mapping, source, backdate: upload.request.caller.may(BACKDATE) };
        begin(&self.runtime, &upload, &import, IMPORT_LEADS, &asked).await
    }

    /// Import leads from a CSV file
    ///
    /// UTF-8 with a header row; what separates its cells (commas, semicolons or tabs) does so in all rows. Columns: name, company,
    /// title, email, phone, country, source, owner, occurred_at (needs the permission crm:history:backdate); and of the address:
    /// street, locality (or city), region (or state), postal_code (or zip, postcode), to which the row's country belongs, too. What is
    /// wrong with a row is reported with its line, the other rows are taken; what is wrong with the file as a whole refuses all of it.
    ///
    /// Send an Idempotency-Key: an import that was cut off goes on where it was when the same file comes again under the same
    /// key. Without one it begins anew, and leads that were taken already are taken twice.
    #[oai(path = "/v1/crm/leads/import", method = "post", operation_id = "importLeads")]
    async fn import(
        &self,
        /// Only check: nothing is written.
        dry_run: Query<Option<bool>>,
        /// Headers of the file that are not named like the field: `E-Mail:email,Firma:company`.
        mapping: Query<Option<Parameter<Mapping>>>,
        /// Where rows without a source came from, such as `campaign`.
        source: Query<Option<Parameter<Source>>>,
        // Last: a file is not read for nothing.
        upload: Upload<LeadFile>,
    ) -> Done<Report> {
        take(&self.runtime, &upload, &options(mapping, source), dry_run.0.unwrap_or_default()).await
    }
}

/// How a file is to be read, as it was said.
fn options(mapping: Query<Option<Parameter<Mapping>>>, source: Query<Option<Parameter<Source>>>) -> LeadImport {
    LeadImport {
        mapping: mapping.0.map(|Parameter(Mapping(mapping))| mapping).unwrap_or_default(),
        source: source.0.map(|Parameter(Source(source))| source).unwrap_or_default(),
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
        found.map(Self).ok_or_else(|| format!("{text:?} is not a source"))
    }
}
