//! Invitations of users, pending and answered.

mod list;
mod reducer;
mod row;

pub use folding::list::{count, list};
use folding::{fold, projection};
pub use list::{InvitationFilter, LastSentFirst};
pub use row::InvitationRow;

projection! {
    /// Projects invitations.
    pub struct Invitations = "invitations" @ 1, tables ["invitation"], events "user.invitation." by reducer::apply,
    counts "invitation_id" in ["invitation"], forgets by fold::forget::<InvitationRow>
}
