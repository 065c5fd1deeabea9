//! The directory of accounts.

mod list;
mod reducer;
mod row;

use folding::projection;
use folding::words;
pub use list::{AccountFilter, AccountOrder, count, find, list};
pub use row::AccountRow;

projection! {
    /// Projects accounts.
    pub struct Accounts = "accounts" @ 1, tables ["account", "account_word"], events "crm.account." by words::apply::<AccountRow>,
    counts "account_id" in ["account"]
}
