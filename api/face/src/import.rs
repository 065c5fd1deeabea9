//! Imports of CSV files: runs an import while the caller waits or as a background job, and reports the result.

use std::collections::BTreeMap;

use executor::Done;
use import_jobs::ReadModelPace;
use importing::{Import, ImportReport, MOST_ROWS_OF_A_JOB, RowError};
use jobs::NewJob;
use kernel::{Position, Refusal, Service};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaResponses, Registry};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::operation::{EnqueueResult, Target};
use crate::{Example, Problem, Runtime, Unversioned, Upload, Word, answer, example, job_request, schema};

/// Maps the headers of a file to fields of the imported resource. Written as `E-Mail:email,Firma:company`; a header may contain commas.
#[derive(Clone, Debug, Default)]
pub struct Mapping(pub BTreeMap<String, String>);

/// The result of an import.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ImportReport")]
pub struct Report {
    /// The import's id. Absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    import_id: Option<Uuid>,
    /// Rows in the file, without its header.
    rows: u64,
    /// Rows that were imported, or in a dry run, rows that would be imported.
    taken: u64,
    /// Rows that were refused.
    refused: u64,
    /// The first 1,000 errors.
    errors: Vec<RowProblem>,
    /// The total number of errors.
    error_count: u64,
}

/// The answer to an import, or to a dry run of one.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AcceptedImportReport")]
struct AcceptedReport {
    #[serde(flatten)]
    report: Report,
    /// The version of the import, which is also its ETag. Absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The position of the log after the import. A query that is sent with `X-Min-Position: <service>=<position>` sees its
    /// result. Absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// 200: a file was imported, or only checked. A dry run has neither version nor position, because it wrote nothing.
#[derive(Debug)]
pub struct Imported {
    answer: AcceptedReport,
    service: Service,
    repeated: bool,
}

/// The response to an import.
pub type ImportResult = Result<Imported, Problem>;

/// An error in a row.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RowProblem {
    /// The line of the file on which the row begins, counted from 1.
    line: u64,
    /// The header of the column. Absent if the error concerns the whole row.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// A stable error code, for programs.
    code: String,
    /// An explanation for people: what was wrong and what is allowed.
    detail: String,
}

impl Example for Report {
    fn example() -> Self {
        let problem = RowProblem {
            line: 3,
            column: Some("email".to_owned()),
            code: "email".to_owned(),
            detail: "not an e-mail address like ada@example.com".to_owned(),
        };
        let errors = vec![problem];
        Self { import_id: Some(example::id(1)), rows: 2, taken: 1, refused: 1, errors, error_count: 1 }
    }
}

impl Example for AcceptedReport {
    fn example() -> Self {
        Self { report: Report::example(), version: Some(1), position: Some(1042) }
    }
}

impl Imported {
    fn new(service: Service, done: Done<ImportReport>, dry_run: bool) -> Self {
        let Position(position) = done.position;
        let (version, position) = if dry_run { (None, None) } else { (Some(done.version), Some(position)) };
        let answer = AcceptedReport { report: done.answer.into(), version, position };
        Self { answer, service, repeated: done.repeated }
    }
}

impl IntoResponse for Imported {
    fn into_response(self) -> Response {
        let AcceptedReport { version, position, .. } = self.answer;
        let written = (version.unwrap_or_default(), position.unwrap_or_default());
        answer::changed(&self.answer, self.service, written, self.repeated)
    }
}

impl poem_openapi::ApiResponse for Imported {
    fn meta() -> MetaResponses {
        schema::answer::<AcceptedReport>(200, "Done", &answer::CHANGED_HEADERS)
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<AcceptedReport>(registry);
    }
}

impl From<ImportReport> for Report {
    fn from(report: ImportReport) -> Self {
        let problem = |RowError { line, column, code, detail }| RowProblem { line, column, code, detail };
        let ImportReport { import_id, rows, taken, refused, errors, error_count } = report;
        Self { import_id, rows, taken, refused, errors: errors.into_iter().map(problem).collect(), error_count }
    }
}

impl Word for Mapping {
    const NAME: &'static str = "mapping";

    fn read(text: &str) -> Result<Self, String> {
        let (mut mapping, mut begins) = (BTreeMap::new(), 0);
        for (end, _) in text.match_indices(',').chain([(text.len(), "")]) {
            // A part without a colon is the beginning of a header that contains a comma.
            let Some((header, field)) = text[begins..end].rsplit_once(':') else { continue };
            let (header, field) = (header.trim().to_owned(), field.trim().to_owned());
            if mapping.contains_key(&header) {
                return Err(format!("the header {header:?} is named twice"));
            }
            mapping.insert(header, field);
            begins = end + 1;
        }
        match text.get(begins..) {
            Some(rest) => Err(format!("{rest:?} is not of the form <header>:<field>")),
            None => Ok(Self(mapping)),
        }
    }
}

/// Imports a file while the caller waits, no faster than the read models keep up. `dry_run`: only reports what would be imported.
pub async fn take<I: Import, P>(runtime: &Runtime, upload: &Upload<P>, import: &I, dry_run: bool) -> ImportResult {
    let (executor, request) = (&runtime.executor, &upload.request);
    let done = if dry_run {
        importing::dry_run(executor, request, &upload.bytes, import).await?
    } else {
        let pace = ReadModelPace::with(&runtime.read_models, request.caller.tenant());
        importing::import(executor, request, &upload.bytes, import, &pace).await?
    };
    Ok(Imported::new(runtime.service, done, dry_run))
}

/// Submits a job of this kind that imports a file. Errors that concern the file as a whole are refused at once.
pub async fn begin<I: Import, P>(
    runtime: &Runtime,
    upload: &Upload<P>,
    import: &I,
    kind: &str,
    arguments: &impl Serialize,
) -> EnqueueResult {
    let request = job_request(&upload.request)?;
    importing::check(&request.caller, &upload.bytes, import, MOST_ROWS_OF_A_JOB)?;
    let unwritable = |error: serde_json::Error| Refusal::internal("job_unwritable", error.to_string());
    let arguments = serde_json::to_value(arguments).map_err(unwritable)?;
    let job = NewJob { arguments, actor: request.caller.subject().to_owned(), run_at: None, unique: None };
    let done = runtime.jobs.submit_with(&request, kind, &job, &upload.bytes).await?;
    let unversioned = Unversioned::new(done.repeated, Target { id: done.id });
    Ok(unversioned.created(format!("/v1/jobs/{}/{}", runtime.service, done.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_names_headers_whatever_stands_in_them() {
        let read = |text: &str| Mapping::read(text).map(|Mapping(mapping)| mapping.into_iter().collect::<Vec<_>>());
        let pairs = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(header, field)| ((*header).to_owned(), (*field).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(read("E-Mail:email, Firma : company"), pairs(&[("E-Mail", "email"), ("Firma", "company")]));
        assert_eq!(
            read("Turnover, EUR:ignore,Firma:company"),
            pairs(&[("Firma", "company"), ("Turnover, EUR", "ignore")])
        );
        assert_eq!(read("a,b:c,d:name"), pairs(&[("a,b", "c"), ("d", "name")]));
        for (text, wrong) in [("", "\"\""), ("Firma", "\"Firma\""), ("a:b,Firma", "\"Firma\""), ("a:b,", "\"\"")] {
            let refused = read(text).unwrap_err();
            assert!(refused.starts_with(wrong) && refused.contains("<header>:<field>"), "{text:?}: {refused}");
        }
        assert!(read("a:b,a:c").unwrap_err().contains("named twice"));
    }
}
