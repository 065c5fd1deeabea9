//! The keys of a tenant: the key that encrypts its secrets, and those that sign its tokens. One aggregate per tenant, with the tenant's id.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Refusal};
use keys::{Envelope, Sealed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Algorithm, Jwk};

kernel::events! {
    /// Events of a tenant's key ring.
    pub enum KeyRingEvent of "auth.key_ring" {
        /// The tenant got its key ring.
        KeyRingOpened = "auth.key_ring.opened" @ 1 {
            /// Key that seals the tenant's secrets, itself sealed under the tenant's key of the log. (In early events: wrapped by the
            /// master key.)
            pub tenant_key: Envelope,
        },
        /// A signing key was added and published; it signs from a later time on.
        SigningKeyAdded = "auth.key_ring.signing_key_added" @ 1 {
            pub kid: String,
            pub algorithm: Algorithm,
            /// Public key.
            pub public: Jwk,
            /// Private key: PKCS #8, PEM (for RSA: DER); sealed.
            pub private: Sealed,
            /// When the key starts to sign. Until then it is only published, so that all verifiers know it in time.
            pub signs_from: DateTime<Utc>,
        },
        /// A key was added that signs the tenant's SAML requests to identity providers.
        SamlKeyAdded = "auth.key_ring.saml_key_added" @ 1 {
            /// X.509 certificate with the public key: DER, base64-encoded.
            pub certificate: String,
            /// Private key: PKCS #8, DER; sealed.
            pub private: Sealed,
        },
        /// A key was added with which identity providers encrypt their assertions.
        SamlDecryptionKeyAdded = "auth.key_ring.saml_decryption_key_added" @ 1 {
            /// X.509 certificate with the public key: DER, base64-encoded.
            pub certificate: String,
            /// Private key: PKCS #8, DER; sealed.
            pub private: Sealed,
        },
        /// The key ring was closed because the tenant could not be set up: its keys no longer sign, decrypt or verify anything.
        KeyRingClosed = "auth.key_ring.closed" @ 1 {},
        /// A signing key was retired: it no longer verifies anything.
        SigningKeyRetired = "auth.key_ring.signing_key_retired" @ 1 { pub kid: String },
        /// The key that seals the tenant's secrets was sealed anew; the key itself is the same.
        KeyRingResealed = "auth.key_ring.resealed" @ 1 {
            /// The key, sealed under the tenant's key of the log.
            pub tenant_key: Envelope,
        },
    }
}

/// A tenant's keys, as they result from their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyRing {
    /// `None`: there are no keys yet.
    pub tenant_key: Option<Envelope>,
    /// The keys that verify, in the order in which they were added.
    pub keys: Vec<SigningKeyAdded>,
    /// The key that signs requests to identity providers; `None`: not needed yet.
    #[serde(default)]
    pub saml: Option<SamlKeyAdded>,
    /// The key that decrypts assertions of identity providers; `None`: not published yet.
    #[serde(default)]
    pub saml_decryption: Option<SamlDecryptionKeyAdded>,
}

/// The commands of a tenant's key ring.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyRingCommand {
    /// Creates the keys. Happens once.
    Open(KeyRingOpened),
    /// Closes the key ring: its keys no longer sign, decrypt or verify anything.
    Close,
    /// Replaces the envelope of the tenant key. `was`: the envelope that is replaced; if it is not the current one, nothing changes.
    Reseal { was: Envelope, tenant_key: Envelope },
    /// Publishes another signing key.
    Add(SigningKeyAdded),
    /// Publishes the first key of an algorithm. Changes nothing if there is one.
    AddFirst(SigningKeyAdded),
    /// Adds the key that signs requests to identity providers. Changes nothing if there is one.
    AddSaml(SamlKeyAdded),
    /// Adds the key for which identity providers encrypt. Changes nothing if there is one.
    AddSamlDecryption(SamlDecryptionKeyAdded),
    /// Retires a key. `now`: the current time; the key that signs at that time can't be retired.
    Retire { kid: String, now: DateTime<Utc> },
}

