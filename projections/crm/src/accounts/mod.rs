//! The directory of accounts.

mod list;
mod reducer;
mod row;

pub use folding::list::{count, find, list};
use folding::projection;
use folding::words;
pub use list::{AccountFilter, AccountOrder};
pub use row::AccountRow;

projection! {
    /// Projects accounts.
    pub struct Accounts = "accounts" @ 2, tables ["account", "account_word"], events "crm.account." by words::apply::<AccountRow>,
    counts "account_id" in ["account"]
}
