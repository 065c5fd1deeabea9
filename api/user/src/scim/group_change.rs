//! The changes of a group that a request contains. They are collected into one command, so that a request is applied as a whole or not at
//! all (RFC 7644 section 3.5.2).

use std::collections::BTreeSet;

use kernel::UserId;
use serde_json::{Map, Value};
use user_commands::{Said, lengths};

use super::error::ScimError;
use super::json::{get, string, string_value};
use super::patch::{self, Op, Operation, Target};

/// Maximum number of members in a request, and in a response (of all groups of a page together).
pub(super) const MAX_MEMBERS: i64 = 10_000;

/// A change of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The new name. None: it does not change.
    pub(super) name: Option<String>,
    /// The id of the group at the provider.
    pub(super) external_id: Said,
    members: Members,
}

/// The members after the change.
#[derive(Debug, PartialEq, Eq)]
enum Members {
    /// The current members, with these added and removed.
    Delta { join: BTreeSet<UserId>, leave: BTreeSet<UserId> },
    /// Exactly these.
    Exactly(BTreeSet<UserId>),
}

impl Default for Members {
    fn default() -> Self {
        Self::Delta { join: BTreeSet::new(), leave: BTreeSet::new() }
    }
}

/// The users who join a group and who leave it.
pub(super) struct MemberChanges {
    pub(super) join: Vec<UserId>,
    pub(super) leave: Vec<UserId>,
}

impl Change {
    /// The change to the state in this body, which describes the whole group. Also returns the name, which must be there.
    pub(super) fn whole(body: &Map<String, Value>) -> Result<(String, Self), ScimError> {
        let name = string(body, "displayName")?.ok_or_else(|| ScimError::value("displayName is missing"))?;
        let members = users(get(body, "members").unwrap_or(&Value::Null))?.into_iter().collect();
        let external_id = string(body, "externalId")?.map_or(Said::Absent, Said::Is);
        Ok((name.clone(), Self { name: Some(name), external_id, members: Members::Exactly(members) }))
    }

    /// The change by the operations of a PATCH, applied in their order.
    pub(super) fn patched(body: &Map<String, Value>) -> Result<Self, ScimError> {
        let mut change = Self::default();
        for operation in patch::operations(body)? {
            change.operate(operation)?;
        }
        Ok(change)
    }

    /// Whether the current members must be known to apply the change.
    pub(super) fn replaces_members(&self) -> bool {
        matches!(self.members, Members::Exactly(_))
    }

    /// The users who join and leave a group that has the members `before`.
    ///
    /// # Errors
    /// `tooMany` if one command can't add or remove as many.
    pub(super) fn member_changes(self, before: &BTreeSet<UserId>) -> Result<MemberChanges, ScimError> {
        let (join, leave) = match self.members {
            Members::Delta { join, leave } => (join, leave),
            Members::Exactly(wanted) => (&wanted - before, before - &wanted),
        };
        for (list, what) in [(&join, "to add"), (&leave, "to remove")] {
            if list.len() > lengths::KEPT_MEMBERS {
                let detail = format!(
                    "{} members {what}; at most {} are allowed in one request, which is applied as a whole: split it into several",
                    list.len(),
                    lengths::KEPT_MEMBERS
                );
                return Err(ScimError::too_many(detail));
            }
        }
        Ok(MemberChanges { join: join.into_iter().collect(), leave: leave.into_iter().collect() })
    }

