//! [`Place`]: the setting that says where a master key is in Vault.

/// The prefix of a place in the settings, and of the name of the master key.
pub(super) const SCHEME: &str = "transit:";
/// The longest mount and key name together, in characters: they precede every wrapped key that is stored.
const LONGEST: usize = 100;

/// The location of a master key in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mount of the transit engine.
    pub mount: String,
    /// The name of the key.
    pub key: String,
}

impl Place {
    /// Parses a setting of the form `transit:<mount>/<key>`. `None`: it has another prefix, so it is not a place in Vault. The error says
    /// what is allowed.
    pub fn read(text: &str) -> Option<Result<Self, &'static str>> {
        let rest = text.strip_prefix(SCHEME)?;
        // No dots: a dot separates the name of the master key from the ciphertext.
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let place = rest.rsplit_once('/').filter(|(mount, key)| mount.split('/').all(plain) && plain(key));
        Some(match place {
            Some((mount, key)) if rest.len() <= LONGEST => Ok(Self { mount: mount.to_owned(), key: key.to_owned() }),
            _ => Err("transit:<mount>/<key>, such as transit:transit/inopsio: letters, digits, - and _, at most 100"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_mount_and_a_key_without_dots() {
        let place = |mount: &str, key: &str| Some(Ok(Place { mount: mount.to_owned(), key: key.to_owned() }));
        assert_eq!(Place::read("transit:transit/inopsio"), place("transit", "inopsio"));
        assert_eq!(Place::read("transit:team-1/transit/in_opsio"), place("team-1/transit", "in_opsio"));
        for none in ["4a4a", "", "vault:secret/a#b", "Transit:a/b"] {
            assert_eq!(Place::read(none), None, "{none}");
        }
        let long = format!("transit:transit/{}", "k".repeat(100));
        for bad in [
            "transit:",
            "transit:a",
            "transit:/a",
            "transit:a/",
            "transit:a//b",
            "transit:a/b.c",
            "transit:a/../b",
            "transit:a/b?c",
            &long,
        ] {
            assert!(matches!(Place::read(bad), Some(Err(_))), "{bad}");
        }
    }
}
