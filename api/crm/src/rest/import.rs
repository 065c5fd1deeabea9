//! Import of leads from a CSV file.

use std::collections::BTreeMap;
use std::time::Duration;

use crm_aggregates::{ImportBatch, ImportId, LeadSource, Revert};
use crm_commands::{
    BACKDATE, IMPORT, ImportOptions, ImportReport, MOST_ROWS_OF_A_JOB, Pace, RequestImportRevert, RowError,
    check_import, import_leads_in_step,
};
use crm_jobs::{IMPORT_LEADS, ImportLeads};
use face::{Authenticated, Changed, Command, Parameter, Purpose, Runtime, Upload, Word};
use jobs::NewJob;
use kernel::{Position, Refusal, TenantId};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::MetaSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::form;
use crate::SERVICE;
use face::operation::{Done, Found, Made, Target, change, find, id};

/// The import of leads.
pub struct Imports {
    runtime: Runtime,
}

impl Imports {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// How long an import waits for the read models, chunk by chunk. When they stand still it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// An import goes as fast as the read models take it in, so that they are not a file behind for everybody else.
struct ReadModels<'a> {
    runtime: &'a Runtime,
    tenant: TenantId,
}

impl Pace for ReadModels<'_> {
    async fn reached(&self, position: Position) {
        // Behind or not: it goes on.
        let _ = self.runtime.read_models.wait_for(self.tenant, position, PATIENCE).await;
    }
}

/// A file of leads.
struct LeadFile;

impl Purpose for LeadFile {
    const PERMISSION: &'static str = IMPORT;
}

/// Header in the file → field of the lead.
struct Mapping(BTreeMap<String, String>);

/// Where leads came from.
struct Source(LeadSource);

/// What became of a file.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ImportReport")]
struct Report {
    /// The import's id; absent: a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    import_id: Option<Uuid>,
    /// Rows in the file, without its header.
    rows: u64,
    /// Rows that became leads (dry run: that would have).
    taken: u64,
    /// Rows that were refused.
    refused: u64,
    /// Why; the first 1,000.
    errors: Vec<RowProblem>,
    /// How many errors there are in all.
    error_count: u64,
}

/// One thing that is wrong with one row.
#[derive(Debug, Serialize, JsonSchema)]
struct RowProblem {
    /// Line of the file on which the row begins, from 1.
    line: u64,
    /// The column's header; absent: the row as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// Stable, for programs.
    code: String,
    /// What was wrong and what is allowed, for people.
    detail: String,
}

impl From<ImportReport> for Report {
    fn from(report: ImportReport) -> Self {
        let problem = |RowError { line, column, code, detail }| RowProblem { line, column, code, detail };
        Self {
            import_id: report.import_id.map(ImportId::uuid),
            rows: report.rows,
            taken: report.taken,
            refused: report.refused,
            errors: report.errors.into_iter().map(problem).collect(),
            error_count: report.error_count,
        }
    }
}

/// Why an import is taken back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
    revert: &'static str,
}

#[OpenApi(tag = "Tag::Leads")]
impl Imports {
    /// An import that is done
    #[oai(path = "/v1/crm/imports/:import_id", method = "get", operation_id = "getImport")]
    async fn get(&self, Authenticated(caller): Authenticated, import_id: Path<Uuid>) -> Found<ImportResource> {
        find(&self.runtime, &caller, "crm:import:read", import_id.0, |state: &ImportBatch| ImportResource {
            id: import_id.0,
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
    #[oai(path = "/v1/crm/imports/:import_id/revert", method = "post", operation_id = "revertImport")]
    async fn revert(&self, import_id: Path<Uuid>, command: Command<Reverting>) -> Done<Target> {
        let request = RequestImportRevert { import: id(&import_id), reason: command.body.reason };
        change(&self.runtime, &command.request, import_id.0, request).await
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
    ) -> Made {
        let request = face::job_request(&upload.request)?;
        let caller = &request.caller;
        let options = ImportOptions {
            dry_run: false,
            mapping: mapping.0.map(|Parameter(Mapping(mapping))| mapping).unwrap_or_default(),
            source: source.0.map(|Parameter(Source(source))| source).unwrap_or_default(),
            most_rows: MOST_ROWS_OF_A_JOB,
        };
        check_import(caller, &upload.bytes, &options)?;
        let ImportOptions { mapping, source, .. } = options;
        let asked = ImportLeads { mapping, source, backdate: caller.may(BACKDATE) };
        let unwritable = |error: serde_json::Error| Refusal::internal("job_unwritable", error.to_string());
        let arguments = serde_json::to_value(&asked).map_err(unwritable)?;
        let job = NewJob { arguments, actor: caller.subject().to_owned(), run_at: None, unique: None };
        let done = self.runtime.jobs.submit_with(&request, IMPORT_LEADS, &job, &upload.bytes).await?;
        let changed = Changed::beside_the_log(SERVICE, done.repeated, Target { id: done.id });
        Ok(changed.created(format!("/v1/jobs/{SERVICE}/{}", done.id)))
    }

    /// Import leads from a CSV file
    ///
    /// UTF-8 with a header row. Columns: name, company, title, email, phone, country, source, owner, occurred_at (needs the
    /// permission crm:history:backdate). What is wrong with a row is reported with its line, the other rows are taken; what is
    /// wrong with the file as a whole refuses all of it.
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
        let options = ImportOptions {
            dry_run: dry_run.0.unwrap_or_default(),
            mapping: mapping.0.map(|Parameter(Mapping(mapping))| mapping).unwrap_or_default(),
            source: source.0.map(|Parameter(Source(source))| source).unwrap_or_default(),
            ..ImportOptions::default()
        };
        let pace = ReadModels { runtime: &self.runtime, tenant: upload.request.caller.tenant() };
        let executor = &self.runtime.executor;
        let done = import_leads_in_step(executor, &upload.request, &upload.bytes, &options, &pace).await?;
        Ok(Changed::new(SERVICE, done, Report::from))
    }
}

impl Word for Mapping {
    const NAME: &'static str = "mapping";

    fn read(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| match pair.rsplit_once(':') {
            Some((header, field)) => Ok((header.trim().to_owned(), field.trim().to_owned())),
            None => Err(format!("{pair:?} is not of the form <header>:<field>")),
        };
        text.split(',').map(pair).collect::<Result<_, _>>().map(Self)
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
