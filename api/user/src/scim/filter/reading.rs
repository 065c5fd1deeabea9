//! The grammar of filters (RFC 7644 section 3.4.2.2, figure 1): words, and what they are put together to.

use serde_json::Value;

use super::{Filter, Operator, Path, time};
use crate::scim::error::ScimError;

/// Longer ones are not read.
const LONGEST: usize = 1_000;
/// How deep parentheses may be.
const DEEPEST: usize = 20;

/// Reads a filter.
pub(super) fn read(text: &str) -> Result<Filter, ScimError> {
    if text.len() > LONGEST {
        return Err(ScimError::filter(format!("a filter can have at most {LONGEST} bytes")));
    }
    let mut parser = Parser { words: words(text)?, at: 0 };
    let filter = parser.either(0)?;
    match parser.words.get(parser.at) {
        None => Ok(filter),
        Some(word) => Err(ScimError::filter(format!("{word:?} is not expected here"))),
    }
}

/// Attributes whose values are true or false, and attributes whose values are times.
const BOOLEANS: [&str; 2] = ["active", "primary"];
const TIMES: [&str; 2] = ["created", "lastModified"];

/// Refuses a comparison that means nothing (RFC 7644 table 3).
fn comparable(path: &Path, operator: Operator, value: &Value) -> Result<(), ScimError> {
    use Operator::{Contains, EndsWith, Greater, GreaterOrEqual, Less, LessOrEqual, StartsWith};
    let last = path.sub.as_deref().unwrap_or(&path.attribute);
    let is_one_of = |names: [&str; 2]| names.iter().any(|name| name.eq_ignore_ascii_case(last));
    let by_order = matches!(operator, Greater | GreaterOrEqual | Less | LessOrEqual);
    let by_part = matches!(operator, Contains | StartsWith | EndsWith);
    if (by_order || by_part) && (value.is_boolean() || value.is_null() || is_one_of(BOOLEANS)) {
        return Err(ScimError::filter(format!("{last}: booleans can only be compared by eq and ne")));
    }
    if is_one_of(TIMES) && !by_part && value.as_str().and_then(time).is_none() {
        return Err(ScimError::filter(format!(
            "{last} must be compared with a time, such as \"2026-05-13T04:42:34Z\""
        )));
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Open,
    Close,
    OpenList,
    CloseList,
    Name(String),
    Value(Value),
}

fn words(text: &str) -> Result<Vec<Word>, ScimError> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let single = match first {
            ' ' | '\t' => {
                rest = &rest[1..];
                continue;
            }
            '(' => Some(Word::Open),
            ')' => Some(Word::Close),
            '[' => Some(Word::OpenList),
            ']' => Some(Word::CloseList),
            _ => None,
        };
        if let Some(word) = single {
            words.push(word);
            rest = &rest[1..];
            continue;
        }
        if first == '"' {
            let end = end_of_text(rest).ok_or_else(|| ScimError::filter("a string is not terminated"))?;
            let value: Value =
                serde_json::from_str(&rest[..end]).map_err(|_| ScimError::filter("a string can't be parsed"))?;
            if value.as_str().is_some_and(|text| text.contains('\0')) {
                return Err(ScimError::filter("a string contains a NUL character, which no attribute can contain"));
            }
            words.push(Word::Value(value));
            rest = &rest[end..];
            continue;
        }
        let end = rest.find([' ', '\t', '(', ')', '[', ']', '"']).unwrap_or(rest.len());
        let word = &rest[..end];
        words.push(match serde_json::from_str::<Value>(word) {
            Ok(value) => Word::Value(value),
            Err(_) => Word::Name(word.to_owned()),
        });
        rest = &rest[end..];
    }
    Ok(words)
}

/// Where a text ends that begins with a quotation mark.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

struct Parser {
    words: Vec<Word>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    /// Takes the next word if it is this one; `and` binds closer than `or`.
    fn takes(&mut self, name: &str) -> bool {
        let found = matches!(self.words.get(self.at), Some(Word::Name(word)) if word.eq_ignore_ascii_case(name));
        self.at += usize::from(found);
        found
    }

    fn either(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut filter = self.both(depth)?;
        while self.takes("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.both(depth)?));
        }
        Ok(filter)
    }

    fn both(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut filter = self.one(depth)?;
        while self.takes("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.one(depth)?));
        }
        Ok(filter)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, ScimError> {
        if depth > DEEPEST {
            return Err(ScimError::filter(format!("parentheses can be nested at most {DEEPEST} deep")));
        }
        if self.takes("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        match self.next() {
            Some(Word::Open) => {
                let filter = self.either(depth + 1)?;
                self.expect(&Word::Close)?;
                Ok(filter)
            }
            Some(Word::Name(name)) => {
                let path =
                    Path::read(&name).ok_or_else(|| ScimError::filter(format!("{name:?} is not an attribute")))?;
                self.about(path, depth)
            }
            other => Err(ScimError::filter(match other {
                Some(word) => format!("{word:?} is not expected here"),
                None => "the filter ends too early".to_owned(),
            })),
        }
    }

    fn about(&mut self, path: Path, depth: usize) -> Result<Filter, ScimError> {
        if self.words.get(self.at) == Some(&Word::OpenList) {
            self.at += 1;
            let within = self.either(depth + 1)?;
            self.expect(&Word::CloseList)?;
            return Ok(Filter::Within(path, Box::new(within)));
        }
        let Some(Word::Name(operator)) = self.next() else {
            return Err(ScimError::filter(format!("{} has no operator", path.attribute)));
        };
        let operator = match operator.to_ascii_lowercase().as_str() {
            "pr" => return Ok(Filter::Present(path)),
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "co" => Operator::Contains,
            "sw" => Operator::StartsWith,
            "ew" => Operator::EndsWith,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            _ => {
                let detail =
                    format!("there is no operator {operator:?}; allowed: eq, ne, co, sw, ew, gt, ge, lt, le, pr");
                return Err(ScimError::filter(detail));
            }
        };
        match self.next() {
            Some(Word::Value(value)) if !value.is_array() && !value.is_object() => {
                comparable(&path, operator, &value)?;
                Ok(Filter::Compare(path, operator, value))
            }
            _ => Err(ScimError::filter(format!("{} is compared without a value", path.attribute))),
        }
    }

    fn expect(&mut self, wanted: &Word) -> Result<(), ScimError> {
        if self.next().as_ref() == Some(wanted) {
            return Ok(());
        }
        Err(ScimError::filter(format!("{wanted:?} is missing")))
    }
}
