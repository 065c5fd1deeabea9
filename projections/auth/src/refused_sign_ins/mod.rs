//! Who tried to sign in and was refused, why, and from where.

mod list;
mod reducer;
mod row;

pub use list::{count, of_user};
pub use row::RefusedSignInRow;

use folding::projection;

use crate::places::ERASED;

projection! {
    /// Projects refused attempts to sign in.
    pub struct RefusedSignIns = "refused_sign_ins" @ 1, tables ["refused_sign_in"], events "auth.sign_in." and [ERASED] by reducer::apply,
    forgets by reducer::forget
}
