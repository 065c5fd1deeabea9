//! Validates one row of a file.

use chrono::{DateTime, Utc};
use kernel::{Checks, FieldError};

use crate::Import;
use crate::records::Record;
use crate::report::RowError;
use crate::sheet::{Field, Sheet};

/// Maximum bytes of a cell; fields have their own, smaller limits in characters.
const MAX_CELL: usize = 10_000;

/// Turns a record of the file into a row of the import, or into its errors.
pub(crate) fn read<I: Import>(
    import: &I,
    seen: &mut I::Seen,
    record: &Record<'_>,
    sheet: &Sheet<'_, I::Field>,
    now: DateTime<Utc>,
) -> Result<I::Row, Vec<RowError>> {
    let whole = |code: &str, detail: String| {
        Err(vec![RowError { line: record.line, column: None, code: code.to_owned(), detail }])
    };
    if record.broken {
        return whole(
            "broken_quotes",
            "the row has a quote in the wrong place; quote whole cells and double the quotes inside them".to_owned(),
        );
    }
    if record.width != sheet.columns().len() {
        return whole(
            "ragged_row",
            format!("the row has {} cells; the header has {}", record.width, sheet.columns().len()),
        );
    }
    let mut checks = Checks::default();
    let mut cells = Vec::with_capacity(record.cells.len());
    for (column, cell) in sheet.columns().iter().zip(&record.cells) {
        let Some(field) = column.field else { continue };
        cells.extend(text(&mut checks, field, cell).map(|text| (field, text)));
    }
    let row = import.row(record.line, cells, &mut checks, now);
    if checks.ok() {
        import.again(seen, &row, &mut checks);
    }
    let errors = checks.into_errors();
    if errors.is_empty() { Ok(row) } else { Err(placed(errors, record.line, sheet)) }
}

/// A cell's trimmed text; `None` if it is empty or was refused.
fn text<F: Field>(checks: &mut Checks, field: F, cell: &str) -> Option<String> {
    let pointer = || format!("/{}", field.name());
    if cell.len() > MAX_CELL {
        checks.refuse(
            pointer(),
            "cell_too_long",
            format!("the cell has {} bytes; at most {MAX_CELL} are allowed", cell.len()),
        );
        return None;
    }
    // Cells that spreadsheets would run as formulas are refused, except telephone numbers, which may begin with +. A text that an export
    // protected with an apostrophe is none.
    let text = cell.trim();
    let number = field.is_telephone_number() && text.starts_with('+');
    if !number && kernel::is_formula(cell) {
        checks.refuse(
            pointer(),
            "formula",
            "a text can't begin with = + - @, a tab or a line break, because spreadsheets read it as a formula",
        );
        return None;
    }
    (!text.is_empty()).then(|| kernel::from_cell(text).to_owned())
}

