//! Where a tenant lives, as what happened to it says: the domain of the map of cells, without any I/O.

use serde::{Deserialize, Serialize};

/// Something that happened to a tenant's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Placed {
    /// Its history is being copied to a cell.
    MoveBegun {
        /// From where.
        from: String,
        /// To where.
        to: String,
    },
    /// It stays where it is after all; what was copied is left in the other cell.
    MoveUndone,
    /// It lives in the other cell: from here on there is no way back but another move.
    Moved,
    /// It is whole there, and writes there.
    MoveEnded,
    /// What could be deleted of the old copy is.
    OldCopyPurged,
    /// It was open for a moment, and is not made after all. Final.
    Released {
        /// The short name that it had, which is free since.
        slug: String,
    },
    /// It is no more. Final.
    Deleted {
        /// The short name that it had, which is free since.
        slug: String,
        /// What its history was in each service.
        services: Vec<DeletedHistory>,
    },
}

/// What a deleted tenant's history was in a service: what was signed of it, exported or backed up can be held against this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedHistory {
    /// Whose.
    pub service: String,
    /// How many events it had.
    pub events: u64,
    /// Root of the tenant's tree over these; hexadecimal.
    pub root: String,
}

/// A move that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// Whether the tenant lives in the new cell already, and only has to be let in there.
    pub moved: bool,
}

/// Where a tenant lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// How many things happened.
    pub version: u32,
    /// The move that is under way.
    pub moving: Option<Moving>,
    /// The cell that has a copy in which the tenant does not live: from before its last move, or of one that was taken back.
    pub old_copy: Option<String>,
    /// Whether it is no more.
    pub deleted: bool,
}

/// A wish that can't be fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacingError {
    /// It lives there.
    #[error("the tenant lives in the cell {0} already")]
    There(String),
    /// It is on its way to another cell.
    #[error("the tenant is on its way to the cell {0}; go on with `--to {0}`, or take that back with `--undo`")]
    OnItsWay(String),
    /// It is not on its way.
    #[error("the tenant is not being moved")]
    NotMoving,
    /// It lives in the new cell already.
    #[error("the tenant lives in the cell {0} already; go on with `--to {0}`, then move it back")]
    TooLate(String),
    /// There would be two old copies.
    #[error(
        "there is an old copy of the tenant in the cell {0}; purge it first: `inopsio tenant move <tenant> --purge`"
    )]
    OldCopy(String),
    /// It is no more.
    #[error("the tenant is deleted")]
    Deleted,
    /// There is no old copy.
    #[error("there is no old copy of the tenant")]
    NoOldCopy,
}

impl Place {
    /// What is so after something happened.
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

    /// Begins a move, or goes on with the one to the same cell: then nothing happens. `lives`: the cell in which the tenant is.
    ///
    /// # Errors
    /// When it is there, or on its way elsewhere, or a third cell still has an old copy.
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

    /// Takes a move back.
    ///
    /// # Errors
    /// When there is none, or it is too late.
    pub fn undo(&self) -> Result<Placed, PlacingError> {
        match &self.moving {
            None => Err(PlacingError::NotMoving),
            Some(moving) if moving.moved => Err(PlacingError::TooLate(moving.to.clone())),
            Some(_) => Ok(Placed::MoveUndone),
        }
    }

    /// Whether the tenant may be deleted: it is nowhere but where it lives.
    ///
    /// # Errors
    /// When it is on its way, or another cell has an old copy: nobody else would think of that later.
    pub fn delete(&self) -> Result<(), PlacingError> {
        match (&self.moving, &self.old_copy) {
            (Some(moving), _) => Err(PlacingError::OnItsWay(moving.to.clone())),
            (None, Some(old)) => Err(PlacingError::OldCopy(old.clone())),
            (None, None) => Ok(()),
        }
    }

    /// Purges the old copy.
    ///
    /// # Errors
    /// When there is none, or the tenant is on its way.
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
        // One old copy is kept in mind, so there is one.
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
