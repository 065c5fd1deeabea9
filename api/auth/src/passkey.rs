//! Passkeys (Web Authentication): what a browser is asked for, and whether what it answers is right.
//!
//! Where we are, a passkey knows from our configuration: its relying party is the host of `INOPSIO_PUBLIC_URL`, and it answers pages
//! of that origin only. A host that is no name (127.0.0.1) can have none; browsers know none for it.
//!
//! A challenge is 32 random bytes of the library's. Who it is that answered, what is known of the passkey and whether the
//! challenge was answered before, the account says: see `auth_aggregates::Passkeys`.

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

/// The algorithms that are asked for: what [`Jwk`] can say of those that the library takes, and every authenticator has one.
const ALGORITHMS: [i64; 2] = [COSEAlgorithm::ES256 as i64, COSEAlgorithm::RS256 as i64];

/// Asks for passkeys and judges the answers, at one address.
pub struct RelyingParty(Webauthn);

/// What a browser is asked, and what has to be known when it answers.
#[derive(Serialize, Deserialize)]
pub struct Challenge<S> {
    /// What it has to sign, base64url.
    pub challenge: String,
    /// What the library has to know.
    pub state: S,
}

/// A passkey that somebody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The id of its credential, base64url.
    pub id: String,
    /// What verifies that it signed.
    pub key: Jwk,
    /// How often it says that it was used.
    pub counter: u32,
    /// Whether it may be copied from device to device.
    pub synced: bool,
}

/// What somebody says who shows a passkey, before anything is verified.
pub struct PasskeyAnswer {
    /// The id of its credential, base64url.
    pub id: String,
    /// Whose it is, where it says that.
    pub user: Option<UserId>,
    answer: PublicKeyCredential,
}

/// Why an answer is not right, in a word of ours that stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasskeyFault(pub &'static str);

impl RelyingParty {
    /// The one at an address; none: there can be no passkeys at it. `name`: what authenticators call it.
    pub fn at(public_url: &str, name: &str) -> Option<Self> {
        let origin = Url::parse(public_url).ok()?;
        let timeout = CHALLENGE_GOOD_FOR.to_std().ok()?;
        let builder = WebauthnBuilder::new(origin.domain()?, &origin).ok()?;
        builder.rp_name(name).timeout(timeout).build().ok().map(Self)
    }

    /// Asks somebody to make a passkey: the options for `navigator.credentials.create`, as JSON. `there`: the ids of those that they have.
    ///
    /// # Errors
    /// When the library can't.
    pub fn ask_to_make<'p>(
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
        // So that it can be found without a name. A key that has no room for it is a second factor still.
        if let Some(wanted) = &mut options.authenticator_selection {
            wanted.resident_key = Some(ResidentKeyRequirement::Preferred);
        }
        let challenge = URL_SAFE_NO_PAD.encode(&options.challenge);
        Ok((json(options)?, Challenge { challenge, state }))
    }

    /// The passkey that somebody made when they were asked to.
    ///
    /// # Errors
    /// [`PasskeyFault`].
    pub fn made(&self, asked: &Challenge<PasskeyRegistration>, answer: &str) -> Result<Made, PasskeyFault> {
        let answer: RegisterPublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| PasskeyFault("passkey_malformed"))?;
        let made = self.0.finish_passkey_registration(&answer, &asked.state).map_err(|error| wrong(&error))?;
        let made = Credential::from(made);
        Ok(Made {
            id: URL_SAFE_NO_PAD.encode(&made.cred_id),
            key: jwk(&made.cred).ok_or(PasskeyFault("passkey_algorithm"))?,
            counter: made.counter,
            synced: made.backup_eligible,
        })
    }

    /// Asks for a passkey: the options for `navigator.credentials.get`, as JSON. `of`: the ids of those that are meant; none: any, which
    /// then says whose it is.
    ///
    /// # Errors
    /// When the library can't.
    pub fn ask<'p>(
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

    /// Whether somebody showed this passkey, who verified themselves to it (by finger, face or PIN), on our pages, for this challenge.
    /// Answers how often it says that it was used.
    ///
    /// # Errors
    /// [`PasskeyFault`].
    pub fn shown(
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
        // The library has seen to it already; all that a passkey is worth here rests on it.
        if shown.user_verified() { Ok(shown.counter()) } else { Err(PasskeyFault("passkey_unverified")) }
    }
}

impl PasskeyAnswer {
    /// Reads an answer of `navigator.credentials.get`.
    ///
    /// # Errors
    /// [`PasskeyFault`], when it is none.
    pub fn read(answer: &str) -> Result<Self, PasskeyFault> {
        let answer: PublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| PasskeyFault("passkey_malformed"))?;
        let id = URL_SAFE_NO_PAD.encode(answer.get_credential_id());
        let user = answer.get_user_unique_id().and_then(|handle| uuid::Uuid::from_slice(handle).ok());
        Ok(Self { id, user: user.map(UserId::new), answer })
    }
}

/// By what somebody showed who they are who showed this passkey (RFC 8176): a key that stays in its device, or one that may be copied.
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

/// A public key as the log has it; none: it is of another kind than was asked for.
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

/// A public key as the library has it.
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
        let (options, asked) = party.ask_to_make(UserId::new(uuid::Uuid::nil()), "ada", "Ada", there.iter()).unwrap();
        let options: serde_json::Value = serde_json::from_str(&options).unwrap();
        assert_eq!(options["challenge"], asked.challenge);
        assert_eq!(options["rp"], serde_json::json!({ "name": "Acme", "id": "api.example.com" }));
        let wanted = &options["authenticatorSelection"];
        assert_eq!((&wanted["userVerification"], &wanted["residentKey"]), (&"required".into(), &"preferred".into()));
        let algorithms: Vec<_> =
            options["pubKeyCredParams"].as_array().unwrap().iter().map(|wanted| wanted["alg"].as_i64()).collect();
        assert_eq!(algorithms, [Some(-7), Some(-257)]);
        assert_eq!(options["excludeCredentials"][0]["id"], "AAEC");
        let (options, _) = party.ask(there.iter()).unwrap();
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
