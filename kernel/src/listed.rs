//! Lists in what is told to people.

/// These, separated by commas; `none` if there are none. For the details of refusals, which say what is allowed.
///
/// ```
/// assert_eq!(kernel::listed(["qualify", "assign"]), "qualify, assign");
/// assert_eq!(kernel::listed([""; 0]), "none");
/// ```
pub fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<T> = names.into_iter().collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
