//! The directory of users: searches, lists, erasures.

use kernel::{Personal, Picture, PostalAddress, UserId};
use user_aggregates::{
    GroupId, InvitationAccepted, InvitationEvent, InvitationResent, InvitationSent, InvitationStatus, Label, Labels,
    Login, OrganizationId, Profile, UploadedPicture, UserEmailVerified, UserErased, UserEvent, UserGroupJoined,
    UserGroupLeft, UserLabelsChanged, UserLocked, UserLoginChanged, UserPhoneVerified, UserPictureRemoved,
    UserPictureSet, UserProfileChanged, UserRegistered, UserRemoved, UserRoleGranted, UserStatus,
};
use user_projections::invitations::{self, InvitationFilter, LastSentFirst};
use user_projections::people::{self, MembersOf, PersonFilter, PersonOrder};
use uuid::Uuid;

use crate::stage::Stage;
use crate::story::{Story, day, id};

pub fn registered(name: &str, email: &str, roles: &[&str]) -> UserRegistered {
    UserRegistered {
        login: Login { email: email.to_owned().into(), user_name: None },
        email_verified: false,
        profile: Profile { name: name.to_owned().into(), ..Profile::default() },
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        groups: vec![],
        invitation: None,
    }
}

pub fn user(story: &mut Story, name: &str, roles: &[&str]) -> Uuid {
    let user = id();
    let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
    story.add::<UserEvent>(user, day(1), registered(name, &email, roles));
    user
}

async fn names(stage: &Stage, story: &Story, filter: PersonFilter) -> Vec<String> {
    let mut tables = stage.read(story.tenant).await;
    let rows = people::list(&mut tables, story.tenant, &filter, PersonOrder::Name, None, 100).await.unwrap();
    assert_eq!(people::count(&mut tables, story.tenant, &filter).await.unwrap(), rows.len() as i64);
    rows.into_iter().map(|row| row.name).collect()
}

#[tokio::test]
async fn users_are_found_by_what_they_are_called_and_by_what_they_belong_to() {
    let mut story = Story::new();
    let ada = user(&mut story, "Ada Lovelace", &["admin"]);
    let grace = user(&mut story, "Grace Hopper", &["member"]);
    let (sales, staff) = (GroupId::new(id()), GroupId::new(id()));
    story.add::<UserEvent>(ada, day(2), UserGroupJoined { group: sales });
    story.add::<UserEvent>(grace, day(2), UserGroupJoined { group: sales });
    story.add::<UserEvent>(grace, day(3), UserGroupJoined { group: staff });
    story.add::<UserEvent>(ada, day(4), UserGroupLeft { group: sales });
    story.add::<UserEvent>(grace, day(5), UserRoleGranted { role: "seller".to_owned() });
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let search = |text: &str| PersonFilter { search: Some(text.to_owned()), ..PersonFilter::default() };
        let role = |role: &str| PersonFilter { role: Some(role.to_owned()), ..PersonFilter::default() };
        let group = |group| PersonFilter { group: Some(group), ..PersonFilter::default() };
        assert_eq!(names(&stage, &story, PersonFilter::default()).await, ["Ada Lovelace", "Grace Hopper"]);
        assert_eq!(names(&stage, &story, search("hop gra")).await, ["Grace Hopper"]);
        assert_eq!(names(&stage, &story, search("lace")).await, Vec::<String>::new(), "beginnings, not endings");
        assert_eq!(names(&stage, &story, search("ada.lovelace@example")).await, ["Ada Lovelace"]);
        assert_eq!(names(&stage, &story, search("seller")).await, Vec::<String>::new(), "a role is no word of theirs");
        assert_eq!(names(&stage, &story, role("seller")).await, ["Grace Hopper"]);
        assert_eq!(names(&stage, &story, role("admin")).await, ["Ada Lovelace"]);
        assert_eq!(names(&stage, &story, group(sales)).await, ["Grace Hopper"]);
        assert_eq!(names(&stage, &story, group(staff)).await, ["Grace Hopper"]);
    }
}

