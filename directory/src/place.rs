//! The aggregate of a tenant's place (the cell in which it lives): events, state and rules, without I/O.

use serde::{Deserialize, Serialize};

/// An event of a tenant's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Placed {
    /// A move has begun: the history is being copied to another cell.
    MoveBegun {
        /// The old cell.
        from: String,
        /// The new cell.
        to: String,
    },
    /// The move was cancelled. The copied data remains in the other cell.
    MoveUndone,
    /// The cutover: the tenant lives in the new cell. It can only go back by another move.
    Moved,
    /// The move is complete: all services of the new cell accept writes.
    MoveEnded,
    /// The old copy was deleted, as far as possible.
    OldCopyPurged,
    /// The tenant was open for a moment, but its creation failed. Final.
    Released {
        /// Its former short name, which is free since then.
        slug: String,
    },
    /// The tenant was deleted. Final.
    Deleted {
        /// Its former short name, which is free since then.
        slug: String,
        /// Its history in each service.
        services: Vec<DeletedHistory>,
    },
}

/// A summary of a deleted tenant's history in a service. Signed heads, exports and backups can be compared with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedHistory {
    /// The service.
    pub service: String,
    /// The number of events.
    pub events: u64,
    /// The root of the tenant's Merkle tree over these, in hexadecimal digits.
    pub root: String,
}

/// A move in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The old cell.
    pub from: String,
    /// The new cell.
    pub to: String,
    /// Whether the cutover has happened, so that only the new cell has to be opened.
    pub moved: bool,
}

/// The state of a tenant's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of events.
    pub version: u32,
    /// The move in progress.
    pub moving: Option<Moving>,
    /// The cell with a copy that the tenant does not use: that of before its last move, or that of a cancelled move.
    pub old_copy: Option<String>,
    /// Whether the tenant is deleted.
    pub deleted: bool,
}

/// The reason why a change of a tenant's place is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacingError {
    /// The tenant lives in that cell already.
    #[error("the tenant lives in the cell {0} already")]
    There(String),
    /// The tenant is being moved to another cell.
    #[error("the tenant is on its way to the cell {0}; go on with `--to {0}`, or take that back with `--undo`")]
    OnItsWay(String),
    /// The tenant is not being moved.
    #[error("the tenant is not being moved")]
    NotMoving,
    /// The cutover has happened.
    #[error("the tenant lives in the cell {0} already; go on with `--to {0}`, then move it back")]
    TooLate(String),
    /// There is an old copy in another cell, and only one old copy is recorded.
    #[error(
        "there is an old copy of the tenant in the cell {0}; purge it first: `inopsio tenant move <tenant> --purge`"
    )]
    OldCopy(String),
    /// The tenant is deleted.
    #[error("the tenant is deleted")]
    Deleted,
    /// There is no old copy.
    #[error("there is no old copy of the tenant")]
    NoOldCopy,
}

impl Place {
    /// Applies an event to the state.
    pub fn apply(&mut self, event: &Placed) {
        self.version += 1;
        match event {
            Placed::MoveBegun { from, to } => {
                self.moving = Some(Moving { from: from.clone(), to: to.clone(), moved: false });
            }
            Placed::MoveUndone => self.old_copy = self.moving.take().map(|moving| moving.to),
            Placed::Moved => {
                if let Some(moving) = &mut self.moving {
                    moving.moved = true;
                }
            }
            Placed::MoveEnded => self.old_copy = self.moving.take().map(|moving| moving.from),
            Placed::OldCopyPurged => self.old_copy = None,
            Placed::Released { .. } | Placed::Deleted { .. } => self.deleted = true,
        }
    }

    /// The event that begins a move; `None` if a move to the same cell is in progress, which then continues. `lives` is the cell in which
    /// the tenant lives.
    ///
    /// # Errors
    /// When the tenant lives there already, is being moved elsewhere, is deleted, or a third cell still has an old copy.
    pub fn begin(&self, lives: &str, to: &str) -> Result<Option<Placed>, PlacingError> {
        match &self.moving {
            _ if self.deleted => Err(PlacingError::Deleted),
            Some(moving) if moving.to == to => Ok(None),
            Some(moving) => Err(PlacingError::OnItsWay(moving.to.clone())),
            None if lives == to => Err(PlacingError::There(to.to_owned())),
            None => match &self.old_copy {
                Some(old) if old != to => Err(PlacingError::OldCopy(old.clone())),
                _ => Ok(Some(Placed::MoveBegun { from: lives.to_owned(), to: to.to_owned() })),
            },
        }
    }

    /// The event that cancels a move.
    ///
    /// # Errors
    /// When there is no move, or the cutover has happened.
    pub fn undo(&self) -> Result<Placed, PlacingError> {
        match &self.moving {
            None => Err(PlacingError::NotMoving),
            Some(moving) if moving.moved => Err(PlacingError::TooLate(moving.to.clone())),
            Some(_) => Ok(Placed::MoveUndone),
        }
    }

    /// Checks that the tenant may be deleted: its data is only in the cell in which it lives.
    ///
    /// # Errors
    /// When it is being moved, or another cell has an old copy, which would never be deleted.
    pub fn delete(&self) -> Result<(), PlacingError> {
        match (&self.moving, &self.old_copy) {
            (Some(moving), _) => Err(PlacingError::OnItsWay(moving.to.clone())),
            (None, Some(old)) => Err(PlacingError::OldCopy(old.clone())),
            (None, None) => Ok(()),
        }
    }

