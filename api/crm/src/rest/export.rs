//! Export of leads as a CSV file.

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadSource, LeadStatus};
use crm_jobs::{EXPORT, EXPORT_LEADS, ExportLeads};
use face::{Command, Runtime, Unversioned};
use jobs::{Arguments, NewJob, Unique};
use kernel::{Checks, Refusal};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Tag;
use super::form;
use crate::SERVICE;
use face::operation::{EnqueueResult, Target};

/// The export of leads.
pub struct Exports {
    runtime: Runtime,
}

impl Exports {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// Maximum number of states and of sources that a request can name: each of them once.
const STATES: usize = LeadStatus::ALL.len();
const SOURCES: usize = LeadSource::ALL.len();

/// The leads to export. Omitted fields do not restrict the result.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"status": ["new", "qualified"], "source": ["referral"]}))]
struct LeadExport {
    /// Only leads with one of these statuses.
    #[serde(default)]
    #[schemars(length(max = STATES))]
    status: Option<Vec<LeadStatus>>,
    /// Only leads from one of these sources.
    #[serde(default)]
    #[schemars(length(max = SOURCES))]
    source: Option<Vec<LeadSource>>,
    /// Only leads of this responsible user, given as the subject of their token.
    #[serde(default)]
    #[schemars(with = "Option<form::Subject>")]
    owner: Option<String>,
    /// Only leads captured at or after this time.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    captured_from: Option<DateTime<Utc>>,
    /// Only leads captured before this time.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    captured_before: Option<DateTime<Utc>>,
}

#[OpenApi(tag = "Tag::Leads")]
impl Exports {
    /// Export leads as a CSV file
    ///
    /// Starts a background job. `GET /v1/jobs/crm/{id}` shows its progress; when it is completed, `GET
    /// /v1/jobs/crm/{id}/output` returns the file (UTF-8 with a header row, ordered by capture time, oldest first). Leads
    /// captured after this request are not included. The leads are read in batches of a thousand, each batch as the list of
    /// leads shows it at that time. While an export runs, the same request by the same caller returns the same job. Needs the
    /// permission `crm:lead:export`.
    #[oai(path = "/v1/crm/leads/export", method = "post", operation_id = "exportLeads")]
    async fn export(&self, command: Command<LeadExport>) -> EnqueueResult {
        let request = face::job_request(&command.request)?;
        request.caller.require(EXPORT)?;
        let LeadExport { status, source, owner, captured_from, captured_before } = command.body;
        let mut asked = ExportLeads { status, source, owner, captured_from, captured_before };
        let mut checks = Checks::default();
        asked.check(&mut checks, "");
        checks.finish()?;
        let unwritable = |error: serde_json::Error| Refusal::internal("job_unwritable", error.to_string());
        let arguments: Value = serde_json::to_value(&asked).map_err(unwritable)?;
        let actor = request.caller.subject().to_owned();
        let job =
            NewJob { unique: Some(Unique::by_key(format!("{actor} {arguments}"))), arguments, actor, run_at: None };
        let done = self.runtime.jobs.submit(&request, EXPORT_LEADS, &job).await?;
        let unversioned = Unversioned::new(done.repeated, Target { id: done.id });
        Ok(unversioned.created(format!("/v1/jobs/{SERVICE}/{}", done.id)))
    }
}