#[tokio::test]
async fn pages_of_those_who_belong_to_several_groups_and_organizations_are_read_at_once() {
    let mut story = Story::new();
    let (sales, staff, north) = (GroupId::new(id()), GroupId::new(id()), OrganizationId::new(id()));
    for name in ["Ada", "Grace", "Joan", "Mary"] {
        let user = user(&mut story, name, &[]);
        story.add::<UserEvent>(user, day(2), UserGroupJoined { group: sales });
        if name != "Ada" {
            story.add::<UserEvent>(user, day(3), UserGroupJoined { group: staff });
        }
        if name == "Mary" {
            story.add::<UserEvent>(user, day(4), UserRemoved {});
        }
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let filters = [
        PersonFilter { group: Some(sales), ..PersonFilter::default() },
        PersonFilter { group: Some(staff), ..PersonFilter::default() },
        PersonFilter { organization: Some(north), ..PersonFilter::default() },
    ];
    let lists: Vec<MembersOf> = filters.iter().map(|filter| filter.members_of().unwrap()).collect();
    let whole: Vec<_> = lists.iter().map(|members_of| (*members_of, None, 100)).collect();
    let read = people::members(&mut tables, story.tenant, &whole).await.unwrap();
    let counts = people::count_members(&mut tables, story.tenant, &lists).await.unwrap();
    for ((filter, members_of), members) in filters.iter().zip(&lists).zip(&read) {
        let one = people::list(&mut tables, story.tenant, filter, PersonOrder::Name, None, 100).await.unwrap();
        assert_eq!(*members, one, "as one by one");
        let count = counts.iter().find(|(of, _)| of == members_of).map_or(0, |(_, count)| *count);
        assert_eq!(count, people::count(&mut tables, story.tenant, filter).await.unwrap());
    }
    assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 0]);
    let ada = &read[0][0];
    let next = [(lists[0], Some((ada.name.clone(), ada.user_id)), 1), (lists[1], None, 1)];
    let pages = people::members(&mut tables, story.tenant, &next).await.unwrap();
    assert_eq!(pages, [vec![read[0][1].clone()], vec![read[1][0].clone()]]);
    let with_more = PersonFilter { role: Some("admin".to_owned()), ..filters[0].clone() };
    assert_eq!((with_more.members_of(), PersonFilter::default().members_of()), (None, None));
}

#[tokio::test]
async fn who_is_removed_is_listed_only_when_asked_for_and_can_not_sign_in() {
    let mut story = Story::new();
    let ada = user(&mut story, "Ada", &["member"]);
    let grace = user(&mut story, "Grace", &["member"]);
    story.add::<UserEvent>(ada, day(2), UserRemoved {});
    story.add::<UserEvent>(grace, day(2), UserLocked { reason: "x".to_owned() });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    assert_eq!(names(&stage, &story, PersonFilter::default()).await, ["Grace"]);
    let removed = PersonFilter { status: Some(vec![UserStatus::Removed]), ..PersonFilter::default() };
    assert_eq!(names(&stage, &story, removed).await, ["Ada"]);
    let mut tables = stage.read(story.tenant).await;
    let mut by_login =
        async |login: &str| people::by_login(&mut tables, story.tenant, login).await.unwrap().map(|row| row.user_id);
    assert_eq!(by_login("ada@example.com").await, None);
    assert_eq!(by_login(" GRACE@example.com ").await, Some(grace));
}