/// Why a key ring refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There are no keys yet.
    #[error("the tenant has no keys yet")]
    NotOpen,
    /// The key is the one that signs.
    #[error("the key {kid} currently signs tokens; rotate it and wait until the new one signs")]
    Signs { kid: String },
    /// There is no such key.
    #[error("the tenant has no key {kid}; it has {}", kernel::listed(.known))]
    Unknown { kid: String, known: Vec<String> },
}

impl From<KeyRingError> for Refusal {
    fn from(error: KeyRingError) -> Self {
        let detail = error.to_string();
        match error {
            KeyRingError::NotOpen => Self::conflict("keys_missing", detail),
            KeyRingError::Signs { .. } => Self::conflict("key_signs", detail),
            KeyRingError::Unknown { .. } => Self::not_found("not_found", detail).with("resource", "signing_key"),
        }
    }
}

/// State of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Published; it will sign later.
    Waits,
    /// Signs.
    Signs,
    /// No longer signs: tokens that it signed stay valid until they expire.
    Verifies,
}

impl KeyRing {
    /// The key of an algorithm that signs at a time: the last one added whose start time has come. Before any start time, the first key
    /// signs, so that a tenant can issue tokens from its beginning.
    pub fn signs(&self, algorithm: Algorithm, at: DateTime<Utc>) -> Option<&SigningKeyAdded> {
        let mut of_it = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let first = of_it.clone().next();
        of_it.rfind(|key| key.signs_from <= at).or(first)
    }

    /// Whether there is a key of an algorithm.
    pub fn has(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.algorithm == algorithm)
    }

    /// The state of a key at a time; `None` if there is no such key.
    pub fn use_of(&self, kid: &str, at: DateTime<Utc>) -> Option<KeyUse> {
        let key = self.find(kid)?;
        let signs = self.signs(key.algorithm, at).is_some_and(|signs| signs.kid == kid);
        Some(match signs {
            true => KeyUse::Signs,
            false if key.signs_from > at => KeyUse::Waits,
            false => KeyUse::Verifies,
        })
    }

    /// The key with this id, if it verifies.
    pub fn find(&self, kid: &str) -> Option<&SigningKeyAdded> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

impl Aggregate for KeyRing {
    const TYPE: &'static str = "auth.key_ring";
    const FORM: u32 = 4;
    type Command = KeyRingCommand;
    type Event = KeyRingEvent;
    type Error = KeyRingError;

    fn decide(&self, command: KeyRingCommand) -> Result<Vec<KeyRingEvent>, KeyRingError> {
        Ok(match command {
            KeyRingCommand::Open(_) if self.tenant_key.is_some() => vec![],
            KeyRingCommand::Open(opened) => vec![opened.into()],
            KeyRingCommand::Close if self.tenant_key.is_none() => vec![],
            KeyRingCommand::Close => vec![KeyRingClosed {}.into()],
            KeyRingCommand::Reseal { was, .. } if self.tenant_key.as_ref() != Some(&was) => vec![],
            KeyRingCommand::Reseal { tenant_key, .. } => vec![KeyRingResealed { tenant_key }.into()],
            KeyRingCommand::Add(_)
            | KeyRingCommand::AddFirst(_)
            | KeyRingCommand::AddSaml(_)
            | KeyRingCommand::AddSamlDecryption(_)
                if self.tenant_key.is_none() =>
            {
                return Err(KeyRingError::NotOpen);
            }
            KeyRingCommand::Add(added) if self.find(&added.kid).is_some() => vec![],
            KeyRingCommand::AddFirst(added) if self.has(added.algorithm) => vec![],
            KeyRingCommand::Add(added) | KeyRingCommand::AddFirst(added) => vec![added.into()],
            KeyRingCommand::AddSaml(_) if self.saml.is_some() => vec![],
            KeyRingCommand::AddSaml(added) => vec![added.into()],
            KeyRingCommand::AddSamlDecryption(_) if self.saml_decryption.is_some() => vec![],
            KeyRingCommand::AddSamlDecryption(added) => vec![added.into()],
            KeyRingCommand::Retire { kid, now } => {
                let Some(key) = self.find(&kid) else {
                    let known = self.keys.iter().map(|key| key.kid.clone()).collect();
                    return Err(KeyRingError::Unknown { kid, known });
                };
                if self.signs(key.algorithm, now).is_some_and(|signs| signs.kid == kid) {
                    return Err(KeyRingError::Signs { kid });
                }
                vec![SigningKeyRetired { kid }.into()]
            }
        })
    }

