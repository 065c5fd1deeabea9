//! A double of the user service: the directory of people, what they may do, the pictures that they upload, and the admission of users
//! whom an identity provider authenticated.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use auth_commands::GRANTS;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use executor::{Permissions, Standing};
use face::{Admission, AssertedPerson, OwnPictures, People, PeopleError, Person};
use kernel::{Checks, IdSource, Picture, PictureFile, PictureFormat, Refusal, Role, SystemIds, TenantId, UserId};
use tokio::sync::Notify;

/// The known people.
#[derive(Default)]
pub struct PeopleDouble {
    known: Mutex<HashMap<(TenantId, UserId), Person>>,
    held: Mutex<Option<(usize, Arc<Gate>)>>,
    /// The permissions of roles that are not built in.
    pub defined: Mutex<HashMap<String, BTreeSet<&'static str>>>,
    /// Whether the directory lags behind, so that new users are not known yet.
    pub behind: AtomicBool,
}

/// A barrier at which a lookup of a person waits.
#[derive(Default)]
pub struct Gate {
    reached: Notify,
    open: Notify,
}

impl Gate {
    /// Does something while the lookup waits, and then lets it continue.
    pub async fn meanwhile(&self, work: impl Future<Output = ()>) {
        self.reached.notified().await;
        work.await;
        self.open.notify_one();
    }
}

impl PeopleDouble {
    pub fn put(&self, tenant: TenantId, person: Person) {
        self.known.lock().unwrap().insert((tenant, person.id), person);
    }

    /// Makes a lookup by id wait, after so many others.
    pub fn hold(&self, after: usize) -> Arc<Gate> {
        let gate = Arc::<Gate>::default();
        *self.held.lock().unwrap() = Some((after, gate.clone()));
        gate
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        let mut held = self.held.lock().unwrap();
        match held.take() {
            Some((0, gate)) => Some(gate),
            Some((after, gate)) => {
                *held = Some((after - 1, gate));
                None
            }
            None => None,
        }
    }
}

#[async_trait]
impl People for PeopleDouble {
    async fn by_login(&self, tenant: TenantId, login: &str) -> Result<Option<Person>, PeopleError> {
        let people = self.known.lock().unwrap();
        let found = people.iter().find(|((of, _), person)| *of == tenant && person.login.eq_ignore_ascii_case(login));
        Ok(found.map(|(_, person)| person.clone()))
    }

    async fn by_id(&self, tenant: TenantId, id: UserId) -> Result<Option<Person>, PeopleError> {
        if let Some(gate) = self.gate() {
            gate.reached.notify_one();
            gate.open.notified().await;
        }
        Ok(self.known.lock().unwrap().get(&(tenant, id)).cloned())
    }

    async fn picture(&self, tenant: TenantId, picture: &str) -> Result<Option<PictureFile>, PeopleError> {
        let known = self.known.lock().unwrap();
        let is_theirs =
            known.iter().any(|((of, _), who)| *of == tenant && who.uploaded_picture.as_deref() == Some(picture));
        let file = || PictureFile { format: PictureFormat::Png, sha256: "5ha".to_owned(), bytes: picture.into() };
        Ok(is_theirs.then(file))
    }
}

#[async_trait]
impl Permissions for PeopleDouble {
    async fn of_roles(&self, _: TenantId, roles: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        let defined = self.defined.lock().unwrap();
        let mut allowed = BTreeSet::<&'static str>::new();
        for role in roles {
            match role.parse::<Role>() {
                Ok(role) => allowed.extend(role.permissions(GRANTS)),
                Err(_) => allowed.extend(defined.get(role).into_iter().flatten().copied()),
            }
        }
        Ok(allowed)
    }

    async fn is_role(&self, _: TenantId, name: &str) -> Result<bool, Refusal> {
        Ok(name.parse::<Role>().is_ok() || self.defined.lock().unwrap().contains_key(name))
    }

    async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        let found = self.known.lock().unwrap().get(&(tenant, user)).map(|person| person.roles.clone());
        self.of_roles(tenant, &found.unwrap_or_default()).await
    }

    async fn standing(&self, tenant: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal> {
        let found = self.known.lock().unwrap().get(&(tenant, user)).map(|person| person.may_sign_in);
        match found {
            Some(true) => self.of_user(tenant, user).await.map(Standing::Active),
            Some(false) => Ok(Standing::Inactive),
            None => Ok(Standing::Unknown),
        }
    }
}

#[async_trait]
impl OwnPictures for PeopleDouble {
    async fn set(&self, tenant: TenantId, user: UserId, file: &[u8]) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let picture = Picture::check(&mut checks, "/picture", &STANDARD.encode(file));
        checks.finish()?;
        let mut known = self.known.lock().unwrap();
        let person = known.get_mut(&(tenant, user)).unwrap();
        (person.uploaded_picture, person.picture) = (Some(picture.sha256), None);
        Ok(())
    }

    async fn remove(&self, tenant: TenantId, user: UserId) -> Result<(), Refusal> {
        let mut known = self.known.lock().unwrap();
        let person = known.get_mut(&(tenant, user)).unwrap();
        (person.uploaded_picture, person.picture) = (None, None);
        Ok(())
    }
}

#[async_trait]
impl Admission for PeopleDouble {
    async fn admit(
        &self,
        tenant: TenantId,
        asserted: &AssertedPerson,
        known: Option<&Person>,
    ) -> Result<Option<Person>, Refusal> {
        if self.behind.load(Ordering::Relaxed) {
            return Err(Refusal::unavailable("directory_behind", "it does not know yet who they are"));
        }
        let person = match known {
            None if !asserted.admits => return Ok(None),
            None => Person {
                id: UserId::new(SystemIds.next()),
                login: asserted.email.clone(),
                user_name: None,
                given_name: None,
                family_name: None,
                picture: None,
                uploaded_picture: None,
                updated_at: None,
                name: asserted.name.clone().unwrap_or_else(|| asserted.email.clone()),
                email: Some(asserted.email.clone()),
                email_verified: true,
                phone: None,
                phone_verified: false,
                address: None,
                formatted_address: None,
                locale: None,
                zoneinfo: None,
                roles: asserted.roles.clone(),
                may_sign_in: true,
            },
            Some(person) => Person { email_verified: true, roles: asserted.roles.clone(), ..person.clone() },
        };
        self.put(tenant, person.clone());
        Ok(Some(person))
    }
}
