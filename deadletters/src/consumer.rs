//! The names of consumers and dead letters, as they appear in tables, paths and metrics.

use std::fmt;
use std::str::FromStr;

use kernel::Position;

/// The kind of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A projection, which builds a read model.
    Projection,
    /// A saga, which the event may start.
    Saga,
    /// A webhook: an HTTP endpoint of a tenant.
    Webhook,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Projection, Self::Saga, Self::Webhook];

    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Saga => "saga",
            Self::Webhook => "webhook",
        }
    }
}

/// A consumer of a service's events: kind and name, written `projection.leads`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumer {
    text: String,
    kind: Kind,
}

impl Consumer {
    /// A consumer with this name: lower-case letters, digits, `_` and `-`.
    pub fn new(kind: Kind, name: &str) -> Self {
        Self { text: format!("{}.{name}", kind.as_str()), kind }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name within the kind.
    pub fn name(&self) -> &str {
        self.text.split_once('.').map_or("", |(_, name)| name)
    }

    /// Kind and name, as in `projection.leads`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Consumer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (kind, name) = text.split_once('.')?;
            let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
            let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
            (!name.is_empty() && name.len() <= 100 && name.bytes().all(word)).then(|| Self::new(kind, name))
        };
        read().ok_or_else(|| {
            let kinds = Kind::ALL.map(Kind::as_str).join(", ");
            format!("{text:?} is not a consumer; allowed is a kind ({kinds}) and a name, such as projection.leads")
        })
    }
}

/// A consumer's partition: the tenants that one of several instances works for. Computed as by `eventstore::partition_of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The partition's number, from 0.
    pub number: u32,
    /// The number of partitions: a power of two.
    pub of: u32,
}

impl Share {
    /// All tenants.
    pub const WHOLE: Self = Self { number: 0, of: 1 };
}

/// A letter's id: its consumer and the event's position, written `projection.leads.1234`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LetterId {
    /// The consumer that could not process the event.
    pub consumer: Consumer,
    /// The event's position in the log.
    pub position: Position,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.consumer, self.position)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not the id of a dead letter; ids look like projection.leads.1234");
        let (consumer, position) = text.rsplit_once('.').ok_or_else(refused)?;
        let consumer = consumer.parse().map_err(|_| refused())?;
        let digits = !position.is_empty() && position.bytes().all(|byte| byte.is_ascii_digit());
        let position: i64 = digits.then(|| position.parse().ok()).flatten().ok_or_else(refused)?;
        Ok(Self { consumer, position: Position::from_i64(position) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_form() {
        for text in ["projection.leads.1", "saga.follow_up_lead.99", "webhook.0192f0c4-0000-7000-8000-000000000000.7"] {
            assert_eq!(text.parse::<LetterId>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "leads.1",
            "projection..1",
            "projection.leads",
            "projection.leads.",
            "projection.leads.-1",
            "projection.leads.+1",
            "projection.le ads.1",
            "projection.a.b.1",
            "job.leads.1",
            "projection.leads.9223372036854775808",
        ] {
            assert!(text.parse::<LetterId>().is_err(), "{text}");
        }
    }
}
