//! Preferences: of a user, or a tenant's defaults for users without a value of their own. Without either, the platform's default applies.
//! [`PREFERENCES`] lists the keys with their types and defaults.

use std::collections::BTreeMap;

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of preferences.
    pub enum PreferencesEvent of "user.preferences" {
        /// A value was chosen for a preference.
        PreferenceChosen = "user.preferences.chosen" @ 1 {
            /// Key of the preference: one that existed at that time.
            pub key: String,
            pub value: PreferenceValue,
        },
        /// A preference was reset to its default.
        PreferenceReset = "user.preferences.reset" @ 1 { pub key: String },
    }
}

/// Value of a preference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a preference is true or false, a whole number, or a word")]
pub enum PreferenceValue {
    Flag(bool),
    Number(i64),
    Word(String),
}

/// A preference that users and tenants can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    pub key: &'static str,
    pub kind: PreferenceKind,
    /// What the preference is for, as text.
    pub meaning: &'static str,
}

/// The type of a preference, and its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreferenceKind {
    Flag {
        otherwise: bool,
    },
    Number {
        least: i64,
        most: i64,
        otherwise: i64,
    },
    /// One of these words; the first is the default.
    Word {
        allowed: &'static [&'static str],
    },
}

/// All preferences. A key that is removed here stays in the history, and is ignored.
pub const PREFERENCES: &[Preference] = &[
    Preference {
        key: "theme",
        kind: PreferenceKind::Word { allowed: &["system", "light", "dark"] },
        meaning: "Color scheme of applications",
    },
    Preference {
        key: "first_day_of_week",
        kind: PreferenceKind::Word { allowed: &["monday", "sunday", "saturday"] },
        meaning: "First day of the week in calendars",
    },
    Preference {
        key: "date_format",
        kind: PreferenceKind::Word { allowed: &["locale", "iso"] },
        meaning: "Date format: as usual in the user's language, or 2026-12-31",
    },
    Preference {
        key: "rows_per_page",
        kind: PreferenceKind::Number { least: 10, most: 200, otherwise: 50 },
        meaning: "Number of rows shown in lists",
    },
    Preference {
        key: "mail_notifications",
        kind: PreferenceKind::Flag { otherwise: true },
        meaning: "Whether applications send e-mail notifications",
    },
];

impl Preference {
    /// The preference with this key.
    pub fn of(key: &str) -> Option<&'static Self> {
        PREFERENCES.iter().find(|preference| preference.key == key)
    }

    /// The default value.
    pub fn otherwise(&self) -> PreferenceValue {
        match self.kind {
            PreferenceKind::Flag { otherwise } => PreferenceValue::Flag(otherwise),
            PreferenceKind::Number { otherwise, .. } => PreferenceValue::Number(otherwise),
            PreferenceKind::Word { allowed } => {
                PreferenceValue::Word(allowed.first().copied().unwrap_or_default().to_owned())
            }
        }
    }

    /// Whether this value is allowed.
    pub fn allows(&self, value: &PreferenceValue) -> bool {
        match (self.kind, value) {
            (PreferenceKind::Flag { .. }, PreferenceValue::Flag(_)) => true,
            (PreferenceKind::Number { least, most, .. }, PreferenceValue::Number(number)) => {
                (least..=most).contains(number)
            }
            (PreferenceKind::Word { allowed }, PreferenceValue::Word(word)) => allowed.contains(&word.as_str()),
            _ => false,
        }
    }

    /// Allowed values, as text.
    pub fn allowed(&self) -> String {
        match self.kind {
            PreferenceKind::Flag { .. } => "true or false".to_owned(),
            PreferenceKind::Number { least, most, .. } => format!("a whole number from {least} to {most}"),
            PreferenceKind::Word { allowed } => format!("one of {}", allowed.join(", ")),
        }
    }
}

/// Preferences, as they result from their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    pub chosen: BTreeMap<String, PreferenceValue>,
}

/// Commands for preferences. Keys and values have been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum PreferencesCommand {
    Choose { key: String, value: PreferenceValue },
    Reset { key: String },
}

impl Preferences {
    /// The value that was chosen for a key, if it is still allowed.
    pub fn get(&self, preference: &Preference) -> Option<&PreferenceValue> {
        self.chosen.get(preference.key).filter(|value| preference.allows(value))
    }
}

impl Aggregate for Preferences {
    const TYPE: &'static str = "user.preferences";
    type Command = PreferencesCommand;
    type Event = PreferencesEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, command: PreferencesCommand) -> Result<Vec<PreferencesEvent>, Self::Error> {
        Ok(match command {
            PreferencesCommand::Choose { key, value } if self.chosen.get(&key) == Some(&value) => vec![],
            PreferencesCommand::Choose { key, value } => vec![PreferenceChosen { key, value }.into()],
            PreferencesCommand::Reset { key } if !self.chosen.contains_key(&key) => vec![],
            PreferencesCommand::Reset { key } => vec![PreferenceReset { key }.into()],
        })
    }

    fn evolve(&mut self, event: PreferencesEvent) {
        match event {
            PreferencesEvent::PreferenceChosen(e) => _ = self.chosen.insert(e.key, e.value),
            PreferencesEvent::PreferenceReset(e) => _ = self.chosen.remove(&e.key),
        }
    }
}

kernel::aggregate!(Preferences);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn dark() -> PreferenceChosen {
        PreferenceChosen { key: "theme".to_owned(), value: PreferenceValue::Word("dark".to_owned()) }
    }

    #[test]
    fn a_preference_is_chosen_once_and_reset_once() {
        let given = |events| TestFramework::<Preferences>::with(()).given(events);
        let choose = || PreferencesCommand::Choose { key: dark().key, value: dark().value };
        let reset = || PreferencesCommand::Reset { key: dark().key };
        given(vec![]).when(choose()).then_expect_events(vec![dark().into()]);
        given(vec![dark().into()]).when(choose()).then_expect_events(vec![]);
        given(vec![dark().into()]).when(reset()).then_expect_events(vec![PreferenceReset { key: dark().key }.into()]);
        given(vec![]).when(reset()).then_expect_events(vec![]);
    }

    #[test]
    fn a_key_is_there_once_and_what_it_is_otherwise_is_allowed() {
        for (place, preference) in PREFERENCES.iter().enumerate() {
            assert!(preference.allows(&preference.otherwise()), "{}", preference.key);
            assert!(PREFERENCES[..place].iter().all(|other| other.key != preference.key), "{}", preference.key);
            assert!(!preference.allowed().is_empty() && !preference.meaning.is_empty());
        }
        let rows = Preference::of("rows_per_page").unwrap();
        assert!(rows.allows(&PreferenceValue::Number(200)) && !rows.allows(&PreferenceValue::Number(201)));
        assert!(!rows.allows(&PreferenceValue::Word("50".to_owned())) && !rows.allows(&PreferenceValue::Flag(true)));
        assert_eq!(Preference::of("nothing"), None);
    }

    #[test]
    fn what_is_not_allowed_any_more_is_passed_over() {
        let mut preferences = Preferences::default();
        let gone = PreferenceChosen { key: "theme".to_owned(), value: PreferenceValue::Word("sepia".to_owned()) };
        preferences.evolve(gone.into());
        assert_eq!(preferences.get(Preference::of("theme").unwrap()), None);
    }
}
