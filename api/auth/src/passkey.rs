//! Passkeys (Web Authentication): the options for the browser, and the verification of its answers.
//!
//! The relying party is the host of `INOPSIO_PUBLIC_URL`, and its passkeys work only on pages of that origin. A host that is an IP address
//! (127.0.0.1) can't have passkeys: browsers do not support that.
//!
//! A challenge is 32 random bytes that the library generates. The account decides whose passkey it is, what is stored of it, and whether a
//! challenge was answered before: see `auth_aggregates::Passkeys`.

use auth_aggregates::{Algorithm, CHALLENGE_GOOD_FOR, Jwk, Passkey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Refusal, UserId};
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    AttestationFormat, AttestationMetadata, COSEAlgorithm, COSEEC2Key, COSEKey, COSEKeyType, COSERSAKey, Credential,
    DiscoverableAuthentication, ECDSACurve, ParsedAttestation, ParsedAttestationData, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Url, Webauthn, WebauthnBuilder, WebauthnError,
};
use webauthn_rs_core::proto::{AllowCredentials, RegisteredExtensions, ResidentKeyRequirement, UserVerificationPolicy};

/// The algorithms that are requested: those of the library that [`Jwk`] can represent. Every authenticator supports one of them.
const ALGORITHMS: [i64; 2] = [COSEAlgorithm::ES256 as i64, COSEAlgorithm::RS256 as i64];

/// The relying party at one origin: requests passkeys, and verifies the answers.
pub struct RelyingParty(Webauthn);

/// A challenge for the browser, and the state to verify its answer with.
#[derive(Serialize, Deserialize)]
pub struct Challenge<S> {
    /// The challenge that the passkey signs, base64url.
    pub challenge: String,
    /// The library's state.
    pub state: S,
}

/// A new passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPasskey {
    /// Its credential id, base64url.
    pub id: String,
    /// Its public key.
    pub key: Jwk,
    /// Its signature counter.
    pub counter: u32,
    /// Whether it may be synced between devices (backup eligible).
    pub synced: bool,
}

/// An assertion by a passkey, not yet verified.
pub struct PasskeyAnswer {
    /// Its credential id, base64url.
    pub id: String,
    /// The user handle, if the answer contains one.
    pub user: Option<UserId>,
    answer: PublicKeyCredential,
}

/// Why an answer is refused, as a code that is recorded in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasskeyFault(pub &'static str);

impl RelyingParty {
    /// The relying party at a URL; none: there can't be passkeys at it. `name`: the name that authenticators show.
    pub fn at(public_url: &str, name: &str) -> Option<Self> {
        let origin = Url::parse(public_url).ok()?;
        let timeout = CHALLENGE_GOOD_FOR.to_std().ok()?;
        let builder = WebauthnBuilder::new(origin.domain()?, &origin).ok()?;
        builder.rp_name(name).timeout(timeout).build().ok().map(Self)
    }