/// Maps field errors to errors of the columns that the fields came from.
fn placed<F: Field>(errors: Vec<FieldError>, line: u64, sheet: &Sheet<'_, F>) -> Vec<RowError> {
    let mut placed: Vec<RowError> = Vec::with_capacity(errors.len());
    for error in errors {
        // The pointer may be deeper or shallower than a column: the column `street` is a member of `/address`.
        let column = error.pointer.rsplit('/').find_map(|name| sheet.header(name));
        // A refused cell counts as absent, so its field may also be reported as "empty". That second error is dropped.
        let said = placed.iter().any(|earlier| earlier.column == column);
        if !(said && error.code == "empty") {
            placed.push(RowError { line, column, code: error.code.to_owned(), detail: error.detail });
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use executor::{Command, Work};
    use kernel::{Caller, Clock, Refusal, SystemClock};
    use uuid::Uuid;

    use super::*;
    use crate::{ImportReport, Taken, none_taken};

    /// An import of people with a name, an address and a telephone number.
    struct People;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Of {
        Name,
        Email,
        Phone,
    }

    impl Field for Of {
        const ALL: &'static [Self] = &[Self::Name, Self::Email, Self::Phone];
        const REQUIRED: &'static [Self] = &[Self::Name];
        const OF: &'static str = "a person";

        fn name(self) -> &'static str {
            match self {
                Self::Name => "name",
                Self::Email => "email",
                Self::Phone => "phone",
            }
        }

        fn is_telephone_number(self) -> bool {
            self == Self::Phone
        }
    }

    /// A command that is never executed: these tests write nothing.
    struct Never;

    impl Command for Never {
        const PERMISSION: &'static str = "crm:import:write";
        type Answer = Taken;

        async fn run(&self, _: &mut Work<'_>) -> Result<Taken, Refusal> {
            Err(none_taken(&[]))
        }
    }

    struct NeverComplete;

    impl Command for NeverComplete {
        const PERMISSION: &'static str = "crm:import:write";
        type Answer = ImportReport;

        async fn run(&self, _: &mut Work<'_>) -> Result<ImportReport, Refusal> {
            Err(none_taken(&[]))
        }
    }

    static NO_MAPPING: BTreeMap<String, String> = BTreeMap::new();

    impl Import for People {
        type Field = Of;
        type Row = Vec<(Of, String)>;
        type Seen = HashSet<String>;
        type Chunk = Never;
        type Complete = NeverComplete;

        fn mapping(&self) -> &BTreeMap<String, String> {
            &NO_MAPPING
        }

        fn allow(&self, _: &Caller, _: &Sheet<'_, Of>) -> Result<(), Refusal> {
            Ok(())
        }

        fn row(&self, _: u64, cells: Vec<(Of, String)>, checks: &mut Checks, _: DateTime<Utc>) -> Self::Row {
            let of = |wanted| cells.iter().find(|(field, _)| *field == wanted).map(|(_, text)| text.as_str());
            checks.line("/name", of(Of::Name).unwrap_or_default(), 1..=200);
            if let Some(email) = of(Of::Email) {
                checks.email("/email", email);
            }
            if let Some(phone) = of(Of::Phone) {
                checks.phone("/phone", phone);
            }
            cells
        }

        fn again(&self, seen: &mut HashSet<String>, row: &Self::Row, checks: &mut Checks) {
            if row.iter().any(|(field, text)| *field == Of::Email && !seen.insert(text.clone())) {
                checks.refuse("/email", "duplicate_in_file", "the file has this e-mail address more than once");
            }
        }

        fn chunk(&self, _: Option<Uuid>, _: Vec<Self::Row>) -> Never {
            Never
        }

        fn complete(&self, _: ImportReport) -> NeverComplete {
            NeverComplete
        }
    }

    type Said = Vec<(u64, Option<String>, String)>;

    fn rows(lines: &str) -> Vec<Result<usize, Said>> {
        let csv = format!("Name,email,phone\n{lines}\n");
        let sheet = Sheet::<Of>::read(csv.as_bytes(), &NO_MAPPING, 100).unwrap();
        let mut seen = HashSet::new();
        let read = |record| read(&People, &mut seen, &record, &sheet, SystemClock.now());
        let rows = sheet.records.clone().flatten().map(read);
        let said = |error: RowError| (error.line, error.column, error.code);
        rows.map(|row| row.map(|cells| cells.len()).map_err(|errors| errors.into_iter().map(said).collect())).collect()
    }

    fn error(column: &str, code: &str) -> Vec<Result<usize, Said>> {
        vec![Err(vec![(2, Some(column.to_owned()), code.to_owned())])]
    }

    #[test]
    fn cells_are_trimmed_and_empty_ones_are_absent() {
        assert_eq!(rows(" Ada ,, \nGrace,grace@example.com,"), [Ok(1), Ok(2)]);
    }

    #[test]
    fn formulas_are_refused_but_telephone_numbers_are_not() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\"=HYPERLINK(\"\"x\"\")\""] {
            assert_eq!(rows(&format!("{cell},,")), error("Name", "formula"), "{cell:?}");
            assert_eq!(rows(&format!("Ada,{cell},")), error("email", "formula"), "{cell:?}");
        }
        assert_eq!(rows("Ada,,+4930123456"), [Ok(2)]);
        assert_eq!(rows("Ada,,=4930123456"), error("phone", "formula"));
        assert_eq!(rows("'=1+1,,'+4930123456"), [Ok(2)], "as text, as an export writes it");
    }

    #[test]
    fn a_cell_without_end_is_refused() {
        assert_eq!(rows(&format!("{},,", "x".repeat(10_001))), error("Name", "cell_too_long"));
    }

    #[test]
    fn a_row_of_another_width_or_with_broken_quotes_is_refused_as_a_whole() {
        let whole = |code: &str| vec![Err(vec![(2, None, code.to_owned())])];
        assert_eq!(rows("Ada"), whole("ragged_row"));
        assert_eq!(rows("Ada,,,"), whole("ragged_row"));
        assert_eq!(rows("\"Ada\"x,,"), whole("broken_quotes"));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_each_column_by_its_own_header() {
        let said = |column: &str, code: &str| (2, Some(column.to_owned()), code.to_owned());
        assert_eq!(
            rows(",nobody,=1"),
            [Err(vec![said("phone", "formula"), said("Name", "empty"), said("email", "email")])]
        );
        // A name that was refused is not reported as missing, too.
        assert_eq!(rows("=1,,"), error("Name", "formula"));
    }

    #[test]
    fn only_well_formed_rows_stand_in_the_way_of_later_ones() {
        let twice = (4, Some("email".to_owned()), "duplicate_in_file".to_owned());
        let read = rows(",ada@example.com,\nAda,ada@example.com,\nAda again,ada@example.com,");
        assert_eq!(read[1..], [Ok(2), Err(vec![twice])]);
        assert!(read[0].is_err());
    }
}
