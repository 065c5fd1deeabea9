//! The port by which the user service asks what the auth service has of a person: who asks for all that is known of them, or whether
//! they are erased, asks of both. The gateway hands the one's implementation to the other.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::{Refusal, TenantId, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{Erasure, Example, Told, example};

/// Asks what is known of a person where they sign in.
#[async_trait]
pub trait SigningIn: Send + Sync {
    /// All that is known of a user of this tenant.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn known(&self, tenant: TenantId, user: UserId) -> Result<KnownWhereSignedIn, Refusal>;

    /// What the log of signing in can still tell of them.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn erasure(&self, tenant: TenantId, user: UserId) -> Result<Erasure, Refusal>;
}

/// All that is known of somebody where they sign in. Secrets are none of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownWhereSignedIn {
    /// Whether they have a password.
    pub password: bool,
    /// Whether they have an authenticator (TOTP).
    pub authenticator: bool,
    /// How many recovery codes they have left.
    pub recovery_codes: usize,
    /// Their passkeys.
    pub passkeys: Vec<KnownPasskey>,
    /// What they let applications do for them.
    pub applications: Vec<KnownConsent>,
    /// Their sessions, also those that are over; newest first.
    pub sessions: Vec<KnownSession>,
    /// Attempts to sign in as them that were refused; newest first.
    pub refused: Vec<KnownRefusal>,
    /// What they asked for and were denied; newest first.
    pub denied: Vec<KnownDenial>,
    /// Whether these are all sessions, attempts and denials; else the newest.
    pub complete: bool,
    /// Every event of their account, from the first. What is secret is left out.
    pub history: Vec<Told>,
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
    /// What they call it.
    pub name: String,
    /// Since when they have it.
    pub enrolled_at: DateTime<Utc>,
    /// When they last showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<DateTime<Utc>>,
}

/// What somebody lets an application do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownConsent {
    /// The application.
    pub client: Uuid,
    /// What it is called.
    pub name: String,
    /// What it may.
    pub scope: Vec<String>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownSession {
    /// Its id.
    pub id: Uuid,
    /// By what they showed who they are.
    pub methods: Vec<String>,
    /// When they signed in.
    pub started_at: DateTime<Utc>,
    /// When they last used it, to about an hour.
    pub used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it was ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// From where they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the browser said that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// An attempt to sign in that was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownRefusal {
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in a word.
    pub reason: String,
    /// From where it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the browser said that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// What somebody asked for and was denied: the same within an hour is one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownDenial {
    /// When, the first time.
    pub at: DateTime<Utc>,
    /// Why, in a word.
    pub reason: String,
    /// What they do not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// What they asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// How often.
    pub times: i64,
    /// From where the first came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the program said that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// Of a process in which nobody signs in, such as one of a test.
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
    Refusal::unavailable("signing_in_unavailable", "what is known where people sign in can't be told now; try again")
}
