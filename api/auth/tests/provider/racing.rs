//! Commands that race with another write.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use executor::{Command, Executor, Work};
use kernel::{Caller, Refusal};

use crate::world::World;

/// A command that runs another command during its first attempt.
struct WithConcurrent<C, M> {
    command: C,
    meanwhile: M,
    other: (Executor, Caller),
    was: AtomicBool,
}

impl<C: Command, M: Command> Command for WithConcurrent<C, M> {
    const PERMISSION: &'static str = C::PERMISSION;
    type Answer = C::Answer;

    async fn run(&self, work: &mut Work<'_>) -> Result<C::Answer, Refusal> {
        let answer = self.command.run(work).await?;
        if !self.was.swap(true, Ordering::Relaxed) {
            self.other.0.run(&self.other.1, &self.meanwhile).await?;
        }
        Ok(answer)
    }
}

impl World {
    /// Runs a command while the administrator's command, of one event, is executed. Returns its refusal, and checks that only that one
    /// event was written.
    pub async fn refused_while<C, M>(&self, caller: &Caller, command: C, meanwhile: M) -> Refusal
    where
        C: Command<Answer: std::fmt::Debug>,
        M: Command,
    {
        let other = (self.provider.authority.executor().clone(), self.admin());
        self.clock.advance(TimeDelta::seconds(1));
        let before = self.head().await;
        let raced = WithConcurrent { command, meanwhile, other, was: AtomicBool::new(false) };
        let refusal = self.provider.authority.run(caller, &raced).await.unwrap_err();
        assert_eq!(self.head().await, before + 1, "{refusal}");
        self.clock.advance(TimeDelta::seconds(1));
        refusal
    }
}
