//! Shutting people out: what the user service says of somebody is carried out in the auth service's log, in which every process of
//! ours may write.

use std::time::Duration;

use auth_commands::{CloseAccount, EndSessions, EraseAccount, Reach};
use executor::Executor;
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Caller, Position, Role, TenantId};
use projector::ReadModels;
use user_sagas::{Access, Ending};

use super::Late;

/// How long it is waited for the directory before anything is ended: what ends access is not to take a second.
const MOMENT: Duration = Duration::from_millis(300);

/// What signs people out.
pub struct SignOut {
    /// Over the log of the auth service.
    pub executor: Executor,
    /// The read models of the user service: they say when somebody's end is known.
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
            // Whose account is closed has no sessions any more, and who never had one has none.
            Err(refusal) if ["account_closed", "not_found"].contains(&refusal.code()) => Ok(()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
}

impl Access for Late<SignOut> {
    fn is_known(&self, tenant: TenantId, position: Position) -> BoxFuture<'_, bool> {
        async move {
            match self.get() {
                Some(sign_out) => sign_out.people.wait_for(tenant, position, MOMENT).await.is_ok(),
                None => false,
            }
        }
        .boxed()
    }

    fn end<'a>(&'a self, ending: &'a Ending) -> BoxFuture<'a, Result<(), String>> {
        async move { self.get().ok_or("nobody is signed out here")?.end(ending).await }.boxed()
    }
}
