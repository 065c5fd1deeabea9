//! Refused sign-ins: the user, the reason, and the client.

mod list;
mod reducer;
mod row;

pub use list::{count, of_user};
pub use row::RefusedSignInRow;

use folding::projection;

use crate::places::ERASED;

projection! {
    /// Projects refused sign-ins.
    pub struct RefusedSignIns = "refused_sign_ins" @ 1, tables ["refused_sign_in"], events "auth.sign_in." and [ERASED] by reducer::apply,
    forgets by reducer::forget
}
