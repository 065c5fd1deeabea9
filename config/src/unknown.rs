//! Finds environment variables with the prefix of settings that no setting has: most of them are mistyped.

use std::fmt;

use crate::{PREFIX, SETTINGS};

/// A variable that nothing reads. Its value is ignored, because it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub variable: String,
    /// The variable with the most similar name, if one is similar enough.
    pub meant: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is set, and nothing reads it", self.variable)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => f.write_str("; `inopsio settings` lists what there is"),
        }
    }
}

/// The variables with the prefix of settings that are not known. `besides`: further variables that the program reads.
pub fn unknown<'e>(variables: impl IntoIterator<Item = &'e str>, besides: &[&str]) -> Vec<Unknown> {
    let known: Vec<String> = SETTINGS
        .iter()
        .flat_map(|setting| {
            let file = setting.secret.then(|| format!("{}_FILE", setting.variable));
            [setting.variable.to_owned()].into_iter().chain(file)
        })
        .chain(besides.iter().map(|&name| name.to_owned()))
        .collect();
    let ours = variables.into_iter().filter(|name| name.starts_with(PREFIX));
    ours.filter(|name| known.iter().all(|known| known != name))
        .map(|name| Unknown { variable: name.to_owned(), meant: nearest(name, &known) })
        .collect()
}

/// The known name with the smallest edit distance, if the distance is at most a third of the name's length.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    let most = (name.len() - PREFIX.len()).div_ceil(3);
    let counted = known.iter().map(|known| (edit_distance(name, known), known));
    counted
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= most)
        .map(|(_, known)| known.clone())
}

/// The Damerau-Levenshtein edit distance (optimal string alignment): the number of deletions, insertions, substitutions and transpositions
/// of adjacent characters.
fn edit_distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let exchanged = last[j] + usize::from(a != b);
            let mut least = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mistyped_is_named_with_what_was_meant() {
        for (typed, meant) in [
            ("INOPSIO_PROT", Some("INOPSIO_PORT")),
            ("INOPSIO_POSTGRES_PASWORD", Some("INOPSIO_POSTGRES_PASSWORD")),
            ("INOPSIO_MASTER_KEY_FIEL", Some("INOPSIO_MASTER_KEY_FILE")),
            ("INOPSIO_NATSURL", Some("INOPSIO_NATS_URL")),
            ("INOPSIO_HOEM", Some("INOPSIO_HOME")),
            ("INOPSIO_FAVOURITE_COLOUR", None),
        ] {
            let found = unknown([typed], &["INOPSIO_HOME"]);
            let wanted = Unknown { variable: typed.to_owned(), meant: meant.map(str::to_owned) };
            assert_eq!(found, [wanted], "{typed}");
        }
        let said = unknown(["INOPSIO_PROT"], &[])[0].to_string();
        assert_eq!(said, "INOPSIO_PROT is set, and nothing reads it; did you mean INOPSIO_PORT?");
    }

    #[test]
    fn what_is_read_is_not_named() {
        let read =
            ["INOPSIO_PORT", "INOPSIO_MASTER_KEY", "INOPSIO_MASTER_KEY_FILE", "INOPSIO_HOME", "PATH", "inopsio_x"];
        assert!(unknown(read, &["INOPSIO_HOME"]).is_empty());
        // Only secrets can be read from files.
        assert_eq!(unknown(["INOPSIO_PORT_FILE"], &[]).len(), 1);
    }
}
