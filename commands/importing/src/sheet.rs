//! Checks of the file as a whole: encoding, header, number of rows. An error here refuses the file.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Refusal, composed};

use crate::records::{MAX_COLUMNS, Records, Unterminated};

/// The fields of a kind of row, each of which a column of the file can fill: an enum with a variant for each.
pub trait Field: Copy + Ord + Send + Sync + std::fmt::Debug + 'static {
    /// All fields, in the order in which messages list them.
    const ALL: &'static [Self];
    /// The fields for which the file must have a column.
    const REQUIRED: &'static [Self];
    /// The kind of row, for messages: `a lead`.
    const OF: &'static str;
    /// The headers by which an export of such rows is recognized: the file has all of them. In an export, those of them that are no fields
    /// are ignored; in another file they are unknown columns, because there somebody may expect that they are imported.
    const EXPORTED: &'static [&'static str] = &[];

    /// The field's name, which is the default header of its column.
    fn name(self) -> &'static str;

    /// Alternative headers.
    fn also(self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it is a telephone number, so that its cells may begin with `+`.
    fn is_telephone_number(self) -> bool {
        false
    }
}

fn named<F: Field>(name: &str) -> Option<F> {
    F::ALL.iter().copied().find(|field| field.name() == name || field.also().contains(&name))
}

fn names<F: Field>(fields: &[F]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name()).collect()
}

/// A column of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column<F> {
    /// The header as written in the file, [composed].
    pub header: String,
    /// Its field; `None` if the column is ignored.
    pub field: Option<F>,
}

/// A file whose header and encoding are valid, so that its rows can be read.
#[derive(Debug)]
pub struct Sheet<'a, F> {
    columns: Vec<Column<F>>,
    /// The rows, including blank ones. No quote in them is unterminated.
    pub(crate) records: Records<'a>,
    rows: u64,
}

impl<'a, F: Field> Sheet<'a, F> {
    /// Checks a file as a whole.
    ///
    /// # Errors
    /// Codes that begin with `csv_`: the file can't be read.
    pub fn read(csv: &'a [u8], mapping: &BTreeMap<String, String>, most_rows: u64) -> Result<Self, Refusal> {
        let mapping = by_composed_header(mapping)?;
        let known = |header: &str| {
            let header = composed(header);
            mapping.contains_key(&*header) || named::<F>(&header.to_lowercase()).is_some()
        };
        let mut records = Records::of(text(csv)?, known);
        let Some(header) = records.next() else {
            return Err(Refusal::invalid("csv_empty", "the file is empty; its first line must name the columns"));
        };
        let header = header.map_err(|error| unterminated(&error))?;
        if header.broken {
            let detail =
                "the header has a quote in the wrong place; quote whole cells and double the quotes inside them";
            return Err(Refusal::invalid("csv_broken_header", detail));
        }
        if header.width > MAX_COLUMNS {
            let detail = format!("the file has {} columns; at most {MAX_COLUMNS} are allowed", header.width);
            return Err(Refusal::invalid("csv_too_many_columns", detail));
        }
        let headers: Vec<_> = header.cells.iter().map(|cell| composed(cell.trim())).collect();
        let columns = columns(headers.iter().map(|header| &**header).collect(), &mapping)?;
        let rows = count(records.clone(), most_rows)?;
        Ok(Self { columns, records, rows })
    }

    /// The columns, from left to right.
    pub fn columns(&self) -> &[Column<F>] {
        &self.columns
    }

    /// Number of rows, without the header, empty lines and rows of empty cells.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there is a column for this field.
    pub fn has(&self, field: F) -> bool {
        self.columns.iter().any(|column| column.field == Some(field))
    }

    /// The header, as written in the file, of the column of the field `name`.
    pub fn header(&self, name: &str) -> Option<String> {
        let column = self.columns.iter().find(|column| column.field.is_some_and(|field| field.name() == name));
        column.map(|column| column.header.clone())
    }
}

/// A mapping by composed headers: who maps a header types it, perhaps in another form than the file has it in.
fn by_composed_header(mapping: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut fields = BTreeMap::new();
    for (header, field) in mapping {
        let header = composed(header).into_owned();
        if fields.contains_key(&header) {
            let detail = format!("the mapping names the column {:?} twice, in two forms of Unicode", shown(&header));
            return Err(Refusal::invalid("csv_mapping_column", detail));
        }
        fields.insert(header, field.clone());
    }
    Ok(fields)
}

