//! Validates path and query parameters against the contract, and words the refusals of invalid ones.

use std::sync::Arc;

use face::Problem;
use kernel::Refusal;
use poem::Request;
use poem_openapi::error::{ParseParamError, ParsePathError};
use poem_openapi::registry::{MetaOperationParam, MetaParamIn, MetaSchema, MetaSchemaRef};

/// The parameters of one path.
#[derive(Clone, Default)]
pub struct Parameters {
    /// The path's parameters, in the order in which the router numbers them.
    path: Arc<[Parameter]>,
    query: Arc<[Parameter]>,
}

struct Parameter {
    name: String,
    /// Whether it is an id, of which only the usual form is accepted, although the parser accepts others.
    is_id: bool,
    /// Whether it is a list, so that it may occur several times.
    is_list: bool,
    /// The allowed values in words, if the schema defines them completely.
    allowed: Option<String>,
}

impl Parameters {
    /// The parameters of a path's operations; `path` is the path in the contract, such as `/v1/crm/leads/{lead}`.
    pub fn of(path: &str, documented: &[MetaOperationParam]) -> Self {
        let find = |name: &str| {
            let found =
                documented.iter().find(|parameter| parameter.in_type == MetaParamIn::Path && parameter.name == name);
            found.map_or_else(
                || Parameter { name: name.to_owned(), is_id: false, is_list: false, allowed: None },
                Parameter::of,
            )
        };
        let queried = documented.iter().filter(|parameter| parameter.in_type == MetaParamIn::Query);
        let mut query: Vec<Parameter> = Vec::new();
        for parameter in queried {
            if query.iter().all(|there| there.name != parameter.name) {
                query.push(Parameter::of(parameter));
            }
        }
        let names = path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
        Self { path: names.map(find).collect(), query: query.into() }
    }

    /// Returns the parameters of the query string.
    ///
    /// # Errors
    /// `parameter_invalid` for an id that is not in its usual form, and for a query parameter that occurs twice (one would be ignored) or
    /// contains a NUL. `parameter_unknown` for one that the operation does not have (it may be a misspelt `dry_run`).
    pub fn check(&self, request: &Request) -> Result<Vec<(String, String)>, Refusal> {
        for (index, parameter) in self.path.iter().enumerate().filter(|(_, parameter)| parameter.is_id) {
            if let Some(text) = request.raw_path_param(&numbered(index))
                && kernel::read_uuid(text).is_err()
            {
                return Err(parameter.refuse(""));
            }
        }
        if request.uri().query().is_none() {
            return Ok(Vec::new());
        }
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        for (at, (name, value)) in query.iter().enumerate() {
            let Some(known) = self.query.iter().find(|known| known.name == *name) else {
                let allowed = kernel::listed(self.query.iter().map(|known| known.name.as_str()));
                let detail = format!("there is no query parameter {name:?} here; allowed: {allowed}");
                return Err(Refusal::invalid("parameter_unknown", detail).with("parameter", name.as_str()));
            };
            if !known.is_list && query[..at].iter().any(|(before, _)| before == name) {
                return Err(refuse(name, "it may be given only once"));
            }
            if known.is_id && kernel::read_uuid(value).is_err() {
                return Err(known.refuse(""));
            }
            // Postgres can neither store nor search for a text with NUL.
            if value.contains('\0') {
                return Err(refuse(name, "the character NUL is not allowed"));
            }
        }
        Ok(query)
    }

    /// The problem for a parameter that poem-openapi could not parse, with the allowed values from the contract.
    pub fn problem(&self, error: &poem::Error) -> Option<Problem> {
        let (name, reason, among) = if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
            (*name, reason, &self.query)
        } else if let Some(ParsePathError { name, reason }) = error.downcast_ref() {
            (*name, reason, &self.path)
        } else {
            return None;
        };
        let found = among.iter().enumerate().find(|(index, known)| known.name == name || numbered(*index) == name);
        Some(found.map_or_else(|| refuse(name, words(reason)), |(_, parameter)| parameter.refuse(words(reason))).into())
    }
}

