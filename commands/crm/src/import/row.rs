//! One row of a file: a lead, or what is wrong with it.

use chrono::{DateTime, NaiveTime, Utc};
use crm_aggregates::{LeadDetails, LeadSource};
use kernel::{Checks, FieldError};

use super::RowError;
use super::records::Record;
use super::sheet::{Field, Sheet};
use crate::LeadFields;
use crate::values::{self, present};

/// The most bytes of one cell; fields have their own, smaller limits in characters.
const MAX_CELL: usize = 10_000;

/// A row that can become a lead.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) details: LeadDetails,
    pub(super) source: LeadSource,
    pub(super) owner: Option<String>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
}

/// The lead that a row stands for. `source`: where it came from if the row does not say; `now`: nothing occurred later.
pub(super) fn read(
    record: &Record<'_>,
    sheet: &Sheet<'_>,
    source: LeadSource,
    now: DateTime<Utc>,
) -> Result<Row, Vec<RowError>> {
    let whole = |code: &str, detail: String| {
        Err(vec![RowError { line: record.line, column: None, code: code.to_owned(), detail }])
    };
    if record.broken {
        return whole(
            "broken_quotes",
            "a quote stands where none may stand; quote whole cells, double quotes inside".to_owned(),
        );
    }
    if record.width != sheet.columns.len() {
        return whole("ragged_row", format!("{} cells; the header has {}", record.width, sheet.columns.len()));
    }
    let mut checks = Checks::default();
    let mut fields = LeadFields::default();
    let (mut said_source, mut owner, mut occurred_at) = (source, None, None);
    for (column, cell) in sheet.columns.iter().zip(&record.cells) {
        let Some(field) = column.field else { continue };
        let Some(text) = cell_text(&mut checks, field, cell) else { continue };
        match field {
            Field::Name => fields.name = text,
            Field::Company => fields.company = Some(text),
            Field::Title => fields.title = Some(text),
            Field::Email => fields.email = Some(text),
            Field::Phone => fields.phone = Some(text),
            Field::Country => fields.country = Some(text),
            Field::Source => said_source = lead_source(&mut checks, &text).unwrap_or(source),
            Field::Owner => owner = Some(text),
            Field::OccurredAt => occurred_at = moment(&mut checks, &text, now),
        }
    }
    let details = fields.check(&mut checks);
    let owner = present(owner.as_ref(), |text| checks.line("/owner", text, values::SUBJECT));
    let errors = checks.into_errors();
    if errors.is_empty() {
        return Ok(Row { details, source: said_source, owner, occurred_at });
    }
    Err(placed(errors, record.line, sheet))
}

/// A cell's text; none: it is empty, or refused.
fn cell_text(checks: &mut Checks, field: Field, cell: &str) -> Option<String> {
    let pointer = || format!("/{}", field.name());
    if cell.len() > MAX_CELL {
        checks.refuse(pointer(), "cell_too_long", format!("{} bytes; allowed are {MAX_CELL}", cell.len()));
        return None;
    }
    // Nobody who fills in a sheet means a formula to be a name. A telephone number begins with + by right.
    let text = cell.trim();
    let number = field == Field::Phone && text.starts_with('+');
    if !number && kernel::is_formula(cell) {
        checks.refuse(
            pointer(),
            "formula",
            "a text can't begin with = + - @, a tab or a line break: spreadsheets take it for a formula",
        );
        return None;
    }
    (!text.is_empty()).then(|| text.to_owned())
}

fn lead_source(checks: &mut Checks, text: &str) -> Option<LeadSource> {
    let wire = text.to_lowercase().replace([' ', '-'], "_");
    let found = LeadSource::ALL.into_iter().find(|source| source.as_str() == wire);
    if found.is_none() {
        let allowed = LeadSource::ALL.map(LeadSource::as_str).join(", ");
        checks.refuse("/source", "source", format!("not a source; allowed: {allowed}"));
    }
    found
}

/// A time of RFC 3339, or a day: its beginning in UTC.
fn moment(checks: &mut Checks, text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let moment =
        kernel::read_time(text).or_else(|_| kernel::read_day(text).map(|day| day.and_time(NaiveTime::MIN).and_utc()));
    let Ok(moment) = moment else {
        checks.refuse(
            "/occurred_at",
            "time",
            "not a time of RFC 3339 like 2026-01-31T08:00:00Z, nor a day like 2026-01-31",
        );
        return None;
    };
    if moment > now {
        checks.refuse("/occurred_at", "occurred_in_future", format!("in the future; allowed is up to {now}"));
        return None;
    }
    values::day(checks, "/occurred_at", moment.date_naive());
    Some(moment)
}

