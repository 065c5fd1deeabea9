//! The auth service's part of a person's data export, and of the proof that a person's data was erased.

use std::time::Duration;

use async_trait::async_trait;
use auth_aggregates::{Access, Account, Client, Session, SignIn};
use auth_commands::protocol;
use auth_projections::denied_accesses::{self, DeniedAccessRow};
use auth_projections::refused_sign_ins::{self, RefusedSignInRow};
use auth_projections::sessions::{self, SessionRow};
use eventstore::EventStore;
use executor::Executor;
use face::{
    Erasure, KnownConsent, KnownDenial, KnownPasskey, KnownRefusal, KnownSession, KnownWhereSignedIn, PersonEvent,
    SigningIn,
};
use kernel::{Aggregate, Refusal, TenantId, UserId};
use projector::{BeginError, ReadModels, read_models_behind};
use uuid::Uuid;

/// The most sessions, refused sign-ins and denials in an export, of each: the newest.
const MOST_TOLD: usize = 10_000;

/// The most of each that are read from the log, one stream each, to check whether an erasure has reached all of them.
const MOST_READ: usize = 1_000;

/// How long to wait until the read models have reached the head of the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// The fields of events that contain a secret or a hash of one.
const SECRET: [&str; 6] = ["password", "secret", "hashes", "hash", "challenge", "key"];

/// Reads the data about a person that the auth service holds.
pub struct SignInRecords {
    store: EventStore,
    executor: Executor,
    read_models: ReadModels,
}

impl SignInRecords {
    /// Reads from the log of the auth service and its read models.
    pub const fn new(store: EventStore, executor: Executor, read_models: ReadModels) -> Self {
        Self { store, executor, read_models }
    }

    /// The person's sessions, refused sign-ins and denials, up to the present head of the log: the newest, at most `most` of each.
    async fn found(&self, tenant: TenantId, user: UserId, most: usize) -> Result<Found, Refusal> {
        let head = self.store.head().await.map_err(|error| unavailable(&error))?;
        let begun = self.read_models.begin_at(tenant, head, PATIENCE).await;
        let mut tables = begun.map_err(|error| match error {
            BeginError::Behind(behind) => {
                let detail = format!(
                    "where somebody was signed in can't be told yet: the read models of signing in are at position {}, the log is at {}; try again",
                    behind.reached, behind.wanted
                );
                read_models_behind(behind, detail)
            }
            BeginError::Unreadable(error) => unavailable(&error),
        })?;
        // One more than wanted, to see whether there are more.
        let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let sessions = sessions::of_user(&mut tables, tenant, user.uuid(), None, limit).await;
        let (mut sessions, _) = sessions.map_err(|error| unavailable(&error))?;
        let refused = refused_sign_ins::of_user(&mut tables, tenant, Some(user.uuid()), None, limit).await;
        let mut refused = refused.map_err(|error| unavailable(&error))?;
        let denied = denied_accesses::of_user(&mut tables, tenant, user.uuid(), limit).await;
        let mut denied = denied.map_err(|error| unavailable(&error))?;
        let complete = sessions.len() <= most && refused.len() <= most && denied.len() <= most;
        sessions.truncate(most);
        refused.truncate(most);
        denied.truncate(most);
        Ok(Found { sessions, refused, denied, complete })
    }
}

/// A person's sessions, refused sign-ins and denials.
struct Found {
    sessions: Vec<SessionRow>,
    refused: Vec<RefusedSignInRow>,
    denied: Vec<DeniedAccessRow>,
    /// Whether these are all of them.
    complete: bool,
}

#[async_trait]
impl SigningIn for SignInRecords {
    async fn known(&self, tenant: TenantId, user: UserId) -> Result<KnownWhereSignedIn, Refusal> {
        let caller = protocol(tenant, "auth");
        let account = self.executor.load::<Account>(&caller, &user.to_string()).await?;
        let account = account.map(|(account, _)| account).unwrap_or_default();
        let mut applications = Vec::new();
        for (client, scope) in &account.consents {
            let found = self.executor.load::<Client>(&caller, &client.to_string()).await?;
            let name = found.map(|(client, _)| client.details.name.clone()).unwrap_or_default();
            applications.push(KnownConsent { client: client.uuid(), name, scope: scope.iter().cloned().collect() });
        }
        let passkeys = account.passkeys.by_id.iter().map(|(id, passkey)| KnownPasskey {
            id: id.clone(),
            name: passkey.name.reveal().clone(),
            enrolled_at: passkey.enrolled_at,
            used_at: passkey.used_at,
        });
        let Found { sessions, refused, denied, complete } = self.found(tenant, user, MOST_TOLD).await?;
        let history = self.store.load(tenant, Account::TYPE, &user.to_string(), 0).await;
        Ok(KnownWhereSignedIn {
            password: account.password.is_some(),
            authenticator: account.totp.is_some(),
            recovery_codes: account.recovery.len(),
            passkeys: passkeys.collect(),
            applications,
            sessions: sessions.into_iter().map(session).collect(),
            refused: refused.into_iter().map(refusal).collect(),
            denied: denied.into_iter().map(denial).collect(),
            complete,
            history: history.map_err(|error| unavailable(&error))?.iter().map(|event| discreet(event.into())).collect(),
        })
    }

    async fn erasure(&self, tenant: TenantId, user: UserId) -> Result<Erasure, Refusal> {
        let Found { sessions, refused, denied, complete } = self.found(tenant, user, MOST_READ).await?;
        let sessions = sessions.iter().map(|row| (Session::TYPE, row.session_id));
        let refused = refused.iter().map(|row| (SignIn::TYPE, row.sign_in_id));
        let denied = denied.iter().map(|row| (Access::TYPE, row.access_id));
        let account = [(Account::TYPE, user.uuid())].into_iter();
        let of: Vec<(&str, Uuid)> = account.chain(sessions).chain(refused).chain(denied).collect();
        Erasure::of(&self.store, tenant, &of, complete).await
    }
}

fn session(row: SessionRow) -> KnownSession {
    KnownSession {
        id: row.session_id,
        methods: row.methods.0,
        started_at: row.started_at,
        used_at: row.used_at,
        expires_at: row.expires_at,
        ended_at: row.ended_at,
        address: row.address,
        agent: row.agent,
    }
}

fn refusal(row: RefusedSignInRow) -> KnownRefusal {
    KnownRefusal { at: row.at, reason: row.reason, address: row.address, agent: row.agent }
}

fn denial(row: DeniedAccessRow) -> KnownDenial {
    KnownDenial {
        at: row.at,
        reason: row.reason,
        permission: row.permission,
        operation: row.operation,
        times: row.times,
        address: row.address,
        agent: row.agent,
    }
}

/// The event without secrets: an export is kept in places where secrets are not.
fn discreet(mut event: PersonEvent) -> PersonEvent {
    if let Some(data) = event.data.as_object_mut() {
        data.retain(|name, _| !SECRET.contains(&name.as_str()));
    }
    event
}

fn unavailable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::warn!(%error, "what is known of somebody who signs in can't be read");
    Refusal::unavailable("signing_in_unavailable", "what is known where people sign in can't be told now; try again")
}
