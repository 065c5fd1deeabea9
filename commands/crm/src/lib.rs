//! What can be asked of CRM.

/// Stands in for commands while they are being written.
macro_rules! pending {
    ($($command:ty: $answer:ty, $permission:literal;)+) => {$(
        impl executor::Command for $command {
            const PERMISSION: &'static str = $permission;
            type Answer = $answer;
            async fn run(&self, _: &mut executor::Work<'_>) -> Result<$answer, kernel::Refusal> {
                Err(kernel::Refusal::internal("not_written_yet", "not written yet"))
            }
        }
    )+};
}
use pending;

mod account;
mod contact;
mod conversion;
mod currencies;
mod grants;
mod import;
mod lead;
mod money;
mod opportunity;
mod pipeline;

pub use account::*;
pub use contact::*;
pub use conversion::*;
pub use currencies::*;
pub use grants::GRANTS;
pub use import::*;
pub use lead::*;
pub use money::MoneyFields;
pub use opportunity::*;
pub use pipeline::*;