#[tokio::test]
async fn a_login_that_changed_is_found_by_the_new_one_only() {
    let mut story = Story::new();
    let ada = user(&mut story, "Ada", &[]);
    story.add::<UserEvent>(ada, day(2), UserEmailVerified {});
    let login = |email: &str, name: Option<&str>| Login {
        email: email.to_owned().into(),
        user_name: name.map(|name| name.to_owned().into()),
    };
    story.add::<UserEvent>(ada, day(3), UserLoginChanged { login: login("ada@example.com", Some("countess")) });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let found = people::by_login(&mut tables, story.tenant, "Countess").await.unwrap().unwrap();
    assert!(found.email_verified, "the address is the same one");
    drop(tables);
    let before = story.events.len();
    story.add::<UserEvent>(ada, day(4), UserLoginChanged { login: login("ada@other.example", None) });
    stage.apply(&story.events[before..], 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for (login, there) in [("countess", false), ("ada@example.com", false), ("ada@other.example", true)] {
        let found = people::by_login(&mut tables, story.tenant, login).await.unwrap();
        assert_eq!(found.is_some(), there, "{login}");
        assert!(found.is_none_or(|row| !row.email_verified));
    }
}

#[tokio::test]
async fn who_has_an_accent_is_found_however_it_was_stored_and_is_typed() {
    let mut story = Story::new();
    let rene = user(&mut story, "Rene\u{301}", &[]);
    story.add::<UserEvent>(rene, day(2), UserEmailVerified {});
    let login = Login { email: "ren\u{e9}@example.com".to_owned().into(), user_name: None };
    let composed = UserLoginChanged { login };
    for changed in [None, Some(composed)] {
        if let Some(changed) = changed {
            story.add::<UserEvent>(rene, day(3), changed);
        }
        let stage = Stage::fresh().await;
        stage.apply(&story.events, 100).await.unwrap();
        for typed in ["RENE\u{301}", "ren\u{e9}"] {
            let search = PersonFilter { search: Some(typed.to_owned()), ..PersonFilter::default() };
            assert_eq!(names(&stage, &story, search).await.len(), 1, "{typed:?}");
            let mut tables = stage.read(story.tenant).await;
            let found = people::by_login(&mut tables, story.tenant, &format!("{typed}@example.com")).await.unwrap();
            assert_eq!(found.map(|row| (row.user_id, row.email_verified)), Some((rene, true)), "{typed:?}");
        }
    }
}

#[tokio::test]
async fn who_is_typed_in_another_case_is_found_in_every_script() {
    let mut story = Story::new();
    let people =
        [("Κωνσταντίνος Λουκάς", "ΚΩΝΣ ΛΟΥΚΆΣ"), ("Kai Großmann", "GROSSMANN"), ("İbrahim Işık", "ibrahim IŞIK")];
    for (name, _) in people {
        user(&mut story, name, &[]);
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    for (name, typed) in people {
        let search = PersonFilter { search: Some(typed.to_owned()), ..PersonFilter::default() };
        assert_eq!(names(&stage, &story, search).await, [name], "{typed}");
    }
}

#[tokio::test]
async fn an_erased_user_leaves_no_word_of_who_they_were() {
    let mut story = Story::new();
    let ada = user(&mut story, "Ada Lovelace", &["member"]);
    let profile = Profile {
        name: "Ada Lovelace".to_owned().into(),
        phone: Some("+4930123456".to_owned().into()),
        address: Some(house("12 Lovelace Road").into()),
        picture: Some("https://example.com/lovelace.png".to_owned().into()),
        ..Profile::default()
    };
    story.add::<UserEvent>(ada, day(2), UserProfileChanged { profile });
    story.add::<UserEvent>(ada, day(2), written_out("Lovelace House"));
    story.add::<UserEvent>(ada, day(2), uploaded("lovelace"));
    story.add::<UserEvent>(ada, day(3), UserErased {});
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let row = people::find(&mut tables, story.tenant, &[ada]).await.unwrap().pop().unwrap();
        assert_eq!(row.status.0, UserStatus::Erased);
        tells_nobody(&stage, &story).await;
        let history = people::history(&mut tables, story.tenant, UserId::new(ada), 0, 10).await.unwrap();
        let changes: Vec<_> = history.iter().map(|row| row.change.as_str()).collect();
        assert_eq!(
            changes,
            ["registered", "profile_changed", "labels_changed", "picture_set", "erased"],
            "what happened stays"
        );
    }

    // The same while the erasing event is parked; roles and groups are kept until it is applied.
    let stage = Stage::fresh().await;
    let (erasure, earlier) = story.events.split_last().unwrap();
    stage.apply(earlier, 100).await.unwrap();
    stage.forget(erasure).await.unwrap();
    tells_nobody(&stage, &story).await;
    let members = PersonFilter { role: Some("member".to_owned()), ..PersonFilter::default() };
    assert_eq!(names(&stage, &story, members).await, [""]);
    stage.apply(std::slice::from_ref(erasure), 100).await.unwrap();
    tells_nobody(&stage, &story).await;
}

/// Asserts that no row has personal data of Ada Lovelace.
async fn tells_nobody(stage: &Stage, story: &Story) {
    let mut tables = stage.read(story.tenant).await;
    for table in ["person", "person_word", "person_picture", "person_history"] {
        let sql = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let all: String = sqlx::query_scalar(&sql).fetch_one(&mut *tables).await.unwrap();
        for told in ["Lovelace", "lovelace", "4930123456"] {
            assert!(!all.contains(told), "{table} tells {told}: {all}");
        }
    }
}

/// They upload a picture.
fn uploaded(id: &str) -> UserPictureSet {
    // "picture".
    let picture = Picture { sha256: format!("hash of {id}"), base64: "cGljdHVyZQ==".to_owned(), ..Picture::default() };
    UserPictureSet { uploaded: UploadedPicture { id: id.to_owned(), picture }.into(), at: day(2) }
}

#[tokio::test]
async fn a_picture_that_was_uploaded_is_found_by_its_id_until_it_is_another_one_or_none() {
    let profile = |picture: Option<&str>| UserProfileChanged {
        profile: Profile {
            name: "Ada".to_owned().into(),
            picture: picture.map(|picture| picture.to_owned().into()),
            ..Profile::default()
        },
    };
    let elsewhere = Some("https://example.com/ada.png");
    let steps: [(UserEvent, Option<&str>, Option<&str>); 10] = [
        (profile(elsewhere).into(), None, elsewhere),
        (uploaded("first").into(), Some("first"), None),
        (uploaded("second").into(), Some("second"), None),
        (profile(None).into(), Some("second"), None),
        (profile(elsewhere).into(), None, elsewhere),
        (uploaded("third").into(), Some("third"), None),
        (UserPictureRemoved {}.into(), None, None),
        (UserPictureSet { uploaded: Personal::forgotten(), at: day(2) }.into(), None, None),
        (uploaded("fourth").into(), Some("fourth"), None),
        (UserRemoved {}.into(), None, None),
    ];
    let mut story = Story::new();
    let (ada, grace) = (user(&mut story, "Ada", &[]), user(&mut story, "Grace", &[]));
    story.add::<UserEvent>(grace, day(1), uploaded("hers"));
    let begun = story.events.len();
    for (event, ..) in &steps {
        story.add::<UserEvent>(ada, day(2), event.clone());
    }
    // In several batches, and all in one.
    for (nth, (event, uploaded, elsewhere)) in steps.iter().enumerate() {
        let (stage, events) = (Stage::fresh().await, &story.events[..=begun + nth]);
        stage.apply(&events[..events.len() - 1], 100).await.unwrap();
        stage.apply(&events[events.len() - 1..], 100).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let row = people::find(&mut tables, story.tenant, &[ada]).await.unwrap().pop().unwrap();
        assert_eq!((row.uploaded_picture.as_deref(), row.picture.as_deref()), (*uploaded, *elsewhere), "{event:?}");
        for id in ["first", "second", "third", "fourth"] {
            let found = people::picture(&mut tables, story.tenant, id).await.unwrap();
            assert_eq!(found.is_some(), *uploaded == Some(id), "{id} after {event:?}");
        }
        let hers = people::picture(&mut tables, story.tenant, "hers").await.unwrap().unwrap();
        assert_eq!(
            (hers.user_id, hers.sha256.as_str(), hers.file.as_slice()),
            (grace, "hash of hers", &b"picture"[..])
        );
        let mut theirs = stage.read(testbed::tenant()).await;
        for tenant in [story.tenant, testbed::tenant()] {
            assert_eq!(people::picture(&mut theirs, tenant, "hers").await.unwrap(), None, "another tenant sees none");
        }
    }
}

#[tokio::test]
async fn an_address_is_written_out_as_a_provider_says_it_until_it_is_another_one() {
    let mut story = Story::new();
    let ada = user(&mut story, "Ada", &[]);
    let moved = |street: &str| {
        let address = Some(house(street).into());
        UserProfileChanged { profile: Profile { name: "Ada".to_owned().into(), address, ..Profile::default() } }
    };
    story.add::<UserEvent>(ada, day(2), moved("12 St James's Square"));
    story.add::<UserEvent>(ada, day(3), written_out("Ada's house"));
    story.add::<UserEvent>(ada, day(4), moved("12 St James's Square"));
    story.add::<UserEvent>(ada, day(5), moved("Ockham Park"));
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        let (last, before) = story.events.split_last().unwrap();
        for (events, street, written) in
            [(before, "12 St James's Square", Some("Ada's house")), (std::slice::from_ref(last), "Ockham Park", None)]
        {
            stage.apply(events, batch).await.unwrap();
            let mut tables = stage.read(story.tenant).await;
            let found = people::by_login(&mut tables, story.tenant, "ada@example.com").await.unwrap().unwrap();
            assert_eq!(found.address.as_deref(), Some(&house(street)));
            assert_eq!(found.formatted_address.as_deref(), written);
            // What it is for is said of whichever it is, as of a telephone number.
            assert_eq!((found.address_purpose.as_deref(), found.address_primary), (Some("home"), Some(false)));
        }
    }
}

