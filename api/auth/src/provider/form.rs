//! Form and query parameters.

use std::collections::HashMap;

use super::OAuthError;

/// Parameters, each at most once. Unknown ones are ignored, as the protocols require.
#[derive(Debug, Default)]
pub struct Form(HashMap<String, String>);

impl Form {
    /// Parses `application/x-www-form-urlencoded` text.
    ///
    /// # Errors
    /// `invalid_request` when a parameter appears twice (RFC 6749 section 3.1), for it would be unclear which one counts; or when a value
    /// contains a NUL character, which no valid value does and Postgres can't store.
    pub fn read(text: &str) -> Result<Self, OAuthError> {
        let mut parameters = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            // A parameter without a value is treated as missing (RFC 6749 section 3.1).
            if value.is_empty() {
                continue;
            }
            if value.contains('\0') {
                return Err(OAuthError::invalid_request("a parameter contains a NUL character"));
            }
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(OAuthError::invalid_request(format!("the parameter {name} appears more than once")));
            }
        }
        Ok(Self(parameters))
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All parameters except these, as a query string.
    pub fn without(&self, names: &[&str]) -> String {
        let mut kept: Vec<_> = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).collect();
        kept.sort_unstable();
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }

    /// A required parameter.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn need(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("the parameter {name} is missing")))
    }

    /// The values of a space-separated parameter.
    pub fn words(&self, name: &str) -> Vec<String> {
        let words = self.get(name).unwrap_or_default().split(' ').filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_there_twice_is_refused_and_an_empty_one_is_not_there() {
        let form = Form::read("grant_type=client_credentials&scope=a%20b&code=").unwrap();
        assert_eq!((form.get("grant_type"), form.get("code")), (Some("client_credentials"), None));
        assert_eq!(form.words("scope"), ["a", "b"]);
        assert!(Form::read("scope=a&scope=b").is_err() && Form::read("login=a%00b").is_err());
        assert!(form.need("code").is_err());
    }
}
