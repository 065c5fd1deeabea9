//! Ends a user's access: decisions of the user service about a user are executed as commands of the auth service, to whose log every
//! process of ours can write.

use std::time::Duration;

use auth_commands::{CloseAccount, EndSessions, EraseAccount, Reach};
use executor::Executor;
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Caller, Position, Role, TenantId};
use projector::ReadModels;
use user_sagas::{Access, Ending};

use super::Late;

/// How long to wait for the user service's read models before access is ended. Ending access must not take a second.
const READ_MODEL_WAIT: Duration = Duration::from_millis(300);

/// Ends sessions and closes or erases accounts.
pub struct SignOut {
    /// The executor over the log of the auth service.
    pub executor: Executor,
    /// The read models of the user service, which must know about the user's change first.
    pub people: ReadModels,
}

impl SignOut {
    async fn end(&self, ending: &Ending) -> Result<(), String> {
        let caller = Caller::new(ending.tenant, "user", &[Role::Admin], auth_commands::GRANTS);
        let request = self.executor.internal_request(&caller, Some(ending.once.clone()));
        let done = if ending.erases {
            self.executor.execute(&request, &EraseAccount { user: ending.user }).await.map(drop)
        } else if ending.closes {
            self.executor.execute(&request, &CloseAccount { user: ending.user }).await.map(drop)
        } else {
            let end = EndSessions { user: ending.user, reason: ending.reason.clone(), reach: Reach::Everything };
            self.executor.execute(&request, &end).await.map(drop)
        };
        match done {
            Ok(()) => Ok(()),
            // A closed account has no sessions any more, and a user who never had an account has none either.
            Err(refusal) if ["account_closed", "not_found"].contains(&refusal.code()) => Ok(()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
}

impl Access for Late<SignOut> {
    fn is_known(&self, tenant: TenantId, position: Position) -> BoxFuture<'_, bool> {
        async move {
            match self.get() {
                Some(sign_out) => sign_out.people.wait_for(tenant, position, READ_MODEL_WAIT).await.is_ok(),
                None => false,
            }
        }
        .boxed()
    }

    fn end<'a>(&'a self, ending: &'a Ending) -> BoxFuture<'a, Result<(), String>> {
        async move { self.get().ok_or("nobody is signed out here")?.end(ending).await }.boxed()
    }
}