    /// The cell of the old copy, and the event that records that it was purged.
    ///
    /// # Errors
    /// When there is no old copy, or the tenant is being moved.
    pub fn purge(&self) -> Result<(&str, Placed), PlacingError> {
        if let Some(moving) = &self.moving {
            return Err(PlacingError::OnItsWay(moving.to.clone()));
        }
        let old = self.old_copy.as_deref().ok_or(PlacingError::NoOldCopy)?;
        Ok((old, Placed::OldCopyPurged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Placed {
        Placed::MoveBegun { from: "a".to_owned(), to: "b".to_owned() }
    }

    fn given(events: &[Placed]) -> Place {
        let mut place = Place::default();
        for event in events {
            place.apply(event);
        }
        place
    }

    #[test]
    fn a_move_begins_once_and_goes_on_only_to_the_same_cell() {
        assert_eq!(given(&[]).begin("a", "b"), Ok(Some(begun())));
        assert_eq!(given(&[begun()]).begin("a", "b"), Ok(None));
        assert_eq!(given(&[begun()]).begin("a", "c"), Err(PlacingError::OnItsWay("b".to_owned())));
        assert_eq!(given(&[]).begin("a", "a"), Err(PlacingError::There("a".to_owned())));
        let ended = given(&[begun(), Placed::Moved, Placed::MoveEnded]);
        assert_eq!(ended.begin("b", "b"), Err(PlacingError::There("b".to_owned())));
        let back = Placed::MoveBegun { from: "b".to_owned(), to: "a".to_owned() };
        assert_eq!(ended.begin("b", "a"), Ok(Some(back)));
        // Only one old copy is recorded, so there may be only one.
        assert_eq!(ended.begin("b", "c"), Err(PlacingError::OldCopy("a".to_owned())));
        let purged = given(&[begun(), Placed::Moved, Placed::MoveEnded, Placed::OldCopyPurged]);
        assert!(purged.begin("b", "c").is_ok());
    }

    #[test]
    fn a_move_is_undone_until_the_tenant_lives_in_the_new_cell() {
        assert_eq!(given(&[]).undo(), Err(PlacingError::NotMoving));
        assert_eq!(given(&[begun()]).undo(), Ok(Placed::MoveUndone));
        assert_eq!(given(&[begun(), Placed::Moved]).undo(), Err(PlacingError::TooLate("b".to_owned())));
    }

    #[test]
    fn a_move_that_was_undone_leaves_a_copy_to_go_on_from_or_to_purge() {
        let undone = given(&[begun(), Placed::MoveUndone]);
        assert_eq!(undone.begin("a", "b"), Ok(Some(begun())));
        assert_eq!(undone.begin("a", "c"), Err(PlacingError::OldCopy("b".to_owned())));
        assert_eq!(undone.purge(), Ok(("b", Placed::OldCopyPurged)));
        let purged = given(&[begun(), Placed::MoveUndone, Placed::OldCopyPurged]);
        assert!(purged.begin("a", "c").is_ok() && purged.purge() == Err(PlacingError::NoOldCopy));
        // Back to where the old copy is, and not after all: it is still there.
        let back = Placed::MoveBegun { from: "b".to_owned(), to: "a".to_owned() };
        let kept = given(&[begun(), Placed::Moved, Placed::MoveEnded, back, Placed::MoveUndone]);
        assert_eq!(kept.purge(), Ok(("a", Placed::OldCopyPurged)));
    }

    #[test]
    fn an_old_copy_is_purged_once_after_the_move_has_ended() {
        assert_eq!(given(&[]).purge(), Err(PlacingError::NoOldCopy));
        let moved = [begun(), Placed::Moved];
        assert_eq!(given(&moved).purge(), Err(PlacingError::OnItsWay("b".to_owned())));
        let ended = [&moved[..], &[Placed::MoveEnded]].concat();
        assert_eq!(given(&ended).purge(), Ok(("a", Placed::OldCopyPurged)));
        assert_eq!(given(&[&ended[..], &[Placed::OldCopyPurged]].concat()).purge(), Err(PlacingError::NoOldCopy));
    }

    #[test]
    fn a_tenant_is_deleted_where_it_lives_and_nowhere_else_and_does_not_move_after_that() {
        assert_eq!(given(&[]).delete(), Ok(()));
        assert_eq!(given(&[begun()]).delete(), Err(PlacingError::OnItsWay("b".to_owned())));
        let undone = [begun(), Placed::MoveUndone];
        assert_eq!(given(&undone).delete(), Err(PlacingError::OldCopy("b".to_owned())));
        assert_eq!(given(&[&undone[..], &[Placed::OldCopyPurged]].concat()).delete(), Ok(()));
        let ended = [begun(), Placed::Moved, Placed::MoveEnded];
        assert_eq!(given(&ended[..2]).delete(), Err(PlacingError::OnItsWay("b".to_owned())));
        assert_eq!(given(&ended).delete(), Err(PlacingError::OldCopy("a".to_owned())));
        assert_eq!(given(&[&ended[..], &[Placed::OldCopyPurged]].concat()).delete(), Ok(()));
        let deleted = Placed::Deleted { slug: "acme".to_owned(), services: Vec::new() };
        for end in [deleted, Placed::Released { slug: "acme".to_owned() }] {
            assert_eq!(given(&[end]).begin("a", "b"), Err(PlacingError::Deleted));
        }
    }
}
