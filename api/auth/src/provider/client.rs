//! Client authentication: by a secret (RFC 6749 section 2.3) or a signed assertion (RFC 7523).

use std::collections::HashSet;
use std::sync::Arc;

use auth_aggregates::{Client, ClientId, Jwk, Machine};
use auth_commands::{NoteRefusedClient, NoteRefusedMachine, UseAssertion, protocol};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use jwt_simple::prelude::{Audiences, Duration, NoCustomClaims, VerificationOptions};
use kernel::{Caller, MachineId};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::attempts::AttemptTarget;
use super::form::Form;
use super::{OAuthError, Provider, Visit};
use crate::authority::{Header, PublicKey, seconds};

/// The only supported type of client assertion.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest lifetime of a client assertion. It is meant for one request and works once, however long it lives; stock clients (Authlib)
/// set an hour.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// The reason for refusing an assertion that was used before.
const REPLAYED: &str = "assertion_replayed";

/// A client that was authenticated; a public one only said who it is.
pub struct AuthenticatedClient {
    /// Its id.
    pub id: Uuid,
    /// Its state.
    pub state: ClientState,
}

impl AuthenticatedClient {
    /// Whether it is a public client, which has no credentials: anybody can claim to be it.
    pub fn is_public(&self) -> bool {
        self.state.is_public()
    }
}

/// The state of a client.
pub enum ClientState {
    /// A machine, which acts for itself.
    Machine(Arc<Machine>),
    /// An application, which acts for users.
    Application(Arc<Client>),
}

impl ClientState {
    fn active(&self) -> bool {
        match self {
            Self::Machine(machine) => machine.active,
            Self::Application(client) => client.active,
        }
    }

    fn secret_hash(&self) -> Option<&String> {
        match self {
            Self::Machine(machine) => machine.secret_hash.as_ref(),
            Self::Application(client) => client.secret_hash.as_ref(),
        }
    }

    fn keys(&self) -> &[Jwk] {
        match self {
            Self::Machine(machine) => &machine.keys,
            Self::Application(client) => &client.details.keys,
        }
    }

    /// Whether it is a public client, which can't keep a secret.
    fn is_public(&self) -> bool {
        matches!(self, Self::Application(client) if !client.details.confidential)
    }
}

/// The client credentials in a request.
enum Credentials {
    Nothing { client: String },
    Secret { client: String, secret: Zeroizing<String> },
    Assertion { client: String, token: String },
}

impl Credentials {
    fn client(&self) -> &str {
        match self {
            Self::Nothing { client } | Self::Secret { client, .. } | Self::Assertion { client, .. } => client,
        }
    }
}

/// Authenticates the client of a request. A client assertion is consumed, whatever the request is and however it ends.
///
/// # Errors
/// `invalid_client`, the same for an unknown client and a wrong secret; `invalid_request` when it uses two authentication methods.
pub async fn authenticate(provider: &Provider, visit: &Visit, form: &Form) -> Result<AuthenticatedClient, OAuthError> {
    let header = visit.header("authorization");
    let credentials = credentials(header, form)?;
    let refused = || OAuthError::invalid_client(header.is_some());
    let Ok(id) = credentials.client().parse::<Uuid>() else {
        // An id that can't exist is not counted as an attempt at any client.
        provider.attempts.refused(&AttemptTarget::new(visit.tenant.id, "", visit.address))?;
        return Err(refused());
    };
    let caller = protocol(visit.tenant.id, &id.to_string());
    let Some(state) = find(provider, &caller, id).await? else {
        // There is no aggregate to record it in. The response and the rate limit are the same as for a wrong secret.
        provider.attempts.refused(&AttemptTarget::new(visit.tenant.id, id.to_string(), visit.address))?;
        return Err(refused());
    };
    let verified = match &credentials {
        Credentials::Nothing { .. } if state.is_public() => Ok(None),
        Credentials::Nothing { .. } => Err("nothing_shown"),
        Credentials::Secret { secret, .. } => secret_matches(state.secret_hash(), secret).map(|()| None),
        Credentials::Assertion { token, .. } => {
            assertion(provider, visit, &id.to_string(), state.keys(), token).map(Some)
        }
    };
    let verified = verified.and_then(|jti| if state.active() { Ok(jti) } else { Err("deactivated") });
    let verified = match verified {
        Ok(Some(jti)) => use_up(provider, &caller, id, jti).await?,
        verified => verified.map(drop),
    };
    match verified {
        Ok(()) => Ok(AuthenticatedClient { id, state }),
        Err(reason) => {
            provider.attempts.refused(&AttemptTarget::new(visit.tenant.id, id.to_string(), visit.address))?;
            match state {
                ClientState::Machine(_) => {
                    let note = NoteRefusedMachine { machine: MachineId::new(id), reason };
                    provider.authority.run(&caller, &note).await?;
                }
                ClientState::Application(_) => {
                    let note = NoteRefusedClient { client: ClientId::new(id), reason };
                    provider.authority.run(&caller, &note).await?;
                }
            }
            Err(if reason == REPLAYED { OAuthError::replayed_assertion() } else { refused() })
        }
    }
}