/// An address in London.
fn house(street: &str) -> PostalAddress {
    PostalAddress { street: Some(street.to_owned()), locality: Some("London".to_owned()), ..PostalAddress::default() }
}

/// A provider writes an address out, and says what it is for.
fn written_out(formatted: &str) -> UserLabelsChanged {
    let address = Label { purpose: Some("home".to_owned().into()), primary: Some(false) };
    UserLabelsChanged {
        labels: Labels { formatted_address: Some(formatted.to_owned().into()), address, ..Labels::default() },
    }
}

#[tokio::test]
async fn pending_invitations_are_those_that_nobody_answered() {
    let mut story = Story::new();
    let sent = |email: &str, until| InvitationSent {
        email: email.to_owned().into(),
        name: None,
        roles: vec!["member".to_owned()],
        groups: vec![],
        by_policy: false,
        sent_by: None,
        expires_at: until,
    };
    let (ada, grace) = (id(), id());
    story.add::<InvitationEvent>(ada, day(1), sent("ada@example.com", day(8)));
    story.add::<InvitationEvent>(grace, day(2), sent("grace@example.com", day(9)));
    story.add::<InvitationEvent>(ada, day(3), InvitationResent { turn: 2, sent_by: None, expires_at: day(10) });
    story.add::<InvitationEvent>(grace, day(4), InvitationAccepted { user: UserId::new(id()) });
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let mut list = async |status| {
            let filter = InvitationFilter { status };
            let rows = invitations::list(&mut tables, story.tenant, &filter, LastSentFirst, None, 10).await.unwrap();
            assert_eq!(invitations::count(&mut tables, story.tenant, &filter).await.unwrap(), rows.len() as i64);
            rows
        };
        let pending = list(Some(InvitationStatus::Pending)).await;
        let [row] = &pending[..] else { panic!("{pending:?}") };
        assert_eq!((row.email.as_str(), row.expires_at, row.invited_by.as_str()), ("ada@example.com", day(10), "ada"));
        assert_eq!(list(None).await.len(), 2);
    }
}

#[tokio::test]
async fn a_number_is_verified_until_it_is_another_one() {
    let mut story = Story::new();
    let ada = user(&mut story, "Ada", &[]);
    let numbered = |phone: Option<&str>| {
        let phone = phone.map(|phone| phone.to_owned().into());
        UserProfileChanged { profile: Profile { name: "Ada".to_owned().into(), phone, ..Profile::default() } }
    };
    story.add::<UserEvent>(ada, day(2), numbered(Some("+4930123456")));
    story.add::<UserEvent>(ada, day(3), UserPhoneVerified {});
    story.add::<UserEvent>(ada, day(4), numbered(Some("+4930123456")));
    let stage = Stage::fresh().await;
    for (change, verified) in [(None, true), (Some(Some("+4930123457")), false), (Some(Some("+4930123456")), false)] {
        let before = story.events.len();
        if let Some(phone) = change {
            story.add::<UserEvent>(ada, day(5), numbered(phone));
        }
        stage.apply(if change.is_some() { &story.events[before..] } else { &story.events }, 100).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let found = people::by_login(&mut tables, story.tenant, "ada@example.com").await.unwrap().unwrap();
        assert_eq!(found.phone_verified, verified, "{change:?}");
    }
}
