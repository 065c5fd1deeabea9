//! `X-Min-Position`: read what was written.

use kernel::{Position, Refusal, Service};

/// The positions that a query wants to see, by service: `crm=1234, erp=77`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinPositions(Vec<(String, Position)>);

impl MinPositions {
    /// Reads the header's value.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let one = |part: &str| {
            let (service, position) = part.split_once('=')?;
            Some((service.trim().to_owned(), position.trim().parse().ok()?))
        };
        text.split(',')
            .map(|part| {
                one(part).ok_or_else(|| {
                    Refusal::invalid(
                        "header_invalid",
                        format!("X-Min-Position: {part:?} is not <service>=<position>, such as crm=1234"),
                    )
                    .with("header", "x-min-position")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What is wanted of a service.
    pub fn of(&self, service: Service) -> Option<Position> {
        self.0.iter().filter(|(name, _)| name == service.name()).map(|(_, position)| *position).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_by_service() {
        let wanted = MinPositions::parse("crm=1234, erp = 7,crm=12").unwrap();
        assert_eq!(wanted.of(Service::new("crm")), Some(Position(1234)));
        assert_eq!(wanted.of(Service::new("erp")), Some(Position(7)));
        assert_eq!(wanted.of(Service::new("user")), None);
        for refused in ["", "crm", "crm=", "crm=-1", "crm=1;erp=2"] {
            assert!(MinPositions::parse(refused).is_err(), "{refused}");
        }
    }
}
