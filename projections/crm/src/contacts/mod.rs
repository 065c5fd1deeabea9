//! The directory of contacts, and the history of each.

mod list;
mod reducer;
mod row;

pub use folding::list::{count, find, list};
use folding::projection;
use folding::words;
pub use list::{ContactFilter, ContactOrder, made_of, of_accounts};
pub use row::{ContactHistoryRow, ContactRow};

projection! {
    /// Projects contacts.
    pub struct Contacts = "contacts" @ 5, tables ["contact", "contact_word", "contact_history"], events "crm.contact." by words::apply_and_keep::<ContactRow>,
    counts "contact_id" in ["contact", "contact_history"], forgets by words::forget::<ContactRow>
}
