//! The cursor of a feed: for each service that it follows, the position up to which events were sent or filtered out.

use std::fmt;
use std::sync::Arc;

use kernel::{Position, Refusal, Service};

/// Positions by service. As text, such as `crm=1234,erp=77`, it is the id of each event of a feed; a client resumes a feed by sending the
/// last id that it received. If this process knows the name of its cell, the text ends with it (`crm=1234@west`): a tenant has other
/// positions in another cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    positions: Vec<(Service, Position)>,
    cell: Option<Arc<str>>,
}

impl Cursor {
    /// Parses a cursor that a client sent for a feed of these services. `parameter` is the name of the parameter or header that contained
    /// it. A plain number is allowed if there is one service, and `0` always: it is the beginning of each log. A service that the cursor
    /// does not name gets `None`, which means to start with new events. Positions that name no cell are those of this `cell`.
    ///
    /// # Errors
    /// `cursor_invalid`, with what is allowed; `cursor_elsewhere` if it is one of another cell.
    pub fn parse(
        parameter: &'static str,
        text: &str,
        services: &[Service],
        cell: Option<&str>,
    ) -> Result<Vec<Option<Position>>, Refusal> {
        let refused = |what: &str| {
            let names: Vec<_> = services.iter().map(|service| format!("{service}=<position>")).collect();
            let allowed = names.join(",");
            Refusal::invalid(
                "cursor_invalid",
                format!("{parameter}: {what}; allowed is {allowed}, as the last event's id"),
            )
            .with("parameter", parameter)
        };
        let text = match text.rsplit_once('@') {
            Some((_, of)) if cell.is_some_and(|here| here != of.trim()) => return Err(elsewhere(parameter, text)),
            Some((_, of)) if of.trim().is_empty() => return Err(refused("no cell is named after the @")),
            Some((positions, _)) => positions,
            None => text,
        };
        match (services, text.trim().parse()) {
            ([_], Ok(position)) => return Ok(vec![Some(position)]),
            (_, Ok(Position::START)) => return Ok(vec![Some(Position::START); services.len()]),
            _ => {}
        }
        let mut positions = vec![None; services.len()];
        for part in text.split(',') {
            let pair = part.split_once('=').map(|(name, position)| (name.trim(), position.trim().parse::<Position>()));
            let Some((name, Ok(position))) = pair else {
                return Err(refused(&format!("{part:?} is not <service>=<position>")));
            };
            let Some(at) = services.iter().position(|service| service.name() == name) else {
                return Err(refused(&format!("this feed does not follow the service {name:?}")));
            };
            if positions[at].replace(position).is_some() {
                return Err(refused(&format!("{name} is named twice")));
            }
        }
        Ok(positions)
    }

    /// The cursor of a feed that starts after these positions in this cell.
    pub const fn new(positions: Vec<(Service, Position)>, cell: Option<Arc<str>>) -> Self {
        Self { positions, cell }
    }

    /// Advances a service to a position. It never moves backwards.
    pub fn advance(&mut self, service: Service, to: Position) {
        if let Some((_, position)) = self.positions.iter_mut().find(|(of, _)| *of == service) {
            *position = to.max(*position);
        }
    }
}

/// The refusal of a cursor of another cell. In this cell, its positions may be before or after the event that the client received last.
fn elsewhere(parameter: &'static str, text: &str) -> Refusal {
    let detail = format!(
        "{parameter}: {text:?} is a position of another cell, where the tenant lived before; here its events have other positions: start \
         with after=0, and skip the events that you have, by their ids"
    );
    Refusal::invalid("cursor_elsewhere", detail).with("parameter", parameter)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (service, position)) in self.positions.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{service}={position}")?;
        }
        self.cell.as_ref().map_or(Ok(()), |cell| write!(f, "@{cell}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRM: Service = Service::new("crm");
    const ERP: Service = Service::new("erp");

    #[test]
    fn what_a_feed_says_leads_it_on() {
        let mut cursor = Cursor::new(vec![(CRM, Position(7)), (ERP, Position(1))], None);
        cursor.advance(CRM, Position(9));
        cursor.advance(ERP, Position::START);
        assert_eq!(cursor.to_string(), "crm=9,erp=1");
        let read = Cursor::parse("after", &cursor.to_string(), &[CRM, ERP], None).unwrap();
        assert_eq!(read, [Some(Position(9)), Some(Position(1))]);
        assert_eq!(Cursor::parse("after", " erp = 4", &[CRM, ERP], None).unwrap(), [None, Some(Position(4))]);
        assert_eq!(Cursor::parse("after", "12", &[CRM], None).unwrap(), [Some(Position(12))]);
        assert_eq!(Cursor::parse("after", "0", &[CRM, ERP], None).unwrap(), [Some(Position::START); 2]);
    }

    #[test]
    fn what_a_feed_says_in_one_cell_leads_nowhere_in_another() {
        let cursor = Cursor::new(vec![(CRM, Position(9)), (ERP, Position(1))], Some("west".into())).to_string();
        assert_eq!(cursor, "crm=9,erp=1@west");
        let there = [Some(Position(9)), Some(Position(1))];
        for (text, cell) in [(&*cursor, Some("west")), (&*cursor, None), ("crm=9,erp=1", Some("east"))] {
            assert_eq!(Cursor::parse("after", text, &[CRM, ERP], cell).unwrap(), there, "{text} in {cell:?}");
        }
        for text in [&*cursor, "0@west", "crm=9@", "@"] {
            let refusal = Cursor::parse("after", text, &[CRM, ERP], Some("east")).unwrap_err();
            assert_eq!(refusal.code(), "cursor_elsewhere", "{text}");
        }
    }

    #[test]
    fn what_is_no_cursor_of_this_feed_is_refused() {
        for text in [
            "",
            "12",
            "crm",
            "crm=",
            "crm=-1",
            "crm=1;erp=2",
            "user=1",
            "crm=1,crm=2",
            "crm=18446744073709551616",
            "crm=1@",
        ] {
            let refusal = Cursor::parse("after", text, &[CRM, ERP], None).unwrap_err();
            assert_eq!(refusal.code(), "cursor_invalid", "{text}");
            assert!(refusal.detail().contains("crm=<position>,erp=<position>"), "{refusal}");
        }
    }
}
