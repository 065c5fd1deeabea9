//! The port by which the user service reads what the auth service stores about a person: exports of personal data and erasure reports
//! cover both services. The auth service implements it; the gateway connects the two.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::{Refusal, TenantId, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{Erasure, Example, PersonEvent, example};

/// Reads a user's data in the auth service.
#[async_trait]
pub trait SigningIn: Send + Sync {
    /// Everything that is stored about a user of this tenant.
    ///
    /// # Errors
    /// When it can't be read at the moment.
    async fn known(&self, tenant: TenantId, user: UserId) -> Result<KnownWhereSignedIn, Refusal>;

    /// What the auth service's event log still contains about them.
    ///
    /// # Errors
    /// When it can't be read at the moment.
    async fn erasure(&self, tenant: TenantId, user: UserId) -> Result<Erasure, Refusal>;
}

/// Everything that is stored about a user's sign-in. It contains no secrets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownWhereSignedIn {
    /// Whether they have a password.
    pub password: bool,
    /// Whether they have an authenticator (TOTP).
    pub authenticator: bool,
    /// Number of recovery codes that are left.
    pub recovery_codes: usize,
    /// Their passkeys.
    pub passkeys: Vec<KnownPasskey>,
    /// The applications that they allowed to act on their behalf.
    pub applications: Vec<KnownConsent>,
    /// Their sessions, including ended ones, newest first.
    pub sessions: Vec<KnownSession>,
    /// Refused attempts to sign in as them, newest first.
    pub refused: Vec<KnownRefusal>,
    /// Requests of theirs that were denied, newest first.
    pub denied: Vec<KnownDenial>,
    /// Whether the lists of sessions, attempts and denials are complete. If not, they contain the newest entries.
    pub complete: bool,
    /// Every event of their account, oldest first. Secrets are omitted.
    pub history: Vec<PersonEvent>,
}

impl Example for KnownWhereSignedIn {
    fn example() -> Self {
        let passkey = KnownPasskey {
            id: "q83vEjRWeJq83vEjRWeJqw".to_owned(),
            name: "Laptop".to_owned(),
            enrolled_at: example::time(0),
            used_at: Some(example::time(90)),
        };
        Self {
            password: true,
            authenticator: true,
            recovery_codes: 9,
            passkeys: vec![passkey],
            applications: vec![KnownConsent::example()],
            sessions: vec![KnownSession::example()],
            refused: vec![KnownRefusal::example()],
            denied: vec![KnownDenial::example()],
            complete: true,
            history: Vec::new(),
        }
    }
}

impl Example for KnownConsent {
    fn example() -> Self {
        Self { client: example::id(4), name: "Reports".to_owned(), scope: vec!["crm:lead:read".to_owned()] }
    }
}

impl Example for KnownSession {
    fn example() -> Self {
        Self {
            id: example::id(5),
            methods: vec!["pwd".to_owned(), "otp".to_owned()],
            started_at: example::time(0),
            used_at: example::time(90),
            expires_at: example::time(14 * 24 * 60),
            ended_at: None,
            address: Some("192.0.2.7".to_owned()),
            agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned()),
        }
    }
}

impl Example for KnownRefusal {
    fn example() -> Self {
        Self {
            at: example::time(30),
            reason: "password_wrong".to_owned(),
            address: Some("198.51.100.23".to_owned()),
            agent: None,
        }
    }
}

impl Example for KnownDenial {
    fn example() -> Self {
        Self {
            at: example::time(45),
            reason: "permission_missing".to_owned(),
            permission: Some("crm:lead:write".to_owned()),
            operation: Some("POST /v1/crm/leads".to_owned()),
            times: 3,
            address: Some("192.0.2.7".to_owned()),
            agent: None,
        }
    }
}

/// A passkey.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownPasskey {
    /// The id of its credential.
    pub id: String,
    /// The name that they gave it.
    pub name: String,
    /// When it was added.
    pub enrolled_at: DateTime<Utc>,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<DateTime<Utc>>,
}

/// An application that a user allowed to act on their behalf.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownConsent {
    /// The id of the application.
    pub client: Uuid,
    /// The name of the application.
    pub name: String,
    /// The scopes that were granted.
    pub scope: Vec<String>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownSession {
    /// Its id.
    pub id: Uuid,
    /// The methods with which they authenticated.
    pub methods: Vec<String>,
    /// When they signed in.
    pub started_at: DateTime<Utc>,
    /// When it was last used, accurate to about an hour.
    pub used_at: DateTime<Utc>,
    /// When it expires at the latest.
    pub expires_at: DateTime<Utc>,
    /// When this session was ended individually, before it expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// The network address from which they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The `User-Agent` header of the browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// An attempt to sign in that was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownRefusal {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The code of the reason.
    pub reason: String,
    /// The network address from which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The `User-Agent` header of the browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// A request that was denied. Equal requests within an hour are counted as one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownDenial {
    /// When it was first denied.
    pub at: DateTime<Utc>,
    /// The code of the reason.
    pub reason: String,
    /// The permission that they do not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// The operation that they requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// How many times it was denied.
    pub times: i64,
    /// The network address from which the first request came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The `User-Agent` header of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// An implementation that always fails, for processes without the auth service, such as tests.
pub struct NobodySignsIn;

#[async_trait]
impl SigningIn for NobodySignsIn {
    async fn known(&self, _: TenantId, _: UserId) -> Result<KnownWhereSignedIn, Refusal> {
        Err(nobody())
    }

    async fn erasure(&self, _: TenantId, _: UserId) -> Result<Erasure, Refusal> {
        Err(nobody())
    }
}

fn nobody() -> Refusal {
    Refusal::unavailable(
        "signing_in_unavailable",
        "the sign-in data of users is not available at the moment; try again",
    )
}