    fn operate(&mut self, operation: Operation) -> Result<(), ScimError> {
        let Operation { op, target, value } = operation;
        let Some(Target { attribute, filter, sub }) = target else { return Ok(()) };
        let is = |name: &str| attribute.eq_ignore_ascii_case(name);
        if is("displayName") {
            return match (op, value.as_str().map(str::trim)) {
                (Op::Add | Op::Replace, Some(name)) if !name.is_empty() => {
                    self.name = Some(name.to_owned());
                    Ok(())
                }
                _ => Err(ScimError::value("displayName must be a string, and can't be removed")),
            };
        }
        if is("externalId") {
            self.external_id = match op {
                Op::Remove => Said::Absent,
                Op::Add | Op::Replace => string_value(&value, "externalId")?.map_or(Said::Absent, Said::Is),
            };
            return Ok(());
        }
        if !is("members") {
            // `id` does not change; attributes that are not stored are ignored.
            return Ok(());
        }
        if sub.is_some() {
            return Err(ScimError::mutability("only value can be written of a member"));
        }
        match (op, filter) {
            (Op::Add, None) => self.join(users(&value)?),
            (Op::Replace, None) => self.members = Members::Exactly(users(&value)?.into_iter().collect()),
            (Op::Remove, None) if value.is_null() => self.members = Members::Exactly(BTreeSet::new()),
            (Op::Remove, None) => self.leave(users(&value)?),
            (Op::Remove, Some(filter)) => match filter.only_equal_to("value").map(str::parse) {
                Some(Ok(user)) => self.leave(vec![user]),
                _ => return Err(ScimError::path("remove members with the path members[value eq \"<id>\"]")),
            },
            (Op::Add | Op::Replace, Some(_)) => {
                return Err(ScimError::path("a path with a filter can't be used to add members"));
            }
        }
        Ok(())
    }

    fn join(&mut self, users: Vec<UserId>) {
        match &mut self.members {
            Members::Delta { join, leave } => {
                for user in users {
                    leave.remove(&user);
                    join.insert(user);
                }
            }
            Members::Exactly(members) => members.extend(users),
        }
    }

    fn leave(&mut self, users: Vec<UserId>) {
        match &mut self.members {
            Members::Delta { join, leave } => {
                for user in users {
                    join.remove(&user);
                    leave.insert(user);
                }
            }
            Members::Exactly(members) => {
                for user in users {
                    members.remove(&user);
                }
            }
        }
    }
}