impl Parameter {
    fn of(documented: &MetaOperationParam) -> Self {
        let name = documented.name.clone();
        match &documented.schema {
            MetaSchemaRef::Inline(schema) => Self {
                name,
                is_id: schema.format == Some("uuid"),
                is_list: schema.ty == "array",
                allowed: allowed(schema),
            },
            MetaSchemaRef::Reference(_) => Self { name, is_id: false, is_list: false, allowed: None },
        }
    }

    fn refuse(&self, reason: &str) -> Refusal {
        refuse(&self.name, self.allowed.as_deref().unwrap_or(reason))
    }
}

/// The router's name of a path parameter.
fn numbered(index: usize) -> String {
    format!("param{index}")
}

fn refuse(name: &str, what: &str) -> Refusal {
    Refusal::invalid("parameter_invalid", format!("the parameter {name} is not valid: {what}")).with("parameter", name)
}

/// The values that a schema allows, in words; none: the schema does not define them completely.
fn allowed(schema: &MetaSchema) -> Option<String> {
    if !schema.enum_items.is_empty() {
        let items = schema.enum_items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
        return Some(format!("allowed are {}", items.collect::<Vec<_>>().join(", ")));
    }
    Some(match (schema.ty, schema.format) {
        ("string", Some("uuid")) => kernel::NotAnId.to_string(),
        ("string", Some("date")) => kernel::NotADay.to_string(),
        ("string", Some("date-time")) => kernel::NotATime.to_string(),
        ("boolean", _) => "allowed are true and false".to_owned(),
        ("integer", format) => {
            let (least, most) = match format {
                Some("uint8") => (0.0, f64::from(u8::MAX)),
                Some("uint16") => (0.0, f64::from(u16::MAX)),
                Some("uint32") => (0.0, f64::from(u32::MAX)),
                Some("int32") => (f64::from(i32::MIN), f64::from(i32::MAX)),
                Some("uint64") => return Some("allowed is a whole number from 0".to_owned()),
                _ if schema.minimum.is_some() && schema.maximum.is_some() => (0.0, 0.0),
                _ => return Some("allowed is a whole number".to_owned()),
            };
            let (least, most) = (schema.minimum.unwrap_or(least), schema.maximum.unwrap_or(most));
            format!("allowed is a whole number from {least} to {most}")
        }
        _ => return None,
    })
}

/// The error text of our own parameter type, without the text that poem-openapi puts around it.
fn words(reason: &str) -> &str {
    let reason = reason
        .strip_prefix("failed to parse \"")
        .and_then(|rest| rest.split_once("\": "))
        .map_or(reason, |(_, said)| said);
    reason.rsplit_once(" (occurred while parsing \"").map_or(reason, |(said, _)| said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_comes_from_the_contract_or_from_the_type_itself() {
        let schema = |ty, format| MetaSchema { format, ..MetaSchema::new(ty) };
        assert_eq!(allowed(&schema("boolean", None)).as_deref(), Some("allowed are true and false"));
        let percent = MetaSchema { maximum: Some(100.0), ..schema("integer", Some("uint8")) };
        assert_eq!(allowed(&percent).as_deref(), Some("allowed is a whole number from 0 to 100"));
        let page = MetaSchema { minimum: Some(1.0), maximum: Some(200.0), ..schema("integer", None) };
        assert_eq!(allowed(&page).as_deref(), Some("allowed is a whole number from 1 to 200"));
        let words_of = MetaSchema { enum_items: vec!["a".into(), "b".into()], ..schema("string", None) };
        assert_eq!(allowed(&words_of).as_deref(), Some("allowed are a, b"));
        assert_eq!(allowed(&schema("string", None)), None);
        let wrapped = "failed to parse \"mapping\": \"x\" is no pair (occurred while parsing \"optional_mapping\")";
        assert_eq!(words(wrapped), "\"x\" is no pair");
        assert_eq!(words("plain"), "plain");
    }
}
