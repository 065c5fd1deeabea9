//! The parser of filters (RFC 7644 section 3.4.2.2, figure 1): a tokenizer and a recursive descent parser.

use std::fmt;

use serde_json::Value;

use super::{Filter, Operator, Path, time};
use crate::scim::error::ScimError;

/// Maximum length of a filter in bytes.
const MAX_BYTES: usize = 1_000;
/// Maximum nesting depth of parentheses.
const MAX_DEPTH: usize = 20;

/// Parses a filter.
pub(super) fn parse(text: &str) -> Result<Filter, ScimError> {
    if text.len() > MAX_BYTES {
        return Err(ScimError::filter(format!("a filter can have at most {MAX_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let filter = parser.or_expression(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(filter),
        Some(token) => Err(ScimError::filter(format!("{token} is not expected here"))),
    }
}

/// Attributes with Boolean values, and attributes with times.
const BOOLEANS: [&str; 2] = ["active", "primary"];
const TIMES: [&str; 2] = ["created", "lastModified"];

/// Refuses a comparison that is not defined for the attribute's type (RFC 7644 table 3).
fn check_comparison(path: &Path, operator: Operator, value: &Value) -> Result<(), ScimError> {
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
enum Token {
    Open,
    Close,
    OpenList,
    CloseList,
    Name(String),
    Value(Value),
}

/// As it stands in a filter.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
            Self::OpenList => f.write_str("["),
            Self::CloseList => f.write_str("]"),
            Self::Name(name) => write!(f, "{}", name.escape_debug()),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, ScimError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let single = match first {
            ' ' | '\t' => {
                rest = &rest[1..];
                continue;
            }
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '[' => Some(Token::OpenList),
            ']' => Some(Token::CloseList),
            _ => None,
        };
        if let Some(token) = single {
            tokens.push(token);
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
            tokens.push(Token::Value(value));
            rest = &rest[end..];
            continue;
        }
        let end = rest.find([' ', '\t', '(', ')', '[', ']', '"']).unwrap_or(rest.len());
        let token = &rest[..end];
        tokens.push(match serde_json::from_str::<Value>(token) {
            Ok(value) => Token::Value(value),
            Err(_) => Token::Name(token.to_owned()),
        });
        rest = &rest[end..];
    }
    Ok(tokens)
}

/// The index after the closing quotation mark of the string with which `text` begins; none if it is not terminated.
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
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Consumes the next token if it is this keyword, in any case, and tells whether it was. (`and` binds more closely than `or`.)
    fn take_keyword(&mut self, name: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Name(token)) if token.eq_ignore_ascii_case(name));
        self.at += usize::from(found);
        found
    }

    fn or_expression(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut filter = self.and_expression(depth)?;
        while self.take_keyword("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.and_expression(depth)?));
        }
        Ok(filter)
    }

    fn and_expression(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut filter = self.term(depth)?;
        while self.take_keyword("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.term(depth)?));
        }
        Ok(filter)
    }

    fn term(&mut self, depth: usize) -> Result<Filter, ScimError> {
        if depth > MAX_DEPTH {
            return Err(ScimError::filter(format!("parentheses can be nested at most {MAX_DEPTH} deep")));
        }
        if self.take_keyword("not") {
            return Ok(Filter::Not(Box::new(self.term(depth + 1)?)));
        }
        match self.next() {
            Some(Token::Open) => {
                let filter = self.or_expression(depth + 1)?;
                self.expect(&Token::Close)?;
                Ok(filter)
            }
            Some(Token::Name(name)) => {
                let path =
                    Path::read(&name).ok_or_else(|| ScimError::filter(format!("{name:?} is not an attribute")))?;
                self.attribute_expression(path, depth)
            }
            other => Err(ScimError::filter(match other {
                Some(token) => format!("{token} is not expected here"),
                None => "the filter ends too early".to_owned(),
            })),
        }
    }

    fn attribute_expression(&mut self, path: Path, depth: usize) -> Result<Filter, ScimError> {
        if self.tokens.get(self.at) == Some(&Token::OpenList) {
            self.at += 1;
            let within = self.or_expression(depth + 1)?;
            self.expect(&Token::CloseList)?;
            let within = match self.take_part() {
                Some(part) => Filter::And(Box::new(within), Box::new(self.attribute_expression(part, depth + 1)?)),
                None => within,
            };
            return Ok(Filter::Within(path, Box::new(within)));
        }
        let Some(Token::Name(operator)) = self.next() else {
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
            Some(Token::Value(value)) if !value.is_array() && !value.is_object() => {
                check_comparison(&path, operator, &value)?;
                Ok(Filter::Compare(path, operator, value))
            }
            _ => Err(ScimError::filter(format!("{} is compared without a value", path.attribute))),
        }
    }

    /// Consumes the `.value` of `emails[type eq "work"].value eq "a@example.com"`, if it is the next token: a part of the values that pass
    /// the inner filter. The RFC has such paths in PATCH only, but widely used providers also send them in filters.
    fn take_part(&mut self) -> Option<Path> {
        let Some(Token::Name(name)) = self.tokens.get(self.at) else { return None };
        let part = name.strip_prefix('.').and_then(Path::read).filter(|part| part.sub.is_none())?;
        self.at += 1;
        Some(part)
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), ScimError> {
        if self.next().as_ref() == Some(wanted) {
            return Ok(());
        }
        Err(ScimError::filter(format!("{wanted} is missing")))
    }
}