fn text(csv: &[u8]) -> Result<&str, Refusal> {
    let refuse = |detail: String| Refusal::invalid("csv_encoding", detail);
    if is_utf16(csv) {
        return Err(refuse("the file is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)".to_owned()));
    }
    let csv = csv.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(csv);
    if csv.contains(&0) {
        return Err(refuse(
            "the file is not a text file: it has bytes that do not occur in text; send a CSV file in UTF-8".to_owned(),
        ));
    }
    let text = std::str::from_utf8(csv).map_err(|error| {
        let line = csv[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        refuse(format!(
            "line {line} is not UTF-8 (perhaps Latin-1 or Windows-1252); save the file as UTF-8 (in Excel: CSV UTF-8)"
        ))
        .with("line", line)
    })?;
    if text.contains('\r') && !text.contains('\n') {
        let detail = "the lines end with CR alone, as on old Macs; save the file with LF or CRLF line endings";
        return Err(Refusal::invalid("csv_line_ends", detail));
    }
    Ok(text)
}

/// Whether the bytes are UTF-16: they begin with a byte order mark, or every other one of the first 64 bytes is zero.
fn is_utf16(csv: &[u8]) -> bool {
    if csv.starts_with(b"\xFF\xFE") || csv.starts_with(b"\xFE\xFF") {
        return true;
    }
    let first = &csv[..csv.len().min(64) & !1];
    let (pairs, _) = first.as_chunks::<2>();
    let latin = |zero: usize| pairs.iter().all(|pair| pair[zero] == 0 && pair[1 - zero] != 0);
    !pairs.is_empty() && (latin(0) || latin(1))
}

fn columns<F: Field>(headers: Vec<&str>, mapping: &BTreeMap<String, String>) -> Result<Vec<Column<F>>, Refusal> {
    for (header, field) in mapping {
        if !headers.contains(&header.as_str()) {
            let detail = format!("the mapping names a column {:?} that the file does not have", shown(header));
            let columns: Vec<_> = headers.iter().copied().map(shown).collect();
            return Err(Refusal::invalid("csv_mapping_column", detail).with("columns", columns));
        }
        if field != "ignore" && named::<F>(field).is_none() {
            let detail = format!("the mapping names {:?}, which is not a field of {}", shown(field), F::OF);
            return Err(Refusal::invalid("csv_mapping_field", detail).with("allowed", names(F::ALL)));
        }
    }
    let exported = is_export::<F>(&headers);
    let mut columns = Vec::with_capacity(headers.len());
    let mut unknown = Vec::new();
    for header in headers {
        let field = match mapping.get(header).map(String::as_str) {
            Some("ignore") => None,
            Some(field) => named(field),
            None => named(&header.to_lowercase()).or_else(|| {
                if !(exported && F::EXPORTED.contains(&header.to_lowercase().as_str())) {
                    unknown.push(shown(header));
                }
                None
            }),
        };
        columns.push(Column { header: shown(header), field });
    }
    if !unknown.is_empty() {
        let detail =
            format!("some columns are not fields of {}; rename them, map them, or map them to \"ignore\"", F::OF);
        let refusal = Refusal::invalid("csv_unknown_column", detail);
        return Err(refusal.with("columns", unknown).with("allowed", names(F::ALL)));
    }
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = columns.iter().filter_map(|column| column.field).filter(|field| !seen.insert(*field)).collect();
    if !twice.is_empty() {
        let twice = names(&twice);
        return Err(
            Refusal::invalid("csv_duplicate_column", "some fields have more than one column").with("columns", twice)
        );
    }
    let missing: Vec<F> = F::REQUIRED.iter().copied().filter(|field| !seen.contains(field)).collect();
    if !missing.is_empty() {
        let missing = names(&missing);
        let listed: Vec<_> = missing.iter().map(|name| format!("{name:?}")).collect();
        let detail = match &listed[..] {
            [one] => format!("the column {one} is missing"),
            several => format!("the columns {} are missing", several.join(", ")),
        };
        return Err(Refusal::invalid("csv_missing_column", detail).with("columns", missing));
    }
    Ok(columns)
}

/// Whether these are the headers of an export of such rows.
fn is_export<F: Field>(headers: &[&str]) -> bool {
    let has = |name: &&str| headers.iter().any(|header| header.eq_ignore_ascii_case(name));
    !F::EXPORTED.is_empty() && F::EXPORTED.iter().all(has)
}

fn count(records: Records<'_>, most: u64) -> Result<u64, Refusal> {
    let mut rows = 0;
    for record in records {
        rows += u64::from(!record.map_err(|error| unterminated(&error))?.is_blank());
        if rows > most {
            let detail = format!("the file has more than {most} rows; split it");
            return Err(Refusal::invalid("csv_too_many_rows", detail));
        }
    }
    if rows == 0 {
        return Err(Refusal::invalid("csv_empty", "the file has a header but no rows"));
    }
    Ok(rows)
}

fn unterminated(error: &Unterminated) -> Refusal {
    let detail = format!("the quote that opens on line {} is never closed", error.line);
    Refusal::invalid("csv_unterminated_quote", detail).with("line", error.line)
}

/// A header shortened to 100 characters and without control characters, for messages.
fn shown(header: &str) -> String {
    header.chars().take(100).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Part {
        Name,
        Email,
        Company,
    }

    impl Field for Part {
        const ALL: &'static [Self] = &[Self::Name, Self::Email, Self::Company];
        const REQUIRED: &'static [Self] = &[Self::Name];
        const OF: &'static str = "a lead";
        const EXPORTED: &'static [&'static str] = &["id", "email"];

        fn name(self) -> &'static str {
            match self {
                Self::Name => "name",
                Self::Email => "email",
                Self::Company => "company",
            }
        }

        fn also(self) -> &'static [&'static str] {
            if self == Self::Company { &["organization", "firm"] } else { &[] }
        }
    }

    type Sheet<'a> = super::Sheet<'a, Part>;

    fn code(csv: &[u8]) -> &'static str {
        Sheet::read(csv, &BTreeMap::new(), 100_000).unwrap_err().code()
    }

    fn utf16(text: &str, bom: bool) -> Vec<u8> {
        let bom = if bom { vec![0xFEFF] } else { vec![] };
        bom.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_file_that_cannot_be_read_as_a_whole_is_refused() {
        let many_rows = format!("name\n{}", "a\n".repeat(100_001));
        for (csv, expected) in [
            (&b""[..], "csv_empty"),
            (b"\xEF\xBB\xBF", "csv_empty"),
            (b"\n\n", "csv_empty"),
            (b"name\n", "csv_empty"),
            (b"name,email\n,\n,,\n", "csv_empty"),
            (&utf16("name\nAda\n", true), "csv_encoding"),
            (&utf16("name\nAda\n", false), "csv_encoding"),
            (b"name\nJos\xE9\n", "csv_encoding"),
            (b"\x7FE\0F\x02\x01\x01\0\0\0", "csv_encoding"),
            (b"M\0\x90\0\0\0\x04", "csv_encoding"),
            (b"name\rAda\rGrace\r", "csv_line_ends"),
            (b"name\n\"Ada\n", "csv_unterminated_quote"),
            (b"\"name\n", "csv_unterminated_quote"),
            (b"na\"me\nAda\n", "csv_broken_header"),
            (&vec![b','; 1_000_000], "csv_too_many_columns"),
            (many_rows.as_bytes(), "csv_too_many_rows"),
            (b"name,shoe_size\nAda,37\n", "csv_unknown_column"),
            (b"name,\nAda,\n", "csv_unknown_column"),
            (b"name,email,Name\nAda,a@b.c,x\n", "csv_duplicate_column"),
            (b"name,company,Firm\nAda,x,x\n", "csv_duplicate_column"),
            (b"email\na@b.c\n", "csv_missing_column"),
            (b"name;shoe_size\nAda;37\n", "csv_unknown_column"),
            (b"sep=;\r\n", "csv_empty"),
        ] {
            assert_eq!(code(csv), expected, "{:?}", String::from_utf8_lossy(&csv[..csv.len().min(40)]));
        }
    }

    #[test]
    fn a_wrong_encoding_is_said_with_its_line() {
        let refusal = Sheet::read(b"name\nAda\nJos\xE9\n", &BTreeMap::new(), 100_000).unwrap_err();
        assert_eq!(refusal.extra()["line"], 3);
    }

    #[test]
    fn a_file_that_is_no_text_is_not_taken_for_one_in_another_encoding() {
        let detail = |csv: &[u8]| Sheet::read(csv, &BTreeMap::new(), 100_000).unwrap_err().detail().to_owned();
        for binary in [&b"M\0\x90\0\0\0\x04\0\0\0"[..], b"\0asm\x01\0\0\0", b"PK\x03\x04\0\0"] {
            assert!(detail(binary).contains("not a text file"), "{binary:?}");
        }
        assert!(detail(&utf16("name\nAda\n", false)).contains("UTF-16"));
    }

    #[test]
    fn cells_may_be_separated_by_semicolons_or_tabs() {
        for csv in [
            &b"name;email\r\nAda;a@b.c\r\n"[..],
            b"name\temail\nAda\ta@b.c\n",
            b"\xEF\xBB\xBFsep=;\r\nname;email\r\nAda;a@b.c\r\n",
        ] {
            let sheet = Sheet::read(csv, &BTreeMap::new(), 100_000).unwrap();
            let fields: Vec<_> = sheet.columns.iter().map(|column| column.field).collect();
            assert_eq!((fields, sheet.rows), (vec![Some(Part::Name), Some(Part::Email)], 1));
        }
    }

    #[test]
    fn rows_that_a_spreadsheet_saved_empty_are_not_counted() {
        let sheet = Sheet::read(b"name,email\r\nAda,a@b.c\r\n,\r\nGrace,\r\n,\r\n,\r\n", &BTreeMap::new(), 2).unwrap();
        assert_eq!(sheet.rows, 2);
    }

    #[test]
    fn headers_are_found_whatever_their_case_behind_a_byte_order_mark() {
        let sheet = Sheet::read(b"\xEF\xBB\xBFName, EMAIL\nAda,a@b.c\n", &BTreeMap::new(), 100_000).unwrap();
        assert_eq!(sheet.columns.iter().map(|c| c.field).collect::<Vec<_>>(), [Some(Part::Name), Some(Part::Email)]);
        assert_eq!(sheet.rows, 1);
    }

    #[test]
    fn a_field_is_found_under_each_of_its_names() {
        let sheet = Sheet::read(b"name,Firm\nAda,Engines\n", &BTreeMap::new(), 100_000).unwrap();
        assert_eq!(sheet.columns.iter().map(|c| c.field).collect::<Vec<_>>(), [Some(Part::Name), Some(Part::Company)]);
        assert_eq!(sheet.header("company").as_deref(), Some("Firm"), "errors name it as the file does");
    }

    #[test]
    fn what_only_an_export_has_is_ignored_in_one_and_unknown_in_another_file() {
        let sheet = Sheet::read(b"ID,name,email\n7,Ada,a@b.c\n", &BTreeMap::new(), 100_000).unwrap();
        let fields: Vec<_> = sheet.columns.iter().map(|column| column.field).collect();
        assert_eq!(fields, [None, Some(Part::Name), Some(Part::Email)]);
        assert_eq!(code(b"id,name\n7,Ada\n"), "csv_unknown_column");
        assert_eq!(code(b"id,name,email,shoe_size\n7,Ada,a@b.c,37\n"), "csv_unknown_column");
    }

    #[test]
    fn a_mapping_finds_a_header_in_whichever_form_either_is_written() {
        let forms = ["Pr\u{e9}nom", "Pre\u{301}nom"];
        for (mapped, header) in forms.into_iter().flat_map(|mapped| forms.map(|header| (mapped, header))) {
            let csv = format!("{header};email, old;email\nAda;;a@b.c\n");
            let mapping = [(mapped, "name"), ("email, old", "ignore")];
            let mapping = BTreeMap::from(mapping.map(|(header, field)| (header.to_owned(), field.to_owned())));
            let sheet = Sheet::read(csv.as_bytes(), &mapping, 100_000).unwrap();
            let fields: Vec<_> = sheet.columns.iter().map(|column| column.field).collect();
            assert_eq!(fields, [Some(Part::Name), None, Some(Part::Email)], "{mapped:?} {header:?}");
            assert_eq!(sheet.header("name").as_deref(), Some(forms[0]));
        }
    }

    #[test]
    fn a_header_that_is_mapped_in_two_forms_is_mapped_twice() {
        for fields in [["name", "email"], ["name", "name"], ["ignore", "name"]] {
            let forms = ["Pr\u{e9}nom", "Pre\u{301}nom"].map(str::to_owned);
            let mapping = forms.into_iter().zip(fields.map(str::to_owned)).collect();
            let refusal = Sheet::read("Pr\u{e9}nom\nAda\n".as_bytes(), &mapping, 100_000).unwrap_err();
            assert_eq!(refusal.code(), "csv_mapping_column");
            assert!(refusal.detail().contains("twice"), "{refusal}");
        }
    }

    #[test]
    fn a_mapping_renames_and_ignores_columns() {
        let mapping = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(header, field)| ((*header).to_owned(), (*field).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let csv = b"Full name,Shoe size\nAda,37\n";
        let sheet = Sheet::read(csv, &mapping(&[("Full name", "name"), ("Shoe size", "ignore")]), 100_000).unwrap();
        assert_eq!(sheet.columns.iter().map(|c| c.field).collect::<Vec<_>>(), [Some(Part::Name), None]);
        let csv_with_semicolons = b"Full name;Turnover, EUR;EMAIL\nAda;1,5;a@b.c\n";
        let ignored = mapping(&[("Full name", "name"), ("Turnover, EUR", "ignore")]);
        let sheet = Sheet::read(csv_with_semicolons, &ignored, 100_000).unwrap();
        assert_eq!(
            sheet.columns.iter().map(|c| c.field).collect::<Vec<_>>(),
            [Some(Part::Name), None, Some(Part::Email)]
        );
        let refused = |pairs| Sheet::read(csv, &mapping(pairs), 100_000).unwrap_err().code();
        assert_eq!(refused(&[("Surname", "name")]), "csv_mapping_column");
        let refusal = Sheet::read(csv, &mapping(&[("Surname", "name")]), 100_000).unwrap_err();
        assert_eq!(refusal.extra()["columns"], serde_json::json!(["Full name", "Shoe size"]), "which there are");
        assert_eq!(refused(&[("Full name", "surname")]), "csv_mapping_field");
    }
}
