//! A strict CSV reader (RFC 4180): a misplaced quote marks the row as broken, where a lenient reader would guess. The one extension is the
//! separator, which may be a semicolon or a tab, because spreadsheets use these where numbers have a decimal comma.

use std::borrow::Cow;

/// Further cells of a row are counted but not kept.
pub(crate) const MAX_COLUMNS: usize = 100;

/// One row of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    /// Its cells, without their quotes; at most [`MAX_COLUMNS`].
    pub(crate) cells: Vec<Cow<'a, str>>,
    /// The number of cells, including those that were not kept.
    pub(crate) width: usize,
    /// Whether a quote is in a place where none is allowed.
    pub(crate) broken: bool,
}

impl Record<'_> {
    /// Whether all its cells are empty (`,,,`). Spreadsheets save such rows where somebody emptied one; they are ignored like empty lines.
    pub(crate) fn is_blank(&self) -> bool {
        !self.broken && self.width == self.cells.len() && self.cells.iter().all(|cell| cell.trim().is_empty())
    }
}

/// The error for a quote that is never closed, after which the rows can't be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unterminated {
    /// The line on which the quote was opened.
    pub(crate) line: u64,
}

/// An iterator over the rows of a text, without empty lines.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    rest: &'a str,
    line: u64,
    /// A character of one byte.
    separator: char,
}

/// The allowed separators.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// The separator and the line that declares it, if the file begins with such a line, as programs write it for Excel (`sep=;`).
fn declared_separator(text: &str) -> Option<(char, &str)> {
    let line = text.split_inclusive('\n').next()?;
    let said = line.strip_suffix('\n').unwrap_or(line);
    let said = said.strip_suffix('\r').unwrap_or(said);
    let separator = said.strip_prefix("sep=")?;
    SEPARATORS.into_iter().find(|allowed| separator.strip_prefix(*allowed) == Some("")).map(|found| (found, line))
}

/// Detects the separator: the one that splits the header into the most `known` columns, because the name of an unknown column may contain a
/// comma. On a tie: a comma, or the first semicolon or tab if the header has no comma.
fn detect_separator(text: &str, known: impl Fn(&str) -> bool) -> char {
    let columns = |separator: char| {
        let header = Records { rest: text, line: 1, separator }.next().and_then(Result::ok);
        header.map_or(0, |header| header.cells.iter().filter(|cell| known(cell.trim())).count())
    };
    let first = first_separator(text);
    let (mut most, mut best) = (columns(first), first);
    for separator in SEPARATORS {
        let found = columns(separator);
        if found > most {
            (most, best) = (found, separator);
        }
    }
    best
}

/// The separator in the header, outside quotes: a comma if it has one, otherwise the first semicolon or tab.
fn first_separator(text: &str) -> char {
    let (mut quoted, mut other) = (false, None);
    for c in text.trim_start_matches(['\r', '\n']).chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '\n' => break,
            ',' => return ',',
            ';' | '\t' => other = other.or(Some(c)),
            _ => {}
        }
    }
    other.unwrap_or(',')
}

impl<'a> Records<'a> {
    /// The rows of a file. `known`: whether a header names a column of the import.
    pub(crate) fn of(text: &'a str, known: impl Fn(&str) -> bool) -> Self {
        let Some((separator, line)) = declared_separator(text) else {
            return Self { rest: text, line: 1, separator: detect_separator(text, known) };
        };
        let mut records = Self { rest: text, line: 1, separator };
        records.advance(line.len());
        records
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count() as u64;
        self.rest = rest;
        passed
    }

