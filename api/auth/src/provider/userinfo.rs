//! The userinfo endpoint (OpenID Connect Core section 5.3).

use kernel::picture_address;
use poem::http::StatusCode;
use serde_json::{Map, Value};

use super::error::answer;
use super::{Answer, OAuthError, Provider, Visit};
use face::Person;

/// The claims about the subject of an access token that its scope includes.
pub async fn userinfo(provider: &Provider, visit: Visit) -> Answer {
    let header = visit.header("authorization").and_then(|header| header.split_once(' '));
    let token = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let token = token.ok_or_else(OAuthError::no_token)?;
    // Any access token of ours is accepted: its scope decides about the claims.
    let (tenant, claims) = provider.trust.verify_token(token, &visit.issuer).await?;
    if tenant.id != visit.tenant.id {
        return Err(OAuthError::invalid_token("the token belongs to another tenant"));
    }
    provider.trust.check_grants(tenant.id, &claims).await?;
    let scope: Vec<&str> = claims.custom.scope.split(' ').collect();
    let user = claims.subject.as_deref().and_then(|subject| subject.parse().ok());
    let Some(user) = user.filter(|_| scope.contains(&"openid")) else {
        return Err(OAuthError::insufficient_scope("the scope openid is required"));
    };
    let person = provider.person(&visit, user).await?;
    let person = person.ok_or_else(|| OAuthError::invalid_token("the user no longer exists"))?;
    Ok(answer(StatusCode::OK, &Value::Object(provider.claims_of(&visit, &person, &scope))))
}

impl Provider {
    /// The claims about a person that a scope includes (OpenID Connect Core section 5.4).
    pub(super) fn claims_of(&self, visit: &Visit, person: &Person, scope: &[&str]) -> Map<String, Value> {
        let public_url = &self.authority.settings().public_url;
        let uploaded = person.uploaded_picture.as_ref();
        let picture = uploaded.map(|picture| picture_address(public_url, visit.tenant.id, picture));
        claims_of(person, picture.or_else(|| person.picture.clone()), scope)
    }
}

fn claims_of(person: &Person, picture: Option<String>, scope: &[&str]) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), person.id.to_string().into());
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            claims.insert(name.to_owned(), value);
        }
    };
    if scope.contains(&"profile") {
        say("name", person.name.clone().into());
        say("given_name", person.given_name.clone().into());
        say("family_name", person.family_name.clone().into());
        say("preferred_username", person.user_name.clone().unwrap_or_else(|| person.login.clone()).into());
        say("picture", picture.into());
        say("locale", person.locale.clone().into());
        say("zoneinfo", person.zoneinfo.clone().into());
        say("updated_at", person.updated_at.map(|at| at.timestamp()).into());
    }
    if scope.contains(&"email") && person.email.is_some() {
        say("email", person.email.clone().into());
        say("email_verified", person.email_verified.into());
    }
    if scope.contains(&"phone") && person.phone.is_some() {
        say("phone_number", person.phone.clone().into());
        say("phone_number_verified", person.phone_verified.into());
    }
    if scope.contains(&"address") {
        say("address", address_claim(person));
    }
    claims
}

/// The `address` claim (section 5.1.1), as far as the address is known; null if it is not. `formatted` is given only if an identity
/// provider supplied it: it can't be composed from the parts, whose order depends on the country.
fn address_claim(person: &Person) -> Value {
    let address = person.address.clone().unwrap_or_default();
    let members = [
        ("formatted", person.formatted_address.clone()),
        ("street_address", address.street),
        ("locality", address.locality),
        ("region", address.region),
        ("postal_code", address.postal_code),
        ("country", address.country),
    ];
    let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    let known: Map<String, Value> = known.collect();
    if known.is_empty() { Value::Null } else { known.into() }
}
