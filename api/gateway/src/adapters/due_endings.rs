//! Ends sessions before a sign-in, where otherwise the saga `end_access` would end them after it: its commands are executed under their own
//! ids, so it finds them done.

use async_trait::async_trait;
use auth_commands::{ForestallEnding, protocol};
use executor::Executor;
use kernel::{Caller, RecordedEvent, Refusal, TenantId, UserId};
use user_api::DueEndings;
use user_sagas::{DueEnding, due_endings};

/// Implements [`DueEndings`].
pub struct AuthDueEndings {
    /// The executor over the log of the auth service.
    pub executor: Executor,
}

impl AuthDueEndings {
    /// Executes a command of the saga, unless that was done. Returns whether it was executed now.
    async fn forestall(&self, caller: &Caller, id: String, command: ForestallEnding) -> Result<bool, Refusal> {
        let request = self.executor.internal_request(caller, Some(id));
        let done = self.executor.execute(&request, &command).await?;
        Ok(!done.repeated)
    }
}

#[async_trait]
impl DueEndings for AuthDueEndings {
    async fn end(&self, tenant: TenantId, user: UserId, history: &[RecordedEvent]) -> Result<(), Refusal> {
        let caller = protocol(tenant, "user");
        // One ending serves for all changes, because the directory shows all of them.
        let mut ended = false;
        for DueEnding { reason, last, first } in due_endings(history, self.executor.now()) {
            let reason = (!ended).then(|| reason.to_owned());
            ended |= self.forestall(&caller, last, ForestallEnding { user, reason }).await?;
            // After the last ending the first one has nothing left to end, but a saga that is late could still execute it.
            self.forestall(&caller, first, ForestallEnding { user, reason: None }).await?;
        }
        Ok(())
    }
}