    /// Requests a new passkey: the options for `navigator.credentials.create`, as JSON. `there`: the ids of the user's passkeys, which are
    /// excluded.
    ///
    /// # Errors
    /// When the library fails.
    pub fn request_registration<'p>(
        &self,
        user: UserId,
        login: &str,
        name: &str,
        there: impl Iterator<Item = &'p String>,
    ) -> Result<(String, Challenge<PasskeyRegistration>), Refusal> {
        let there = there.filter_map(|id| URL_SAFE_NO_PAD.decode(id).ok()).collect();
        let begun = self.0.start_passkey_registration(user.uuid(), login, name, Some(there));
        let (mut asked, state) = begun.map_err(|error| failed(&error))?;
        let options = &mut asked.public_key;
        options.pub_key_cred_params.retain(|wanted| ALGORITHMS.contains(&wanted.alg));
        // A discoverable credential works without a login name. A security key without room for one can still be a second factor.
        if let Some(wanted) = &mut options.authenticator_selection {
            wanted.resident_key = Some(ResidentKeyRequirement::Preferred);
        }
        let challenge = URL_SAFE_NO_PAD.encode(&options.challenge);
        Ok((json(options)?, Challenge { challenge, state }))
    }

    /// Verifies the answer to a request for a new passkey.
    ///
    /// # Errors
    /// [`PasskeyFault`].
    pub fn verify_registration(
        &self,
        asked: &Challenge<PasskeyRegistration>,
        answer: &str,
    ) -> Result<NewPasskey, PasskeyFault> {
        let answer: RegisterPublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| PasskeyFault("passkey_malformed"))?;
        let made = self.0.finish_passkey_registration(&answer, &asked.state).map_err(|error| wrong(&error))?;
        let made = Credential::from(made);
        Ok(NewPasskey {
            id: URL_SAFE_NO_PAD.encode(&made.cred_id),
            key: jwk(&made.cred).ok_or(PasskeyFault("passkey_algorithm"))?,
            counter: made.counter,
            synced: made.backup_eligible,
        })
    }

    /// Requests an assertion: the options for `navigator.credentials.get`, as JSON. `of`: the ids of the passkeys that are allowed; none:
    /// any passkey, whose user handle says whose it is.
    ///
    /// # Errors
    /// When the library fails.
    pub fn request_assertion<'p>(
        &self,
        of: impl Iterator<Item = &'p String>,
    ) -> Result<(String, Challenge<DiscoverableAuthentication>), Refusal> {
        let (mut asked, state) = self.0.start_discoverable_authentication().map_err(|error| failed(&error))?;
        let options = &mut asked.public_key;
        let ids = of.filter_map(|id| URL_SAFE_NO_PAD.decode(id).ok());
        options.allow_credentials =
            ids.map(|id| AllowCredentials { type_: "public-key".to_owned(), id, transports: None }).collect();
        let challenge = URL_SAFE_NO_PAD.encode(&options.challenge);
        Ok((json(options)?, Challenge { challenge, state }))
    }

    /// Verifies an assertion by this passkey: that it answers this challenge on our origin, and that the user was verified by finger, face
    /// or PIN. Returns the signature counter.
    ///
    /// # Errors
    /// [`PasskeyFault`].
    pub fn verify_assertion(
        &self,
        asked: Challenge<DiscoverableAuthentication>,
        said: &PasskeyAnswer,
        passkey: &Passkey,
    ) -> Result<u32, PasskeyFault> {
        let id = URL_SAFE_NO_PAD.decode(&said.id).map_err(|_| PasskeyFault("passkey_malformed"))?;
        let credential = Credential {
            cred_id: id,
            cred: cose(&passkey.key).ok_or(PasskeyFault("passkey_algorithm"))?,
            counter: passkey.counter,
            transports: None,
            user_verified: true,
            backup_eligible: passkey.synced,
            backup_state: false,
            registration_policy: UserVerificationPolicy::Required,
            extensions: RegisteredExtensions::none(),
            attestation: ParsedAttestation { data: ParsedAttestationData::None, metadata: AttestationMetadata::None },
            attestation_format: AttestationFormat::None,
        };
        let shown = self.0.finish_discoverable_authentication_v2(&said.answer, asked.state, &credential);
        let shown = shown.map_err(|error| wrong(&error))?;
        // The library has checked this as well. It is what makes a passkey count as two factors.
        if shown.user_verified() { Ok(shown.counter()) } else { Err(PasskeyFault("passkey_unverified")) }
    }
}

impl PasskeyAnswer {
    /// Parses an answer of `navigator.credentials.get`.
    ///
    /// # Errors
    /// [`PasskeyFault`], when it is malformed.
    pub fn read(answer: &str) -> Result<Self, PasskeyFault> {
        let answer: PublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| PasskeyFault("passkey_malformed"))?;
        let id = URL_SAFE_NO_PAD.encode(answer.get_credential_id());
        let user = answer.get_user_unique_id().and_then(|handle| uuid::Uuid::from_slice(handle).ok());
        Ok(Self { id, user: user.map(UserId::new), answer })
    }
}

/// The authentication method of a passkey (RFC 8176): `hwk` for a key that stays in its device, `swk` for one that may be copied.
pub const fn method(synced: bool) -> &'static str {
    if synced { "swk" } else { "hwk" }
}

fn wrong(error: &WebauthnError) -> PasskeyFault {
    tracing::debug!(%error, "a passkey's answer is not right");
    PasskeyFault(match error {
        WebauthnError::InvalidRPOrigin | WebauthnError::InvalidRPIDHash | WebauthnError::CredentialCrossOrigin => {
            "passkey_origin"
        }
        WebauthnError::MismatchedChallenge => "passkey_challenge",
        WebauthnError::UserNotVerified | WebauthnError::UserNotPresent => "passkey_unverified",
        WebauthnError::CredentialPossibleCompromise => "passkey_cloned",
        _ => "passkey_wrong",
    })
}

fn failed(error: &WebauthnError) -> Refusal {
    tracing::error!(%error, "a passkey can't be asked for");
    Refusal::internal("sign_in_failed", "a passkey can't be asked for; see the log")
}