/// Consumes an assertion: it works once.
async fn use_up(
    provider: &Provider,
    caller: &Caller,
    client: Uuid,
    jti: String,
) -> Result<Result<(), &'static str>, OAuthError> {
    match provider.authority.run(caller, &UseAssertion { client, jti }).await {
        Ok(_) => Ok(Ok(())),
        // Consumed before, or by a concurrent request.
        Err(refusal) if [REPLAYED, "already_exists"].contains(&refusal.code()) => Ok(Err(REPLAYED)),
        Err(refusal) => Err(refusal.into()),
    }
}

async fn find(provider: &Provider, caller: &Caller, id: Uuid) -> Result<Option<ClientState>, OAuthError> {
    let executor = provider.authority.executor();
    if let Some((client, _)) = executor.load::<Client>(caller, &id.to_string()).await? {
        return Ok(Some(ClientState::Application(client)));
    }
    Ok(executor.load::<Machine>(caller, &id.to_string()).await?.map(|(machine, _)| ClientState::Machine(machine)))
}

fn credentials(header: Option<&str>, form: &Form) -> Result<Credentials, OAuthError> {
    let secret = form.get("client_secret");
    let assertion = form.get("client_assertion");
    match (header, secret, assertion) {
        (Some(header), None, None) => {
            let credentials = basic(header).ok_or_else(|| OAuthError::invalid_client(true))?;
            // Otherwise an intermediary that reads only the form would take this for another client's request.
            if form.get("client_id").is_some_and(|named| named != credentials.client()) {
                return Err(OAuthError::invalid_request("client_id is not the client that authenticates"));
            }
            Ok(credentials)
        }
        (None, Some(secret), None) => Ok(Credentials::Secret {
            client: form.need("client_id")?.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
        }),
        (None, None, Some(token)) => {
            if form.need("client_assertion_type")? != ASSERTION {
                return Err(OAuthError::invalid_request(format!("client_assertion_type must be {ASSERTION}")));
            }
            let subject = Header::read(token).and_then(|(_, origin)| origin.sub);
            let client = form.get("client_id").map(str::to_owned).or(subject).unwrap_or_default();
            Ok(Credentials::Assertion { client, token: token.to_owned() })
        }
        (None, None, None) => match form.get("client_id") {
            Some(client) => Ok(Credentials::Nothing { client: client.to_owned() }),
            None => Err(OAuthError::invalid_client(false)),
        },
        _ => Err(OAuthError::invalid_request("the client must use only one authentication method")),
    }
}

/// Reads HTTP Basic credentials. Both parts are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
    let (client, secret) = decoded.split_once(':')?;
    let plain = |text: &str| {
        let pair = format!("v={text}");
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some(Credentials::Secret { client: plain(client)?, secret: Zeroizing::new(plain(secret)?) })
}