/// Errors of fields as errors of the columns that they came from.
fn placed(errors: Vec<FieldError>, line: u64, sheet: &Sheet<'_>) -> Vec<RowError> {
    let mut placed: Vec<RowError> = Vec::with_capacity(errors.len());
    for error in errors {
        let column = sheet.header(error.pointer.trim_start_matches('/'));
        // A refused cell counts as absent; that the name is then "empty" is no second error.
        let said = placed.iter().any(|earlier| earlier.column == column);
        if !(said && error.code == "empty") {
            placed.push(RowError { line, column, code: error.code.to_owned(), detail: error.detail });
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kernel::{Clock, SystemClock};

    use super::*;

    const HEADER: &str = "Name,company,title,email,phone,country,source,owner,occurred_at";

    fn row(cells: &str) -> Result<Row, Vec<(Option<String>, String)>> {
        let csv = format!("{HEADER}\n{cells}\n");
        let sheet = Sheet::read(csv.as_bytes(), &BTreeMap::new(), 100_000).unwrap();
        let record = sheet.records.clone().next().unwrap().unwrap();
        assert_eq!(record.line, 2);
        read(&record, &sheet, LeadSource::Partner, SystemClock.now())
            .map_err(|errors| errors.into_iter().map(|error| (error.column, error.code)).collect())
    }

    fn error(column: &str, code: &str) -> Result<Row, Vec<(Option<String>, String)>> {
        Err(vec![(Some(column.to_owned()), code.to_owned())])
    }

    #[test]
    fn a_full_row_becomes_a_lead() {
        let row = row("Ada Lovelace,Engines Ltd,Countess,Ada@Example.com,+44 20 7946 0958,gb,Cold call,ada,2026-01-31")
            .unwrap();
        assert_eq!(row.details.email.unwrap().reveal(), "ada@example.com");
        assert_eq!(row.details.phone.unwrap().reveal(), "+442079460958");
        assert_eq!(row.details.country.as_deref(), Some("GB"));
        assert_eq!((row.source, row.owner.as_deref()), (LeadSource::ColdCall, Some("ada")));
        assert_eq!(row.occurred_at.unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
    }

    #[test]
    fn empty_cells_are_absent() {
        let row = row("Ada,,,,,,,,").unwrap();
        assert_eq!(row.details, LeadDetails { name: "Ada".to_owned().into(), ..LeadDetails::default() });
        assert_eq!((row.source, row.owner, row.occurred_at), (LeadSource::Partner, None, None));
    }

    #[test]
    fn each_wrong_cell_is_named_by_its_column() {
        let long = "x".repeat(10_001);
        for (cells, column, code) in [
            (",,,,,,,,", "Name", "empty"),
            ("Ada,,,nobody,,,,,", "email", "email"),
            ("Ada,,,,12345,,,,", "phone", "phone"),
            ("Ada,,,,,Atlantis,,,", "country", "country"),
            ("Ada,,,,,,rumour,,", "source", "source"),
            ("Ada,,,,,,,,yesterday", "occurred_at", "time"),
            ("Ada,,,,,,,,9999-01-01", "occurred_at", "occurred_in_future"),
            ("Ada,,,,,,,,0001-01-01", "occurred_at", "day_out_of_range"),
            ("Ada\u{0}x,,,,,,,,", "Name", "control_character"),
            ("Ada,\"two\nlines\",,,,,,,", "company", "control_character"),
            (&format!("{long},,,,,,,,"), "Name", "cell_too_long"),
            (&format!("Ada,{},,,,,,,", "x".repeat(201)), "company", "length"),
        ] {
            assert_eq!(row(cells), error(column, code), "{}", &cells[..cells.len().min(40)]);
        }
    }

    #[test]
    fn formulas_are_refused_but_telephone_numbers_are_not() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\"=HYPERLINK(\"\"x\"\")\""] {
            assert_eq!(row(&format!("{cell},,,,,,,,")), error("Name", "formula"), "{cell:?}");
            assert_eq!(row(&format!("Ada,{cell},,,,,,,")), error("company", "formula"), "{cell:?}");
        }
        assert!(row("Ada,,,,+4930123456,,,,").is_ok());
        assert_eq!(row("Ada,,,,=4930123456,,,,"), error("phone", "formula"));
    }

    #[test]
    fn a_row_of_another_width_or_with_broken_quotes_is_refused_as_a_whole() {
        let whole = |code: &str| Err(vec![(None, code.to_owned())]);
        assert_eq!(row("Ada"), whole("ragged_row"));
        assert_eq!(row("Ada,,,,,,,,,"), whole("ragged_row"));
        assert_eq!(row("\"Ada\"x,,,,,,,,"), whole("broken_quotes"));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let errors = row(",=1,,nobody,,,,,").unwrap_err();
        let columns: Vec<_> = errors.into_iter().filter_map(|(column, _)| column).collect();
        assert_eq!(columns, ["company", "Name", "email"]);
    }
}