    fn evolve(&mut self, event: KeyRingEvent) {
        match event {
            KeyRingEvent::KeyRingOpened(e) => self.tenant_key = Some(e.tenant_key),
            KeyRingEvent::KeyRingResealed(e) => self.tenant_key = Some(e.tenant_key),
            KeyRingEvent::KeyRingClosed(_) => *self = Self::default(),
            KeyRingEvent::SigningKeyAdded(e) => self.keys.push(e),
            KeyRingEvent::SamlKeyAdded(e) => self.saml = Some(e),
            KeyRingEvent::SamlDecryptionKeyAdded(e) => self.saml_decryption = Some(e),
            KeyRingEvent::SigningKeyRetired(e) => self.keys.retain(|key| key.kid != e.kid),
        }
    }
}

kernel::aggregate!(KeyRing);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use cqrs_es::test::TestFramework;
    use keys::{Context, DataKey, SystemRandom, Wrapped};

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn sealed() -> Sealed {
        let context = Context { tenant: kernel::TenantId::vouched(uuid::Uuid::nil()), purpose: "", subject: "" };
        DataKey::new([1; 32]).seal(context, b"", &SystemRandom).unwrap()
    }

    fn key(kid: &str, signs_from: i64) -> SigningKeyAdded {
        let public = Jwk {
            kty: "OKP".to_owned(),
            kid: Some(kid.to_owned()),
            crv: Some("Ed25519".to_owned()),
            x: Some(String::new()),
            y: None,
            n: None,
            e: None,
        };
        let (algorithm, private) = (Algorithm::EdDSA, sealed());
        SigningKeyAdded { kid: kid.to_owned(), algorithm, public, private, signs_from: at(signs_from) }
    }

    fn wrapped(text: &str) -> Envelope {
        Wrapped::new("local", text).into()
    }

    fn opened() -> KeyRingEvent {
        KeyRingOpened { tenant_key: wrapped("key") }.into()
    }

    #[test]
    fn a_new_key_signs_from_its_time_on_and_the_old_one_verifies_on() {
        let mut ring = KeyRing::default();
        for event in [opened(), key("old", 0).into(), key("new", 60).into()] {
            ring.evolve(event);
        }
        let signs = |minute| ring.signs(Algorithm::EdDSA, at(minute)).map(|key| key.kid.as_str());
        assert_eq!((signs(-5), signs(59), signs(60)), (Some("old"), Some("old"), Some("new")));
        assert!(ring.find("old").is_some() && ring.signs(Algorithm::ES256, at(60)).is_none());
        let uses = |minute| ["old", "new", "other"].map(|kid| ring.use_of(kid, at(minute)));
        assert_eq!(uses(59), [Some(KeyUse::Signs), Some(KeyUse::Waits), None]);
        assert_eq!(uses(60), [Some(KeyUse::Verifies), Some(KeyUse::Signs), None]);
    }

    #[test]
    fn keys_that_are_closed_neither_sign_nor_verify_and_there_is_nothing_to_close_where_there_are_none() {
        let none = || TestFramework::<KeyRing>::with(());
        none().given_no_previous_events().when(KeyRingCommand::Close).then_expect_events(vec![]);
        let closed = || KeyRingEvent::from(KeyRingClosed {});
        let open = vec![opened(), key("old", 0).into()];
        none().given(open.clone()).when(KeyRingCommand::Close).then_expect_events(vec![closed()]);
        let mut ring = KeyRing::default();
        open.into_iter().chain([closed()]).for_each(|event| ring.evolve(event));
        assert!(ring.find("old").is_none() && ring.signs(Algorithm::EdDSA, at(60)).is_none());
        none().given(vec![opened(), closed()]).when(KeyRingCommand::Close).then_expect_events(vec![]);
    }

    #[test]
    fn the_key_that_signs_is_not_retired() {
        let ring =
            || TestFramework::<KeyRing>::with(()).given(vec![opened(), key("old", 0).into(), key("new", 60).into()]);
        let retire = |kid: &str, minute| KeyRingCommand::Retire { kid: kid.to_owned(), now: at(minute) };
        ring().when(retire("old", 30)).then_expect_error(KeyRingError::Signs { kid: "old".to_owned() });
        ring().when(retire("old", 60)).then_expect_events(vec![SigningKeyRetired { kid: "old".to_owned() }.into()]);
        let unknown =
            KeyRingError::Unknown { kid: "other".to_owned(), known: vec!["old".to_owned(), "new".to_owned()] };
        ring().when(retire("other", 60)).then_expect_error(unknown);
    }

    #[test]
    fn the_key_for_requests_to_identity_providers_stays_the_one_that_they_know() {
        let added = |certificate: &str| SamlKeyAdded { certificate: certificate.to_owned(), private: sealed() };
        let first = added("first");
        TestFramework::<KeyRing>::with(())
            .given(vec![opened(), first.into()])
            .when(KeyRingCommand::AddSaml(added("second")))
            .then_expect_events(vec![]);
    }

    #[test]
    fn the_key_for_which_identity_providers_encrypt_stays_the_one_that_they_know() {
        let added =
            |certificate: &str| SamlDecryptionKeyAdded { certificate: certificate.to_owned(), private: sealed() };
        let first = added("first");
        let given = |events| TestFramework::<KeyRing>::with(()).given(events);
        given(vec![opened()])
            .when(KeyRingCommand::AddSamlDecryption(first.clone()))
            .then_expect_events(vec![first.clone().into()]);
        given(vec![opened(), first.into()])
            .when(KeyRingCommand::AddSamlDecryption(added("second")))
            .then_expect_events(vec![]);
    }

    #[test]
    fn of_two_first_keys_of_an_algorithm_one_is_added() {
        let of = |kid: &str, algorithm| SigningKeyAdded { algorithm, ..key(kid, 0) };
        let given = || TestFramework::<KeyRing>::with(()).given(vec![opened(), key("other", 0).into()]);
        let first = of("first", Algorithm::RS256);
        given().when(KeyRingCommand::AddFirst(first.clone())).then_expect_events(vec![first.clone().into()]);
        given()
            .and(vec![first.into()])
            .when(KeyRingCommand::AddFirst(of("second", Algorithm::RS256)))
            .then_expect_events(vec![]);
    }

    #[test]
    fn the_key_gets_another_envelope_if_it_was_taken_from_the_one_that_it_has() {
        let reseal = |was: &str| KeyRingCommand::Reseal { was: wrapped(was), tenant_key: sealed().into() };
        let ring = || TestFramework::<KeyRing>::with(()).given(vec![opened(), key("k", 0).into()]);
        let command = reseal("key");
        let KeyRingCommand::Reseal { tenant_key, .. } = command.clone() else { unreachable!() };
        ring().when(command).then_expect_events(vec![KeyRingResealed { tenant_key: tenant_key.clone() }.into()]);
        ring().when(reseal("other")).then_expect_events(vec![]);
        TestFramework::<KeyRing>::with(())
            .given(vec![opened(), KeyRingClosed {}.into()])
            .when(reseal("key"))
            .then_expect_events(vec![]);
        let mut state = KeyRing::default();
        for event in [opened(), key("k", 0).into(), KeyRingResealed { tenant_key: tenant_key.clone() }.into()] {
            state.evolve(event);
        }
        assert_eq!((state.tenant_key, state.keys.len()), (Some(tenant_key), 1));
    }

    #[test]
    fn a_ring_is_opened_once_and_before_all_else() {
        let open = || KeyRingCommand::Open(KeyRingOpened { tenant_key: wrapped("other") });
        TestFramework::<KeyRing>::with(()).given(vec![opened()]).when(open()).then_expect_events(vec![]);
        TestFramework::<KeyRing>::with(())
            .given_no_previous_events()
            .when(KeyRingCommand::Add(key("k", 0)))
            .then_expect_error(KeyRingError::NotOpen);
    }
}