fn secret_matches(hash: Option<&String>, secret: &str) -> Result<(), &'static str> {
    // Ordinary comparison is enough: these are hashes of 256 random bits, so its timing does not help to find one.
    match hash {
        Some(hash) if *hash == hex::encode(Sha256::digest(secret)) => Ok(()),
        Some(_) => Err("secret_wrong"),
        None => Err("secret_missing"),
    }
}

/// The audiences accepted in a client assertion at an endpoint: the issuer, as newer rules require (FAPI 2.0, draft-ietf-oauth-rfc7523bis);
/// this endpoint; and the token endpoint, which stands for the whole server (RFC 7523 section 3, RFC 9126 section 2) and which stock
/// clients name wherever they sign. An assertion for any other endpoint is accepted only there.
fn audiences(visit: &Visit) -> HashSet<String> {
    HashSet::from([visit.issuer.clone(), visit.endpoint.clone(), format!("{}/token", visit.issuer)])
}

/// Verifies an assertion and returns its `jti`; the error is the reason that is recorded.
fn assertion(
    provider: &Provider,
    visit: &Visit,
    client: &str,
    keys: &[Jwk],
    token: &str,
) -> Result<String, &'static str> {
    #[derive(Deserialize)]
    struct Kid {
        kid: Option<String>,
    }
    let head = token.split('.').next().unwrap_or_default();
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).map_err(|_| "assertion_unreadable")?;
    let head: Kid = serde_json::from_slice(&head).map_err(|_| "assertion_unreadable")?;
    let (now, leeway) = (provider.authority.now(), provider.authority.settings().leeway);
    let audiences = audiences(visit);
    let options = VerificationOptions {
        required_subject: Some(client.to_owned()),
        allowed_issuers: Some(HashSet::from([client.to_owned()])),
        allowed_audiences: Some(audiences.clone()),
        time_tolerance: Some(Duration::from_secs(leeway.num_seconds().unsigned_abs())),
        artificial_time: Some(seconds(now)),
        ..VerificationOptions::default()
    };
    let candidates = keys.iter().filter(|key| head.kid.is_none() || key.kid.is_none() || key.kid == head.kid);
    let claims = candidates
        .filter_map(|key| PublicKey::of(key).ok())
        .find_map(|key| key.verify::<NoCustomClaims>(token, options.clone()).ok())
        .ok_or("assertion_invalid")?;
    // An additional audience is refused: that party could replay the assertion here.
    let named = claims.audiences.map(Audiences::into_set).unwrap_or_default();
    if !named.is_subset(&audiences) {
        return Err("assertion_for_others");
    }
    let ends = claims.expires_at.ok_or("assertion_endless")?;
    if ends > seconds(now + LONGEST + leeway) {
        return Err("assertion_too_long");
    }
    claims.jwt_id.filter(|jti| (1..=128).contains(&jti.len())).ok_or("assertion_without_jti")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let header = format!("Basic {}", STANDARD.encode("a%3Ab:c%2Bd+e"));
        let Some(Credentials::Secret { client, secret }) = basic(&header) else { panic!("not read") };
        assert_eq!((client.as_str(), secret.as_str()), ("a:b", "c+d e"));
        for bad in ["Basic", "Basic !", "Bearer abc", &format!("Basic {}", STANDARD.encode("no colon"))] {
            assert!(basic(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_client_shows_one_thing() {
        let both = Form::read("client_id=a&client_secret=b&client_assertion=c").unwrap();
        assert!(matches!(credentials(None, &both), Err(error) if error.answer().status() == 400));
        let secret = Form::read("client_id=a&client_secret=b").unwrap();
        assert!(matches!(credentials(Some("Basic YTpi"), &secret), Err(error) if error.answer().status() == 400));
        assert!(matches!(credentials(None, &Form::default()), Err(error) if error.answer().status() == 401));
        let named = |client: &str| Form::read(&format!("client_id={client}")).unwrap();
        assert!(matches!(credentials(Some("Basic YTpi"), &named("a")), Ok(Credentials::Secret { .. })));
        assert!(matches!(credentials(Some("Basic YTpi"), &named("b")), Err(error) if error.answer().status() == 400));
    }
}