fn json(options: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(options)
        .map_err(|_| Refusal::internal("sign_in_failed", "what a passkey is asked for can't be written"))
}

/// A public key in the form that the log stores; none: its algorithm was not requested.
fn jwk(key: &COSEKey) -> Option<Jwk> {
    let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
    let none = Jwk { kty: String::new(), kid: None, crv: None, x: None, y: None, n: None, e: None };
    let jwk = match (&key.type_, &key.key) {
        (COSEAlgorithm::ES256, COSEKeyType::EC_EC2(COSEEC2Key { curve: ECDSACurve::SECP256R1, x, y })) => {
            Jwk { kty: "EC".to_owned(), crv: Some("P-256".to_owned()), x: text(x), y: text(y), ..none }
        }
        (COSEAlgorithm::RS256, COSEKeyType::RSA(COSERSAKey { n, e })) => {
            Jwk { kty: "RSA".to_owned(), n: text(n), e: text(e), ..none }
        }
        _ => return None,
    };
    jwk.algorithm().map(|_| jwk)
}

/// A public key in the library's form.
fn cose(jwk: &Jwk) -> Option<COSEKey> {
    let bytes = |text: &Option<String>| text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    match jwk.algorithm()? {
        Algorithm::ES256 => {
            let key = COSEEC2Key { curve: ECDSACurve::SECP256R1, x: bytes(&jwk.x)?, y: bytes(&jwk.y)? };
            Some(COSEKey { type_: COSEAlgorithm::ES256, key: COSEKeyType::EC_EC2(key) })
        }
        Algorithm::RS256 => {
            let key = COSERSAKey { n: bytes(&jwk.n)?, e: bytes(&jwk.e)?.try_into().ok()? };
            Some(COSEKey { type_: COSEAlgorithm::RS256, key: COSEKeyType::RSA(key) })
        }
        Algorithm::EdDSA => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_for_a_host_that_has_a_name() {
        for (address, there) in [
            ("https://api.example.com", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("nonsense", false),
        ] {
            assert_eq!(RelyingParty::at(address, "Acme").is_some(), there, "{address}");
        }
    }

    #[test]
    fn what_is_asked_for_is_verified_and_found_without_a_name_and_of_a_kind_that_the_log_can_hold() {
        let party = RelyingParty::at("https://api.example.com:8443", "Acme").unwrap();
        let there = ["AAEC".to_owned()];
        let (options, asked) =
            party.request_registration(UserId::new(uuid::Uuid::nil()), "ada", "Ada", there.iter()).unwrap();
        let options: serde_json::Value = serde_json::from_str(&options).unwrap();
        assert_eq!(options["challenge"], asked.challenge);
        assert_eq!(options["rp"], serde_json::json!({ "name": "Acme", "id": "api.example.com" }));
        let wanted = &options["authenticatorSelection"];
        assert_eq!((&wanted["userVerification"], &wanted["residentKey"]), (&"required".into(), &"preferred".into()));
        let algorithms: Vec<_> =
            options["pubKeyCredParams"].as_array().unwrap().iter().map(|wanted| wanted["alg"].as_i64()).collect();
        assert_eq!(algorithms, [Some(-7), Some(-257)]);
        assert_eq!(options["excludeCredentials"][0]["id"], "AAEC");
        let (options, _) = party.request_assertion(there.iter()).unwrap();
        let options: serde_json::Value = serde_json::from_str(&options).unwrap();
        assert_eq!((&options["userVerification"], &options["rpId"]), (&"required".into(), &"api.example.com".into()));
        assert_eq!(options["allowCredentials"][0]["id"], "AAEC");
    }

    #[test]
    fn a_key_is_the_same_after_it_was_in_the_log() {
        let ec = COSEEC2Key { curve: ECDSACurve::SECP256R1, x: vec![1; 32], y: vec![2; 32] };
        let rsa = COSERSAKey { n: vec![0xff; 256], e: [1, 0, 1] };
        for key in [
            COSEKey { type_: COSEAlgorithm::ES256, key: COSEKeyType::EC_EC2(ec) },
            COSEKey { type_: COSEAlgorithm::RS256, key: COSEKeyType::RSA(rsa) },
        ] {
            assert_eq!(cose(&jwk(&key).unwrap()), Some(key));
        }
        let long = COSEEC2Key { curve: ECDSACurve::SECP384R1, x: vec![1; 48], y: vec![2; 48] };
        assert_eq!(jwk(&COSEKey { type_: COSEAlgorithm::ES384, key: COSEKeyType::EC_EC2(long) }), None);
    }
}