/// The users in a list of members: objects `{"value": "<id>"}`, or one such object without a list.
fn users(value: &Value) -> Result<Vec<UserId>, ScimError> {
    let list = match value {
        Value::Null => &[][..],
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.len() as i64 > MAX_MEMBERS {
        return Err(ScimError::too_many(format!("{} members; at most {MAX_MEMBERS} are allowed", list.len())));
    }
    let user = |(place, member): (usize, &Value)| {
        let said = |name: &str| member.as_object().map_or(Ok(None), |member| string(member, name));
        if said("type")?.is_some_and(|kind| !kind.eq_ignore_ascii_case("User")) {
            return Err(ScimError::value(format!("member {place} is not a user: only users can be members of groups")));
        }
        let id = said("value")?;
        id.and_then(|id| id.parse().ok())
            .ok_or_else(|| ScimError::value(format!("the value of member {place} is not a user's id")))
    };
    list.iter().enumerate().map(user).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADA: &str = "0197a8a0-0000-7000-8000-00000000000a";
    const GRACE: &str = "0197a8a0-0000-7000-8000-00000000000b";

    fn change(operations: Value) -> Result<Change, ScimError> {
        Change::patched(json!({ "Operations": operations }).as_object().unwrap())
    }

    fn set(users: &[&str]) -> BTreeSet<UserId> {
        users.iter().map(|user| user.parse().unwrap()).collect()
    }

    fn moved(join: &[&str], leave: &[&str]) -> Change {
        Change { members: Members::Delta { join: set(join), leave: set(leave) }, ..Change::default() }
    }

    fn exactly(members: &[&str]) -> Change {
        Change { members: Members::Exactly(set(members)), ..Change::default() }
    }

    #[test]
    fn an_operation_on_members_is_who_comes_and_who_goes() {
        let member = json!([{ "value": ADA }]);
        let named = || Change { name: Some("Sales".to_owned()), ..Change::default() };
        let known_by = |external_id| Change { external_id, ..Change::default() };
        let cases = [
            (json!({ "op": "add", "path": "members", "value": member }), moved(&[ADA], &[])),
            (json!({ "op": "Add", "value": { "members": member } }), moved(&[ADA], &[])),
            (json!({ "op": "remove", "path": format!("members[value eq \"{ADA}\"]") }), moved(&[], &[ADA])),
            (json!({ "op": "Remove", "path": "members", "value": member }), moved(&[], &[ADA])),
            (json!({ "op": "remove", "path": "members" }), exactly(&[])),
            (json!({ "op": "replace", "path": "members", "value": member }), exactly(&[ADA])),
            (json!({ "op": "replace", "path": "displayName", "value": "Sales" }), named()),
            (json!({ "op": "replace", "value": { "displayName": "Sales" } }), named()),
            (json!({ "op": "add", "path": "externalId", "value": "x" }), known_by(Said::Is("x".to_owned()))),
            (json!({ "op": "replace", "value": { "externalId": "y" } }), known_by(Said::Is("y".to_owned()))),
            (json!({ "op": "replace", "path": "externalId", "value": null }), known_by(Said::Absent)),
            (json!({ "op": "remove", "path": "externalId" }), known_by(Said::Absent)),
            (json!({ "op": "add", "path": "nickName", "value": "x" }), Change::default()),
        ];
        for (operation, expected) in cases {
            assert_eq!(change(json!([operation])).unwrap(), expected, "{operation}");
        }
        for (operation, scim_type) in [
            (json!({ "op": "add", "path": "members", "value": [{ "value": "no id" }] }), "invalidValue"),
            (json!({ "op": "add", "path": "members", "value": [{ "value": ADA, "type": "Group" }] }), "invalidValue"),
            (json!({ "op": "remove", "path": "members[display eq \"Ada\"]" }), "invalidPath"),
            (
                json!({ "op": "remove", "path": format!("members[value eq \"{ADA}\" and display eq \"x\"]") }),
                "invalidPath",
            ),
            (json!({ "op": "remove", "path": "displayName" }), "invalidValue"),
            (json!({ "op": "replace", "path": "externalId", "value": 7 }), "invalidValue"),
            (json!({ "op": "replace", "path": "members.value", "value": ADA }), "mutability"),
        ] {
            assert_eq!(change(json!([operation])).unwrap_err().scim_type, Some(scim_type), "{operation}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_in_a_whole_group_as_in_a_part() {
        let whole = |body: Value| Change::whole(body.as_object().unwrap());
        for body in [
            json!({ "displayName": 7 }),
            json!({ "displayName": "Sales", "externalId": 7 }),
            json!({ "displayName": "Sales", "members": [{ "value": ADA, "type": 7 }] }),
        ] {
            assert_eq!(whole(body.clone()).unwrap_err().scim_type, Some("invalidValue"), "{body}");
        }
        for id in [json!(null), json!(" ")] {
            let (_, group) = whole(json!({ "displayName": "Sales", "externalId": id })).unwrap();
            assert_eq!(group.external_id, Said::Absent);
        }
    }

    #[test]
    fn of_several_operations_each_goes_on_from_the_one_before() {
        let add = |user: &str| json!({ "op": "add", "path": "members", "value": [{ "value": user }] });
        let remove = |user: &str| json!({ "op": "remove", "path": "members", "value": [{ "value": user }] });
        let replace = json!({ "op": "replace", "path": "members", "value": [{ "value": ADA }] });
        assert_eq!(change(json!([add(ADA), remove(GRACE)])).unwrap(), moved(&[ADA], &[GRACE]));
        assert_eq!(change(json!([add(ADA), remove(ADA)])).unwrap(), moved(&[], &[ADA]));
        assert_eq!(change(json!([remove(ADA), add(ADA)])).unwrap(), moved(&[ADA], &[]));
        assert_eq!(change(json!([remove(GRACE), replace, add(GRACE), remove(ADA)])).unwrap(), exactly(&[GRACE]));
    }

    #[test]
    fn who_comes_and_who_goes_is_what_is_different_and_no_more_than_can_be_done_at_once() {
        let moves = exactly(&[ADA]).member_changes(&set(&[GRACE])).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!((moves.join, moves.leave), (vec![ADA.parse().unwrap()], vec![GRACE.parse().unwrap()]));
        let many = (0..=lengths::KEPT_MEMBERS as u128).map(|id| UserId::new(uuid::Uuid::from_u128(id))).collect();
        let all = Change { members: Members::Exactly(many), ..Change::default() };
        assert_eq!(all.member_changes(&BTreeSet::new()).err().and_then(|error| error.scim_type), Some("tooMany"));
    }
}
