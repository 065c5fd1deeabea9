//! The fence around the commands of a step: they are appended only as long as the attempt that executes them is its saga's latest.

use executor::{Command, Work};
use kernel::Refusal;
use uuid::Uuid;

use crate::repository::Repository;

/// A command of a step. Its append requires that the saga is as this attempt began the step. If somebody has appended to the saga since
/// (another coordinator took over, a person cancelled it), the command is refused with the code `saga_moved_on`, like the attempt's outcome
/// will be.
pub(crate) struct Fenced<'a, C> {
    pub(crate) command: &'a C,
    pub(crate) repository: &'a dyn Repository,
    /// The instance's id.
    pub(crate) saga: Uuid,
    /// The version of its stream that this attempt knows.
    pub(crate) version: u64,
}

impl<C: Command> Command for Fenced<'_, C> {
    const PERMISSION: &'static str = C::PERMISSION;
    type Answer = C::Answer;

    async fn run(&self, work: &mut Work<'_>) -> Result<C::Answer, Refusal> {
        // The command first: the version of the answer is that of the first aggregate in `work`.
        let answer = self.command.run(work).await?;
        self.repository.rely(work, self.saga, self.version).await?;
        Ok(answer)
    }
}
