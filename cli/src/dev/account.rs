//! The account that Postgres runs as, because it refuses to run as root.

use anyhow::{Result, bail};

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its primary group id.
    pub gid: u32,
}

impl Account {
    /// The account for servers that refuse to run as root; none unless we are root.
    pub fn for_servers() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd")?;
        for name in ["postgres", "nobody"] {
            if let Some(account) = Self::find(&passwd, name) {
                return Ok(Some(account));
            }
        }
        bail!(
            "Postgres refuses to run as root, and /etc/passwd has neither an account postgres nor nobody: run this as another user"
        )
    }

    fn find(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<_> = line.split(':').collect();
        Some(Self { name: name.to_owned(), uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgresql:x:7:7::/:\npostgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        let expected = Account { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(Account::find(passwd, "postgres"), Some(expected));
        assert_eq!(Account::find(passwd, "nobody"), None);
    }
}
