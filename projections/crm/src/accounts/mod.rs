//! The directory of accounts, and the history of each.

mod list;
mod reducer;
mod row;

pub use folding::list::{count, list};
use folding::projection;
use folding::words;
pub use list::{AccountFilter, AccountOrder};
pub use row::{AccountHistoryRow, AccountRow};

projection! {
    /// Projects accounts.
    pub struct Accounts = "accounts" @ 4, tables ["account", "account_word", "account_history"], events "crm.account." by words::apply_and_keep::<AccountRow>,
    counts "account_id" in ["account", "account_history"]
}