    /// Consumes an unquoted cell, up to the next separator or line end.
    fn plain(&mut self) -> &'a str {
        let end = self.rest.find([self.separator, '\n']).unwrap_or(self.rest.len());
        let passed = self.advance(end);
        let at_line_end = !self.rest.starts_with(self.separator);
        passed.strip_suffix('\r').filter(|_| at_line_end).unwrap_or(passed)
    }

    /// Consumes a cell that begins with a quote.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Unterminated> {
        let opened = Unterminated { line: self.line };
        let inside = &self.rest[1..];
        let mut from = 0;
        loop {
            let Some(quote) = inside[from..].find('"').map(|found| from + found) else { return Err(opened) };
            if inside[quote + 1..].starts_with('"') {
                from = quote + 2;
                continue;
            }
            let content = &inside[..quote];
            self.advance(quote + 2);
            let doubled = from > 0;
            return Ok(if doubled { content.replace("\"\"", "\"").into() } else { content.into() });
        }
    }

    fn record(&mut self) -> Result<Record<'a>, Unterminated> {
        let mut record = Record { line: self.line, cells: Vec::new(), width: 0, broken: false };
        loop {
            let cell = if self.rest.starts_with('"') {
                let cell = self.quoted()?;
                record.broken |= !self.plain().is_empty();
                cell
            } else {
                let cell = self.plain();
                record.broken |= cell.contains('"');
                cell.into()
            };
            record.width += 1;
            if record.width <= MAX_COLUMNS {
                record.cells.push(cell);
            }
            if !self.rest.starts_with(self.separator) {
                self.advance(self.rest.len().min(1));
                return Ok(record);
            }
            self.advance(1);
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.starts_with('\n') {
                self.advance(1);
            } else if self.rest.starts_with("\r\n") {
                self.advance(2);
            } else if self.rest.is_empty() {
                return None;
            } else {
                let record = self.record();
                if record.is_err() {
                    self.rest = "";
                }
                return Some(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(text: &str) -> Vec<(u64, Vec<String>, bool)> {
        Records::of(text, |_| false)
            .map(|record| record.unwrap())
            .map(|r| (r.line, r.cells.iter().map(ToString::to_string).collect(), r.broken))
            .collect()
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Vec<String>, bool) {
        (line, cells.iter().map(ToString::to_string).collect(), false)
    }

    #[test]
    fn rows_end_at_line_ends_of_either_kind_and_empty_lines_are_none() {
        assert_eq!(cells("a,b\r\n\r\nc,\n\n,d"), [row(1, &["a", "b"]), row(3, &["c", ""]), row(5, &["", "d"])]);
        assert_eq!(cells("\"\"\n"), [row(1, &[""])]);
        assert!(cells("\n\r\n").is_empty());
    }

    #[test]
    fn a_row_without_anything_in_any_cell_is_blank() {
        let text = "a,b,c\n,,\n \t,\"\", \n,,x\n   \n\"\"x,,\n,,,,";
        let blank: Vec<_> = Records::of(text, |_| false).map(|record| record.unwrap().is_blank()).collect();
        assert_eq!(blank, [false, true, true, false, true, false, true], "text, or a quote where none may stand");
        let wide = format!("{}x", ",".repeat(MAX_COLUMNS));
        assert!(!Records::of(&wide, |_| false).next().unwrap().unwrap().is_blank(), "what is not kept may be text");
    }

    #[test]
    fn quotes_hold_commas_quotes_and_line_ends() {
        let text = "\"a,b\",\"say \"\"hi\"\"\",\"x\ny\"\nnext,\"\",z\n";
        assert_eq!(cells(text), [row(1, &["a,b", "say \"hi\"", "x\ny"]), row(3, &["next", "", "z"])]);
    }

    #[test]
    fn the_header_says_what_separates_cells() {
        for (separator, header) in [(';', "\"a, b\";c"), ('\t', "\"a, b\"\tc"), (',', "\"a, b\",c")] {
            let quoted = format!("d{separator}e");
            let text = format!("\r\n{header}\r\n\"{quoted}\"{separator}f\r\n");
            assert_eq!(cells(&text), [row(2, &["a, b", "c"]), row(3, &[quoted.as_str(), "f"])], "{text:?}");
        }
        assert_eq!(cells("a;b,c\nd;e,f\n"), [row(1, &["a;b", "c"]), row(2, &["d;e", "f"])]);
        assert_eq!(cells("a\nb;c\n"), [row(1, &["a"]), row(2, &["b;c"])]);
    }

    #[test]
    fn a_comma_in_the_name_of_a_column_separates_nothing_where_known_columns_are_separated_otherwise() {
        let header = |text: &str| {
            let mut records = Records::of(text, |header| ["a", "b"].contains(&header));
            let record = records.next().unwrap().unwrap();
            record.cells.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(header("a;b;c, d\n1;2;3\n"), ["a", "b", "c, d"]);
        assert_eq!(header("c, d\t a \n"), ["c, d", " a "]);
        assert_eq!(header("a,c; d\n"), ["a", "c; d"], "the other way round");
        assert_eq!(header("a,x;b\n"), ["a", "x;b"], "one each: a comma");
        assert_eq!(header("c;d, e\n"), ["c;d", " e"], "none: a comma");
        assert_eq!(header("\"a\";\"c, d\";b\n"), ["a", "c, d", "b"]);
        assert_eq!(header("sep=,\na;b;c, d\n"), ["a;b;c", " d"], "what is told counts");
    }

    #[test]
    fn a_line_before_the_header_may_say_what_separates_cells() {
        for separator in SEPARATORS {
            let text = format!("sep={separator}\r\na{separator}b\r\n\"c\"{separator}d,e;f\tg\r\n");
            let read = cells(&text);
            assert_eq!(read[0], row(2, &["a", "b"]), "{text:?}");
            assert_eq!((read[1].0, read[1].1[0].as_str()), (3, "c"), "{text:?}");
        }
        assert_eq!(cells("sep=;\na,b;c\n"), [row(2, &["a,b", "c"])], "it counts, whatever the header looks like");
        assert!(cells("sep=;").is_empty());
        // Anything else is a header.
        for header in ["sep=", "sep=|", "sep=;x", " sep=;"] {
            assert_eq!(cells(&format!("{header}\nb\n"))[0].0, 1, "{header:?}");
        }
    }

    #[test]
    fn misplaced_quotes_break_their_row_only() {
        let broken: Vec<_> = cells("\"a\"b,c\nd\"e,f\n\"g\" ,h\ni,j\n").into_iter().map(|row| row.2).collect();
        assert_eq!(broken, [true, true, true, false]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_said_with_its_line() {
        let mut records = Records::of("a,b\nc,\"d\ne,f\n", |_| false);
        assert!(records.next().unwrap().is_ok());
        assert_eq!(records.next(), Some(Err(Unterminated { line: 2 })));
        assert_eq!(records.next(), None);
    }

    #[test]
    fn a_million_columns_are_counted_and_not_kept() {
        let text = ",".repeat(999_999);
        let record = Records::of(&text, |_| false).next().unwrap().unwrap();
        assert_eq!((record.width, record.cells.len()), (1_000_000, MAX_COLUMNS));
    }

    proptest! {
        #[test]
        fn what_a_csv_writer_writes_is_read_back(rows in prop::collection::vec(prop::collection::vec(any::<String>(), 2..5), 0..8)) {
            let mut writer = csv::WriterBuilder::new().flexible(true).quote_style(csv::QuoteStyle::Always).from_writer(vec![]);
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let read: Vec<Vec<String>> = cells(&text).into_iter().map(|row| row.1).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_text_makes_it_panic_or_run_for_ever(text in any::<String>()) {
            let lines = text.lines().count() as u64;
            for record in Records::of(&text, |header| header == "a").flatten() {
                prop_assert!(record.line <= lines.max(1));
            }
        }

        #[test]
        fn no_soup_of_quotes_makes_it_panic(text in "[\",\r\na]{0,40}") {
            let read = Records::of(&text, |header| header == "a").count();
            prop_assert!(read <= text.len());
        }
    }
}
