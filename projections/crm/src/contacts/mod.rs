//! The directory of contacts.

mod list;
mod reducer;
mod row;

pub use folding::list::{count, find, list};
use folding::projection;
use folding::words;
pub use list::{ContactFilter, ContactOrder, made_of, of_accounts};
pub use row::ContactRow;

projection! {
    /// Projects contacts.
    pub struct Contacts = "contacts" @ 3, tables ["contact", "contact_word"], events "crm.contact." by words::apply::<ContactRow>,
    counts "contact_id" in ["contact"], forgets by words::forget::<ContactRow>
}
